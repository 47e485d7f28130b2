"""A lake in an object store: each published file keeps a name of its own, and a log says which one counts.

An object that is written again while it is read gives old rows with new ones, and no error. So nothing is ever
written over: a file is PUT once, whole, under a name that no other has, and the commit of a Delta log, one for
each asset, puts it in the place of the former. Readers of a version of the log see that version.

The log's partition columns are a table's tract, selection, code version and time of making. The archive that the
lake is of stands in ``lake.json``, which the first publication makes and nobody changes. Figures, exports and
lists are single objects of which the newest counts.

On this machine a folder follows the store: what is read or published lies there as in a lake of one machine. A
copy's time of writing says which object it is of. The folder may be deleted while nothing runs.
"""

import json
import os
import random
import re
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

import obstore
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, create_table_with_add_actions
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store
from pyarrow.fs import PyFileSystem

from photoz_assets.environment import StoreUrl
from photoz_assets.lake.durable import make_folder, put_in_place
from photoz_assets.lake.folder_publisher import file_version
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import locked
from photoz_assets.lake.provenance import ArchiveIdentity, InvalidTableFileError, Provenance, damage_errors
from photoz_assets.lake.publishing import (
    LOG_COLUMNS,
    TRACT_KEY,
    FileVersion,
    StoreError,
    UnreadableLakeError,
    require_same,
    table_place,
)
from photoz_assets.lake.staging import temp_file
from photoz_assets.survey.table import Contract
from photoz_assets.text import one_line

IDENTITY: Final = "lake.json"
# Raised when what lies in a store is no longer understood by those who wrote it before.
LAYOUT: Final = 1

# A whole tract at 1 MB/s takes minutes; who does not answer at all is given up sooner.
_REQUEST: Final = timedelta(minutes=10)
_CONNECT: Final = timedelta(seconds=10)
_RETRIES: Final = 5
_RETRY: Final = timedelta(seconds=60)
# Twelve machines that publish all the time have waited for 88 s at most.
_COMMIT_SECONDS: Final = 600.0
_CHUNK_BYTES: Final = 1 << 20
# The same for the log's client.
_OPTIONS: Final = {
    "timeout": f"{_REQUEST.seconds}s",
    "connect_timeout": f"{_CONNECT.seconds}s",
    "max_retries": str(_RETRIES),
    "retry_timeout": f"{_RETRY.seconds}s",
}


_NO_BUCKET: Final = "NoSuchBucket"
# What a store's answer says, and what to do about it; the first that is found counts.
_ADVICE: Final = {
    _NO_BUCKET: "there is no such bucket. Make it, or name another in PHOTOZ_DATA_DIR",
    "SignatureDoesNotMatch": "the secret is not the key's. Set AWS_SECRET_ACCESS_KEY",
    "InvalidAccessKeyId": "there is no such key. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "the clocks differ. Set this machine's",
    "AccessDenied": "the key may not do this. Let it list, read and write below this URL, or set another",
    "SlowDown": "it is asked too often. Run again later",
    "403 Forbidden": "the key is refused. See to AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do",
    "": "see to AWS_ENDPOINT_URL, AWS_REGION and the network, and run again",
}


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A file that counts, by its asset's log: its name there, bytes, and ms of its publication."""

    name: str
    size: int
    modified_ms: int

    @property
    def version(self) -> FileVersion:
        """What tells it from the file that it replaced, also on a disk that keeps sizes and times alone."""
        mark = zlib.crc32(self.name.encode())
        return mark, self.size, self.modified_ms * 1_000_000 + mark % 1_000_000


_Entries = Mapping[int | None, _Entry]


@dataclass
class DeltaPublisher:
    """Publishes to an object store; ``root`` is the folder of this machine that follows it."""

    url: StoreUrl
    root: Path
    lock: Path
    parallel: int = 16
    _entries: dict[str, _Entries] = field(default_factory=dict, repr=False)
    _archive: ArchiveIdentity | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The URL."""
        return str(self.url)

    def publish(self, staged: Path, contract: Contract, provenance: Provenance) -> Path:
        """PUT a staged file under a name of its own and commit it; it becomes this machine's copy."""
        asset, tract = contract.table, provenance.tract
        if provenance.archive is not None:
            self._claim(provenance.archive)
        folder = "" if tract is None else f"{TRACT_KEY}={tract:d}/"
        entry = _Entry(
            name=f"{folder}{asset}-{uuid.uuid4().hex}.parquet",
            size=staged.stat().st_size,
            modified_ms=time.time_ns() // 1_000_000,
        )
        with self._errors(f"PUT {entry.name}"):
            obstore.put(self._store, f"{asset}/{entry.name}", staged, use_multipart=False)
        self._commit(contract, provenance, entry)
        place = table_place(self.root, asset, tract)
        make_folder(place.parent)
        _mark(staged, entry)
        put_in_place(staged, place)
        return place

    def tables(self) -> dict[str, Mapping[int | None, Path]]:
        """Read the log of each asset; folders without one of ours are none of the lake's."""
        with self._errors("list"):
            prefixes = obstore.list_with_delimiter(self._store)["common_prefixes"]
        assets = [name for prefix in prefixes if not (name := PurePosixPath(prefix).name).startswith(".")]
        with ThreadPoolExecutor(self.parallel) as readers:
            logs = list(readers.map(self._ours, assets))
        found = {asset: self._places(asset, log) for asset, log in zip(assets, logs, strict=True) if log}
        return {asset: places for asset, places in sorted(found.items()) if places}

    def listed(self, asset: str) -> Mapping[int | None, Path]:
        """Read the asset's log."""
        return self._places(asset, self._open(asset))

    def fetch(self, asset: str, tracts: Sequence[int | None]) -> list[Path]:
        """Bring the files that count now to this machine, where they have not come yet."""
        self.listed(asset)
        entries = self._entries[asset]
        wanted = [(entries.get(tract), table_place(self.root, asset, tract)) for tract in tracts]
        with ThreadPoolExecutor(self.parallel) as readers:
            list(readers.map(lambda each: self._bring(asset, *each), wanted))
        return [place for _, place in wanted]

    def version(self, place: Path) -> FileVersion | None:
        """Return the version by the log, as it was read last."""
        entry = self._entry(place)
        return None if entry is None else entry.version

    def metadata(self, place: Path) -> tuple[pq.FileMetaData, pa.Schema]:
        """Read the footer of an object alone."""
        entry, asset = self._entry(place), self._asset(place)
        if entry is None:
            raise FileNotFoundError(place)
        with damage_errors(place), self._missing(asset, entry), self._errors(f"GET {entry.name}"):
            metadata = pq.read_metadata(f"{asset}/{entry.name}", filesystem=self._objects)
            return metadata, metadata.schema.to_arrow_schema()

    def dataset(self, asset: str, version: int | None = None) -> ds.Dataset:
        """Return the rows by the log, with its partition columns behind them."""
        log = self._open(asset, version)
        if log is None:
            raise StoreError(f"the lake {self.name} holds no {asset}")
        return log.to_pyarrow_dataset()

    def archive(self) -> ArchiveIdentity | None:
        """Read the lake's identity."""
        if self._archive is None:
            text = self._get(IDENTITY)
            self._archive = None if text is None else self._identity(text)
        return self._archive

    def keep(self, file: Path) -> None:
        """PUT a file under its own name, over a former one: it is read whole."""
        name = self._key(file)
        if not name.startswith("."):
            with self._errors(f"PUT {name}"):
                obstore.put(self._store, name, file, use_multipart=False)

    def recall(self, file: Path) -> Path:
        """Get a kept file, whole."""
        content = self._get(self._key(file))
        if content is None:
            file.unlink(missing_ok=True)
        else:
            with temp_file(Lake(self.root)) as written:
                written.write_bytes(content)
                make_folder(file.parent)
                put_in_place(written, file)
        return file

    def kept(self, folder: Path, pattern: str) -> list[Path]:
        """List a part of the store."""
        with self._errors("list"):
            pages = list(obstore.list(self._store, f"{self._key(folder)}/"))
        names = (str(each["path"]) for page in pages for each in page)
        return sorted(self.root / name for name in names if PurePosixPath(name).match(pattern))

    def vacuum(self, days: int, *, dry_run: bool) -> list[str]:
        """Remove the files that no version has needed for some days, and those of no version; return their names.

        Versions of the log that are older can be opened no more.
        """
        removed: list[str] = []
        for asset in self.tables():
            log = self._open(asset)
            if log is not None:
                with self._errors(f"vacuum {asset}"):
                    found = log.vacuum(days * 24, dry_run=dry_run, enforce_retention_duration=False, full=True)
                removed += [f"{asset}/{name}" for name in found]
        return removed

    @cached_property
    def _store(self) -> S3Store:
        with self._errors("open"):
            return S3Store(
                self.url.bucket,
                prefix=self.url.prefix or None,
                # With options of our own, the client does not look for this one.
                client_options={
                    "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"},
                    "timeout": _REQUEST,
                    "connect_timeout": _CONNECT,
                },
                retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY},
            )

    @cached_property
    def _objects(self) -> PyFileSystem:
        """The store as a file system to read from."""
        return PyFileSystem(DeltaStorageHandler(self.name, _OPTIONS))

    def _open(self, asset: str, version: int | None = None) -> DeltaTable | None:
        """Open an asset's log; None if there is none."""
        with self._errors(f"read the log of {asset}"):
            try:
                log = DeltaTable(f"{self.name}/{asset}", version=version, storage_options=_OPTIONS)
            except TableNotFoundError:
                return None
            if not set(LOG_COLUMNS).issubset(log.metadata().partition_columns):
                raise UnreadableLakeError(
                    f"{self.name}/{asset} is a Delta table that photoz_assets did not write: move it elsewhere"
                )
            return log

    def _ours(self, asset: str) -> DeltaTable | None:
        try:
            return self._open(asset)
        except UnreadableLakeError:
            return None

    def _places(self, asset: str, log: DeltaTable | None) -> Mapping[int | None, Path]:
        """Take note of what a log says, and return the places."""
        self._entries[asset] = {} if log is None else _entries(log)
        return {tract: table_place(self.root, asset, tract) for tract in self._entries[asset]}

    def _entry(self, place: Path) -> _Entry | None:
        asset, folder = self._asset(place), place.parent.name
        if asset not in self._entries:
            self.listed(asset)
        tract = int(folder.removeprefix(f"{TRACT_KEY}=")) if folder.startswith(f"{TRACT_KEY}=") else None
        return self._entries[asset].get(tract)

    def _asset(self, place: Path) -> str:
        return place.relative_to(self.root).parts[0]

    def _key(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def _get(self, name: str) -> bytes | None:
        """Return a small object; None if there is none."""
        with self._errors(f"GET {name}"):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error):
                    raise
                return None

    def _bring(self, asset: str, entry: _Entry | None, place: Path) -> None:
        """See that a place of this machine has the file that counts, or none."""
        if entry is None:
            place.unlink(missing_ok=True)
            return
        there = file_version(place)
        if there is not None and there[1:] == entry.version[1:]:
            return
        with temp_file(Lake(self.root)) as written:
            with self._missing(asset, entry), self._errors(f"GET {entry.name}"), written.open("wb") as sink:
                for chunk in obstore.get(self._store, f"{asset}/{entry.name}").stream(_CHUNK_BYTES):
                    sink.write(chunk)
            if written.stat().st_size != entry.size:
                raise InvalidTableFileError(
                    f"{self.name}/{asset}/{entry.name} has not the {entry.size:,} bytes that its log names: "
                    f"materialize {asset} again"
                )
            _mark(written, entry)
            make_folder(place.parent)
            put_in_place(written, place)

    def _claim(self, archive: ArchiveIdentity) -> None:
        """Make the lake one of an archive, if it is of none yet; refuse another."""
        if self.archive() is None:
            says = json.dumps({"layout": LAYOUT, "archive": asdict(archive)}).encode()
            # Of two that come at once the first decides, once for all; a lost answer of our own looks the same.
            with self._errors(f"PUT {IDENTITY}"), suppress(AlreadyExistsError):
                obstore.put(self._store, IDENTITY, says, mode="create")
        require_same(self, archive)

    def _identity(self, text: bytes) -> ArchiveIdentity:
        try:
            facts = json.loads(text)
            layout, archive = int(facts["layout"]), ArchiveIdentity(**facts["archive"])
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableLakeError(
                f"{self.name}/{IDENTITY} is not what photoz_assets wrote: set PHOTOZ_DATA_DIR to another prefix"
            ) from error
        if layout > LAYOUT:
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
        until = time.monotonic() + _COMMIT_SECONDS
        # In this machine one after the other: who would lose a race with another has to read the log again.
        with locked(self.lock):
            while not self._landed(asset, tract, entry):
                try:
                    self._try_commit(contract, action, tract)
                except CommitFailedError:
                    # Another machine was faster, or our own answer was lost: the log tells.
                    if time.monotonic() > until:
                        raise StoreError(
                            f"{asset} was not published: for {_COMMIT_SECONDS:.0f} s others have committed to "
                            f"{self.name}/{asset}. Run it again"
                        ) from None
                    time.sleep(random.uniform(0, 0.3))  # noqa: S311 - no secret hangs on it

    def _landed(self, asset: str, tract: int | None, entry: _Entry) -> bool:
        self.listed(asset)
        return self._entries[asset].get(tract) == entry

    def _try_commit(self, contract: Contract, action: AddAction, tract: int | None) -> None:
        asset = contract.table
        log = self._open(asset)
        columns = [TRACT_KEY, *LOG_COLUMNS] if tract is not None else [*LOG_COLUMNS]
        # Others would be told of changes that do not concern them; what does is for us to look at.
        once = CommitProperties(max_commit_retries=0)
        with self._errors(f"commit {asset}"):
            if log is None:
                with _first_commit():
                    create_table_with_add_actions(
                        f"{self.name}/{asset}",
                        _log_schema(contract.schema, columns),
                        [action],
                        partition_by=columns,
                        storage_options=_OPTIONS,
                        commit_properties=once,
                    )
            else:
                kept = pa.schema([]) if tract is None else pa.schema(log.schema().to_arrow())
                log.create_write_transaction(
                    [action],
                    "overwrite",
                    _log_schema(contract.schema, columns, kept),
                    partition_by=columns,
                    partition_filters=None if tract is None else [(TRACT_KEY, "=", str(tract))],
                    commit_properties=once,
                )

    @contextmanager
    def _missing(self, asset: str, entry: _Entry) -> Iterator[None]:
        """Say of an object that it is not there though its log names it."""
        try:
            yield
        except FileNotFoundError as error:
            raise InvalidTableFileError(
                f"{self.name}/{asset}/{entry.name} is named by its log but is not there: materialize {asset} again"
            ) from error

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn what the store answers into an error that says what to do; what is missing stays as it is."""
        try:
            yield
        except (CommitFailedError, TableNotFoundError, AlreadyExistsError):
            raise
        except FileNotFoundError as error:
            if _NO_BUCKET not in str(error):
                raise
            raise self._failure(what, error) from error
        except (BaseError, DeltaError, OSError) as error:
            raise self._failure(what, error) from error

    def _failure(self, what: str, error: Exception) -> StoreError:
        text = str(error)
        advice = next((advice for sign, advice in _ADVICE.items() if sign in text), _ADVICE[""])
        return StoreError(f"the lake {self.name} failed at {what}: {advice} ({_reason(text)})")


def _entries(log: DeltaTable) -> _Entries:
    """Return what a version of a log says: the file that counts of each tract, ascending."""
    actions = pa.table(log.get_add_actions(flatten=True)).to_pydict()
    tracts = actions.get(f"partition.{TRACT_KEY}") or [None] * len(actions["path"])
    facts = zip(tracts, actions["path"], actions["size_bytes"], actions["modification_time"], strict=True)
    entries = {
        tract: _Entry(name=unquote(name), size=size, modified_ms=modified) for tract, name, size, modified in facts
    }
    return dict(sorted(entries.items(), key=lambda each: -1 if each[0] is None else each[0]))


def _log_schema(columns: pa.Schema, partitions: Sequence[str], former: pa.Schema | None = None) -> Schema:
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


def _mark(file: Path, entry: _Entry) -> None:
    """Have a copy's time of writing say which object it is of."""
    written_ns = entry.version[2]
    os.utime(file, ns=(written_ns, written_ns))


def _reason(text: str) -> str:
    """Return the store's own word for an error, or the first line of the client's."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else one_line(text, 120)
