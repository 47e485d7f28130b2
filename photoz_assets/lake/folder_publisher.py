"""A lake in a folder of this machine: plain Parquet files, Hive style, each published by one rename."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.lake.durable import make_folder, put_in_place
from photoz_assets.lake.kept_files import FileVersion, file_version
from photoz_assets.lake.locks import locked
from photoz_assets.lake.provenance import (
    ArchiveIdentity,
    InvalidTableFileError,
    Provenance,
    read_metadata,
    read_provenance,
)
from photoz_assets.lake.publishing import (
    TRACT_KEY,
    Fetched,
    UnreadableLakeError,
    require_same,
    table_place,
)
from photoz_assets.survey.table import Contract


@dataclass(frozen=True)
class FolderPublisher:
    """Publishes by renaming, under a lock that all processes of the machine share."""

    root: Path
    lock: Path
    parallel: int = 1

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.root)

    def publish(self, staged: Path, contract: Contract, provenance: Provenance) -> Path:
        """Move a staged file into its place, over the one that was there."""
        destination = table_place(self.root, contract.table, provenance.tract)
        make_folder(destination.parent)
        with locked(self.lock):
            if provenance.archive is not None:
                require_same(self, provenance.archive)
            # The lock keeps the staged name: whatever stops us from here on, what it removes is not the table.
            put_in_place(staged, destination)
        return destination

    def tables(self) -> dict[str, Mapping[int | None, Path]]:
        """Return the places where something lies, by the folders; none while there is no lake yet."""
        listed = {folder.name: self.listed(folder.name) for folder in self._folders()}
        return {asset: places for asset, places in listed.items() if places}

    def listed(self, asset: str) -> Mapping[int | None, Path]:
        """Return the places where something lies, readable or not: who reads it is told."""
        single = table_place(self.root, asset)
        places: dict[int | None, Path] = {None: single} if _is_taken(single) else {}
        return places | self._tracts(asset)

    def fetch(self, asset: str, tracts: Sequence[int | None] | None = None) -> Fetched:
        """Return the places: what counts is there."""
        if tracts is None:
            return Fetched(self.listed(asset))
        return Fetched({tract: table_place(self.root, asset, tract) for tract in tracts})

    def bring(self, place: Path) -> Path:
        """Return the place: what counts is there."""
        return place

    def address(self, place: Path) -> str:
        """Return the path."""
        return str(place)

    def version(self, place: Path) -> FileVersion | None:
        """Return inode, size and time of writing of the file in a place."""
        return file_version(place)

    def metadata(self, place: Path) -> tuple[pq.FileMetaData, pa.Schema]:
        """Read the footer of the file in a place."""
        return read_metadata(place)

    def dataset(self, asset: str) -> None:
        """Return None: DuckDB reads the files by itself."""

    def archive(self) -> ArchiveIdentity | None:
        """Return the archive of the first table that names one; raises as ``tables``."""
        for path in self._published():
            # Files of others and broken ones may lie here too; they say nothing.
            with suppress(InvalidTableFileError, FileNotFoundError):
                if (archive := read_provenance(path).archive) is not None:
                    return archive
        return None

    def _tracts(self, asset: str) -> dict[int | None, Path]:
        # One folder that cannot be listed must not hide the others: who reads its table is told.
        with suppress(OSError):
            names = (path.name for path in (self.root / asset).iterdir())
            keys = (name.partition("=")[2] for name in names if name.startswith(f"{TRACT_KEY}="))
            # Folders that others made, a copy say, are no tracts.
            tracts = sorted({int(key) for key in keys if key.isdecimal()})
            places = {tract: table_place(self.root, asset, tract) for tract in tracts}
            return {tract: place for tract, place in places.items() if _is_taken(place)}
        return {}

    def _folders(self) -> list[Path]:
        try:
            return sorted(path for path in self.root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UnreadableLakeError(
                f"the lake {self.root} cannot be read ({error.strerror}): set PHOTOZ_DATA_DIR to a folder that can"
            ) from error

    def _published(self) -> Iterator[Path]:
        for pattern in ("*.parquet", f"{TRACT_KEY}=*/*.parquet"):
            for folder in self._folders():
                yield from folder.glob(pattern)


def _is_taken(place: Path) -> bool:
    """Return whether something lies at a place, or may lie there since nobody may look."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
