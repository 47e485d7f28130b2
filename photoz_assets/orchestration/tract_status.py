"""The refresh of the survey: which tracts it asks for and why, and how far it has come.

Adds to the lake's ``state`` what Dagster's instance knows of the runs. Nothing here asks the archive.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from photoz_assets.lake.freshness import StaleReason, stale_reasons
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.partitions import TRACT_PARTITIONS
from photoz_assets.survey.dp02 import TRACTS
from photoz_assets.survey.selection import Selection

REFRESH_TAG: Final = "photoz/refresh"
REASON_TAG: Final = "photoz/reason"

# A tract that keeps failing is tried so often in so long; then a person should have a look.
MAX_FAILURES: Final = 3
FAILURE_WINDOW: Final = timedelta(days=7)

SHOWN_TRACTS: Final = 12

_ASSET: Final = dg.AssetKey("matched_galaxies")
_PARTITION_TAG: Final = "dagster/partition"
_BACKFILL_TAG: Final = "dagster/backfill"
_ENDED_BADLY: Final = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_ENDED: Final = (dg.DagsterRunStatus.SUCCESS, *_ENDED_BADLY)


@dataclass(frozen=True, kw_only=True)
class TractState:
    """How one tract stands, in the lake and in the runs.

    ``failures`` counts the runs that failed in a row since its last success, within ``FAILURE_WINDOW``;
    ``failed`` tells whether the last attempt did, however long ago.
    """

    tract: int
    standing: StaleReason
    failed: bool = False
    failures: int = 0
    under_way: bool = False

    @property
    def wanted(self) -> bool:
        """Whether a refresh asks for it."""
        needed = self.failed or self.standing is not StaleReason.CURRENT
        return needed and not self.under_way and self.failures < MAX_FAILURES

    @property
    def reason(self) -> str:
        """Why a refresh asks for it, or passes it over."""
        if self.under_way:
            return f"{self.standing}, a run is under way"
        if not self.failed:
            return str(self.standing)
        if self.wanted:
            return f"{self.standing}, the last run failed"
        return f"{self.standing}, failed {self.failures} times in {FAILURE_WINDOW.days} days: see its last run"

    @property
    def status(self) -> str:
        """The state in one word, for maps and counts: fresh, stale, failed, missing or running."""
        if self.under_way:
            return "running"
        if self.failed:
            return "failed"
        return {StaleReason.CURRENT: "fresh", StaleReason.MISSING: "missing"}.get(self.standing, "stale")


def tract_states(
    lake: Lake, instance: dg.DagsterInstance, *, selection: Selection, code_version: str
) -> list[TractState]:
    """Tell how each tract of the survey stands, ascending.

    Parameters
    ----------
    lake, instance
        Where the tables lie, and where the runs were.
    selection, code_version
        What a current tract is of.
    """
    keys = [str(tract) for tract in TRACTS]
    attempts = instance.get_status_by_partition(_ASSET, keys, TRACT_PARTITIONS) or {}
    found = stale_reasons(lake, TRACTS, selection=selection, code_version=code_version)
    return [_state(instance, tract, found[tract], attempts.get(str(tract))) for tract in TRACTS]


def _state(
    instance: dg.DagsterInstance, tract: int, standing: StaleReason, attempt: AssetPartitionStatus | None
) -> TractState:
    failed = attempt is AssetPartitionStatus.FAILED
    return TractState(
        tract=tract,
        standing=standing,
        failed=failed,
        failures=_failures(instance, tract) if failed else 0,
        under_way=attempt is AssetPartitionStatus.IN_PROGRESS,
    )


def _failures(instance: dg.DagsterInstance, tract: int) -> int:
    """Count the newest runs of a tract that failed in a row, as far as they matter."""
    lately = dg.RunsFilter(
        tags={_PARTITION_TAG: str(tract)}, created_after=datetime.now(UTC) - FAILURE_WINDOW, statuses=list(_ENDED)
    )
    count = 0
    for run in instance.get_runs(lately):
        if run.asset_selection and _ASSET not in run.asset_selection:
            continue
        if run.status is not dg.DagsterRunStatus.FAILURE or count == MAX_FAILURES:
            break
        count += 1
    return count


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a refresh of many tracts has come."""

    name: str
    total: int
    done: int
    failed: int
    expected_end: datetime | None

    @property
    def left(self) -> int:
        """The tracts that have neither succeeded nor failed."""
        return self.total - self.done - self.failed

    @property
    def text(self) -> str:
        """The progress in a line."""
        end = f", expected end {self.expected_end:%Y-%m-%d %H:%M} UTC" if self.expected_end else ""
        return f"{self.name}: {self.done} of {self.total} done, {self.left} left, {self.failed} failed{end}"


def latest_refresh(instance: dg.DagsterInstance) -> Progress | None:
    """Tell how far the newest refresh has come, a scheduled one or a backfill; None before the first."""
    newest = [
        record
        for tag in (REFRESH_TAG, _BACKFILL_TAG)
        for record in instance.get_run_records(dg.RunsFilter(tags={tag: _any(instance, tag)}), limit=1)
    ]
    if not newest:
        return None
    run = max(newest, key=lambda record: record.storage_id).dagster_run
    tag = _BACKFILL_TAG if _BACKFILL_TAG in run.tags else REFRESH_TAG
    return _progress(instance, tag, run.tags[tag])


def _any(instance: dg.DagsterInstance, tag: str) -> list[str]:
    """List the values of a tag: runs cannot be asked for by its name alone."""
    return sorted(value for _, values in instance.get_run_tags([tag]) for value in values)


def _progress(instance: dg.DagsterInstance, tag: str, value: str) -> Progress:
    records = instance.get_run_records(dg.RunsFilter(tags={tag: value}))
    # A run that was tried again counts by its last try: records come newest first.
    last: dict[str, dg.RunRecord] = {}
    for record in records:
        last.setdefault(record.dagster_run.tags.get(_PARTITION_TAG, record.dagster_run.run_id), record)
    done = sum(record.dagster_run.status is dg.DagsterRunStatus.SUCCESS for record in last.values())
    failed = sum(record.dagster_run.status in _ENDED_BADLY for record in last.values())
    total = max(len(last), _targets(instance, value) if tag == _BACKFILL_TAG else 0)
    return Progress(
        name=f"backfill {value}" if tag == _BACKFILL_TAG else f"refresh of {value}",
        total=total,
        done=done,
        failed=failed,
        expected_end=_expected_end(last.values(), left=total - done - failed),
    )


def _targets(instance: dg.DagsterInstance, backfill_id: str) -> int:
    """Count the tracts of a job's backfill; an asset's says only by its runs, all submitted at its start."""
    backfill = instance.get_backfill(backfill_id)
    return len(backfill.partition_names or ()) if backfill and not backfill.is_asset_backfill else 0


def _expected_end(records: Iterable[dg.RunRecord], *, left: int) -> datetime | None:
    """Reckon the end from the pace so far; None before the first run has ended, or when none is left."""
    ended = [record for record in records if record.start_time and record.end_time]
    if not ended or not left:
        return None
    first = min(record.start_time or 0.0 for record in ended)
    last = max(record.end_time or 0.0 for record in ended)
    return datetime.fromtimestamp(last + (last - first) * left / len(ended), UTC)


def counted(states: Iterable[TractState]) -> Mapping[str, int]:
    """Count the tracts in each state, by its word; states without tracts count zero."""
    counts = dict.fromkeys(("fresh", "stale", "failed", "missing", "running"), 0)
    for state in states:
        counts[state.status] += 1
    return counts


def by_reason(states: Iterable[TractState]) -> Mapping[str, list[int]]:
    """List tracts by the reason, in words, for which a refresh asks for them or passes them over."""
    listed: dict[str, list[int]] = {}
    for state in states:
        listed.setdefault(state.reason, []).append(state.tract)
    return listed


def listed(tracts: Sequence[int]) -> str:
    """Name tracts for people: the first of many, and how many more there are."""
    more = f" and {len(tracts) - SHOWN_TRACTS} more" if len(tracts) > SHOWN_TRACTS else ""
    return ", ".join(map(str, tracts[:SHOWN_TRACTS])) + more
