"""The releases: a module each, named as ``PHOTOZ_RELEASE`` names the release. A new one is a new module."""

import pkgutil
from functools import cache
from importlib import import_module

from photoz_assets.errors import PhotozError
from photoz_assets.survey.releases.release import Release

_MODEL = "release"


class UnknownReleaseError(PhotozError):
    """There is no release of that name."""


def release_names() -> tuple[str, ...]:
    """List the names of the releases, in the order of the alphabet."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != _MODEL))


@cache
def release_named(name: str) -> Release:
    """Return the release of a name.

    Raises
    ------
    UnknownReleaseError
        There is none; the message lists those that there are.
    """
    if name not in release_names():
        raise UnknownReleaseError(f"there is no release {name!r}: it is one of {', '.join(release_names())}")
    release = import_module(f"{__name__}.{name}").RELEASE
    if not isinstance(release, Release):
        raise TypeError(f"RELEASE of {name} is no release")
    return release


def label_of(schema: str) -> str:
    """Return what the data of a release are called, by its schema; the schema itself if no release has it."""
    releases = map(release_named, release_names())
    return next((each.label for each in releases if each.schema == schema.lower()), schema)
