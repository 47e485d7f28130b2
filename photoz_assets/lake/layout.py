"""The layout of the lake: where each table, figure and export lies below one folder, and what is there.

A folder of plain Parquet files, Hive style, that any engine reads; there is no database file to lock or move.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from photoz_assets.errors import PhotozError
from photoz_assets.lake.locks import FileLocks, Locks
from photoz_assets.lake.provenance import ArchiveIdentity, InvalidTableFileError, Provenance, read_provenance

TRACT_KEY: Final = "tract"


class ForeignArchiveError(PhotozError):
    """The lake holds tables of another archive or release."""


class UnreadableLakeError(PhotozError):
    """The lake is no folder, or one that cannot be listed."""


@dataclass(frozen=True)
class Lake:
    """The layout below one folder; and, where several machines share it, the locks that they share."""

    root: Path
    shared_locks: Locks | None = field(default=None, compare=False, repr=False)

    @property
    def locks(self) -> Locks:
        """The locks of all who use the lake: those that it was given, else files in its work folder."""
        return self.shared_locks or FileLocks(self.work)

    def table(self, asset: str, tract: int | None = None) -> Path:
        """Return the place of an asset's table: of one tract, or of an asset without tracts."""
        folder = asset if tract is None else f"{asset}/{TRACT_KEY}={tract:d}"
        # One text, not parts: a path that is put together of parts costs three times as much, ten thousand times.
        return Path(f"{self.root}/{folder}/{asset}.parquet")

    def figure(self, asset: str, name: str, tract: int | None = None) -> Path:
        """Return the place of a figure."""
        folder = self.root / "figures" / asset
        return (folder if tract is None else folder / f"{TRACT_KEY}={tract:d}") / f"{name}.png"

    def export(self, profile: str, file: str) -> Path:
        """Return the place of a file in a form that others read."""
        return self.root / "exports" / profile / file

    def exports(self) -> dict[str, list[Path]]:
        """List the files of each profile's folder, by the profile."""
        files: dict[str, list[Path]] = {}
        for path in sorted((self.root / "exports").glob("*/*.*")):
            files.setdefault(path.parent.name, []).append(path)
        return files

    @property
    def atlas(self) -> Path:
        """Where the pages of the lake lie, a static site."""
        return self.root / "atlas"

    def tracts(self, asset: str) -> tuple[int, ...]:
        """List the tracts of which something lies in the place of an asset's table, ascending."""
        return tuple(self._tract_tables(asset))

    def files(self, asset: str) -> list[Path]:
        """List the places of an asset's tables where something lies: its one table, else all tracts, ascending.

        What lies there may be no readable table: who reads it is told.
        """
        if _is_taken(self.table(asset)):
            return [self.table(asset)]
        return list(self._tract_tables(asset).values())

    def provenance(self, asset: str, tract: int | None = None) -> Provenance:
        """Read where a stored table came from; raises as ``read_provenance``."""
        return read_provenance(self.table(asset, tract))

    @property
    def tract_list(self) -> Path:
        """Where the archive's own list of tracts is kept."""
        return self.root / "tracts.json"

    @property
    def staging(self) -> Path:
        """Where tables are written before they are published."""
        return self.work / "staging"

    @property
    def slots(self) -> Path:
        """Where the slots of concurrent queries lie."""
        return self.work / "slots"

    @property
    def readers(self) -> Path:
        """Where the links lie by which tables are read."""
        return self.work / "readers"

    @property
    def footers(self) -> Path:
        """Where the indexes of footers lie."""
        return self.work / "footers"

    @property
    def jobs(self) -> Path:
        """Where the records of running archive jobs lie."""
        return self.work / "jobs"

    @property
    def cutouts(self) -> Path:
        """Where cutouts of images are kept, a folder an archive."""
        return self.work / "cutouts"

    @property
    def quotas(self) -> Path:
        """Where it is noted what was asked of an archive lately that counts what it is asked."""
        return self.work / "quotas"

    @property
    def publishing(self) -> Path:
        """The file that whoever publishes a table holds for that moment."""
        return self.work / "publishing"

    def require_same_archive(self, archive: ArchiveIdentity) -> None:
        """Refuse an archive other than the one whose tables the lake holds.

        Raises
        ------
        ForeignArchiveError
            The lake holds tables of another archive or release.
        """
        held = self.archive()
        if held is not None and held.declaration != archive.declaration:
            raise ForeignArchiveError(
                f"the lake {self.root} holds {held}, but this archive declares {archive}. Set PHOTOZ_DATA_DIR "
                "to another folder for this archive, or go back to the archive that filled the lake"
            )

    def archive(self) -> ArchiveIdentity | None:
        """Return the archive that the lake's tables are of, None for a lake without; raises as ``assets``."""
        for path in self._published():
            # Files of others and broken ones may lie here too; they say nothing.
            with suppress(InvalidTableFileError, FileNotFoundError):
                if (archive := read_provenance(path).archive) is not None:
                    return archive
        return None

    def assets(self) -> list[str]:
        """List the assets of which the lake holds a table, by name; none while there is no lake yet.

        Raises
        ------
        UnreadableLakeError
            There is something in its place that cannot be listed.
        """
        return list(self.tables())

    def tables(self) -> dict[str, list[Path]]:
        """List the files of each asset of which the lake holds a table, by its name; raises as ``assets``."""
        listed = {folder.name: self.files(folder.name) for folder in self._folders()}
        return {asset: files for asset, files in listed.items() if files}

    def _tract_tables(self, asset: str) -> dict[int, Path]:
        # One folder that cannot be listed must not hide the others: ``files`` names it.
        with suppress(OSError):
            names = (path.name for path in (self.root / asset).iterdir())
            keys = (name.partition("=")[2] for name in names if name.startswith(f"{TRACT_KEY}="))
            # Folders that others made, a copy say, are no tracts.
            tracts = sorted({int(key) for key in keys if key.isdecimal()})
            places = {tract: self.table(asset, tract) for tract in tracts}
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

    @property
    def work(self) -> Path:
        """Where all else than tables, figures and exports lies; on the lake's disk, so that renaming is atomic."""
        return self.root / ".work"


def _is_taken(place: Path) -> bool:
    """Return whether something lies at a place, or may lie there since nobody may look."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
