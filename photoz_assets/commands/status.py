"""What is there at a glance: the assets, the tracts, the checks, and what is fresh."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from photoz_assets.definitions import tables_of
from photoz_assets.lake.footers import read_footers, require_footer
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import InvalidTableFileError, verify_rows
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.tract_status import SHOWN_TRACTS, by_reason, counted, tract_states
from photoz_assets.survey.contracts.butler import GROUP as BUTLER_GROUP
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets.text import listed

# Further than this, the clocks of two machines do not differ by themselves.
_CLOCKS_APART: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class AssetStatus:
    """One stored asset: its files and rows; when its newest file was made, in UTC; and whether that is fresh.

    Damaged files do not count. ``freshness`` is by the asset's freshness policy: fresh, ageing or overdue; None
    without a policy or a file.
    """

    asset: str
    files: int
    rows: int
    made: str | None
    freshness: str | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of a lake and of the runs that fill it.

    ``exports`` counts the files in each profile's folder. ``damaged`` names each damaged file, or one that is not
    ours in a table's place, with what to do.
    """

    archive: str | None
    selection: str
    assets: tuple[AssetStatus, ...]
    exports: Mapping[str, int]
    damaged: tuple[str, ...]
    tracts: Mapping[str, int]
    reasons: Mapping[str, list[int]]
    failed_checks: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Whether nothing is stale, failed or damaged; what is missing is no fault."""
        return not (self.tracts["stale"] or self.tracts["failed"] or self.failed_checks or self.damaged)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as plain values for JSON."""
        return {
            "well": self.well,
            "archive": self.archive,
            "selection": self.selection,
            "assets": [vars(asset) for asset in self.assets],
            "exports": dict(self.exports),
            "damaged": list(self.damaged),
            "tracts": dict(self.tracts),
            "reasons": dict(self.reasons),
            "failed_checks": list(self.failed_checks),
        }


def status(
    lake: Lake,
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    *,
    release: Release,
    selection: Selection,
    butler: bool,
    verify: bool = False,
) -> Status:
    """Return how a lake and the runs that fill it stand; the archive is not asked.

    Parameters
    ----------
    lake, instance, definitions
        Where the tables lie, where the runs were, and what there is to materialize.
    release, selection
        What a current tract is of.
    butler
        Whether a Butler repository is configured; without one, its assets count only if they are stored.
    verify
        Whether to read all rows of all files, too, and hold them against their checksums.
    """
    states = tract_states(lake, instance, release, selection)
    archive = lake.archive()
    assets, damaged = _assets(lake, definitions, release, butler=butler, verify=verify)
    return Status(
        archive=archive.label if archive else None,
        selection=release.text_of(selection),
        assets=tuple(assets),
        exports={profile: len(files) for profile, files in lake.exports().items()},
        damaged=tuple(damaged),
        tracts=counted(states),
        reasons=by_reason(state for state in states if state.status != "fresh"),
        failed_checks=tuple(_failed_checks(instance, definitions)),
    )


def _assets(
    lake: Lake, definitions: dg.Definitions, release: Release, *, butler: bool, verify: bool
) -> tuple[list[AssetStatus], list[str]]:
    """Return how each asset stands by its whole files, and what to do about the damaged ones."""
    graph = definitions.resolve_asset_graph()
    assets: list[AssetStatus] = []
    damaged: list[str] = []
    for asset in tables_of(release):
        node = graph.get(asset_key(release, asset))
        stored = lake.files(asset)
        if not stored and not butler and node.group_name == BUTLER_GROUP:
            continue
        created: list[str] = []
        rows = 0
        for path, footer in zip(stored, read_footers(lake, asset, stored), strict=True):
            try:
                found = require_footer(footer, path)
                provenance = found.provenance
                if verify:
                    verify_rows(lake.publisher.bring(path))
            except InvalidTableFileError as error:
                damaged.append(str(error))
            else:
                created.append(str(provenance.created))
                rows += found.rows
        made = max(created, default=None)
        freshness = _freshness(node.freshness_policy_or_from_metadata, made)
        assets.append(AssetStatus(asset=asset, files=len(created), rows=rows, made=made, freshness=freshness))
    return assets, damaged


def _freshness(policy: dg.FreshnessPolicy | None, made: str | None) -> str | None:
    """Return what a policy says of the lake's own files, as Dagster's daemon says it of its events."""
    if not isinstance(policy, TimeWindowFreshnessPolicy) or made is None:
        return None
    age = datetime.now(UTC) - datetime.fromisoformat(made)
    # What was made in the future was made by a clock that says nothing of its age.
    if age > policy.fail_window.to_timedelta() or age < -_CLOCKS_APART:
        return "overdue"
    if policy.warn_window is not None and age > policy.warn_window.to_timedelta():
        return "ageing"
    return "fresh"


def _failed_checks(instance: dg.DagsterInstance, definitions: dg.Definitions) -> Iterator[str]:
    """Yield the checks whose newest evaluation failed: asset, check and, of a tract's, the tract."""
    keys = list(definitions.resolve_asset_graph().asset_check_keys)
    for found in instance.event_log_storage.get_asset_check_partition_info(keys):
        if found.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED:
            tract = f" of tract {found.partition_key}" if found.partition_key else ""
            yield f"{found.check_key.asset_key.to_user_string()}: {found.check_key.name}{tract}"


def text(found: Status) -> str:
    """Return a status as text for the terminal."""
    rows = [("asset", "files", "rows", "made (UTC)", "freshness")]
    rows += [
        (asset.asset, f"{asset.files}", f"{asset.rows:,}", (asset.made or "never")[:16], asset.freshness or "")
        for asset in found.assets
    ]
    names, files, counts, made, _ = (max(len(row[column]) for row in rows) for column in range(len(rows[0])))
    lines = [
        f"{row[0]:<{names}}  {row[1]:>{files}}  {row[2]:>{counts}}  {row[3]:<{made}}  {row[4]}".rstrip()
        for row in rows
    ]
    tracts = ", ".join(f"{count} {word}" for word, count in found.tracts.items() if count)
    lines += [
        "",
        f"archive   {found.archive or 'none yet'}",
        f"wanted    {found.selection}",
        f"tracts    {tracts}",
    ]
    lines += [
        f"          {len(which)} {reason}: {listed(which, SHOWN_TRACTS)}"
        for reason, which in found.reasons.items()
    ]
    exports = ", ".join(f"{profile} ({number})" for profile, number in found.exports.items())
    lines.append(f"exports   {exports or 'none yet'}")
    lines.append(f"checks    {len(found.failed_checks) or 'none'} failed")
    lines += [f"          {check}" for check in found.failed_checks]
    lines.append(f"files     {len(found.damaged) or 'none'} damaged")
    lines += [f"          {file}" for file in found.damaged]
    return "\n".join(lines)
