"""The Butler, the archive's second door: what a repository lists, and its objects tract by tract.

Optional: without the client library or a configured repository these assets fail in one line, and no other
asset needs them.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Final

import dagster as dg
import pyarrow as pa

from photoz_assets.butler.agreement import AGREES_WITH_TAP, compare_doors, nothing_to_compare
from photoz_assets.butler.repository import ButlerContractError, Repository
from photoz_assets.lake.audit import audit
from photoz_assets.lake.derivation import repository_provenance
from photoz_assets.lake.staging import StagedTable, spill_folder, stage
from photoz_assets.orchestration.assets.support import (
    OWNERS,
    as_dagster_failure,
    declared,
    origins,
    raise_for_blocking,
)
from photoz_assets.orchestration.checks import (
    MATCHED_TRUTH_CHECKS,
    OBJECT_TABLE_CHECKS,
    butler_key_rules,
    butler_row_rules,
    butler_statistic_rules,
    check_result,
    failed,
)
from photoz_assets.orchestration.column_metadata import used_columns
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.partitions import TRACT_PARTITIONS
from photoz_assets.orchestration.resources import ButlerResource
from photoz_assets.science.photometry import with_magnitudes
from photoz_assets.survey.contracts import (
    BUTLER_COLLECTIONS,
    BUTLER_DATASET_TYPES,
    MATCHED_DATASET,
    MATCHED_TRUTH,
    OBJECT_DATASET,
    OBJECT_TABLE,
    Contract,
)

BUTLER_GROUP: Final = "butler"

_CODE_VERSION: Final = "1"
_KINDS: Final = {"butler", "parquet"}
_TRACT_PATTERN: Final = "*_tract"

_Checked = Iterator[dg.Output[StagedTable] | dg.AssetCheckResult]

# What lies in the repository: lineage starts there, and nothing here materializes it.
REPOSITORY_TABLES: Final = [
    dg.AssetSpec(
        ["butler", name],
        description=f"{text}. Its columns here are those that are used.",
        group_name=BUTLER_GROUP,
        kinds={"butler"},
        owners=OWNERS,
        metadata={"dagster/column_schema": used_columns(f"butler.{name}")},
    )
    for name, text in {
        "collections": "The collections that the repository lists",
        "dataset_types": "The dataset types that the repository lists",
        OBJECT_DATASET: "Objects detected and measured on the deep coadded images, a table a tract",
        MATCHED_DATASET: "Objects matched with the truth by the pipelines, a table a tract",
    }.items()
]


@dg.asset(
    group_name=BUTLER_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    code_version=_CODE_VERSION,
    deps=origins(BUTLER_COLLECTIONS),
    metadata=declared(BUTLER_COLLECTIONS),
)
def butler_collections(
    context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource
) -> dg.MaterializeResult[StagedTable]:
    """Every collection of the Butler repository, with what it says of it."""
    with as_dagster_failure(), closing(butler.open()) as repository:
        listed = repository.list_collections()
        return dg.MaterializeResult(value=_staged(context, lake, repository, BUTLER_COLLECTIONS, [listed]))


@dg.asset(
    group_name=BUTLER_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    code_version=_CODE_VERSION,
    deps=origins(BUTLER_DATASET_TYPES),
    metadata=declared(BUTLER_DATASET_TYPES),
)
def butler_dataset_types(
    context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource
) -> dg.MaterializeResult[StagedTable]:
    """The repository's tables by tract: every dataset type named ``*_tract``, its dimensions and storage class."""
    with as_dagster_failure(), closing(butler.open()) as repository:
        listed = repository.list_dataset_types(_TRACT_PATTERN)
        return dg.MaterializeResult(value=_staged(context, lake, repository, BUTLER_DATASET_TYPES, [listed]))


@dg.asset(
    group_name=BUTLER_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    code_version=_CODE_VERSION,
    partitions_def=TRACT_PARTITIONS,
    deps=origins(OBJECT_TABLE),
    metadata=declared(OBJECT_TABLE),
    check_specs=OBJECT_TABLE_CHECKS,
    output_required=False,
)
def object_table(context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource) -> _Checked:
    """Primary objects of one tract, out of the repository's ``objectTable_tract``.

    Only the columns of the contract are read; they are named as in ``matched_galaxies``. Without matches there
    are no redshifts: those come over TAP. Published only if every blocking check holds.
    """
    with as_dagster_failure(), closing(butler.open()) as repository:
        yield from _audited(context, repository, lake, OBJECT_TABLE, OBJECT_DATASET, complete=_primary)


@dg.asset(
    group_name=BUTLER_GROUP,
    kinds=_KINDS,
    owners=OWNERS,
    code_version=_CODE_VERSION,
    partitions_def=TRACT_PARTITIONS,
    deps=origins(MATCHED_TRUTH),
    metadata=declared(MATCHED_TRUTH),
    check_specs=MATCHED_TRUTH_CHECKS,
    output_required=False,
)
def matched_truth(context: dg.AssetExecutionContext, butler: ButlerResource, lake: LakeResource) -> _Checked:
    """True positions and fluxes of one tract's matched objects, galaxies and stars.

    Out of the repository's ``matched_truth_summary_objectTable_tract``, where it has one. It holds no redshift
    and no type of the truth. Published only if every blocking check holds.
    """
    with as_dagster_failure(), closing(butler.open()) as repository:
        yield from _audited(context, repository, lake, MATCHED_TRUTH, MATCHED_DATASET)


with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)

    @dg.asset_check(
        asset=object_table,
        name=AGREES_WITH_TAP,
        description="Each of TAP's galaxies of the tract is among the Butler's objects, with the same position, "
        "fluxes, errors and flags; a tract that only one door gave is not compared.",
        additional_deps=["matched_galaxies"],
        partitions_def=TRACT_PARTITIONS,
    )
    def agrees_with_tap(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        """Compare the tract's two tables in the lake."""
        tract = int(context.partition_key)
        galaxies = lake.open().table("matched_galaxies", tract)
        if not galaxies.exists():
            return check_result(nothing_to_compare(tract))
        return check_result(compare_doors(lake.open().table("object_table", tract), galaxies))


def _audited(
    context: dg.AssetExecutionContext,
    repository: Repository,
    lake: LakeResource,
    contract: Contract,
    dataset_type: str,
    *,
    complete: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda batch: batch,
) -> _Checked:
    """Stage one tract's table, hold it against its checks, and hand it over if they pass."""
    tract = int(context.partition_key)
    try:
        rows = map(complete, repository.read(dataset_type, tract, contract))
        staged = _staged(context, lake, repository, contract, rows, tract=tract)
    except ButlerContractError as error:
        yield check_result(failed("contract", error))
        raise
    context.log.info("%s: %d rows of tract %d, from %s", contract.table, staged.rows, tract, repository.location)
    verdicts = audit(
        staged.path,
        spill=spill_folder(staged.path),
        rows=butler_row_rules(contract, tract),
        keys=butler_key_rules(),
        statistics=butler_statistic_rules(),
    )
    try:
        yield from map(check_result, verdicts)
        raise_for_blocking(f"{contract.table} of tract {tract}", verdicts)
        yield dg.Output(staged)
    finally:
        staged.discard()


def _primary(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Keep the primary objects and compute their magnitudes."""
    return with_magnitudes(batch.filter(batch.column("obj_detect_isPrimary")), OBJECT_TABLE)


def _staged(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    repository: Repository,
    contract: Contract,
    rows: Iterable[pa.RecordBatch | pa.Table],
    *,
    tract: int | None = None,
) -> StagedTable:
    provenance = repository_provenance(
        contract,
        code_version=_CODE_VERSION,
        run_id=context.run.run_id,
        repository=repository.describe(),
        tract=tract,
    )
    return stage(lake.open(), contract, rows, lambda: provenance)
