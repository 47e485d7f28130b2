"""The sky: where the archive's objects lie, tract by tract and patch by patch."""

from collections.abc import Iterator
from typing import Final

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.ingest import TableQuery
from photoz_assets.lake.freshness import Listing
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import carried_provenance, derived_provenance, read_rows
from photoz_assets.lake.writing import WrittenTable, write_rows
from photoz_assets.orchestration.asset_keys import archive_key, asset_key
from photoz_assets.orchestration.assets.support import caption, show_figures
from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY, FOLLOW
from photoz_assets.orchestration.checks.sky import known_tracts
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource, stored_inputs
from photoz_assets.orchestration.lake_table import OWNERS, TableResult, code_reference, lake_table
from photoz_assets.orchestration.resources import ArchiveResource, ReleaseParam
from photoz_assets.science.tessellation import patch_table, tract_table, with_unknown
from photoz_assets.survey.contracts.archive import skyinfo_spec
from photoz_assets.survey.contracts.sky import PATCHES, TRACTS
from photoz_assets.survey.queries import skyinfo_count_query, skyinfo_query
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import TableSpec

_DATA_VERSION_TAG: Final = "dagster/data_version"


@lake_table(skyinfo_spec, freshness_policy=ASKED_WEEKLY)
def skyinfo(
    context: dg.AssetExecutionContext, release: ReleaseParam, archive: ArchiveResource, lake: LakeResource
) -> TableResult:
    """Where the objects of each tract and patch lie and how many there are: Object grouped by tract and patch.

    The grouping reads the archive's whole Object table, so it is asked as a job and kept. By it the archive is
    observed: a tract whose counts differ from the last listing's has changed there, and is refreshed. Of a release
    that is too large for this, the list of its patches is kept, without counts.
    """
    listing = Listing(lake.open())
    spec = skyinfo_spec(release)
    query = TableQuery(
        spec=spec,
        adql=skyinfo_query(release),
        count_adql=skyinfo_count_query(release),
        transform=lambda batch: listing.count(with_unknown(batch, spec)),
        annotate=listing.noted,
    )
    ingest = archive.ingest(lake.open(), release, run_id=context.run.run_id, log=context.log.info)
    table = ingest.fetch_table(query)
    rows = read_rows(table.path, ["tract", "num"])
    return TableResult(
        table,
        verdicts=[known_tracts(rows.column("tract").to_pylist(), release.tracts)],
        metadata={"tracts_changed": len(listing.changed)},
        observations=list(_observed(release, table, rows, listing)),
    )


def _observed(
    release: Release, table: WrittenTable, rows: pa.Table, listing: Listing
) -> Iterator[dg.AssetObservation]:
    """Make a listing an observation of the archive's own table: its release, what it holds, what has changed.

    A tract that has changed gets a data version, so that Dagster's pages too show what is made of it as out of
    date. One that has not keeps the version that it has.
    """
    archive, objects = table.provenance.archive, archive_key(release.tables["obj"])
    yield dg.AssetObservation(
        objects,
        description=str(archive),
        metadata={
            "archive": archive.fingerprint if archive else "",
            "release": archive.release if archive else "",
            "objects": pc.sum(rows.column("num")).as_py() or 0,
            "tracts": pc.count_distinct(rows.column("tract")).as_py(),
            "tracts_changed": len(listing.changed),
            "changed": dg.MetadataValue.json(list(listing.changed)),
        },
    )
    for tract in listing.changed:
        yield dg.AssetObservation(
            objects,
            partition=str(tract),
            tags={_DATA_VERSION_TAG: str(table.provenance.created)},
        )


def _from_skyinfo(
    context: dg.AssetExecutionContext, lake: Lake, spec: TableSpec, skyinfo: pa.Table, rows: pa.Table
) -> WrittenTable:
    provenance = derived_provenance(spec, run_id=context.run.run_id, source=carried_provenance(skyinfo))
    return write_rows(lake, spec, [rows], provenance)


@lake_table(TRACTS, freshness_policy=ASKED_WEEKLY, automation_condition=FOLLOW)
def tracts(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource, skyinfo: pa.Table
) -> TableResult:
    """Each tract with objects: its centre and inner region by the Rings skymap, its mean position and counts."""
    table = _from_skyinfo(context, lake.open(), TRACTS, skyinfo, tract_table(skyinfo, release.skymap))
    return TableResult(table, metadata={"tracts": table.rows})


@lake_table(PATCHES, freshness_policy=ASKED_WEEKLY, automation_condition=FOLLOW)
def patches(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource, skyinfo: pa.Table
) -> TableResult:
    """Each patch with objects: the polygon of its inner region by the Rings skymap, and its count."""
    table = _from_skyinfo(context, lake.open(), PATCHES, skyinfo, patch_table(skyinfo, release.skymap))
    return TableResult(table, metadata={"patches": table.rows})


def _sky_map(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    lake: LakeResource,
    tracts: pa.Table,
    patches: pa.Table,
) -> dg.MaterializeResult[None]:
    """Every tract and patch on the sky, tracts labelled, patches coloured by their number of objects."""
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    with as_dagster_failure():
        title = f"{tracts.num_rows} tracts, {patches.num_rows:,} patches"
        number = pc.sum(tracts.column("num_objects")).as_py() or patches.num_rows
        words = caption(title, carried_provenance(tracts), release, number)
        show_figures(context, lake.open(), [("sky_map", figures.sky_map(tracts, patches, words))])
    return dg.MaterializeResult(metadata={"tracts": tracts.num_rows, "patches": patches.num_rows})


def sky_map(release: Release) -> dg.AssetsDefinition:
    """Return the asset ``sky_map`` of a release: a figure and no table."""
    make = dg.asset(
        key=asset_key(release, "sky_map"),
        ins={name: dg.AssetIn(key=asset_key(release, name)) for name in stored_inputs(_sky_map)},
        group_name=TRACTS.group,
        kinds={"matplotlib"},
        owners=OWNERS,
        code_version="1",
        metadata=code_reference(_sky_map),
        automation_condition=FOLLOW,
    )
    return make(_sky_map)
