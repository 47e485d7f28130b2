"""A lake in an object store: each published file keeps a name of its own, and a log says which one counts.

An object that is written again while it is read gives old rows with new ones, and no error. So no table is ever
written over: a file is PUT once, whole, under a name that no other has, and the commit of a Delta log, one for
each asset, puts it in the place of the former. Readers of a version of the log see that version.

The log's partition columns are a table's tract, selection, code version and time of making. The archive that the
lake is of stands in ``lake.json``, which the first publication makes and nobody changes.

On this machine a folder follows the store: what is read or published lies there as in a lake of one machine. A
copy's time of writing says which object it is of. Copies that have not been used for a while go, the oldest first,
where all together are too large; the folder may be deleted while nothing runs.
"""

import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, create_table_with_add_actions
from obstore.exceptions import AlreadyExistsError
from pyarrow.fs import PyFileSystem

from photoz_assets.environment import StoreUrl
from photoz_assets.lake.durable import make_folder, put_in_place
from photoz_assets.lake.kept_files import FileVersion
from photoz_assets.lake.kept_objects import KeptObjects
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import Locks
from photoz_assets.lake.object_store import LOG_OPTIONS, ObjectStore, is_copy, mark, mark_of
from photoz_assets.lake.provenance import (
    ArchiveIdentity,
    InvalidTableFileError,
    Provenance,
    damage_errors,
    provenance_in,
)
from photoz_assets.lake.publishing import (
    LOG_COLUMNS,
    TRACT_KEY,
    Fetched,
    NoVersionError,
    StoreError,
    UnreadableLakeError,
    require_same,
    table_place,
)
from photoz_assets.lake.staging import temp_file
from photoz_assets.survey.table import Contract

IDENTITY: Final = "lake.json"
# Raised when what lies in a store is no longer understood by those who wrote it before.
LAYOUT: Final = 1
# With the header of a VOTable, which a tract's footer has, some 100 kB.
_FOOTER_BYTES: Final = 1 << 17
# Of the Delta protocol: files as they are, without lists of deleted rows or other names of columns.
_READER_VERSION: Final = 1

# Twelve machines that publish all the time have waited for 88 s at most.
_COMMIT_SECONDS: Final = 600.0
# For so long a copy that was used stays: its reader may be about to open it.
_IN_USE_SECONDS: Final = 3600.0
_NO_SUCH_VERSION: Final = "not the same as the specified end version"


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A file that counts, by its asset's log: its name there, bytes, and ms of its publication."""

    name: str
    size: int
    modified_ms: int

    @property
    def version(self) -> FileVersion:
        """What tells it from the file that it replaced."""
        return mark_of(self.name), self.size, self.modified_ms * 1_000_000


_Entries = Mapping[int | None, _Entry]


@dataclass
class DeltaPublisher:
    """Publishes to an object store; ``root`` is the folder of this machine that follows it.

    ``versions`` are those of the logs that are shown, by asset; of others it is the newest. ``copies_bytes``
    bounds what lies in the folder for longer than it is used.
    """

    url: StoreUrl
    root: Path
    locks: Locks
    versions: Mapping[str, int] = field(default_factory=dict)
    copies_bytes: float = float("inf")
    parallel: int = 16
    _entries: dict[str, _Entries] = field(default_factory=dict, repr=False)
    _archive: ArchiveIdentity | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The URL."""
        return str(self.url)

    @cached_property
    def kept(self) -> KeptObjects:
        """The lake's figures, exports, pages and lists."""
        return KeptObjects(self._store, self.root)

    def publish(self, staged: Path, contract: Contract, provenance: Provenance) -> Path:
        """PUT a staged file under a name of its own and commit it; it becomes this machine's copy."""
        asset, tract = contract.table, provenance.tract
        if self.versions:
            raise StoreError(f"the lake {self.name} is open as of versions: open it without them to publish")
        if provenance.archive is not None:
            self._claim(provenance.archive)
        folder = "" if tract is None else f"{TRACT_KEY}={tract:d}/"
        entry = _Entry(
            name=f"{folder}{asset}-{uuid.uuid4().hex}.parquet",
            size=staged.stat().st_size,
            modified_ms=time.time_ns() // 1_000_000,
        )
        self._store.put(f"{asset}/{entry.name}", staged)
        self._commit(contract, provenance, entry)
        place = table_place(self.root, asset, tract)
        make_folder(place.parent)
        mark(staged, entry.version[0])
        put_in_place(staged, place)
        self._evict()
        return place

    def tables(self) -> dict[str, Mapping[int | None, Path]]:
        """Read the log of each asset; folders without one of ours are none of the lake's."""
        self.archive()
        assets = self._store.folders()
        with ThreadPoolExecutor(self.parallel) as readers:
            logs = list(readers.map(self._ours, assets))
        found = {asset: self._places(asset, log) for asset, log in zip(assets, logs, strict=True) if log}
        return {asset: places for asset, places in sorted(found.items()) if places}

    def listed(self, asset: str) -> Mapping[int | None, Path]:
        """Read the asset's log."""
        return self._places(asset, self._open(asset))

    def fetch(self, asset: str, tracts: Sequence[int | None] | None = None) -> Fetched:
        """Bring the files that count now, by one version of the log, where they have not come yet."""
        log = self._open(asset)
        listed = self._places(asset, log)
        wanted = list(listed) if tracts is None else tracts
        places = {tract: table_place(self.root, asset, tract) for tract in wanted}
        with ThreadPoolExecutor(self.parallel) as readers:
            came = list(readers.map(self._bring, places.values()))
        if any(came):
            self._evict()
        return Fetched(places, {} if log is None else {asset: log.version()})

    def bring(self, place: Path) -> Path:
        """Bring one file, by the log as it was read last."""
        if self._bring(place):
            self._evict()
        return place

    def version(self, place: Path) -> FileVersion | None:
        """Return the version by the log, as it was read last."""
        entry = self._entry(place)
        return None if entry is None else entry.version

    def address(self, place: Path) -> str:
        """Return the URL of the object that counts in a place, as it was read last, or of a kept file."""
        name, asset = self._relative(place), self._asset(place)
        entry = self._entries.get(asset, {}).get(_tract(place)) if place.suffix == ".parquet" else None
        return f"{self.name}/{name if entry is None else f'{asset}/{entry.name}'}"

    def metadata(self, place: Path) -> tuple[pq.FileMetaData, pa.Schema]:
        """Read the footer of an object alone."""
        entry, asset = self._entry(place), self._asset(place)
        if entry is None:
            raise FileNotFoundError(place)
        name = f"{asset}/{entry.name}"
        with damage_errors(place), self._missing(asset, entry):
            footer, size = self._store.tail(name, _FOOTER_BYTES)
            self._require_size(asset, entry, size)
            # A file ends with its footer, the footer's length in four bytes and four more.
            length = int.from_bytes(footer[-8:-4], "little") + 8
            if len(footer) < min(length, size):
                footer, _ = self._store.tail(name, length)
            metadata = pq.read_metadata(pa.BufferReader(footer))
            return metadata, metadata.schema.to_arrow_schema()

    def dataset(self, asset: str) -> ds.Dataset:
        """Return the rows by the log, of its own columns with the tract alone, behind them."""
        log = self._open(asset)
        if log is None:
            raise StoreError(f"the lake {self.name} holds no {asset}")
        self._places(asset, log)
        schema = pa.schema([each for each in pa.schema(log.schema().to_arrow()) if each.name not in LOG_COLUMNS])
        parquet = ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
        )
        entries = self._entries[asset]
        sizes = {entry.name: entry.size for entry in entries.values()}
        objects = PyFileSystem(DeltaStorageHandler(f"{self.name}/{asset}", LOG_OPTIONS, sizes))
        # The dataset of deltalake says four columns of each file: four times as long for ten thousand.
        fragments = [
            parquet.make_fragment(
                entry.name, objects, None if tract is None else ds.field(TRACT_KEY) == tract, file_size=entry.size
            )
            for tract, entry in entries.items()
        ]
        return ds.FileSystemDataset(fragments, schema, parquet, objects)

    def archive(self) -> ArchiveIdentity | None:
        """Read the lake's identity; where somebody removed it, a rule of the bucket say, that of its tables."""
        if self._archive is None:
            text = self._store.get(IDENTITY)
            self._archive = self._archive_of_tables() if text is None else self._identity(text)
        return self._archive

    def vacuum(self, days: int, *, dry_run: bool) -> list[str]:
        """Remove the files that no version has needed for some days, and those of no version; return their names.

        Versions of the log that are older can be opened no more.
        """
        removed: list[str] = []
        for asset in self.tables():
            log = self._open(asset)
            if log is not None:
                with self._store.errors(f"vacuum {asset}"):
                    found = log.vacuum(days * 24, dry_run=dry_run, enforce_retention_duration=False, full=True)
                removed += [f"{asset}/{name}" for name in found]
        return removed

    @cached_property
    def _store(self) -> ObjectStore:
        return ObjectStore(self.url)

    def _open(self, asset: str) -> DeltaTable | None:
        """Open an asset's log; None if there is none."""
        # It refuses a lake that this code does not understand.
        self.archive()
        log = self._log(asset)
        if log is not None and log.protocol().min_reader_version > _READER_VERSION:
            raise UnreadableLakeError(
                f"the log of {self.name}/{asset} uses features of Delta that photoz_assets does not read "
                f"({', '.join(log.protocol().reader_features or ())}): restore it to the version before them"
            )
        return log

    def _log(self, asset: str) -> DeltaTable | None:
        version = self.versions.get(asset)
        with self._store.errors(f"read the log of {asset}"):
            try:
                log = DeltaTable(f"{self.name}/{asset}", version=version, storage_options=LOG_OPTIONS)
            except TableNotFoundError:
                return None
            except DeltaError as error:
                if version is None or _NO_SUCH_VERSION not in str(error):
                    raise
                raise NoVersionError(f"the lake {self.name} has no version {version} of {asset}") from error
            if not set(LOG_COLUMNS).issubset(log.metadata().partition_columns):
                raise UnreadableLakeError(
                    f"{self.name}/{asset} is a Delta table that photoz_assets did not write: move it elsewhere"
                )
            return log

    def _ours(self, asset: str) -> DeltaTable | None:
        try:
            return self._log(asset)
        except UnreadableLakeError:
            return None

    def _places(self, asset: str, log: DeltaTable | None) -> Mapping[int | None, Path]:
        """Take note of what a log says, and return the places."""
        self._entries[asset] = {} if log is None else _entries(log)
        return {tract: table_place(self.root, asset, tract) for tract in self._entries[asset]}

    def _entry(self, place: Path) -> _Entry | None:
        asset = self._asset(place)
        if asset not in self._entries:
            self.listed(asset)
        return self._entries[asset].get(_tract(place))

    def _asset(self, place: Path) -> str:
        # Ten thousand times: as a text, which takes a tenth of the time.
        return str(place).removeprefix(f"{self.root}/").partition("/")[0]

    def _relative(self, place: Path) -> str:
        return place.relative_to(self.root).as_posix()

    def _bring(self, place: Path) -> bool:
        """See that a place of this machine has the file that counts, or none; return whether it came now."""
        entry, asset = self._entry(place), self._asset(place)
        if entry is None:
            place.unlink(missing_ok=True)
            return False
        if is_copy(place, entry.version):
            # Marked again, it is one of those that were used last.
            with suppress(FileNotFoundError):
                mark(place, entry.version[0])
                return False
        with temp_file(Lake(self.root)) as written:
            with self._missing(asset, entry):
                self._store.download(f"{asset}/{entry.name}", written)
            self._require_size(asset, entry, written.stat().st_size)
            mark(written, entry.version[0])
            make_folder(place.parent)
            put_in_place(written, place)
        return True

    def _require_size(self, asset: str, entry: _Entry, size: int) -> None:
        """Refuse an object of another size than the log says."""
        if size != entry.size:
            raise InvalidTableFileError(
                f"{self.name}/{asset}/{entry.name} has not the {entry.size:,} bytes that its log names: "
                f"materialize {asset} again"
            )

    def _evict(self) -> None:
        """Remove the copies that were not used for longest, as long as all are too large; readers keep theirs."""
        copies = []
        for pattern in ("*/*.parquet", f"*/{TRACT_KEY}=*/*.parquet"):
            for place in self.root.glob(pattern):
                # What another process removes meanwhile is gone as well.
                with suppress(FileNotFoundError):
                    facts = place.stat()
                    copies.append((facts.st_ctime, facts.st_size, place))
        excess = sum(size for _, size, _ in copies) - self.copies_bytes
        for used, size, place in sorted(copies):
            if excess <= 0 or time.time() - used < _IN_USE_SECONDS:
                break
            place.unlink(missing_ok=True)
            excess -= size

    def _claim(self, archive: ArchiveIdentity) -> None:
        """Make the lake one of an archive, if it is of none yet; refuse another."""
        require_same(self, archive)
        if self._store.version(IDENTITY) is None:
            says = json.dumps({"layout": LAYOUT, "archive": asdict(archive)}).encode()
            # Of two that come at once the first decides, once for all; a lost answer of our own looks the same.
            with suppress(AlreadyExistsError):
                self._store.put(IDENTITY, says, create=True)
        require_same(self, archive)

    def _archive_of_tables(self) -> ArchiveIdentity | None:
        """Return the archive of the first table that names one."""
        for asset in self._store.folders():
            for place in self._places(asset, self._ours(asset)).values():
                # What else is wrong with a table says who reads it.
                with suppress(InvalidTableFileError):
                    metadata, _ = self.metadata(place)
                    if (archive := provenance_in(place, metadata).archive) is not None:
                        return archive
        return None

    def _identity(self, text: bytes) -> ArchiveIdentity:
        try:
            facts = json.loads(text)
            layout = int(facts["layout"])
            archive = ArchiveIdentity(**facts["archive"]) if layout <= LAYOUT else None
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableLakeError(
                f"{self.name}/{IDENTITY} is not what photoz_assets wrote: set PHOTOZ_DATA_DIR to another prefix"
            ) from error
        if archive is None:
            raise UnreadableLakeError(
                f"{self.name} was written by a newer photoz_assets: update this one, or set PHOTOZ_DATA_DIR to "
                "another prefix"
            )
        return archive

    def _commit(self, contract: Contract, provenance: Provenance, entry: _Entry) -> None:
        """Have the log say that a file counts, in the place of what counted for its tract."""
        asset, tract = contract.table, provenance.tract
        selection = None if provenance.selection is None else json.dumps(asdict(provenance.selection))
        values = {"selection": selection, "code_version": provenance.code_version, "created": provenance.created}
        rows = json.dumps({"numRecords": provenance.rows_stored})
        where = values if tract is None else {TRACT_KEY: str(tract), **values}
        action = AddAction(entry.name, entry.size, where, entry.modified_ms, True, rows)  # noqa: FBT003 - its place
        # One after the other: who would lose a race has to read the log again. The lock spares that, no more.
        lock = self.locks.acquire(f"commit-{asset}", provenance.run_id or asset, wait=True)
        try:
            self._commit_at_last(contract, action, tract, entry)
        except StoreError:
            # It may have come into the log all the same, and the answer was lost.
            if not self._landed(asset, tract, entry):
                raise
        finally:
            if lock is not None:
                lock.release()
        self._entries[asset] = {**self._entries.get(asset, {}), tract: entry}

    def _commit_at_last(self, contract: Contract, action: AddAction, tract: int | None, entry: _Entry) -> None:
        """Commit as often as others are faster."""
        asset = contract.table
        until = time.monotonic() + _COMMIT_SECONDS
        # Another was faster, or it was our own, whose answer was lost: the log tells.
        while not (self._committed(contract, action, tract) or self._landed(asset, tract, entry)):
            if time.monotonic() > until:
                raise StoreError(
                    f"{asset} was not published: for {_COMMIT_SECONDS:.0f} s others have committed to "
                    f"{self.name}/{asset}. Run it again"
                )
            time.sleep(random.uniform(0, 0.3))  # noqa: S311 - no secret hangs on it

    def _landed(self, asset: str, tract: int | None, entry: _Entry) -> bool:
        self.listed(asset)
        return self._entries[asset].get(tract) == entry

    def _committed(self, contract: Contract, action: AddAction, tract: int | None) -> bool:
        """Try to commit; return whether nobody was faster."""
        asset = contract.table
        log = self._open(asset)
        columns = [TRACT_KEY, *LOG_COLUMNS] if tract is not None else [*LOG_COLUMNS]
        # Others would be told of changes that do not concern them; what does is for us to look at.
        once = CommitProperties(max_commit_retries=0)
        with self._store.errors(f"commit {asset}"):
            try:
                if log is None:
                    with _first_commit():
                        create_table_with_add_actions(
                            f"{self.name}/{asset}",
                            log_schema(contract.schema, columns),
                            [action],
                            partition_by=columns,
                            storage_options=LOG_OPTIONS,
                            commit_properties=once,
                        )
                else:
                    kept = pa.schema([]) if tract is None else pa.schema(log.schema().to_arrow())
                    log.create_write_transaction(
                        [action],
                        "overwrite",
                        log_schema(contract.schema, columns, kept),
                        partition_by=columns,
                        partition_filters=None if tract is None else [(TRACT_KEY, "=", str(tract))],
                        commit_properties=once,
                    )
            except CommitFailedError:
                return False
        return True

    @contextmanager
    def _missing(self, asset: str, entry: _Entry) -> Iterator[None]:
        """Say of an object that it is not there though its log names it."""
        try:
            yield
        except FileNotFoundError as error:
            raise InvalidTableFileError(
                f"{self.name}/{asset}/{entry.name} is named by its log but is not there: materialize {asset} again"
            ) from error


def _tract(place: Path) -> int | None:
    key, _, tract = place.parent.name.partition("=")
    return int(tract) if key == TRACT_KEY else None


def _entries(log: DeltaTable) -> _Entries:
    """Return what a version of a log says: the file that counts of each tract, ascending."""
    actions = pa.table(log.get_add_actions(flatten=True)).to_pydict()
    tracts = actions.get(f"partition.{TRACT_KEY}") or [None] * len(actions["path"])
    facts = zip(tracts, actions["path"], actions["size_bytes"], actions["modification_time"], strict=True)
    entries = {
        tract: _Entry(name=unquote(name), size=size, modified_ms=modified) for tract, name, size, modified in facts
    }
    return dict(sorted(entries.items(), key=lambda each: -1 if each[0] is None else each[0]))


def log_schema(columns: pa.Schema, partitions: Sequence[str], former: pa.Schema | None = None) -> Schema:
    """Return the columns of a log: a table's, those that older files of it have besides, its own."""
    fields = {each.name: each for each in (former or ()) if each.name not in {*partitions, *columns.names}}
    fields = {each.name: each for each in columns} | fields
    return Schema.from_arrow(
        pa.schema(
            [
                *(each.remove_metadata() for each in fields.values()),
                *(pa.field(name, pa.int64() if name == TRACT_KEY else pa.string()) for name in partitions),
            ]
        )
    )


@contextmanager
def _first_commit() -> Iterator[None]:
    """Tell that another has made the log meanwhile as any other lost race."""
    try:
        yield
    except CommitFailedError:
        raise
    except DeltaError as error:
        if "already exists" not in str(error):
            raise
        raise CommitFailedError(str(error)) from error
