"""A code location for each release, for a workspace of several: an attribute of this module by the release's name.

An entry of a workspace names it: ``module_name: photoz_assets.locations`` with ``attribute: RELEASE``.
"""

import dagster as dg

from photoz_assets.definitions import build_definitions
from photoz_assets.environment import settings
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.survey.releases import UnknownReleaseError, release_named


def __getattr__(name: str) -> dg.Definitions:
    """Return the code location of a release; its lake is its own (``Settings.data_dir_of``)."""
    try:
        release = release_named(name)
    except UnknownReleaseError as error:
        raise AttributeError(str(error)) from error
    lake = LakeResource(data_dir=str(settings().data_dir_of(release)))
    return build_definitions(release=release, resources={"lake": lake})
