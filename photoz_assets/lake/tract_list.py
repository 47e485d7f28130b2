"""The list of a release's tracts as the archive gave it, kept in the lake beside its tables.

Of a release whose tracts are printed nowhere the package knows some alone; whoever has the archive's own list
keeps it here.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.staging import atomic_write
from photoz_assets.survey.releases.release import Release


class TractListError(PhotozError):
    """A list of tracts makes no sense."""


def with_kept_tracts(release: Release, lake: Lake) -> Release:
    """Return the release with the tracts that the lake's list has; the release itself if there is no list.

    Raises
    ------
    TractListError
        The list is of another release, or damaged.
    OSError
        It cannot be read.
    """
    try:
        text = lake.tract_list.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return release
    except UnicodeDecodeError as error:
        raise _damaged(lake.tract_list) from error
    try:
        named, tracts = (json.loads(text)[key] for key in ("release", "tracts"))
        kept = _in_order(release, map(int, tracts))
    except (ValueError, KeyError, TypeError, TractListError) as error:
        raise _damaged(lake.tract_list) from error
    if named != release.name:
        raise TractListError(
            f"{lake.tract_list} lists tracts of {named}, not of {release.name}: set PHOTOZ_DATA_DIR to another "
            "folder for this release"
        )
    return _with_tracts(release, kept)


def keep_tracts(lake: Lake, release: Release, tracts: Iterable[int]) -> Release:
    """Keep a list of tracts in the lake and return the release with them.

    Raises
    ------
    TractListError
        There is no tract, or one that the release's skymap does not have; the former list stays.
    OSError
        The disk is full or fails.
    """
    kept = _in_order(release, tracts)
    with atomic_write(lake, lake.tract_list) as path:
        path.write_text(json.dumps({"release": release.name, "tracts": kept}))
    return _with_tracts(release, kept)


def _in_order(release: Release, tracts: Iterable[int]) -> tuple[int, ...]:
    kept = tuple(sorted(set(tracts)))
    if not kept:
        raise TractListError(f"a list of no tracts of {release.name}")
    if foreign := [tract for tract in kept if not 0 <= tract < release.skymap.num_tracts]:
        raise TractListError(f"the skymap of {release.name} has no tract {foreign[0]}")
    return kept


@cache
def _with_tracts(release: Release, tracts: tuple[int, ...]) -> Release:
    """Return one object for one list: what is made of a release is kept by it."""
    return release if tracts == release.tracts else replace(release, tracts=tracts)


def _damaged(path: Path) -> TractListError:
    return TractListError(f"{path} is no list of tracts: delete it, or make it anew with photoz tracts --update")
