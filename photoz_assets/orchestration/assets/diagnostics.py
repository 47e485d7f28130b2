"""The diagnostics: statistics and figures of a tract, of the field and of the survey."""

from dataclasses import asdict
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    Provenance,
    carried_provenance,
    derived_provenance,
    read_provenance,
    read_rows,
    verify_rows,
)
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import StoredTable, open_tables
from photoz_assets.lake.writing import write_rows
from photoz_assets.orchestration.assets.support import data_label, selections, show_figures
from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY, FOLLOW, FOLLOW_SETTLED_TRACTS
from photoz_assets.orchestration.checks.galaxies import mixed_selections
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import TableResult, lake_table
from photoz_assets.orchestration.tract_status import tract_states
from photoz_assets.science.statistics import band_statistics, sample_summary, survey_statistics
from photoz_assets.survey.contracts import DIAGNOSTICS, FIELD_DIAGNOSTICS, SURVEY_DIAGNOSTICS, TableSpec
from photoz_assets.survey.selection import Selection


@lake_table(DIAGNOSTICS, automation_condition=FOLLOW)
def diagnostics(
    context: dg.AssetExecutionContext, lake: LakeResource, matched_galaxies: StoredTable
) -> TableResult:
    """How well one tract's galaxies are measured: statistics for each band and the notebook's six figures."""
    return _diagnosed(context, lake.open(), DIAGNOSTICS, matched_galaxies)


@lake_table(FIELD_DIAGNOSTICS, automation_condition=FOLLOW)
def field_diagnostics(
    context: dg.AssetExecutionContext, lake: LakeResource, field_galaxies: StoredTable
) -> TableResult:
    """How well the field's galaxies are measured: statistics for each band and the notebook's own figures."""
    return _diagnosed(context, lake.open(), FIELD_DIAGNOSTICS, field_galaxies)


def _diagnosed(context: dg.AssetExecutionContext, lake: Lake, spec: TableSpec, stored: StoredTable) -> TableResult:
    """Compute and draw one sample's diagnostics, as a tract's and the field's are alike."""
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    galaxies, [source] = stored.rows, stored.sources
    summary = sample_summary(galaxies)
    title = source.region or f"Tract {source.tract}"
    caption = figures.Caption(title=title, origin=data_label(source), num_galaxies=summary.num_galaxies)
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        tract=source.tract,
        region=source.region,
        inputs=[source],
    )
    show_figures(context, lake, figures.galaxy_figures(galaxies, summary, caption), source.tract)
    table = write_rows(lake, spec, [band_statistics(galaxies, summary, spec)], provenance)
    return TableResult(table, metadata=asdict(summary))


@lake_table(
    SURVEY_DIAGNOSTICS,
    deps=["matched_galaxies", "diagnostics"],
    freshness_policy=ASKED_WEEKLY,
    automation_condition=FOLLOW_SETTLED_TRACTS,
)
def survey_diagnostics(context: dg.AssetExecutionContext, lake: LakeResource, tracts: pa.Table) -> TableResult:
    """The state of the survey: which tracts are held, and how deep, dense and well matched each is.

    Over all tracts in the lake: number counts, n(z), and the statistics of the tracts on the sky. Put together
    from the tracts' diagnostics, whatever the number of their galaxies.
    """
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    store = lake.open()
    stored = store.tracts("matched_galaxies")
    if not stored:
        raise dg.Failure("the lake holds no tract yet: materialize matched_galaxies first", allow_retries=False)
    held = dict(
        zip(stored, snapshot(store, [store.table("matched_galaxies", tract) for tract in stored]), strict=True)
    )
    sources = {tract: read_provenance(path) for tract, path in held.items()}
    if mixed := mixed_selections(selections(sources.values())):
        raise dg.Failure(mixed, allow_retries=False)
    source = sources[stored[0]]
    measured = {tract: _measured(store, tract, path, sources[tract]) for tract, path in held.items()}
    statistics = survey_statistics(measured, tracts)
    count = pc.sum(statistics.column("num_galaxies")).as_py()
    title = f"Survey, {len(stored)} of {tracts.num_rows} tracts"
    caption = figures.Caption(title=title, origin=data_label(source), num_galaxies=count)
    images = {name: draw(measured, statistics, caption) for name, draw in figures.SURVEY_FIGURES.items()}
    images["state"] = figures.state_map(_states(context, store, source), caption)
    show_figures(context, store, images.items())
    provenance = derived_provenance(
        SURVEY_DIAGNOSTICS,
        run_id=context.run.run_id,
        source=source,
        region="Survey",
    )
    table = write_rows(store, SURVEY_DIAGNOSTICS, [statistics], provenance)
    return TableResult(
        table,
        metadata={
            "galaxies": count,
            "tracts_held": len(stored),
            "completeness": len(stored) / tracts.num_rows,
        },
    )


def _states(context: dg.AssetExecutionContext, lake: Lake, source: Provenance) -> dict[int, str]:
    """Return the status of each tract, for the selection that the stored ones are of."""
    states = tract_states(lake, context.instance, source.selection or Selection())
    return {state.tract: state.status for state in states}


def _measured(lake: Lake, tract: int, galaxies: Path, source: Provenance) -> pa.Table:
    """Return the statistics of a tract's galaxies: the stored ones if they are of these, else made now."""
    statistics = lake.table("diagnostics", tract)
    if statistics.exists():
        stored = read_rows(statistics)
        found = carried_provenance(stored)
        if found.inputs == (source.identity,) and found.code_version == DIAGNOSTICS.code_version:
            return stored
    verify_rows(galaxies)
    rows = open_tables(duckdb.connect(), [galaxies])
    return band_statistics(rows, sample_summary(rows), DIAGNOSTICS)
