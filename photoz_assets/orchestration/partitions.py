"""The tracts as Dagster partitions: static, ascending, so that a range of them is a piece of the sky."""

from functools import cache

import dagster as dg

from photoz_assets.survey.releases.release import Release


@cache
def tract_partitions(release: Release) -> dg.StaticPartitionsDefinition:
    """Return a release's tracts as partitions."""
    return dg.StaticPartitionsDefinition([str(tract) for tract in release.tracts])
