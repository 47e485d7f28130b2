"""Which lake a setting names: a folder of this machine, or the shared one at an object store's URL."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from photoz_assets.environment import StoreUrl, work_bytes, work_dir
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import Locks
from photoz_assets.lake.publishing import NoVersionError


def open_lake(
    place: Path | StoreUrl, locks: Locks | None = None, versions: Mapping[str, int] | None = None
) -> Lake:
    """Return the lake in a place; nothing is read yet.

    Parameters
    ----------
    place
        Which.
    locks
        Those of all who share it.
    versions
        Of a lake in an object store, for some assets the version of their logs to show; nothing can be published
        into it then. By default the newest.

    Raises
    ------
    NoVersionError
        Versions are asked of a folder.
    """
    if isinstance(place, Path):
        if versions:
            raise NoVersionError(f"the lake {place} is a folder, which keeps no versions: leave out version")
        return Lake(place, locks)
    # An extra, and half a second.
    from photoz_assets.lake.delta_publisher import DeltaPublisher  # noqa: PLC0415 - as said above

    shown = dict(versions or {})
    lake = Lake(_local_folder(place, shown), locks)
    return replace(lake, store=DeltaPublisher(place, lake.root, lake.locks, shown, work_bytes()))


def _local_folder(url: StoreUrl, versions: Mapping[str, int]) -> Path:
    """Return this machine's folder for a lake: buckets of one name may lie at several endpoints."""
    where = f"{os.environ.get('AWS_ENDPOINT_URL', '')} {url} {sorted(versions.items()) or ''}".rstrip()
    return work_dir() / f"{url.bucket}-{hashlib.sha256(where.encode()).hexdigest()[:12]}"
