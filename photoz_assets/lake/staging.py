"""Stage, publish: a table is written beside its place and comes there whole, by one rename, or not at all.

Between the two lies the audit (``lake.audit``). A staged file is locked by the process that writes it;
what a killed process left is swept by the next that stages.
"""

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoz_assets.lake.durable import flush, make_folder, put_in_place
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import FileLock, locked
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.voparquet import file_metadata
from photoz_assets.survey.table import Contract

# DuckDB reads row groups in parallel and skips them by their statistics: a tract has enough of them for both, and
# few enough that they cost nothing by themselves. What is gathered for one bounds the memory of writing.
ROW_GROUP_ROWS: Final = 24_576

# Not .parquet, since DuckDB's `*` finds hidden files too.
_SUFFIX: Final = ".staged"


@dataclass(kw_only=True)
class StagedTable:
    """A table on its way: whole on disk, seen by no reader of the lake."""

    contract: Contract
    provenance: Provenance
    path: Path
    rows: int
    lock: FileLock

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the rows back, a batch at a time."""
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches()

    def discard(self) -> None:
        """Remove the staged file, if it was not published; a second call does nothing."""
        self.lock.release(remove=True)


class TableWriter:
    """Writes a staged Parquet file: gathers batches of any size into row groups of one size."""

    def __init__(self, lake: Lake, contract: Contract) -> None:
        self._contract = contract
        self._lock = _new_file(lake.staging, contract.table)
        self._rows = 0
        self._gathered = contract.schema.empty_table()
        self._lengths = {column.name: 0 for column in contract if column.type == pa.string()}
        try:
            self._writer = pq.ParquetWriter(
                self._lock.path,
                contract.schema,
                compression="zstd",
                compression_level=1,
                # Floats split by bytes would be an eighth smaller, and not be read by Spark or fastparquet.
                use_dictionary=False,
                # It is written at the end, when it is known how long texts are.
                store_schema=False,
                # By them a damage is told from data, also where it can still be decompressed.
                write_page_checksum=True,
            )
        except BaseException:
            self._lock.release(remove=True)
            raise

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Add rows in the contract's columns, types and order.

        Raises
        ------
        ValueError
            The columns are not the contract's.
        OSError
            The disk is full or fails.
        """
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        if differences := self._contract.differences(table.schema):
            raise ValueError(f"{self._contract.table}: columns differ from the contract's: {differences}")
        table = table.replace_schema_metadata(self._contract.schema.metadata)
        gathered = pa.concat_tables([self._gathered, table])
        while gathered.num_rows >= ROW_GROUP_ROWS:
            self._writer.write_table(gathered.slice(0, ROW_GROUP_ROWS))
            gathered = gathered.slice(ROW_GROUP_ROWS)
        self._gathered = gathered
        self._rows += table.num_rows
        for name, longest in self._lengths.items():
            found = pc.max(pc.utf8_length(table.column(name))).as_py()
            self._lengths[name] = max(longest, found or 0)

    def finish(self, provenance: Provenance) -> StagedTable:
        """Close the file with its metadata, on the disk; the writer is used up."""
        if self._gathered.num_rows:
            self._writer.write_table(self._gathered)
        provenance = provenance.with_rows(self._rows)
        self._writer.add_key_value_metadata(file_metadata(self._contract, provenance, self._lengths))
        self._writer.close()
        flush(self._lock.path)
        return StagedTable(
            contract=self._contract,
            provenance=provenance,
            path=self._lock.path,
            rows=self._rows,
            lock=self._lock,
        )

    def abandon(self) -> None:
        """Give up and remove what was written."""
        # The disk may be full: a footer that cannot be written is no loss here.
        with suppress(OSError):
            self._writer.close()
        self._lock.release(remove=True)


def stage(
    lake: Lake,
    contract: Contract,
    batches: Iterable[pa.RecordBatch | pa.Table],
    provenance: Callable[[], Provenance],
) -> StagedTable:
    """Write batches to a staged file; leave nothing behind if they fail.

    The provenance is asked for when all batches are in, since it may count them.

    Raises
    ------
    ValueError
        The columns are not the contract's.
    OSError
        The disk is full or fails.
    """
    writer = TableWriter(lake, contract)
    try:
        for batch in batches:
            writer.write(batch)
        return writer.finish(provenance())
    except BaseException:
        writer.abandon()
        raise


@contextmanager
def temp_file(lake: Lake) -> Iterator[Path]:
    """Lend a file for what must be on the disk before it can be read; swept like a staged file after a kill."""
    lock = _new_file(lake.staging, "spool")
    try:
        yield lock.path
    finally:
        lock.release(remove=True)


@contextmanager
def atomic_write(lake: Lake, destination: Path) -> Iterator[Path]:
    """Lend a file that comes into its place when the block has filled it, over a former one, or not at all.

    Raises
    ------
    OSError
        The disk is full or fails; what was there stays.
    """
    with temp_file(lake) as written:
        yield written
        flush(written)
        lake.kept.keep(written, destination)
        make_folder(destination.parent)
        put_in_place(written, destination)


@contextmanager
def atomic_folder(lake: Lake, destination: Path) -> Iterator[Path]:
    """Lend a folder whose files come into their place together, over those that were there, or not at all.

    In the place stands a link to a folder of this publication: one rename turns it to the next.

    Raises
    ------
    OSError
        The disk is full or fails; what was there stays.
    """
    with temp_file(lake) as staged:
        written = spill_folder(staged)
        written.mkdir()
        try:
            yield written
            for path in (*written.rglob("*"), written):
                flush(path)
            with locked(lake.publishing):
                for path in written.rglob("*"):
                    if path.is_file():
                        lake.kept.keep(path, destination / path.relative_to(written))
                _turn(destination, written)
        finally:
            shutil.rmtree(written, ignore_errors=True)


def _turn(link: Path, written: Path) -> None:
    """Have a link lead to a folder that is on the disk, and remove what it led to, or was to lead to, before."""
    publications = link.parent / ".publications" / link.name
    make_folder(publications)
    published = publications / uuid.uuid4().hex
    put_in_place(written, published)
    new = published.with_suffix(".link")
    new.symlink_to(published.relative_to(link.parent))
    if link.is_dir() and not link.is_symlink():
        # A copy of a lake may have a folder here, over which nothing can be renamed.
        link.rename(published.with_suffix(".former"))
    put_in_place(new, link)
    for former in publications.iterdir():
        if former.is_symlink():
            former.unlink()
        elif former != published:
            shutil.rmtree(former, ignore_errors=True)


def spill_folder(staged: Path) -> Path:
    """Return the folder beside a staged file, which is swept with it: its audit spills there."""
    return staged.with_name(f"{staged.name}.spill")


def publish(lake: Lake, staged: StagedTable) -> Path:
    """Move a staged table into its place, over the one that was there, at once; or remove it if that fails.

    Raises
    ------
    ForeignArchiveError
        The lake holds tables of another archive or release; what was there stays.
    OSError
        The disk is full or fails.
    """
    try:
        return lake.publisher.publish(staged.path, staged.contract, staged.provenance)
    finally:
        staged.discard()


def _new_file(folder: Path, table: str) -> FileLock:
    """Make and lock a staged file of its own; sweep what dead processes left."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"*{_SUFFIX}"):
        if lock := FileLock.acquire(leftover, create=False):
            shutil.rmtree(spill_folder(leftover), ignore_errors=True)
            lock.release(remove=True)
    while (lock := FileLock.acquire(folder / f"{table}-{uuid.uuid4().hex}{_SUFFIX}")) is None:
        pass
    return lock
