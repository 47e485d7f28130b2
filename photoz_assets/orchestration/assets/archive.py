"""What the archive says of itself: its tables, and the columns of those that we use."""

from typing import Final

import dagster as dg

from photoz_assets.lake.staging import StagedTable
from photoz_assets.orchestration.assets.support import OWNERS, as_dagster_failure, declared, origins
from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY
from photoz_assets.orchestration.column_metadata import used_columns
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.survey.contracts import ARCHIVE_SCHEMA, TABLE_ALIASES, TAP_COLUMNS, TAP_TABLES, USED_TABLES
from photoz_assets.survey.queries import tap_columns_query, tap_tables_query

_CODE_VERSION: Final = "1"

OBSERVED_TABLE: Final = dg.AssetKey(TABLE_ALIASES["obj"].split("."))

# The archive's own tables: lineage starts there, and nothing here materializes them.
_DESCRIPTIONS: Final = {
    TABLE_ALIASES["mt"]: "Match information for the truth entries, at the archive",
    TABLE_ALIASES["ts"]: "Truth entries of the simulation, noiseless positions and fluxes, at the archive",
    TABLE_ALIASES[
        "obj"
    ]: "Objects detected and measured on the deep coadded images, at the archive. Observed by each "
    "listing of the sky, skyinfo: its release, and how many objects it holds",
    "tap_schema.tables": "The tables that the archive lists",
    "tap_schema.columns": "The columns that the archive lists",
}
ARCHIVE_TABLES: Final = [
    dg.AssetSpec(
        name.split("."),
        description=f"{text}. Its columns here are those that are used.",
        group_name="archive",
        kinds={"tap"},
        owners=OWNERS,
        metadata={"dagster/column_schema": used_columns(name), "dagster/table_name": name},
    )
    for name, text in _DESCRIPTIONS.items()
]


@dg.asset(
    group_name="archive",
    kinds={"tap", "parquet"},
    owners=OWNERS,
    code_version=_CODE_VERSION,
    deps=origins(TAP_TABLES),
    metadata=declared(TAP_TABLES),
    freshness_policy=ASKED_WEEKLY,
)
def tap_tables(
    context: dg.AssetExecutionContext, archive: ArchiveResource, lake: LakeResource
) -> dg.MaterializeResult[StagedTable]:
    """Every table that the archive serves, with its description: TAP_SCHEMA.tables (TAP 1.1 sec. 4)."""
    with as_dagster_failure():
        ingest = archive.ingest(lake.open(), run_id=context.run.run_id, log=context.log.info)
        staged = ingest.fetch_table_sync(TAP_TABLES, tap_tables_query(), code_version=_CODE_VERSION)
    return dg.MaterializeResult(value=staged)


@dg.asset(
    group_name="archive",
    kinds={"tap", "parquet"},
    owners=OWNERS,
    code_version=_CODE_VERSION,
    deps=origins(TAP_COLUMNS),
    metadata=declared(TAP_COLUMNS),
    freshness_policy=ASKED_WEEKLY,
)
def tap_columns(
    context: dg.AssetExecutionContext, archive: ArchiveResource, lake: LakeResource
) -> dg.MaterializeResult[StagedTable]:
    """The columns of the tables that we use: datatype, unit, UCD, description, from TAP_SCHEMA.columns."""
    used = {name.lower() for name in USED_TABLES}
    with as_dagster_failure():
        ingest = archive.ingest(lake.open(), run_id=context.run.run_id, log=context.log.info)
        listed = ingest.archive.schema_info(ARCHIVE_SCHEMA).tables.values()
        spelled = [table.name for table in listed if table.name.lower() in used]
        staged = ingest.fetch_table_sync(TAP_COLUMNS, tap_columns_query(spelled), code_version=_CODE_VERSION)
    return dg.MaterializeResult(value=staged)
