"""What the archive says of itself: its tables, and the columns of those that we use."""

from collections.abc import Iterable
from typing import Final

import dagster as dg

from photoz_assets.orchestration.asset_keys import archive_key
from photoz_assets.orchestration.automation_policies import ASKED_WEEKLY
from photoz_assets.orchestration.column_metadata import used_columns
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import OWNERS, TableResult, lake_table
from photoz_assets.orchestration.partitions import tract_partitions
from photoz_assets.orchestration.resources import ArchiveResource, ReleaseParam
from photoz_assets.survey.contracts.archive import TAP_COLUMNS, TAP_TABLES
from photoz_assets.survey.queries import tap_columns_query, tap_tables_query
from photoz_assets.survey.releases.release import OBSCORE, Release
from photoz_assets.survey.table import Contract

# What is said of the archive's tables, by the aliases that queries give them.
_DESCRIPTIONS: Final = {
    "mt": "Match information for the truth entries, at the archive",
    "ts": "Truth entries of the simulation, noiseless positions and fluxes, at the archive",
    "obj": "Objects detected and measured on the deep coadded images, at the archive. Observed by each "
    "listing of the sky, skyinfo: its release, and how many objects it holds",
}
_LISTINGS: Final = {
    "tap_schema.tables": "The tables that the archive lists",
    "tap_schema.columns": "The columns that the archive lists",
    OBSCORE: "The images that the archive has, and where their links are (ObsCore 1.1)",
}


def archive_tables(release: Release, contracts: Iterable[Contract]) -> list[dg.AssetSpec]:
    """Return the archive's own tables: lineage starts there, and nothing here materializes them.

    Parameters
    ----------
    release
        Whose tables.
    contracts
        The stored tables, which say what of the archive's columns is used.
    """
    contracts = list(contracts)
    described = {name: _DESCRIPTIONS[alias] for alias, name in release.tables.items()} | _LISTINGS
    return [
        dg.AssetSpec(
            archive_key(name),
            description=f"{text}. Its columns here are those that are used.",
            group_name="archive",
            kinds={"tap"},
            owners=OWNERS,
            metadata={"dagster/column_schema": used_columns(name, contracts), "dagster/table_name": name},
            # A listing of the sky tells of each tract whether it has changed there.
            partitions_def=tract_partitions(release) if name == release.tables["obj"] else None,
        )
        for name, text in described.items()
    ]


@lake_table(TAP_TABLES, freshness_policy=ASKED_WEEKLY)
def tap_tables(
    context: dg.AssetExecutionContext, release: ReleaseParam, archive: ArchiveResource, lake: LakeResource
) -> TableResult:
    """Every table that the archive serves, with its description: TAP_SCHEMA.tables (TAP 1.1 sec. 4)."""
    ingest = archive.ingest(lake.open(), release, run_id=context.run.run_id, log=context.log.info)
    return TableResult(ingest.fetch_table_sync(TAP_TABLES, tap_tables_query()))


@lake_table(TAP_COLUMNS, freshness_policy=ASKED_WEEKLY)
def tap_columns(
    context: dg.AssetExecutionContext, release: ReleaseParam, archive: ArchiveResource, lake: LakeResource
) -> TableResult:
    """The columns of the tables that we use: datatype, unit, UCD, description, from TAP_SCHEMA.columns."""
    used = {name.lower() for name in (*release.tables.values(), release.coadd_patches)}
    ingest = archive.ingest(lake.open(), release, run_id=context.run.run_id, log=context.log.info)
    served = ingest.client.schema_info(release.schema).tables.values()
    spelled = [table.name for table in served if table.name.lower() in used]
    return TableResult(ingest.fetch_table_sync(TAP_COLUMNS, tap_columns_query(spelled)))
