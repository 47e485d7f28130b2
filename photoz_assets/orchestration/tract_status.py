"""The status of each tract: what a refresh asks for, and why.

Adds to the lake's ``freshness`` what Dagster's instance knows of the runs. Nothing here asks the archive.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from photoz_assets.lake.freshness import StaleReason, stale_reasons
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.partitions import tract_partitions
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection

REFRESH_TAG: Final = "photoz/refresh"
REASON_TAG: Final = "photoz/reason"

# A tract that keeps failing is tried so often in so long; then a person should have a look.
MAX_FAILURES: Final = 3
FAILURE_WINDOW: Final = timedelta(days=7)

SHOWN_TRACTS: Final = 12

_PARTITION_TAG: Final = "dagster/partition"
_ATTEMPTED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
# Runs of a tract that are looked at, newest first, for the last that succeeded.
_LOOKED_AT: Final = 50


# By kind, the most needed first: what readers stumble over, what is not there, what is no longer true, the rest.
_NEEDS: Final = tuple(
    reason.kind
    for reason in (
        StaleReason.UNREADABLE,
        StaleReason.MISSING,
        StaleReason.CHANGED,
        StaleReason.OTHER_SELECTION,
        StaleReason.OTHER_COLUMNS,
        StaleReason.OTHER_CODE,
        StaleReason.CURRENT,
    )
)


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
    lake: Lake, instance: dg.DagsterInstance, release: Release, selection: Selection
) -> list[TractState]:
    """Return the state of each tract of a release, ascending.

    Parameters
    ----------
    lake, instance
        Where the tables lie, and where the runs were.
    release, selection
        What a current tract is of.
    """
    spec = matched_galaxies_spec(release)
    key, partitions = asset_key(release, spec.table), tract_partitions(release)
    attempts = instance.get_status_by_partition(key, partitions.get_partition_keys(), partitions) or {}
    found = stale_reasons(lake, release.tracts, selection, spec, release.matching)
    return [_state(instance, key, tract, found[tract], attempts.get(str(tract))) for tract in release.tracts]


def _state(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    tract: int,
    standing: StaleReason,
    attempt: AssetPartitionStatus | None,
) -> TractState:
    failed = _failed_attempts(instance, key, tract) if attempt is AssetPartitionStatus.FAILED else []
    since = datetime.now(UTC) - FAILURE_WINDOW
    return TractState(
        tract=tract,
        standing=standing,
        failed=bool(failed),
        failures=sum(record.create_timestamp > since for record in failed[:MAX_FAILURES]),
        under_way=attempt is AssetPartitionStatus.IN_PROGRESS,
    )


def _failed_attempts(instance: dg.DagsterInstance, key: dg.AssetKey, tract: int) -> list[dg.RunRecord]:
    """List the runs of an asset's tract that failed since its last success, newest first.

    Dagster remembers of a tract that a run failed even when that run has been deleted; here only runs count that
    are there. One that was cancelled is no attempt.
    """
    ended = dg.RunsFilter(tags={_PARTITION_TAG: str(tract)}, statuses=list(_ATTEMPTED))
    failed = []
    for record in instance.get_run_records(ended, limit=_LOOKED_AT):
        run = record.dagster_run
        if run.asset_selection and key not in run.asset_selection:
            continue
        if run.status is dg.DagsterRunStatus.SUCCESS:
            break
        failed.append(record)
    return failed


def neediest(states: Iterable[TractState], most: int) -> list[TractState]:
    """Return the tracts that a refresh asks for now, at most so many.

    Those that need it most come first; of these, those that have failed least often, so that tracts that fail keep
    none waiting that may not.
    """
    wanted = [state for state in states if state.wanted]
    return sorted(wanted, key=lambda state: (_NEEDS.index(state.standing.kind), state.failures, state.tract))[
        :most
    ]


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
