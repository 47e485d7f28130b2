"""Figures, exports, pages and lists: single files of a lake, of which the newest counts.

In a folder they are kept by lying there. In an object store (``kept_objects``) they are objects, and what lies on
this machine follows them.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

# By which a file is told from the one that it replaces: an inode or a digest, bytes, and ns of its writing.
FileVersion: TypeAlias = tuple[int, int, int]


class KeptFiles(Protocol):
    """Keeps a lake's files; places are paths below the lake's folder on this machine."""

    def keep(self, written: Path, place: Path) -> None:
        """Have all see a file that is about to come into its place on this machine."""

    def recall(self, place: Path) -> Path:
        """Return a place, with what was last kept there; nothing lies there if nothing was."""

    def recall_all(self, folder: Path, pattern: str) -> None:
        """Have all that is kept below a folder by a pattern lie in its place, and nothing else."""

    def listed(self, folder: Path, pattern: str) -> Mapping[Path, FileVersion]:
        """List what is kept below a folder, by a pattern with a name or a star for each folder and the file."""

    def drop(self, place: Path) -> None:
        """Keep a file no longer, or a folder with all that is below it."""


class FolderFiles:
    """Files that lie in a folder of this machine."""

    def keep(self, written: Path, place: Path) -> None:
        """Do nothing: in its place it is kept."""

    def recall(self, place: Path) -> Path:
        """Return the place: what is kept lies there."""
        return place

    def recall_all(self, folder: Path, pattern: str) -> None:
        """Do nothing: what is kept lies there."""

    def listed(self, folder: Path, pattern: str) -> Mapping[Path, FileVersion]:
        """List what lies there."""
        found = ((path, file_version(path)) for path in sorted(folder.glob(pattern)))
        return {path: version for path, version in found if version is not None}

    def drop(self, place: Path) -> None:
        """Remove it."""
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def file_version(path: Path) -> FileVersion | None:
    """Return what tells a file from the one that it replaces; None if there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
