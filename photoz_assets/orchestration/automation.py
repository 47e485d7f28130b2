"""When things run: the jobs and the schedules. How assets follow each other stands in ``automation_policies``.

All of it is off until the user turns it on. No tick asks the archive anything: which tracts are wanted is said by
``tract_status``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from photoz_assets.environment import settings
from photoz_assets.lake.freshness import StaleReason
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ReleaseParam, SelectionResource
from photoz_assets.orchestration.retention import forget_runs, forget_runs_weekly
from photoz_assets.orchestration.tract_status import REASON_TAG, REFRESH_TAG, by_reason, neediest, tract_states
from photoz_assets.survey.contracts.butler import GROUP as BUTLER_GROUP
from photoz_assets.survey.contracts.images import GROUP as IMAGES_GROUP
from photoz_assets.survey.releases.release import Release
from photoz_assets.text import listed


@dataclass(frozen=True, kw_only=True)
class Automation:
    """What runs by itself or by name, of one release."""

    jobs: tuple[UnresolvedAssetJobDefinition | dg.JobDefinition, ...]
    schedules: tuple[dg.ScheduleDefinition, ...]
    sensors: tuple[dg.AutomationConditionSensorDefinition, ...]


def automation(release: Release) -> Automation:
    """Return the jobs, schedules and sensors of a release."""

    def assets(*tables: str) -> dg.AssetSelection:
        return dg.AssetSelection.assets(*(asset_key(release, table) for table in tables))

    refresh_archive = dg.define_asset_job(
        "refresh_archive",
        selection=assets("tap_tables", "tap_columns", "skyinfo", "tracts", "patches", "sky_map"),
        description="Ask the archive again which tables it has and where its objects lie; redraw the sky map.",
    )
    refresh_tracts = dg.define_asset_job(
        "refresh_tracts",
        # The survey's own check is not among them: judged in each of its runs, a survey costs its square.
        selection=assets(*tract_tables(release), "diagnostics"),
        description="Ask for the galaxies of one tract, audit and publish them, and draw the tract's diagnostics.",
    )
    refresh_butler = dg.define_asset_job(
        "refresh_butler",
        selection=dg.AssetSelection.groups(BUTLER_GROUP) - assets("deep_coadd"),
        description="List the Butler repository and read the tables of one tract; compare them with TAP's.",
    )
    look_at_coadd = dg.define_asset_job(
        "look_at_coadd",
        selection=assets("deep_coadd"),
        description="Open one coadd of the Butler repository, by configuration, and show what it is like.",
    )
    make_stamps = dg.define_asset_job(
        "make_stamps",
        selection=assets("stamps"),
        description="Have stamps of one tract's worst or chosen galaxies cut out of the archive's images.",
    )
    look_at_field = dg.define_asset_job(
        "look_at_field",
        selection=assets("field_image"),
        description="Have a window of the field cut out of the archive's images, and draw it in colour.",
    )
    export_photoz = dg.define_asset_job(
        "export_photoz",
        selection=assets("photoz_exports"),
        description="Write the training, validation and test sets in the form that one reader takes.",
    )
    export_hats = dg.define_asset_job(
        "export_hats",
        selection=assets("galaxies_hats"),
        description="Write the galaxies of all tracts held as a HATS collection, which LSDB reads.",
    )
    demo = dg.define_asset_job(
        "demo",
        # The Butler is optional: most have no repository. Exports have their own partitions, and a job one kind.
        # Images are asked for by a person: the archive counts them. So is the collection: few have its extra.
        selection=dg.AssetSelection.all()
        - dg.AssetSelection.groups(BUTLER_GROUP, IMAGES_GROUP)
        - assets("photoz_exports", "galaxies_hats"),
        # Launched tract by tract from the page, the field is cut out of what is there so far.
        config=dg.RunConfig(
            ops={asset_key(release, "field_galaxies").to_python_identifier(): {"config": {"allow_missing": True}}}
        ),
        description="Everything, for one tract: the archive's listing, the sky, the tract, the field, the survey.",
    )
    weekly = dg.schedule(
        job=refresh_archive,
        cron_schedule="0 6 * * 1",
        execution_timezone="UTC",
        description="Ask each Monday which tables the archive has and where its objects lie.",
    )
    daily = dg.schedule(
        job=refresh_tracts,
        cron_schedule="0 7 * * *",
        execution_timezone="UTC",
        description="Each morning, ask for tracts that are missing, damaged, failed, changed at the archive "
        "since, or of another selection or code version: none when nothing has changed, and at most "
        "PHOTOZ_REFRESH_TRACTS, the neediest first.",
    )
    return Automation(
        jobs=(
            refresh_archive,
            refresh_tracts,
            refresh_butler,
            look_at_coadd,
            make_stamps,
            look_at_field,
            export_photoz,
            export_hats,
            demo,
            forget_runs,
        ),
        schedules=(weekly(refresh_archive_weekly), daily(refresh_tracts_daily), forget_runs_weekly),
        sensors=(
            dg.AutomationConditionSensorDefinition(
                "follow_upstream",
                target=dg.AssetSelection.all(),
                default_status=dg.DefaultSensorStatus.STOPPED,
                description="Refreshes what is made of other assets when those are new.",
            ),
        ),
    )


def tract_tables(release: Release) -> tuple[str, ...]:
    """List the tables of a tract's galaxies in the order in which they are made."""
    local = release.spectroscopic is not None and not release.spectroscopic.by_upload
    return ("objects", "matched_galaxies") if local else ("matched_galaxies",)


def refresh_archive_weekly() -> dg.RunRequest:
    """Request one run a tick."""
    return dg.RunRequest()


def refresh_tracts_daily(
    context: dg.ScheduleEvaluationContext, release: ReleaseParam, lake: LakeResource, selection: SelectionResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request a run for the tracts that are wanted most; say of the others why they are passed over."""
    selected = selection.selection()
    states = tract_states(lake.open(), context.instance, release, selected)
    day = context.scheduled_execution_time.date().isoformat()
    requested = neediest(states, settings().refresh_tracts)
    for state in requested:
        yield dg.RunRequest(
            run_key=f"{day}-{state.tract}",
            partition_key=str(state.tract),
            # Retries of a run that crashed; a step that failed was tried again where that helps.
            tags={REASON_TAG: state.reason, REFRESH_TAG: day, "dagster/max_retries": "2"},
        )
    passed_over = [state for state in states if not state.wanted]
    waiting = len(states) - len(passed_over) - len(requested)
    why = "; ".join(f"{len(tracts)} {_named(reason, tracts)}" for reason, tracts in by_reason(passed_over).items())
    context.log.info(
        "%d tracts requested, the neediest first; %d more wait for the next tick, which PHOTOZ_REFRESH_TRACTS "
        "bounds too; passed over: %s",
        len(requested),
        waiting,
        why or "none",
    )
    if len(passed_over) == len(states):
        yield dg.SkipReason(f"{why} ({release.text_of(selected)})")


def _named(reason: str, tracts: list[int]) -> str:
    """Return a reason with the tracts that it holds for; those that are simply current need no names."""
    return reason if reason == str(StaleReason.CURRENT) else f"{reason} (tract {listed(tracts)})"
