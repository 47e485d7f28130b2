"""The diagnostics: statistics and figures of a tract, of the field and of the survey."""

from dataclasses import asdict
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.lake.footers import read_footers, require_footer
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    Provenance,
    carried_provenance,
    derived_provenance,
    read_rows,
    verify_rows,
)
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import StoredTable, open_tables
from photoz_assets.lake.writing import write_rows
from photoz_assets.orchestration.assets.support import caption, selections, show_figures
from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY, FOLLOW, FOLLOW_SETTLED_TRACTS
from photoz_assets.orchestration.checks.galaxies import mixed_tracts
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import TableResult, lake_table
from photoz_assets.orchestration.resources import ReleaseParam
from photoz_assets.orchestration.tract_status import tract_states
from photoz_assets.science.statistics import band_statistics, sample_summary, survey_statistics
from photoz_assets.survey.contracts.diagnostics import (
    diagnostics_spec,
    field_diagnostics_spec,
    survey_diagnostics_spec,
)
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.table import TableSpec


@lake_table(diagnostics_spec, automation_condition=FOLLOW)
def diagnostics(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource, matched_galaxies: StoredTable
) -> TableResult:
    """How well one tract's galaxies are measured: statistics for each band and the notebook's six figures."""
    return _diagnosed(context, release, lake.open(), diagnostics_spec(release), matched_galaxies)


@lake_table(field_diagnostics_spec, automation_condition=FOLLOW)
def field_diagnostics(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource, field_galaxies: StoredTable
) -> TableResult:
    """How well the field's galaxies are measured: statistics for each band and the notebook's own figures."""
    return _diagnosed(context, release, lake.open(), field_diagnostics_spec(release), field_galaxies)


def _diagnosed(
    context: dg.AssetExecutionContext, release: Release, lake: Lake, spec: TableSpec, stored: StoredTable
) -> TableResult:
    """Compute and draw one sample's diagnostics, as a tract's and the field's are alike."""
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    galaxies, [source] = stored.rows, stored.sources
    summary = sample_summary(galaxies, release.columns)
    title = source.region or f"Tract {source.tract}"
    words = caption(title, source, release, summary.num_galaxies)
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        tract=source.tract,
        region=source.region,
        inputs=[source],
    )
    show_figures(context, lake, figures.galaxy_figures(galaxies, summary, words), source.tract)
    statistics = band_statistics(galaxies, summary, spec, release.columns)
    table = write_rows(lake, spec, [statistics], provenance)
    return TableResult(table, metadata=asdict(summary))


@lake_table(
    survey_diagnostics_spec,
    deps=["matched_galaxies", "diagnostics"],
    freshness_policy=ASKED_WEEKLY,
    automation_condition=FOLLOW_SETTLED_TRACTS,
)
def survey_diagnostics(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource, tracts: pa.Table
) -> TableResult:
    """The state of the survey: which tracts are held, and how deep, dense and well matched each is.

    Over all tracts in the lake: number counts, n(z), and the statistics of the tracts on the sky. Put together
    from the tracts' diagnostics, whatever the number of their galaxies.
    """
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    store = lake.open()
    stored = store.tracts("matched_galaxies")
    if not stored:
        raise dg.Failure("the lake holds no tract yet: materialize matched_galaxies first", allow_retries=False)
    files = [store.table("matched_galaxies", tract) for tract in stored]
    held = dict(zip(stored, snapshot(store, files), strict=True))
    footers = read_footers(store, "matched_galaxies", files, list(held.values()))
    sources = {
        tract: require_footer(footer, held[tract]).provenance
        for tract, footer in zip(stored, footers, strict=True)
    }
    if mixed := mixed_tracts(selections(sources.values(), release), "selections"):
        raise dg.Failure(mixed, allow_retries=False)
    source = sources[stored[0]]
    measured = {tract: _measured(store, release, path, sources[tract]) for tract, path in held.items()}
    spec = survey_diagnostics_spec(release)
    statistics = survey_statistics(measured, tracts, spec)
    count = pc.sum(statistics.column("num_galaxies")).as_py()
    title = f"Survey, {len(stored)} of {tracts.num_rows} tracts"
    words = caption(title, source, release, count)
    images = {name: draw(measured, statistics, words) for name, draw in figures.SURVEY_FIGURES.items()}
    images["state"] = figures.state_map(_states(context, release, store, source), words)
    show_figures(context, store, images.items())
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        region="Survey",
    )
    table = write_rows(store, spec, [statistics], provenance)
    return TableResult(
        table,
        metadata={
            "galaxies": count,
            "tracts_held": len(stored),
            "completeness": len(stored) / tracts.num_rows,
        },
    )


def _states(context: dg.AssetExecutionContext, release: Release, lake: Lake, source: Provenance) -> dict[int, str]:
    """Return the status of each tract, for the selection that the stored ones are of."""
    states = tract_states(lake, context.instance, release, source.selection or Selection())
    return {state.tract: state.status for state in states}


def _measured(lake: Lake, release: Release, galaxies: Path, source: Provenance) -> pa.Table:
    """Return the statistics of a tract's galaxies: the stored ones if they are of these, else made now."""
    spec, statistics = diagnostics_spec(release), lake.table("diagnostics", source.tract)
    if statistics.exists():
        stored = read_rows(statistics)
        found = carried_provenance(stored)
        if found.inputs == (source.identity,) and found.code_version == spec.code_version:
            return stored
    verify_rows(galaxies)
    rows = open_tables(duckdb.connect(), [galaxies])
    return band_statistics(rows, sample_summary(rows, release.columns), spec, release.columns)
