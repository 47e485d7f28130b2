"""The state of the survey as a check: how many tracts are fresh, and how far their refresh has come."""

from collections.abc import Iterable
from typing import Any, Final

import dagster as dg

from photoz_assets.lake.audit import Verdict
from photoz_assets.orchestration.assets.diagnostics import survey_diagnostics
from photoz_assets.orchestration.assets.galaxies import MATCHED_GALAXIES_CODE_VERSION
from photoz_assets.orchestration.assets.support import as_dagster_failure
from photoz_assets.orchestration.checks import check_result
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets.orchestration.tract_status import (
    Progress,
    TractState,
    by_reason,
    counted,
    latest_refresh,
    listed,
    tract_states,
)

_CHECK: Final = "survey_state"


@dg.asset_check(
    asset=survey_diagnostics,
    name=_CHECK,
    description="No stored tract is stale and none failed; with the progress of the newest refresh. Missing ones "
    "are no fault: a lake may hold a piece of the survey.",
)
def survey_state(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, selection: SelectionResource
) -> dg.AssetCheckResult:
    """Hold every stored tract against what is wanted now; each run of a refresh does, and tells how far it is."""
    with as_dagster_failure():
        states = tract_states(
            lake.open(),
            context.instance,
            selection=selection.selection(),
            code_version=MATCHED_GALAXIES_CODE_VERSION,
        )
    return check_result(judged(states, latest_refresh(context.instance)), rows="reasons")


def judged(states: Iterable[TractState], progress: Progress | None) -> Verdict:
    """Judge the state of the survey: passed if no tract is stale or failed."""
    states = list(states)
    counts = counted(states)
    facts: dict[str, Any] = dict(counts)
    summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    if progress is not None:
        summary += f"; {progress.text}"
        facts |= {"refresh_done": progress.done, "refresh_left": progress.left, "refresh_failed": progress.failed}
    return Verdict(
        check=_CHECK,
        passed=not counts["stale"] and not counts["failed"],
        summary=summary,
        numbers=facts,
        rows=[
            {"reason": reason, "tracts": len(tracts), "which": listed(tracts)}
            for reason, tracts in by_reason(state for state in states if state.status != "fresh").items()
        ],
    )
