"""The atlas: the lake as a static site, brought up to date when its tracts are."""

from typing import Final

import dagster as dg

from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.automation_policies import FOLLOW_SETTLED_TRACTS
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import OWNERS, code_reference
from photoz_assets.orchestration.resources import ReleaseParam, SelectionResource
from photoz_assets.orchestration.tract_status import tract_states
from photoz_assets.survey.releases.release import Release

NAME: Final = "atlas"
# Below it `photoz ui` serves the pages: an address without a host stays right wherever the Dagster page is.
ATLASES: Final = "/atlas"
_SHOWN: Final = (
    "tracts",
    "matched_galaxies",
    "diagnostics",
    "photoz_galaxies",
    "photoz_catalog",
    "survey_diagnostics",
    "photoz_estimates",
    "photoz_quality",
    # Of these the figures alone.
    "sky_map",
    "field_diagnostics",
    "stamps",
    "field_image",
)


def _atlas(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource, selection: SelectionResource
) -> dg.MaterializeResult[None]:
    """The lake as pages for any browser: the sky with every tract, each tract's page, how good the redshifts are.

    A folder that works from the disk, from a web server or from an object store. Only what has changed is written.
    """
    from photoz_assets.atlas.facts import Standing  # noqa: PLC0415 - templates and pictures are slow to load
    from photoz_assets.atlas.site import build_atlas  # noqa: PLC0415 - as above

    with as_dagster_failure():
        store = lake.open()
        states = tract_states(store, context.instance, release, selection.selection())
        standings = {state.tract: Standing(state.status, state.reason) for state in states}
        built = build_atlas(store, release, standings, context.log.info)
    return dg.MaterializeResult(
        metadata={
            "atlas": dg.MetadataValue.url(f"{atlas_path(release)}/{built.index.name}"),
            "index": dg.MetadataValue.path(built.index),
            "tracts_written": len(built.written),
            "tracts_kept": built.kept,
        }
    )


def atlas_path(release: Release) -> str:
    """Return where the Dagster page has the atlas of a release."""
    return f"{ATLASES}/{release.name}"


def atlas(release: Release) -> dg.AssetsDefinition:
    """Return the asset ``atlas`` of a release: a folder of pages and no table."""
    make = dg.asset(
        key=asset_key(release, NAME),
        deps=[asset_key(release, name) for name in _SHOWN],
        group_name=NAME,
        kinds={"html"},
        owners=OWNERS,
        code_version="1",
        metadata=code_reference(_atlas),
        automation_condition=FOLLOW_SETTLED_TRACTS,
    )
    return make(_atlas)
