"""Superseded runs are forgotten, what the pages show is not."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from photoz_assets.orchestration.retention import forget_runs, forget_superseded

PARTITIONS = dg.StaticPartitionsDefinition(["3637", "3638"])


@dg.asset(partitions_def=PARTITIONS)
def tract() -> None:
    """A table of a tract."""


@dg.observable_source_asset
def listing() -> dg.DataVersion:
    """What the archive says."""
    return dg.DataVersion("1")


@dg.asset
def broken() -> None:
    """What cannot be made."""
    raise dg.Failure


def test_runs_that_others_have_superseded_are_forgotten_after_their_time() -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def run(asset: dg.AssetsDefinition, partition: str | None = None) -> str:
            done = dg.materialize([asset], instance=instance, partition_key=partition, raise_on_error=False)
            return done.run_id

        superseded = [run(tract, "3637"), run(broken)]
        kept = {run(tract, "3637"), run(tract, "3638")}
        observed = [
            dg.Definitions(assets=[listing])
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(instance=instance)
            .run_id
            for _ in range(2)
        ]

        assert forget_runs.execute_in_process(instance=instance).success
        assert {*superseded, *observed} < {run.run_id for run in instance.get_runs()}
        assert forget_superseded(instance, datetime.now(UTC) + timedelta(days=1)) == 4
        left = {run.run_id for run in instance.get_runs()}
        assert left == {*kept, observed[1]}
