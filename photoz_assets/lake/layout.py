"""The layout of the lake: where each table, figure and export lies below one folder, and what is there.

A folder of plain Parquet files, Hive style, that any engine reads; there is no database file to lock or move.
Of a lake in an object store the folder is this machine's own: its scratch, and what it has read or published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from photoz_assets.lake.folder_publisher import FolderPublisher
from photoz_assets.lake.job_records import FileJobRecords, JobRecords
from photoz_assets.lake.kept_files import FolderFiles, KeptFiles
from photoz_assets.lake.locks import FileLocks, Locks
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance, read_provenance
from photoz_assets.lake.publishing import TRACT_KEY, Publisher, VersionedPublisher, require_same, table_place


@dataclass(frozen=True)
class Lake:
    """The layout below one folder; where several machines share the lake, with what all of them share."""

    root: Path
    shared_locks: Locks | None = field(default=None, compare=False, repr=False)
    shared_records: JobRecords | None = field(default=None, compare=False, repr=False)
    store: VersionedPublisher | None = field(default=None, compare=False, repr=False)

    @property
    def locks(self) -> Locks:
        """The locks of all who use the lake: those that it was given, else files in its work folder."""
        return self.shared_locks or FileLocks(self.work)

    @property
    def job_records(self) -> JobRecords:
        """The records of running archive jobs of all who use the lake."""
        return self.shared_records or FileJobRecords(self.jobs)

    @property
    def publisher(self) -> Publisher:
        """What publishes its tables and knows those that count."""
        return self.store or FolderPublisher(self.root, self.publishing)

    @property
    def kept(self) -> KeptFiles:
        """What keeps its figures, exports, pages and lists."""
        return self.store.kept if self.store is not None else FolderFiles()

    @property
    def name(self) -> str:
        """What the lake is called: its folder, or its URL."""
        return self.publisher.name

    def place(self, asset: str, tract: int | None = None) -> Path:
        """Return the place of an asset's table: of one tract, or of an asset without tracts."""
        return table_place(self.root, asset, tract)

    def table(self, asset: str, tract: int | None = None) -> Path:
        """Return the place of an asset's table, with the file that counts now; nothing lies there if none does."""
        return self.publisher.fetch(asset, [tract]).places[tract]

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
        for path in self.kept.listed(self.root / "exports", "*/*.*"):
            files.setdefault(path.parent.name, []).append(path)
        return files

    @property
    def atlas(self) -> Path:
        """Where the pages of the lake lie, a static site."""
        return self.root / "atlas"

    def tracts(self, asset: str) -> tuple[int, ...]:
        """List the tracts of which the lake holds an asset's table, ascending."""
        return tuple(tract for tract in self.publisher.listed(asset) if tract is not None)

    def files(self, asset: str) -> list[Path]:
        """List the places of an asset's tables: its one table, else all tracts, ascending.

        What lies there may be no readable table; of a lake in a store it may not have come here (``table``).
        """
        return _files(self.publisher.listed(asset))

    def provenance(self, asset: str, tract: int | None = None) -> Provenance:
        """Read where a stored table came from; raises as ``read_provenance``."""
        return read_provenance(self.table(asset, tract))

    @property
    def tract_list(self) -> Path:
        """Where the archive's own list of tracts is kept."""
        return self.kept.recall(self.root / "tracts.json")

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
        """Where the records of this machine's running archive jobs lie."""
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
        require_same(self.publisher, archive)

    def archive(self) -> ArchiveIdentity | None:
        """Return the archive that the lake's tables are of, None for a lake without; raises as ``assets``."""
        return self.publisher.archive()

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
        return {asset: _files(listed) for asset, listed in self.publisher.tables().items()}

    @property
    def work(self) -> Path:
        """Where all else than tables, figures and exports lies; on the lake's disk, so that renaming is atomic."""
        return self.root / ".work"


def _files(listed: Mapping[int | None, Path]) -> list[Path]:
    return [listed[None]] if None in listed else list(listed.values())
