"""The code location: every asset, check, job and schedule, put together in one place and by name."""

from collections.abc import Mapping
from typing import Final

import dagster as dg

from photoz_assets.orchestration.assets.archive import archive_tables, tap_columns, tap_tables
from photoz_assets.orchestration.assets.butler import (
    butler_collections,
    butler_dataset_types,
    matched_truth,
    object_table,
    repository_tables,
)
from photoz_assets.orchestration.assets.diagnostics import diagnostics, field_diagnostics, survey_diagnostics
from photoz_assets.orchestration.assets.galaxies import field_galaxies, matched_galaxies
from photoz_assets.orchestration.assets.sky import patches, sky_map, skyinfo, tracts
from photoz_assets.orchestration.automation import JOBS, SCHEDULES, SENSORS
from photoz_assets.orchestration.checks.butler import agrees_with_tap
from photoz_assets.orchestration.checks.geometry import agrees_with_coadd_patches
from photoz_assets.orchestration.checks.survey import survey_state
from photoz_assets.orchestration.io_manager import LakeIOManager, LakeResource
from photoz_assets.orchestration.resources import ArchiveResource, ButlerResource, SelectionResource
from photoz_assets.orchestration.run_logger import progress_logger
from photoz_assets.survey.table import TableSpec

# A new table of the lake is a line here.
_TABLES: Final = (
    tap_tables,
    tap_columns,
    skyinfo,
    tracts,
    patches,
    matched_galaxies,
    field_galaxies,
    diagnostics,
    field_diagnostics,
    survey_diagnostics,
    butler_collections,
    butler_dataset_types,
    object_table,
    matched_truth,
)

TABLES: Final[Mapping[str, TableSpec]] = {table.spec.table: table.spec for table in _TABLES}


def build_definitions(
    *,
    resources: Mapping[str, object] | None = None,
    # A tract's steps are a chain: a process for each costs seconds and buys nothing.
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """Put the code location together.

    Parameters
    ----------
    resources
        Resources to use in the place of the usual ones of the same name: ``archive``, ``butler``,
        ``lake``, ``io_manager``, ``selection``. The usual IO manager keeps its tables in the lake that is given.
    executor
        How a run's steps are executed; a deployment that wants another names a module of its own.
    """
    given = dict(resources or {})
    lake = given.setdefault("lake", LakeResource())
    if not isinstance(lake, LakeResource):
        raise TypeError(f"the resource 'lake' must be a LakeResource, not {type(lake).__name__}")
    usual = {
        "archive": ArchiveResource(),
        "butler": ButlerResource(),
        "io_manager": LakeIOManager(lake=lake),
        "selection": SelectionResource(),
    }
    return dg.Definitions(
        assets=[
            *archive_tables(TABLES.values()),
            *repository_tables(TABLES.values()),
            *(table.asset for table in _TABLES),
            sky_map,
        ],
        asset_checks=[survey_state, agrees_with_coadd_patches, agrees_with_tap],
        resources={**usual, **given},
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        executor=executor,
    )


defs: Final = build_definitions()
