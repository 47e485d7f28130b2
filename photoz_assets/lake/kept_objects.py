"""Files of a lake in an object store: objects under the names that they have below the lake's folder.

They are written over, and read whole in one request, which gives the former or the new one. A copy on this machine
is marked with the object's tag.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from photoz_assets.lake.durable import make_folder, put_in_place
from photoz_assets.lake.kept_files import FileVersion, FolderFiles
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.object_store import ObjectStore, is_copy, mark, mark_of
from photoz_assets.lake.staging import temp_file

_AT_A_TIME: Final = 16


@dataclass(frozen=True)
class KeptObjects:
    """Keeps files in a store; ``root`` is the folder of this machine that follows it."""

    store: ObjectStore
    root: Path

    def keep(self, written: Path, place: Path) -> None:
        """PUT a file; what is hidden is this machine's own."""
        name = self._name(place)
        if not name.startswith("."):
            mark(written, mark_of(self.store.put(name, written)))

    def recall(self, place: Path) -> Path:
        """Get an object, unless its copy lies there."""
        self._bring(place, self.store.version(self._name(place)))
        return place

    def recall_all(self, folder: Path, pattern: str) -> None:
        """Get those that have no copy here, and remove copies of those that are no more."""
        found = self.listed(folder, pattern)
        with ThreadPoolExecutor(_AT_A_TIME) as readers:
            list(readers.map(self._bring, found, found.values()))
        for place in FolderFiles().listed(folder, pattern):
            if place not in found and place.is_file():
                place.unlink(missing_ok=True)

    def listed(self, folder: Path, pattern: str) -> Mapping[Path, FileVersion]:
        """List the objects below a folder."""
        name = self._name(folder)
        found = self.store.listed(name).items()
        return {self.root / each: version for each, version in found if _fits(each[len(name) + 1 :], pattern)}

    def drop(self, place: Path) -> None:
        """Remove an object, or those below a folder, and their copies."""
        name = self._name(place)
        self.store.delete([name, *self.store.listed(name)])
        FolderFiles().drop(place)

    def _name(self, place: Path) -> str:
        return place.relative_to(self.root).as_posix()

    def _bring(self, place: Path, version: FileVersion | None) -> None:
        """See that a place has a copy of an object, or nothing."""
        if version is None:
            place.unlink(missing_ok=True)
        elif not is_copy(place, version):
            with temp_file(Lake(self.root)) as written:
                self.store.download(self._name(place), written)
                mark(written, version[0])
                make_folder(place.parent)
                put_in_place(written, place)


def _fits(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
