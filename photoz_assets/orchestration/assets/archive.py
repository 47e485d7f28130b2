"""What the archive says of itself: its tables, and the columns of those that we use."""

from collections.abc import Iterable
from typing import Final

import dagster as dg

from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY
from photoz_assets.orchestration.column_metadata import used_columns
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import OWNERS, TableResult, lake_table
from photoz_assets.orchestration.partitions import TRACT_PARTITIONS
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.survey.contracts import (
    ARCHIVE_SCHEMA,
    TABLE_ALIASES,
    TAP_COLUMNS,
    TAP_TABLES,
    USED_TABLES,
    Contract,
)
from photoz_assets.survey.queries import tap_columns_query, tap_tables_query

OBSERVED_TABLE: Final = dg.AssetKey(TABLE_ALIASES["obj"].split("."))

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


def archive_tables(contracts: Iterable[Contract]) -> list[dg.AssetSpec]:
    """Return the archive's own tables: lineage starts there, and nothing here materializes them.

    Parameters
    ----------
    contracts
        The stored tables, which say what of the archive's columns is used.
    """
    contracts = list(contracts)
    return [
        dg.AssetSpec(
            name.split("."),
            description=f"{text}. Its columns here are those that are used.",
            group_name="archive",
            kinds={"tap"},
            owners=OWNERS,
            metadata={"dagster/column_schema": used_columns(name, contracts), "dagster/table_name": name},
            # A listing of the sky tells of each tract whether it has changed there.
            partitions_def=TRACT_PARTITIONS if name == TABLE_ALIASES["obj"] else None,
        )
        for name, text in _DESCRIPTIONS.items()
    ]


@lake_table(TAP_TABLES, freshness_policy=ASKED_WEEKLY)
def tap_tables(context: dg.AssetExecutionContext, archive: ArchiveResource, lake: LakeResource) -> TableResult:
    """Every table that the archive serves, with its description: TAP_SCHEMA.tables (TAP 1.1 sec. 4)."""
    ingest = archive.ingest(lake.open(), run_id=context.run.run_id, log=context.log.info)
    return TableResult(ingest.fetch_table_sync(TAP_TABLES, tap_tables_query()))


@lake_table(TAP_COLUMNS, freshness_policy=ASKED_WEEKLY)
def tap_columns(context: dg.AssetExecutionContext, archive: ArchiveResource, lake: LakeResource) -> TableResult:
    """The columns of the tables that we use: datatype, unit, UCD, description, from TAP_SCHEMA.columns."""
    used = {name.lower() for name in USED_TABLES}
    ingest = archive.ingest(lake.open(), run_id=context.run.run_id, log=context.log.info)
    served = ingest.client.schema_info(ARCHIVE_SCHEMA).tables.values()
    spelled = [table.name for table in served if table.name.lower() in used]
    return TableResult(ingest.fetch_table_sync(TAP_COLUMNS, tap_columns_query(spelled)))
