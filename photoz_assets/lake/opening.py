"""Which lake a setting names: a folder of this machine, or the shared one at an object store's URL."""

import hashlib
import os
from pathlib import Path

from photoz_assets.environment import StoreUrl, work_dir
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import Locks


def open_lake(place: Path | StoreUrl, locks: Locks | None = None) -> Lake:
    """Return the lake in a place, with the locks of those who share it; nothing is read yet."""
    if isinstance(place, Path):
        return Lake(place, locks)
    # An extra, and half a second.
    from photoz_assets.lake.delta_publisher import DeltaPublisher  # noqa: PLC0415 - as said above

    lake = Lake(_local_folder(place), locks)
    return Lake(lake.root, locks, store=DeltaPublisher(place, lake.root, lake.publishing))


def _local_folder(url: StoreUrl) -> Path:
    """Return this machine's folder for a lake: buckets of one name may lie at several endpoints."""
    where = f"{os.environ.get('AWS_ENDPOINT_URL', '')} {url}"
    return work_dir() / f"{url.bucket}-{hashlib.sha256(where.encode()).hexdigest()[:12]}"
