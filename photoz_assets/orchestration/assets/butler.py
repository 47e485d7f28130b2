"""The Butler, the archive's second door: what a repository lists, and its objects tract by tract.

Optional: without the client library or a configured repository these assets fail in one line, and no other
asset needs them.
"""

from collections.abc import Iterable
from contextlib import closing
from typing import Final

import dagster as dg
import pyarrow as pa

from photoz_assets.butler.repository import ButlerContractError, Repository
from photoz_assets.lake.provenance import repository_provenance
from photoz_assets.lake.writing import TableRefusedError, WrittenTable, write_rows
from photoz_assets.orchestration.column_metadata import used_columns
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import OWNERS, TableResult, lake_table
from photoz_assets.orchestration.resources import ButlerResource
from photoz_assets.science.photometry import with_magnitudes
from photoz_assets.survey.checks import CONTRACT
from photoz_assets.survey.contracts import (
    BUTLER_COLLECTIONS,
    BUTLER_DATASET_TYPES,
    MATCHED_DATASET,
    MATCHED_TRUTH,
    OBJECT_DATASET,
    OBJECT_TABLE,
    Contract,
    TableSpec,
)

_TRACT_PATTERN: Final = "*_tract"


def repository_tables(contracts: Iterable[Contract]) -> list[dg.AssetSpec]:
    """Return what lies in the repository: lineage starts there, and nothing here materializes it.

    Parameters
    ----------
    contracts
        The stored tables, which say what of the repository's columns is used.
    """
    contracts = list(contracts)
    return [
        dg.AssetSpec(
            ["butler", name],
            description=f"{text}. Its columns here are those that are used.",
            group_name=OBJECT_TABLE.group,
            kinds={"butler"},
            owners=OWNERS,
            metadata={"dagster/column_schema": used_columns(f"butler.{name}", contracts)},
        )
        for name, text in {
            "collections": "The collections that the repository lists",
            "dataset_types": "The dataset types that the repository lists",
            OBJECT_DATASET: "Objects detected and measured on the deep coadded images, a table a tract",
            MATCHED_DATASET: "Objects matched with the truth by the pipelines, a table a tract",
        }.items()
    ]


@lake_table(BUTLER_COLLECTIONS)
def butler_collections(
    context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource
) -> TableResult:
    """Every collection of the Butler repository, with what it says of it."""
    with closing(butler.open()) as repository:
        return TableResult(
            _written(context, lake, repository, BUTLER_COLLECTIONS, [repository.list_collections()])
        )


@lake_table(BUTLER_DATASET_TYPES)
def butler_dataset_types(
    context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource
) -> TableResult:
    """The repository's tables by tract: every dataset type named ``*_tract``, its dimensions and storage class."""
    with closing(butler.open()) as repository:
        listed = repository.list_dataset_types(_TRACT_PATTERN)
        return TableResult(_written(context, lake, repository, BUTLER_DATASET_TYPES, [listed]))


@lake_table(OBJECT_TABLE)
def object_table(context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource) -> TableResult:
    """Primary objects of one tract, out of the repository's ``objectTable_tract``.

    Only the columns of the contract are read; they are named as in ``matched_galaxies``. Without matches there
    are no redshifts: those come over TAP. Published only if every blocking check holds.
    """
    tract = int(context.partition_key)
    with closing(butler.open()) as repository:
        rows = map(_primary, repository.read(OBJECT_DATASET, tract, OBJECT_TABLE))
        return TableResult(_written(context, lake, repository, OBJECT_TABLE, rows, tract=tract))


@lake_table(MATCHED_TRUTH)
def matched_truth(context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource) -> TableResult:
    """True positions and fluxes of one tract's matched objects, galaxies and stars.

    Out of the repository's ``matched_truth_summary_objectTable_tract``, where it has one. It holds no redshift
    and no type of the truth. Published only if every blocking check holds.
    """
    tract = int(context.partition_key)
    with closing(butler.open()) as repository:
        rows = repository.read(MATCHED_DATASET, tract, MATCHED_TRUTH)
        return TableResult(_written(context, lake, repository, MATCHED_TRUTH, rows, tract=tract))


def _primary(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Keep the primary objects and compute their magnitudes."""
    return with_magnitudes(batch.filter(batch.column("obj_detect_isPrimary")), OBJECT_TABLE)


def _written(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    repository: Repository,
    spec: TableSpec,
    rows: Iterable[pa.RecordBatch | pa.Table],
    *,
    tract: int | None = None,
) -> WrittenTable:
    provenance = repository_provenance(
        spec,
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
