"""When things run: the jobs and the schedules. How assets follow each other stands in ``conditions``.

All of it is off until the user turns it on. No tick asks the archive anything: what a tract is of stands in
its file.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from photoz_assets.assets.galaxies import MATCHED_GALAXIES_CODE_VERSION
from photoz_assets.data.dp02 import TRACTS
from photoz_assets.resources import SelectionResource
from photoz_assets.selection import Selection
from photoz_assets.storage.io_manager import LakeResource
from photoz_assets.storage.lake import Lake

refresh_archive: Final = dg.define_asset_job(
    "refresh_archive",
    selection=dg.AssetSelection.assets("tap_tables", "tap_columns", "skyinfo", "tracts", "patches", "sky_map"),
    description="Ask the archive again which tables it has and where its objects lie; redraw the sky map.",
)

refresh_tracts: Final = dg.define_asset_job(
    "refresh_tracts",
    selection=dg.AssetSelection.assets("matched_galaxies", "diagnostics"),
    description="Ask for the galaxies of one tract, audit and publish them, draw the tract's diagnostics.",
)

demo: Final = dg.define_asset_job(
    "demo",
    selection=dg.AssetSelection.all(),
    # Launched tract by tract from the page, the field is cut out of what is there so far.
    config=dg.RunConfig(ops={"field_galaxies": {"config": {"allow_missing": True}}}),
    description="Everything, for one tract: the archive's listing, the sky, the tract, the field, the survey.",
)


@dg.schedule(
    job=refresh_archive,
    cron_schedule="0 6 * * 1",
    execution_timezone="UTC",
    description="Ask each Monday which tables the archive has and where its objects lie.",
)
def refresh_archive_weekly() -> dg.RunRequest:
    """Request one run a tick."""
    return dg.RunRequest()


@dg.schedule(
    job=refresh_tracts,
    cron_schedule="0 7 * * *",
    execution_timezone="UTC",
    description="Each morning, ask for the tracts that are missing, or of another selection or code version: "
    "all of them once a release (a new release has a lake of its own), none when nothing has changed.",
)
def refresh_tracts_daily(
    context: dg.ScheduleEvaluationContext, lake: LakeResource, selection: SelectionResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request a run for each tract that is not current."""
    wanted = selection.selection()
    stale = {tract: reason for tract in TRACTS if (reason := staleness(lake.lake, tract, wanted))}
    if not stale:
        yield dg.SkipReason(f"all {len(TRACTS)} tracts are current: {wanted.text}")
    day = context.scheduled_execution_time.date().isoformat()
    for tract, reason in stale.items():
        yield dg.RunRequest(run_key=f"{day}-{tract}", partition_key=str(tract), tags={"photoz/reason": reason})


def staleness(lake: Lake, tract: int, selection: Selection) -> str | None:
    """Say why a tract should be asked for again; None if its stored table is current."""
    if not lake.table("matched_galaxies", tract).exists():
        return "missing"
    provenance = lake.provenance("matched_galaxies", tract)
    if provenance.selection != selection:
        return "of another selection"
    if provenance.code_version != MATCHED_GALAXIES_CODE_VERSION:
        return "of another code version"
    return None


JOBS: Final = (refresh_archive, refresh_tracts, demo)
SCHEDULES: Final = (refresh_archive_weekly, refresh_tracts_daily)
SENSORS: Final = (
    dg.AutomationConditionSensorDefinition(
        "follow_upstream",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Refreshes what is made of other assets when those are new.",
    ),
)
