"""The code location: every asset, check, job and schedule, put together in one place and by name."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import dagster as dg

from photoz_assets import environment
from photoz_assets.lake.tract_list import with_kept_tracts
from photoz_assets.orchestration.assets.archive import archive_tables, tap_columns, tap_tables
from photoz_assets.orchestration.assets.atlas import atlas
from photoz_assets.orchestration.assets.butler import (
    butler_collections,
    butler_dataset_types,
    matched_truth,
    object_table,
    repository_tables,
)
from photoz_assets.orchestration.assets.diagnostics import diagnostics, field_diagnostics, survey_diagnostics
from photoz_assets.orchestration.assets.field_image import field_image
from photoz_assets.orchestration.assets.galaxies import field_galaxies, matched_galaxies
from photoz_assets.orchestration.assets.hats import galaxies_hats
from photoz_assets.orchestration.assets.images import deep_coadd
from photoz_assets.orchestration.assets.photoz import photoz_exports, photoz_galaxies, photoz_sample
from photoz_assets.orchestration.assets.redshifts import (
    photoz_catalog,
    photoz_estimates,
    photoz_model,
    photoz_quality,
)
from photoz_assets.orchestration.assets.sky import patches, sky_map, skyinfo, tracts
from photoz_assets.orchestration.assets.spectroscopy import (
    galaxies_matched_by_upload,
    galaxies_matched_here,
    objects,
    specz,
)
from photoz_assets.orchestration.assets.stamps import stamps
from photoz_assets.orchestration.automation import automation
from photoz_assets.orchestration.checks.butler import agrees_with_tap
from photoz_assets.orchestration.checks.geometry import agrees_with_coadd_patches
from photoz_assets.orchestration.checks.survey import survey_state
from photoz_assets.orchestration.io_manager import LakeIOManager, LakeResource
from photoz_assets.orchestration.lake_table import LakeTable
from photoz_assets.orchestration.resources import (
    ArchiveResource,
    ButlerResource,
    EstimatorResource,
    SamplingResource,
    SelectionResource,
)
from photoz_assets.orchestration.run_logger import progress_logger
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import TableSpec

# A new table of the lake is a line here.
_TABLES: Final = (
    tap_tables,
    tap_columns,
    skyinfo,
    tracts,
    patches,
    specz,
    objects,
    matched_galaxies,
    galaxies_matched_here,
    galaxies_matched_by_upload,
    field_galaxies,
    diagnostics,
    field_diagnostics,
    survey_diagnostics,
    photoz_galaxies,
    photoz_sample,
    photoz_model,
    photoz_estimates,
    photoz_catalog,
    photoz_quality,
    butler_collections,
    butler_dataset_types,
    object_table,
    matched_truth,
    deep_coadd,
    stamps,
)


def tables_of(release: Release) -> Mapping[str, TableSpec]:
    """Return a release's tables by their names."""
    specs = (table.spec(release) for table in _tables(release))
    return {spec.table: spec for spec in specs}


def _tables(release: Release) -> list[LakeTable]:
    return [table for table in _TABLES if table.is_of(release)]


def build_definitions(
    *,
    release: Release | None = None,
    resources: Mapping[str, object] | None = None,
    # A tract's steps are a chain: a process for each costs seconds and buys nothing.
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """Put the code location of a release together.

    Parameters
    ----------
    release
        By default that of ``PHOTOZ_RELEASE``; with the tracts that its lake lists, if it has a list.
    resources
        Resources to use in the place of the usual ones of the same name: ``archive``, ``butler``,
        ``estimator``, ``lake``, ``io_manager``, ``sampling``, ``selection``. The usual IO manager keeps its
        tables in the lake that is given.
    executor
        How a run's steps are executed; a deployment that wants another names a module of its own.
    """
    given = dict(resources or {})
    lake = given.setdefault("lake", LakeResource())
    if not isinstance(lake, LakeResource):
        raise TypeError(f"the resource 'lake' must be a LakeResource, not {type(lake).__name__}")
    release = with_kept_tracts(release or environment.release(), lake.of_location())
    usual = {
        "archive": ArchiveResource(),
        "butler": ButlerResource(),
        "estimator": EstimatorResource(),
        "io_manager": LakeIOManager(lake=lake),
        "sampling": SamplingResource(),
        "selection": SelectionResource(),
    }
    when = automation(release)
    return dg.Definitions(
        assets=_assets(release),
        asset_checks=[survey_state(release), agrees_with_coadd_patches(release), agrees_with_tap(release)],
        resources={**usual, **given, "release": _resource(release)},
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        jobs=when.jobs,
        schedules=when.schedules,
        sensors=when.sensors,
        executor=executor,
    )


# A process that puts several locations together, each with resources of its own, makes the assets once.
@cache
def _assets(release: Release) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    specs = tables_of(release).values()
    return [
        *archive_tables(release, specs),
        *repository_tables(release, specs),
        *(table.asset(release) for table in _tables(release)),
        sky_map(release),
        photoz_exports(release),
        galaxies_hats(release),
        field_image(release),
        atlas(release),
    ]


def _resource(release: Release) -> dg.ResourceDefinition:
    return dg.ResourceDefinition.hardcoded_resource(
        release, description=f"The release that this code location is of: {release.title}, {release.label}"
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location of ``PHOTOZ_RELEASE``, which is read when Dagster loads it."""
    return build_definitions()
