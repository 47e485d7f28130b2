"""What the footers of an asset's files say, remembered from reader to reader.

To read ten thousand footers takes seconds, to look whether ten thousand files are still those that were read a
fraction of one. The index is no part of the lake: it is made of the files alone, and without it, or where it is
damaged or may not be written, each footer is read again. An entry holds for one version of a file, by its place,
inode, size and time of writing. Processes that write the index at the same time replace each other's, whole.
"""

import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.lake.folder_publisher import FolderPublisher
from photoz_assets.lake.kept_files import FileVersion
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    PROVENANCE_KEY,
    InvalidTableFileError,
    Provenance,
    parse_provenance,
)
from photoz_assets.lake.publishing import Publisher
from photoz_assets.lake.snapshot import in_place

_SUFFIX: Final = ".index"
_COLUMNS: Final = pa.schema(
    {
        "place": pa.string(),
        "inode": pa.uint64(),
        "size": pa.int64(),
        "written_ns": pa.int64(),
        "rows": pa.int64(),
        "columns": pa.binary(),
        "provenance": pa.binary(),
    }
)


@dataclass(frozen=True)
class StoredFooter:
    """What the footer of a stored file says.

    ``place`` is the file's, ``columns`` its Arrow schema as an IPC message, the same for all files of
    the same columns, and ``written`` its provenance as it stands there, if there is any.
    """

    place: str
    rows: int
    columns: bytes
    written: bytes | None

    @classmethod
    def of(cls, place: Path, metadata: pq.FileMetaData, schema: pa.Schema) -> Self:
        """Return what the footer says of the file in a place."""
        return cls(
            place=str(place),
            rows=metadata.num_rows,
            # The file's own texts may be longer than another's; its columns are the same.
            columns=schema.remove_metadata().serialize().to_pybytes(),
            written=(metadata.metadata or {}).get(PROVENANCE_KEY),
        )

    @cached_property
    def provenance(self) -> Provenance:
        """Where the file came from.

        Raises
        ------
        InvalidTableFileError
            It carries no provenance, or one that makes no sense.
        """
        return parse_provenance(self.place, self.written)


def require_footer(footer: "Found", place: Path) -> StoredFooter:
    """Return a footer that was found.

    Raises
    ------
    InvalidTableFileError
        The file is damaged or no file at all, or it has been removed.
    """
    if isinstance(footer, StoredFooter):
        return footer
    raise footer or InvalidTableFileError(f"{in_place(str(place))} was removed meanwhile: try again")


Found = StoredFooter | InvalidTableFileError | None


def columns_schema(columns: bytes) -> pa.Schema:
    """Return the Arrow schema of a footer's columns, its fields with their units."""
    return pa.ipc.read_schema(pa.py_buffer(columns))


def read_footers(
    lake: Lake, asset: str, files: Sequence[Path], versions: Sequence[Path] | None = None
) -> list[Found]:
    """Return what the footers of all files of an asset say, of which only those are read that the index lacks.

    Parameters
    ----------
    lake, asset
        Whose index it is.
    files
        All places where the asset's tables lie.
    versions
        Names under which these files stay as they are (``snapshot``), in the same order; by default the places.

    Returns
    -------
    list[StoredFooter | InvalidTableFileError | None]
        For each file, in order; of one that is damaged or no file at all the error, which is not raised; None
        where nothing lies.
    """
    # What has a name of its own lies on this disk; places are the publisher's to know.
    source = lake.publisher if versions is None else FolderPublisher(lake.root, lake.publishing)
    index = lake.footers / f"{asset}{_SUFFIX}"
    known, kept = _load(index, lake.root), {}
    paths = list(zip(files, versions or files, strict=True))
    current = {place: source.version(path) for place, path in paths}

    entries = {place: known.get(str(place)) for place in files}
    found: dict[Path, Found] = {
        place: entry[1] for place, entry in entries.items() if entry is not None and entry[0] == current[place]
    }
    unknown = {place: path for place, path in paths if place not in found}
    with ThreadPoolExecutor(source.parallel) as readers:
        each = map if source.parallel == 1 else readers.map
        found |= zip(unknown, each(lambda place: _read(source, place, unknown[place]), unknown), strict=True)
    for place, footer in found.items():
        version = current[place]
        if version and isinstance(footer, StoredFooter):
            kept[str(place)] = version, footer
    if kept != known:
        _save(index, lake.root, kept)
    return [found[place] for place in files]


def _read(source: Publisher, place: Path, path: Path) -> Found:
    try:
        return StoredFooter.of(place, *source.metadata(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except InvalidTableFileError as error:
        return InvalidTableFileError(in_place(str(error)))


def _load(index: Path, root: Path) -> dict[str, tuple[FileVersion, StoredFooter]]:
    """Return what an index knows, by the files' places; nothing if it is missing, damaged or another code's."""
    with suppress(pa.ArrowException, OSError), pq.ParquetFile(index, page_checksum_verification=True) as file:
        if file.schema_arrow.equals(_COLUMNS):
            columns: dict[str, list[Any]] = file.read().to_pydict()
            return {
                f"{root}/{place}": (
                    (inode, size, written_ns),
                    StoredFooter(f"{root}/{place}", rows, schema, provenance),
                )
                for place, inode, size, written_ns, rows, schema, provenance in zip(*columns.values(), strict=True)
            }
    return {}


def _save(index: Path, root: Path, entries: Mapping[str, tuple[FileVersion, StoredFooter]]) -> None:
    rows = [
        (footer.place.removeprefix(f"{root}/"), *version, footer.rows, footer.columns, footer.written)
        for version, footer in entries.values()
    ]
    table = pa.Table.from_pylist([dict(zip(_COLUMNS.names, row, strict=True)) for row in rows], _COLUMNS)
    written = index.with_name(f"{uuid.uuid4().hex}{_SUFFIX}")
    # Who may not write here, or finds no room, does without.
    with suppress(OSError):
        index.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(table, written, compression="zstd", write_page_checksum=True)
            written.replace(index)
        finally:
            written.unlink(missing_ok=True)
