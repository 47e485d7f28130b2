"""The galaxies: the triple join of matches, truth and objects per tract, and a field cut out of it."""

from dataclasses import replace
from typing import Final

import dagster as dg
import duckdb
from pydantic import Field as Setting

from photoz_assets.ingest import fetch_tract
from photoz_assets.lake.provenance import derived_provenance
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import open_tables, read_source
from photoz_assets.lake.writing import WrittenTable, require_passed, write_rows
from photoz_assets.orchestration.assets.support import selections
from photoz_assets.orchestration.automation_policies import FOLLOW_SETTLED_TRACTS
from photoz_assets.orchestration.checks.galaxies import field_complete
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import TableResult, lake_table
from photoz_assets.orchestration.resources import ArchiveResource, ReleaseParam, SelectionResource
from photoz_assets.science.field import cut
from photoz_assets.survey.contracts.galaxies import field_galaxies_spec, matched_galaxies_spec
from photoz_assets.survey.field import Field
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import RingsSkyMap

_BATCH_ROWS: Final = 65_536


@lake_table(matched_galaxies_spec, is_of=lambda release: not release.spectroscopic)
def matched_galaxies(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    archive: ArchiveResource,
    lake: LakeResource,
    selection: SelectionResource,
) -> TableResult:
    """True galaxies matched to primary objects of one tract, with fluxes, magnitudes and redshifts.

    The archive's matches, truth and objects in one join, inside the magnitude cuts. The first 28 columns are those
    of the notebook this project grew from, under its names; then follows what an audit, a judgement of the match
    and a photo-z estimator need besides. Published only if every blocking check holds.
    """
    tract, run_id, log = int(context.partition_key), context.run.run_id, context.log.info
    # A selection that makes no sense fails before an archive is started or asked.
    wanted = selection.selection()
    client = archive.client(release, run_id=run_id, log=log)
    table = fetch_tract(client, lake.open(), release, wanted, tract, run_id=run_id, limits=archive.limits, log=log)
    return TableResult(table, metadata=numbers(table, release.skymap, tract))


def numbers(table: WrittenTable, skymap: RingsSkyMap, tract: int) -> dict[str, float]:
    """Return what Dagster plots over tracts and time: a tract's density, and how far from true positions are."""
    measured = {
        name: value
        for verdict in table.verdicts
        for name, value in verdict.numbers.items()
        if name.endswith("_offset_arcsec") and isinstance(value, float)
    }
    return {"density_per_deg2": table.rows / skymap.inner_box(tract).area_deg2, **measured}


class FieldConfig(dg.Config):
    """The cone to cut out; what is not given is that of the release's first field."""

    ra_deg: float | None = Setting(
        default=None, ge=0, lt=360, description="Right ascension of the centre in degrees, ICRS"
    )
    dec_deg: float | None = Setting(
        default=None, ge=-90, le=90, description="Declination of the centre in degrees, ICRS"
    )
    radius_deg: float | None = Setting(default=None, gt=0, le=20, description="Radius of the cone in degrees")
    allow_missing: bool = Setting(
        default=False, description="Publish what is there even if tracts that the cone touches are missing"
    )

    def field(self, release: Release) -> Field:
        """Return the cone."""
        given = {
            name: value
            for name in ("ra_deg", "dec_deg", "radius_deg")
            if (value := getattr(self, name)) is not None
        }
        return replace(release.field, **given)


@lake_table(field_galaxies_spec, deps=["matched_galaxies"], automation_condition=FOLLOW_SETTLED_TRACTS)
def field_galaxies(
    context: dg.AssetExecutionContext, config: FieldConfig, release: ReleaseParam, lake: LakeResource
) -> TableResult:
    """The galaxies of one cone, by default the release's first field: cut out of the lake by reference position.

    Made of the tracts whose inner region meets the cone widened by 2 arcsec. Nothing is published while one
    of them is missing, unless the configuration allows it.
    """
    store, spec = lake.open(), field_galaxies_spec(release)
    field = config.field(release)
    needed = field.tracts(release.skymap, release.tracts)
    stored = sorted(set(store.tracts("matched_galaxies")).intersection(needed))
    files = snapshot(store, [store.table("matched_galaxies", tract) for tract in stored])
    sources = [read_source(path, matched_galaxies_spec(release)) for path in files]
    verdict = field_complete(needed, selections(sources, release), allow_missing=config.allow_missing)
    require_passed(spec, str(field), [verdict])
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=sources[0],
        region=str(field),
        inputs=sources,
    )
    galaxies = open_tables(duckdb.connect(), files)
    rows = cut(field, galaxies, release.columns).to_arrow_reader(_BATCH_ROWS)
    table = write_rows(store, spec, rows, provenance, [verdict])
    return TableResult(table, metadata={"field": str(field), "tracts": stored})
