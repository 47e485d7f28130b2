"""How a check is declared to Dagster, and how its verdict is shown there."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.partitions import tract_partitions
from photoz_assets.survey.checks import Check, Verdict
from photoz_assets.survey.contracts.images import WORST_OF
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import TableSpec
from photoz_assets.text import one_line


def check_specs(release: Release, spec: TableSpec) -> list[dg.AssetCheckSpec]:
    """Declare the checks of a release's table."""
    partitions = tract_partitions(release) if spec.by_tract else None
    return [check_spec(check, asset_key(release, spec.table), partitions) for check in spec.checks]


def check_spec(
    check: Check, asset: dg.AssetKey, partitions: dg.PartitionsDefinition[str] | None
) -> dg.AssetCheckSpec:
    """Declare a check of an asset."""
    with warnings.catch_warnings():
        # Checks by partition are a preview of Dagster 1.13; what we rely on in them stands in a test.
        warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            check.name,
            asset=asset,
            description=check.description,
            blocking=check.blocking,
            partitions_def=partitions,
        )


def how_to_see(release: Release, verdict: Verdict, tract: int | None) -> str:
    """Return how to look at the galaxies that fail a check: by the stamps of those that it shows, or of its worst.

    It is empty for a check that passed, for one of no galaxies, and where the tract is not known.
    """
    if verdict.passed or tract is None:
        return ""
    key = release.columns.object_id
    ids = [str(row[name]) for row in verdict.rows for name in (key, "objectId", "object_id") if name in row]
    condition = f' --where "{key} IN ({", ".join(dict.fromkeys(ids))})"' if ids else ""
    if not ids and verdict.check not in WORST_OF:
        return ""
    return f"See {'these galaxies' if ids else 'its worst galaxies'}: photoz stamps --tract {tract}{condition}"


def check_result(check: Check, verdict: Verdict, see: str = "") -> dg.AssetCheckResult:
    """Show a verdict in Dagster: its numbers, its limits, its rows as a table, and how to see what they are of."""
    metadata: dict[str, Any] = {name: value for name, value in verdict.numbers.items() if value is not None}
    if verdict.limits:
        limits = {
            name: list(value) if isinstance(value, tuple) else value for name, value in verdict.limits.items()
        }
        metadata["limits"] = dg.MetadataValue.json(limits)
    if verdict.rows:
        metadata[check.rows] = _row_table(verdict.rows)
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
        description=". ".join(filter(None, (verdict.summary, see))),
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
