"""How long runs are remembered: a job that forgets those that others have superseded, with their events.

Ten thousand tracts leave more than a gigabyte of events with each refresh. The lake needs none of them: each file
says where it came from.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from photoz_assets.environment import settings

_ENDED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_ASSET_EVENTS: Final = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION}
_PAGE: Final = 500


@dg.op(name="forget_superseded_runs")
def _forget_runs(context: dg.OpExecutionContext) -> None:
    """Forget the runs of more than ``PHOTOZ_KEEP_RUNS_DAYS`` ago that newer ones have superseded."""
    days = settings().keep_runs_days
    forgotten = forget_superseded(context.instance, datetime.now(UTC) - timedelta(days=days))
    context.log.info("%d runs of more than %d days ago are forgotten, with their events", forgotten, days)


@dg.job(
    description="Forget the runs, with their events, that are older than PHOTOZ_KEEP_RUNS_DAYS and whose tables, "
    "tracts and observations newer runs have made again. Nothing of the lake is touched."
)
def forget_runs() -> None:
    """Forget superseded runs."""
    _forget_runs()


forget_runs_weekly: Final = dg.ScheduleDefinition(
    name="forget_runs_weekly",
    job=forget_runs,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    description="Forget each Sunday the runs that are older than PHOTOZ_KEEP_RUNS_DAYS and superseded.",
)


def forget_superseded(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete the runs of before a time that have left nothing which is still the newest; return their number.

    What Dagster's pages show of an asset or a tract is that of its newest run, which stays, however old.
    """
    superseded = list(_superseded(instance, before))
    for run_id in superseded:
        instance.delete_run(run_id)
    return len(superseded)


def _superseded(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    """Yield the runs that were created before a time, have ended, and have left nothing that is the newest."""
    ended = dg.RunsFilter(statuses=list(_ENDED), created_before=before)
    cursor = None
    while page := instance.get_run_records(ended, limit=_PAGE, cursor=cursor):
        for record in page:
            if not _has_newest(instance, record.dagster_run.run_id):
                yield record.dagster_run.run_id
        cursor = page[-1].dagster_run.run_id


def _has_newest(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether a run has made the newest materialization, or observation, of something."""
    for record in instance.get_records_for_run(run_id, of_type=_ASSET_EVENTS).records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_key is None:
            continue
        fetch = instance.fetch_materializations if event.is_step_materialization else instance.fetch_observations
        of = dg.AssetRecordsFilter(
            asset_key=event.asset_key, asset_partitions=[event.partition] if event.partition else None
        )
        if any(newest.run_id == run_id for newest in fetch(of, limit=1).records):
            return True
    return False
