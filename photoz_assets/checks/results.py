"""Verdicts: those that need no audit, and how each becomes a result that Dagster shows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from photoz_assets.storage.audit import Verdict
from photoz_assets.words import one_line

_WARNINGS: Final = frozenset(
    {
        "coordinate_offsets",
        "flux_agreement",
        "not_empty",
        "known_tracts",
        "survey_state",
        "agrees_with_coadd_patches",
    }
)


def failed(check: str, error: Exception) -> Verdict:
    """Make the verdict of a check that the reading of an answer already failed."""
    return Verdict(check=check, passed=False, summary=str(error))


def passed(check: str, summary: str, numbers: Mapping[str, float | int | str | None]) -> Verdict:
    """Make the verdict of a check that the reading of an answer already passed."""
    return Verdict(check=check, passed=True, summary=summary, numbers=numbers)


def is_warning(check: str) -> bool:
    """Tell whether a check only warns."""
    return check in _WARNINGS


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
        severity=dg.AssetCheckSeverity.WARN if is_warning(verdict.check) else dg.AssetCheckSeverity.ERROR,
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
