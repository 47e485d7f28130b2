"""Several accounts on one lake: what each has to be able to write, and what to do where one cannot."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from photoz_assets.lake.layout import Lake

SHARE: Final = (
    "share the lake with a group (chmod -R g+rwX, chmod g+s on its folders, umask 002 for each account), or set "
    "PHOTOZ_DATA_DIR to a folder of your own"
)


def kept_by_another(lake: Lake) -> Path | None:
    """Return something in a lake that this account has to write and may not; None where it may write all of it."""
    return next((path for path in _written(lake) if path.exists() and not _is_ours_to_write(path)), None)


def _written(lake: Lake) -> Iterator[Path]:
    """Yield the folders and locks that runs write."""
    yield from (lake.work, lake.staging, lake.publishing, lake.readers, lake.slots, lake.jobs)
    for folder in (lake.slots, lake.jobs):
        yield from folder.glob("*")
    tables = (path for path in lake.root.iterdir() if not path.name.startswith("."))
    yield from (path for top in tables for path in (top, *top.rglob("*")) if path.is_dir())


def _is_ours_to_write(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=True)
