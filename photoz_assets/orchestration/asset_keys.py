"""The keys of the assets: bare for one release, and for others below the release's name.

Tract numbers occur in several releases, so that one event log could not tell their assets apart by these.
"""

import dagster as dg

from photoz_assets.survey.releases.release import Release


def asset_key(release: Release, table: str) -> dg.AssetKey:
    """Return the key of a release's asset of that name."""
    return dg.AssetKey(table) if release.bare_keys else dg.AssetKey([release.name, table])


def archive_key(table: str) -> dg.AssetKey:
    """Return the key of a table of the archive, ``schema.table``, or of a repository's dataset."""
    return dg.AssetKey(table.split("."))
