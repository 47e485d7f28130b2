"""The state of the survey as a check: how many tracts are fresh, and why the others are not."""

from collections.abc import Iterable
from typing import Any, Final

import dagster as dg

from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.check_results import check_result
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ReleaseParam, SelectionResource
from photoz_assets.orchestration.tract_status import SHOWN_TRACTS, TractState, by_reason, counted, tract_states
from photoz_assets.survey.checks import Check, Verdict
from photoz_assets.survey.releases.release import Release
from photoz_assets.text import listed

SURVEY_STATE: Final = Check(
    name="survey_state",
    description="No stored tract is stale and none failed. Missing ones are no fault: a lake may hold a piece of "
    "the survey.",
    blocking=False,
    rows="reasons",
)


def survey_state(release: Release) -> dg.AssetChecksDefinition:
    """Return the check of a release's ``survey_diagnostics``."""
    declare = dg.asset_check(
        asset=asset_key(release, "survey_diagnostics"),
        name=SURVEY_STATE.name,
        description=SURVEY_STATE.description,
    )
    return declare(_survey_state)


def _survey_state(
    context: dg.AssetCheckExecutionContext, release: ReleaseParam, lake: LakeResource, selection: SelectionResource
) -> dg.AssetCheckResult:
    """Hold every stored tract against what is wanted now; each run that makes ``survey_diagnostics`` does."""
    with as_dagster_failure():
        states = tract_states(lake.open(), context.instance, release, selection.selection())
    return check_result(SURVEY_STATE, judged(states))


def judged(states: Iterable[TractState]) -> Verdict:
    """Judge the state of the survey: passed if no tract is stale or failed."""
    states = list(states)
    counts = counted(states)
    facts: dict[str, Any] = dict(counts)
    return Verdict(
        check=SURVEY_STATE.name,
        passed=not counts["stale"] and not counts["failed"],
        summary=", ".join(f"{count} {status}" for status, count in counts.items() if count),
        numbers=facts,
        rows=[
            {"reason": reason, "tracts": len(tracts), "which": listed(tracts, SHOWN_TRACTS)}
            for reason, tracts in by_reason(state for state in states if state.status != "fresh").items()
        ],
    )
