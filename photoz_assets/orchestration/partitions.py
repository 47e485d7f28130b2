"""The partitions: tracts, ascending, so that a range of them is a piece of the sky, and profiles of exports."""

from functools import cache
from typing import Final

import dagster as dg

from photoz_assets.photoz.profiles import PROFILES
from photoz_assets.survey.releases.release import Release

PROFILE_PARTITIONS: Final = dg.StaticPartitionsDefinition(list(PROFILES))


@cache
def tract_partitions(release: Release) -> dg.StaticPartitionsDefinition:
    """Return a release's tracts as partitions."""
    return dg.StaticPartitionsDefinition([str(tract) for tract in release.tracts])
