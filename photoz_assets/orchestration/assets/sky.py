"""The sky: where the archive's objects lie, tract by tract and patch by patch."""

from collections.abc import Iterator
from typing import Final

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoz_assets.ingest import TableQuery
from photoz_assets.lake.derivation import derived_provenance
from photoz_assets.lake.freshness import Listing
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.staging import StagedTable, stage
from photoz_assets.orchestration.assets.archive import OBSERVED_TABLE
from photoz_assets.orchestration.assets.support import (
    OWNERS,
    as_dagster_failure,
    declared,
    origin,
    origins,
    show_figures,
)
from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY, FOLLOW
from photoz_assets.orchestration.checks import SKYINFO_CHECKS, check_result, failed, known_tracts, passed
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.science.tessellation import patch_table, tract_table
from photoz_assets.survey.contracts import PATCHES, SKYINFO, TRACTS, Contract
from photoz_assets.survey.dp02 import TRACTS as PACKAGED_TRACTS
from photoz_assets.survey.queries import skyinfo_count_query, skyinfo_query
from photoz_assets.tap.errors import ContractViolation, Truncated

_CODE_VERSION: Final = "1"


@dg.asset(
    group_name="sky",
    kinds={"tap", "parquet"},
    owners=OWNERS,
    code_version=_CODE_VERSION,
    deps=origins(SKYINFO),
    metadata=declared(SKYINFO),
    freshness_policy=ASKED_WEEKLY,
    check_specs=SKYINFO_CHECKS,
    output_required=False,
)
def skyinfo(
    context: dg.AssetExecutionContext, archive: ArchiveResource, lake: LakeResource
) -> Iterator[dg.Output[StagedTable] | dg.AssetCheckResult | dg.AssetObservation]:
    """Where the objects of each tract and patch lie and how many there are: Object grouped by tract and patch.

    The grouping reads the archive's whole Object table, so it is asked as a job and kept. By it the archive is
    observed: a tract whose counts differ from the last listing's has changed there, and is refreshed.
    """
    with as_dagster_failure():
        listing = Listing(lake.open())
        question = TableQuery(
            contract=SKYINFO,
            adql=skyinfo_query(),
            count_adql=skyinfo_count_query(),
            complete=listing.count,
            code_version=_CODE_VERSION,
            annotate=listing.noted,
        )
        ingest = archive.ingest(lake.open(), run_id=context.run.run_id, log=context.log.info)
        try:
            with ingest.fetch_table(question) as staged:
                rows = {"rows": staged.rows, "rows_counted_by_the_archive": staged.provenance.rows_declared}
                tracts = pq.read_table(staged.path, columns=["tract"]).column("tract")
                yield check_result(passed("contract", "the columns are the contract's", {}))
                yield check_result(passed("complete", f"{staged.rows:,} tracts and patches", rows))
                verdict = known_tracts(tracts.to_pylist(), PACKAGED_TRACTS)
                yield check_result(verdict, rows="differing_tracts")
                yield _observed(staged, listing)
                yield dg.Output(staged, metadata={"tracts_changed": len(listing.changed)})
        except ContractViolation as error:
            yield check_result(failed("contract", error))
            raise
        except Truncated as error:
            yield check_result(failed("complete", error))
            raise


def _observed(staged: StagedTable, listing: Listing) -> dg.AssetObservation:
    """Make a listing an observation of the archive's own table: its release and what it holds.

    Without a data version: Dagster would note it with every tract that is asked for, and yet hold those tracts
    against the version that a table without materializations has, so that each would be shown as out of sync.
    """
    rows = pq.read_table(staged.path, columns=["tract", "num"])
    archive = staged.provenance.archive
    return dg.AssetObservation(
        OBSERVED_TABLE,
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


def _from_skyinfo(
    context: dg.AssetExecutionContext, lake: Lake, contract: Contract, table: pa.Table
) -> StagedTable:
    provenance = derived_provenance(
        contract, code_version=_CODE_VERSION, run_id=context.run.run_id, of=lake.provenance("skyinfo")
    )
    return stage(lake, contract, [table], lambda: provenance)


@dg.asset(
    group_name="sky",
    kinds={"parquet"},
    owners=OWNERS,
    code_version=_CODE_VERSION,
    metadata=declared(TRACTS),
    freshness_policy=ASKED_WEEKLY,
    automation_condition=FOLLOW,
)
def tracts(
    context: dg.AssetExecutionContext, lake: LakeResource, skyinfo: pa.Table
) -> dg.MaterializeResult[StagedTable]:
    """Each tract with objects: its centre and inner region by the Rings skymap, its mean position and counts."""
    with as_dagster_failure():
        return dg.MaterializeResult(
            value=_from_skyinfo(context, lake.open(), TRACTS, tract_table(skyinfo)),
            metadata={"tracts": len(skyinfo.column("tract").unique())},
        )


@dg.asset(
    group_name="sky",
    kinds={"parquet"},
    owners=OWNERS,
    code_version=_CODE_VERSION,
    metadata=declared(PATCHES),
    freshness_policy=ASKED_WEEKLY,
    automation_condition=FOLLOW,
)
def patches(
    context: dg.AssetExecutionContext, lake: LakeResource, skyinfo: pa.Table
) -> dg.MaterializeResult[StagedTable]:
    """Each patch with objects: the polygon of its inner region by the Rings skymap, and its count."""
    with as_dagster_failure():
        return dg.MaterializeResult(
            value=_from_skyinfo(context, lake.open(), PATCHES, patch_table(skyinfo)),
            metadata={"patches": skyinfo.num_rows},
        )


@dg.asset(
    group_name="sky",
    kinds={"matplotlib"},
    owners=OWNERS,
    code_version=_CODE_VERSION,
    automation_condition=FOLLOW,
)
def sky_map(
    context: dg.AssetExecutionContext, lake: LakeResource, tracts: pa.Table, patches: pa.Table
) -> dg.MaterializeResult[None]:
    """Every tract and patch on the sky, tracts labelled, patches coloured by their number of objects."""
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    with as_dagster_failure():
        caption = figures.Caption(
            title=f"{tracts.num_rows} tracts, {patches.num_rows:,} patches",
            origin=origin(lake.open().provenance("tracts")),
            num_galaxies=sum(tracts.column("num_objects").to_pylist()),
        )
        show_figures(context, lake.open(), [("sky_map", figures.sky_map(tracts, patches, caption))])
    return dg.MaterializeResult(metadata={"tracts": tracts.num_rows, "patches": patches.num_rows})
