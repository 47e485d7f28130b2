"""The Butler, the archive's second door: what a repository lists, and its objects tract by tract.

Optional: without the client library or a configured repository these assets fail in one line, and no other
asset needs them.
"""

from collections.abc import Iterable
from contextlib import closing

import dagster as dg
import pyarrow as pa

from photoz_assets.butler.repository import ButlerContractError, Repository
from photoz_assets.lake.provenance import repository_provenance
from photoz_assets.lake.writing import TableRefusedError, WrittenTable, write_rows
from photoz_assets.orchestration.column_metadata import used_columns
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import OWNERS, TableResult, lake_table
from photoz_assets.orchestration.resources import ButlerResource, ReleaseParam
from photoz_assets.science.photometry import with_magnitudes
from photoz_assets.survey.checks import CONTRACT
from photoz_assets.survey.contracts.butler import (
    BUTLER_COLLECTIONS,
    BUTLER_DATASET_TYPES,
    GROUP,
    matched_truth_spec,
    object_table_spec,
)
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Contract, TableSpec


def repository_tables(release: Release, contracts: Iterable[Contract]) -> list[dg.AssetSpec]:
    """Return what lies in the repository: lineage starts there, and nothing here materializes it.

    Parameters
    ----------
    release
        Whose datasets.
    contracts
        The stored tables, which say what of the repository's columns is used.
    """
    contracts = list(contracts)
    return [
        dg.AssetSpec(
            ["butler", name],
            description=f"{text}. Its columns here are those that are used.",
            group_name=GROUP,
            kinds={"butler"},
            owners=OWNERS,
            metadata={"dagster/column_schema": used_columns(f"butler.{name}", contracts)},
        )
        for name, text in {
            "collections": "The collections that the repository lists",
            "dataset_types": "The dataset types that the repository lists",
            release.butler.objects: "Objects detected and measured on the deep coadded images, a table a tract",
            release.butler.matches: "Objects matched with the truth by the pipelines, a table a tract",
            release.butler.coadds: "Coadded images, one a patch and band",
        }.items()
        if name
    ]


@lake_table(BUTLER_COLLECTIONS)
def butler_collections(
    context: dg.AssetExecutionContext, release: ReleaseParam, butler: ButlerResource, lake: LakeResource
) -> TableResult:
    """Every collection of the Butler repository, with what it says of it."""
    with closing(butler.open(release)) as repository:
        return TableResult(
            _written(
                context, lake, repository, BUTLER_COLLECTIONS, [repository.list_collections()], release=release
            )
        )


@lake_table(BUTLER_DATASET_TYPES)
def butler_dataset_types(
    context: dg.AssetExecutionContext, release: ReleaseParam, butler: ButlerResource, lake: LakeResource
) -> TableResult:
    """The repository's tables by tract: every dataset type of such a name, its dimensions and storage class."""
    with closing(butler.open(release)) as repository:
        listed = repository.list_dataset_types(release.butler.tract_tables)
        return TableResult(_written(context, lake, repository, BUTLER_DATASET_TYPES, [listed], release=release))


@lake_table(object_table_spec)
def object_table(
    context: dg.AssetExecutionContext, release: ReleaseParam, butler: ButlerResource, lake: LakeResource
) -> TableResult:
    """Primary objects of one tract, out of the repository's table of objects.

    Only the columns of the contract are read; they are named as in ``matched_galaxies``. Without matches there
    are no redshifts: those come over TAP. Published only if every blocking check holds.
    """
    tract, spec = int(context.partition_key), object_table_spec(release)
    with closing(butler.open(release)) as repository:
        objects = repository.read(release.butler.objects, tract, spec)
        rows = (_primary(batch, release, spec) for batch in objects)
        return TableResult(_written(context, lake, repository, spec, rows, release=release, tract=tract))


@lake_table(matched_truth_spec, is_of=lambda release: bool(release.butler.matches))
def matched_truth(
    context: dg.AssetExecutionContext, release: ReleaseParam, butler: ButlerResource, lake: LakeResource
) -> TableResult:
    """True positions and fluxes of one tract's matched objects, galaxies and stars.

    Out of the repository's table of matches, where it has one. It holds no redshift
    and no type of the truth. Published only if every blocking check holds.
    """
    tract, spec = int(context.partition_key), matched_truth_spec(release)
    with closing(butler.open(release)) as repository:
        rows = repository.read(release.butler.matches, tract, spec)
        return TableResult(_written(context, lake, repository, spec, rows, release=release, tract=tract))


def _primary(batch: pa.RecordBatch, release: Release, spec: TableSpec) -> pa.RecordBatch:
    """Keep the primary objects and compute their magnitudes."""
    flag = release.objects.primary
    primary = batch.filter(batch.column(f"obj_{flag}")) if flag else batch
    return with_magnitudes(primary, spec, release)


def _written(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    repository: Repository,
    spec: TableSpec,
    rows: Iterable[pa.RecordBatch | pa.Table],
    *,
    release: Release,
    tract: int | None = None,
) -> WrittenTable:
    provenance = repository_provenance(
        spec,
        release,
        run_id=context.run.run_id,
        repository=repository.describe(),
        tract=tract,
    )
    try:
        table = write_rows(lake.open(), spec, rows, provenance)
    except ButlerContractError as error:
        raise TableRefusedError(str(error), [spec.check(CONTRACT).failed(str(error))]) from error
    context.log.info("%s: %d rows, from %s", spec.table, table.rows, repository.location)
    return table
