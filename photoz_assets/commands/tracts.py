"""``photoz tracts``: the tracts of a release, as the archive has them."""

import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Final

from photoz_assets.ingest.tap_ingest import identify
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.tract_list import keep_tracts
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.survey.queries import COADDED_TRACTS_SCHEMA, coadded_tracts_query
from photoz_assets.survey.releases.release import Release
from photoz_assets.text import listed

_SHOWN: Final = 12


def update(lake: Lake, release: Release, log: Callable[[str], None]) -> Release:
    """Ask the archive which tracts have coadds and keep the list in the lake.

    Parameters
    ----------
    lake, release
        Whose list, and what is known of it so far.
    log
        Takes a line on each thing that happens.

    Returns
    -------
    Release
        The release with these tracts.

    Raises
    ------
    ForeignArchiveError
        The lake holds tables of another archive.
    ArchiveError
        It cannot be asked.
    TractListError
        The answer names no tract, or one that the skymap does not have.
    """
    with closing(ArchiveResource()) as archive:
        client = archive.client(release, run_id=str(uuid.uuid4()), log=log)
        lake.require_same_archive(identify(client, release))
        batches = client.query(coadded_tracts_query(release), COADDED_TRACTS_SCHEMA)
        found = [tract for batch in batches for tract in batch.column("tract").to_pylist()]
    updated = keep_tracts(lake, release, found)
    known, now = set(release.tracts), set(updated.tracts)
    log(
        f"{len(now):,} tracts of {release.title} are kept in {lake.tract_list}; new: "
        f"{listed(sorted(now - known), _SHOWN)}; gone: {listed(sorted(known - now), _SHOWN)}"
    )
    return updated
