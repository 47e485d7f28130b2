"""The galaxies: the triple join of matches, truth and objects per tract, and a field cut out of it."""

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
from photoz_assets.orchestration.resources import ArchiveResource, SelectionResource
from photoz_assets.science.field import Field
from photoz_assets.survey.contracts import FIELD_GALAXIES, MATCHED_GALAXIES
from photoz_assets.survey.dp02 import TRACTS
from photoz_assets.survey.skymap import DC2_RINGS

_BATCH_ROWS: Final = 65_536


@lake_table(MATCHED_GALAXIES)
def matched_galaxies(
    context: dg.AssetExecutionContext,
    archive: ArchiveResource,
    lake: LakeResource,
    selection: SelectionResource,
) -> TableResult:
    """True galaxies matched to primary objects of one tract, with fluxes, magnitudes and redshifts.

    MatchesTruth x TruthSummary x Object of DP0.2, inside the magnitude cuts. The first 28 columns are those of
    the notebook this project grew from, under its names; then follows what an audit, a judgement of the match
    and a photo-z estimator need besides. Published only if every blocking check holds.
    """
    tract, run_id, log = int(context.partition_key), context.run.run_id, context.log.info
    # A selection that makes no sense fails before an archive is started or asked.
    wanted = selection.selection()
    client = archive.client(run_id=run_id, log=log)
    table = fetch_tract(client, lake.open(), wanted, tract, run_id=run_id, limits=archive.limits, log=log)
    return TableResult(table, metadata=_numbers(table, tract))


def _numbers(table: WrittenTable, tract: int) -> dict[str, float]:
    """Return what Dagster plots over tracts and time: a tract's density, and how far from true positions are."""
    measured = {
        name: value
        for verdict in table.verdicts
        for name, value in verdict.numbers.items()
        if name.endswith("_offset_arcsec") and isinstance(value, float)
    }
    return {"density_per_deg2": table.rows / DC2_RINGS.inner_box(tract).area_deg2, **measured}


class FieldConfig(dg.Config):
    """The cone to cut out; by default the field of the notebook that this project grew from."""

    ra_deg: float = Setting(
        default=62.0, ge=0, lt=360, description="Right ascension of the centre in degrees, ICRS"
    )
    dec_deg: float = Setting(
        default=-37.0, ge=-90, le=90, description="Declination of the centre in degrees, ICRS"
    )
    radius_deg: float = Setting(default=0.5, gt=0, le=20, description="Radius of the cone in degrees")
    allow_missing: bool = Setting(
        default=False, description="Publish what is there even if tracts that the cone touches are missing"
    )

    @property
    def field(self) -> Field:
        """The cone."""
        return Field(ra_deg=self.ra_deg, dec_deg=self.dec_deg, radius_deg=self.radius_deg)


@lake_table(FIELD_GALAXIES, deps=["matched_galaxies"], automation_condition=FOLLOW_SETTLED_TRACTS)
def field_galaxies(context: dg.AssetExecutionContext, config: FieldConfig, lake: LakeResource) -> TableResult:
    """The galaxies of one cone, by default the notebook's field: cut out of the lake by true position.

    Made of the tracts whose inner region meets the cone widened by 2 arcsec. Nothing is published while one
    of them is missing, unless the configuration allows it.
    """
    store = lake.open()
    needed = config.field.tracts(TRACTS)
    stored = sorted(set(store.tracts("matched_galaxies")).intersection(needed))
    files = snapshot(store, [store.table("matched_galaxies", tract) for tract in stored])
    sources = [read_source(path, MATCHED_GALAXIES) for path in files]
    verdict = field_complete(needed, selections(sources), allow_missing=config.allow_missing)
    require_passed(FIELD_GALAXIES, str(config.field), [verdict])
    provenance = derived_provenance(
        FIELD_GALAXIES,
        run_id=context.run.run_id,
        source=sources[0],
        region=str(config.field),
        inputs=sources,
    )
    galaxies = open_tables(duckdb.connect(), files)
    rows = config.field.cut(galaxies).to_arrow_reader(_BATCH_ROWS)
    table = write_rows(store, FIELD_GALAXIES, rows, provenance, [verdict])
    return TableResult(table, metadata={"field": str(config.field), "tracts": stored})
