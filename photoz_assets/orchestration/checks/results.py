"""Verdicts: those that need no audit, and how each becomes a result that Dagster shows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from photoz_assets.lake.audit import Verdict
from photoz_assets.orchestration.checks.butler import MATCHED_TRUTH_CHECKS, OBJECT_TABLE_CHECKS
from photoz_assets.orchestration.checks.galaxies import FIELD_CHECKS, MATCHED_GALAXIES_CHECKS
from photoz_assets.orchestration.checks.sky import SKYINFO_CHECKS
from photoz_assets.text import one_line

_DECLARED: Final = (
    *SKYINFO_CHECKS,
    *MATCHED_GALAXIES_CHECKS,
    *FIELD_CHECKS,
    *OBJECT_TABLE_CHECKS,
    *MATCHED_TRUTH_CHECKS,
)
_BLOCKING: Final = frozenset(spec.name for spec in _DECLARED if spec.blocking)


def failed(check: str, error: Exception) -> Verdict:
    """Make the verdict of a check that the reading of an answer already failed."""
    return Verdict(check=check, passed=False, summary=str(error))


def passed(check: str, summary: str, numbers: Mapping[str, float | int | str | None]) -> Verdict:
    """Make the verdict of a check that the reading of an answer already passed."""
    return Verdict(check=check, passed=True, summary=summary, numbers=numbers)


def blocks(check: str) -> bool:
    """Tell whether a check keeps a table from being published; the others only warn."""
    return check in _BLOCKING


def check_result(verdict: Verdict, *, rows: str = "offending_rows") -> dg.AssetCheckResult:
    """Show a verdict in Dagster: its numbers, its limits and its rows as a table, by what these are."""
    metadata: dict[str, Any] = {name: value for name, value in verdict.numbers.items() if value is not None}
    if verdict.limits:
        limits = {
            name: list(value) if isinstance(value, tuple) else value for name, value in verdict.limits.items()
        }
        metadata["limits"] = dg.MetadataValue.json(limits)
    if verdict.rows:
        metadata[rows] = _row_table(verdict.rows)
    return dg.AssetCheckResult(
        check_name=verdict.check,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if blocks(verdict.check) else dg.AssetCheckSeverity.WARN,
        description=verdict.summary,
        metadata=metadata,
    )


def _row_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [dg.TableColumn(name, type="string") for name in names]
    records = [dg.TableRecord({name: _shown(row.get(name)) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def _shown(value: Any) -> str:
    """Write a value so that nothing of it is rounded: an objectId has more digits than the UI's numbers."""
    return "NULL" if value is None else one_line(str(value))
