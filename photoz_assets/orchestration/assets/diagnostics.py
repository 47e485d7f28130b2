"""The diagnostics: statistics and figures of a tract, of the field and of the survey."""

from dataclasses import asdict
from typing import Final

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoz_assets.lake.derivation import derived_provenance
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance, damage_errors, read_provenance
from photoz_assets.lake.staging import StagedTable, stage
from photoz_assets.orchestration.assets.galaxies import MATCHED_GALAXIES_CODE_VERSION
from photoz_assets.orchestration.assets.support import (
    OWNERS,
    as_dagster_failure,
    declared,
    origin,
    selections,
    show_figures,
)
from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY, FOLLOW, FOLLOW_SETTLED_TRACTS
from photoz_assets.orchestration.checks import mixed_selections
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.partitions import TRACT_PARTITIONS
from photoz_assets.orchestration.tract_status import tract_states
from photoz_assets.science.statistics import band_statistics, sample_summary, survey_statistics
from photoz_assets.survey.contracts import DIAGNOSTICS, FIELD_DIAGNOSTICS, SURVEY_DIAGNOSTICS, Contract
from photoz_assets.survey.selection import Selection

_CODE_VERSION: Final = "2"
_KINDS: Final = {"duckdb", "parquet", "matplotlib"}


@dg.asset(
    group_name="diagnostics",
    kinds=_KINDS,
    owners=OWNERS,
    code_version=_CODE_VERSION,
    partitions_def=TRACT_PARTITIONS,
    metadata=declared(DIAGNOSTICS),
    automation_condition=FOLLOW,
)
def diagnostics(
    context: dg.AssetExecutionContext, lake: LakeResource, matched_galaxies: duckdb.DuckDBPyRelation
) -> dg.MaterializeResult[StagedTable]:
    """How well one tract's galaxies are measured: statistics for each band and the notebook's six figures."""
    tract = int(context.partition_key)
    with as_dagster_failure():
        source = lake.open().provenance("matched_galaxies", tract)
        return _diagnosed(context, lake.open(), DIAGNOSTICS, matched_galaxies, source)


@dg.asset(
    group_name="diagnostics",
    kinds=_KINDS,
    owners=OWNERS,
    code_version=_CODE_VERSION,
    metadata=declared(FIELD_DIAGNOSTICS),
    automation_condition=FOLLOW,
)
def field_diagnostics(
    context: dg.AssetExecutionContext, lake: LakeResource, field_galaxies: duckdb.DuckDBPyRelation
) -> dg.MaterializeResult[StagedTable]:
    """How well the field's galaxies are measured: statistics for each band and the notebook's own figures."""
    with as_dagster_failure():
        source = lake.open().provenance("field_galaxies")
        return _diagnosed(context, lake.open(), FIELD_DIAGNOSTICS, field_galaxies, source)


def _diagnosed(
    context: dg.AssetExecutionContext,
    lake: Lake,
    contract: Contract,
    galaxies: duckdb.DuckDBPyRelation,
    source: Provenance,
) -> dg.MaterializeResult[StagedTable]:
    """Compute and draw one sample's diagnostics, as a tract's and the field's are alike."""
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    summary = sample_summary(galaxies)
    title = source.region or f"Tract {source.tract}"
    caption = figures.Caption(title=title, origin=origin(source), num_galaxies=summary.num_galaxies)
    provenance = derived_provenance(
        contract,
        code_version=_CODE_VERSION,
        run_id=context.run.run_id,
        of=source,
        tract=source.tract,
        region=source.region,
        inputs=[source],
    )
    show_figures(context, lake, figures.galaxy_figures(galaxies, summary, caption), source.tract)
    staged = stage(lake, contract, [band_statistics(galaxies, summary, contract)], lambda: provenance)
    return dg.MaterializeResult(value=staged, metadata=asdict(summary))


@dg.asset(
    group_name="diagnostics",
    kinds=_KINDS,
    owners=OWNERS,
    code_version=_CODE_VERSION,
    deps=["matched_galaxies", diagnostics],
    metadata=declared(SURVEY_DIAGNOSTICS),
    freshness_policy=ASKED_WEEKLY,
    automation_condition=FOLLOW_SETTLED_TRACTS,
)
def survey_diagnostics(
    context: dg.AssetExecutionContext, lake: LakeResource, tracts: pa.Table
) -> dg.MaterializeResult[StagedTable]:
    """The state of the survey: which tracts are held, and how deep, dense and well matched each is.

    Over all tracts in the lake: number counts, n(z), and the statistics of the tracts on the sky. Put together
    from the tracts' diagnostics, whatever the number of their galaxies.
    """
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    store = lake.open()
    held = store.tracts("matched_galaxies")
    if not held:
        raise dg.Failure("the lake holds no tract yet: materialize matched_galaxies first", allow_retries=False)
    with as_dagster_failure():
        if mixed := mixed_selections(selections(store, held)):
            raise dg.Failure(mixed, allow_retries=False)
        source = store.provenance("matched_galaxies", held[0])
        provenance = derived_provenance(
            SURVEY_DIAGNOSTICS, code_version=_CODE_VERSION, run_id=context.run.run_id, of=source, region="Survey"
        )
        measured = {tract: _measured(store, tract) for tract in held}
        statistics = survey_statistics(measured, tracts)
        count = pc.sum(statistics.column("num_galaxies")).as_py()
        title = f"Survey, {len(held)} of {tracts.num_rows} tracts"
        caption = figures.Caption(title=title, origin=origin(source), num_galaxies=count)
        images = {name: draw(measured, statistics, caption) for name, draw in figures.SURVEY_FIGURES.items()}
        images["state"] = figures.state_map(_states(context, store, source), caption)
        show_figures(context, store, images.items())
        staged = stage(store, SURVEY_DIAGNOSTICS, [statistics], lambda: provenance)
    return dg.MaterializeResult(
        value=staged,
        metadata={
            "galaxies": count,
            "tracts_held": len(held),
            "completeness": len(held) / tracts.num_rows,
        },
    )


def _states(context: dg.AssetExecutionContext, lake: Lake, source: Provenance) -> dict[int, str]:
    """Tell how each tract stands, by its word, for the selection that the held ones are of."""
    states = tract_states(
        lake,
        context.instance,
        selection=source.selection or Selection(),
        code_version=MATCHED_GALAXIES_CODE_VERSION,
    )
    return {state.tract: state.status for state in states}


def _measured(lake: Lake, tract: int) -> pa.Table:
    """Give a held tract's statistics: the stored ones if they are of its stored galaxies, else made now."""
    galaxies, statistics = (lake.table(asset, tract) for asset in ("matched_galaxies", "diagnostics"))
    if statistics.exists():
        found = read_provenance(statistics)
        if found.code_version == _CODE_VERSION and found.inputs == (read_provenance(galaxies).identity,):
            with damage_errors(statistics):
                return pq.ParquetFile(statistics).read()
    rows = duckdb.connect().read_parquet(str(galaxies), hive_partitioning=False)
    return band_statistics(rows, sample_summary(rows), DIAGNOSTICS)
