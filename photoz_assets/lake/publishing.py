"""How a table comes into a lake, and which files count: what all kinds of lakes have in common.

A lake in a folder (``folder_publisher``) renames a staged file over the former one. A lake in an object store
(``delta_publisher``) keeps each file under a name of its own, and a log says which one counts.
Whatever the kind, tables are read as files of this machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.errors import PhotozError
from photoz_assets.lake.kept_files import FileVersion, KeptFiles
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.survey.table import Contract

if TYPE_CHECKING:
    import pyarrow.dataset as ds

TRACT_KEY: Final = "tract"
# Of a log, besides the tract; they are none of a table's columns.
LOG_COLUMNS: Final = ("selection", "code_version", "created")


class ForeignArchiveError(PhotozError):
    """The lake holds tables of another archive or release."""


class UnreadableLakeError(PhotozError):
    """The lake is none, or one that cannot be listed."""


class StoreError(PhotozError):
    """The object store does not do what is asked of it; the text says what to do."""


class NoVersionError(PhotozError):
    """A version is asked for that the lake does not keep."""


@dataclass(frozen=True)
class Fetched:
    """The places of some tables, by their tracts; and of a store the version of their asset's log, by it."""

    places: Mapping[int | None, Path]
    versions: Mapping[str, int] = field(default_factory=dict)


class Publisher(Protocol):
    """Publishes a lake's tables, and knows those that count.

    Places are paths below the lake's folder on this machine, as ``table_place`` has them. Errors of a lake in a
    store are ``PhotozError``.
    """

    @property
    def name(self) -> str:
        """What the lake is called, its folder or its URL."""

    @property
    def parallel(self) -> int:
        """How many footers are best read at a time."""

    def publish(self, staged: Path, contract: Contract, provenance: Provenance) -> Path:
        """Publish a staged file as a table of its provenance's tract, at once; return where it is read.

        Raises
        ------
        ForeignArchiveError
            The lake holds tables of another archive or release; what was there stays.
        OSError
            The disk is full or fails.
        """

    def tables(self) -> dict[str, Mapping[int | None, Path]]:
        """Return what ``listed`` does of each asset of which the lake holds a table, by name.

        Raises
        ------
        UnreadableLakeError
            There is something in the lake's place that cannot be listed.
        """

    def listed(self, asset: str) -> Mapping[int | None, Path]:
        """Return the places of an asset's tables that count, by tract; first, by None, of one without a tract."""

    def fetch(self, asset: str, tracts: Sequence[int | None] | None = None) -> Fetched:
        """Return some of an asset's tables, or all, with what counts now; nothing lies where one is missing."""

    def bring(self, place: Path) -> Path:
        """Return a place, with the file that counted when the asset was listed."""

    def version(self, place: Path) -> FileVersion | None:
        """Return the version of the file that counts in a place; None if there is none."""

    def address(self, place: Path) -> str:
        """Return what all machines call what lies in a place below the lake's folder."""

    def metadata(self, place: Path) -> tuple[pq.FileMetaData, pa.Schema]:
        """Return the footer of the file that counts in a place; raises as ``read_metadata``."""

    def dataset(self, asset: str) -> "ds.Dataset | None":
        """Return an asset's rows as a dataset, where DuckDB cannot read the files by itself; else None."""

    def archive(self) -> ArchiveIdentity | None:
        """Return the archive that the lake's tables are of, None for a lake without."""


class VersionedPublisher(Publisher, Protocol):
    """A publisher of a lake in a store, which keeps former versions."""

    @property
    def kept(self) -> KeptFiles:
        """What keeps the lake's other files."""

    def vacuum(self, days: int, *, dry_run: bool) -> list[str]:
        """Remove the files that no version has needed for some days; return their names."""


def table_place(root: Path, asset: str, tract: int | None = None) -> Path:
    """Return where an asset's table lies below a folder: of one tract, or of an asset without tracts."""
    folder = asset if tract is None else f"{asset}/{TRACT_KEY}={tract:d}"
    # One text, not parts: a path that is put together of parts costs three times as much, ten thousand times.
    return Path(f"{root}/{folder}/{asset}.parquet")


def require_same(publisher: Publisher, archive: ArchiveIdentity) -> None:
    """Refuse an archive other than the one whose tables a lake holds.

    Raises
    ------
    ForeignArchiveError
        The lake holds tables of another archive or release.
    """
    held = publisher.archive()
    if held is not None and held.declaration != archive.declaration:
        raise ForeignArchiveError(
            f"the lake {publisher.name} holds {held}, but this archive declares {archive}. Set PHOTOZ_DATA_DIR "
            "to another folder for this archive, or go back to the archive that filled the lake"
        )
