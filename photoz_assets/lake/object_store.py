"""An object store as a lake needs it: whole objects by their names, and errors in lines that say what to do."""

import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import obstore
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore as Client

from photoz_assets.environment import StoreUrl
from photoz_assets.lake.kept_files import FileVersion, file_version
from photoz_assets.lake.publishing import StoreError
from photoz_assets.text import one_line

if TYPE_CHECKING:
    from obstore import ObjectMeta

# A whole tract at 1 MB/s takes minutes; who does not answer at all is given up sooner.
_REQUEST: Final = timedelta(minutes=10)
_CONNECT: Final = timedelta(seconds=10)
_RETRIES: Final = 5
_RETRY: Final = timedelta(seconds=60)
_CHUNK_BYTES: Final = 1 << 20
_SECOND_NS: Final = 1_000_000_000
# The same for the client of the logs.
LOG_OPTIONS: Final = {
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
    "Json error": "the last entry in its _delta_log is damaged. Move it elsewhere: the one before it counts then",
    "": "see to AWS_ENDPOINT_URL, AWS_REGION and the network, and run again",
}


@dataclass(frozen=True)
class ObjectStore:
    """The objects below a URL; names are relative to it."""

    url: StoreUrl

    def get(self, name: str) -> bytes | None:
        """Return a small object; None if there is none."""
        with self.errors(f"GET {name}"):
            try:
                return bytes(obstore.get(self._client, name).bytes())
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error):
                    raise
                return None

    def put(self, name: str, content: Path | bytes, *, create: bool = False) -> str:
        """Write an object, whole or not at all; return its tag.

        Raises
        ------
        AlreadyExistsError
            It is there, and ``create`` was asked for.
        """
        with self.errors(f"PUT {name}"):
            done = obstore.put(
                self._client, name, content, use_multipart=False, mode="create" if create else "overwrite"
            )
        return str(done["e_tag"])

    def download(self, name: str, file: Path) -> None:
        """Fill a file with an object.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        """
        with self.errors(f"GET {name}"), file.open("wb") as sink:
            for chunk in obstore.get(self._client, name).stream(_CHUNK_BYTES):
                sink.write(chunk)

    def tail(self, name: str, count: int) -> tuple[bytes, int]:
        """Return the last bytes of an object, and how many it has.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        """
        with self.errors(f"GET {name}"):
            found = obstore.get(self._client, name, options={"range": {"suffix": count}})
            return bytes(found.bytes()), int(found.meta["size"])

    def version(self, name: str) -> FileVersion | None:
        """Return the version of an object; None if there is none."""
        with self.errors(f"HEAD {name}"):
            try:
                return _version(obstore.head(self._client, name))
            except FileNotFoundError:
                return None

    def listed(self, folder: str) -> Mapping[str, FileVersion]:
        """Return the objects below a folder, by their names, ascending."""
        with self.errors("list"):
            pages = list(obstore.list(self._client, f"{folder}/"))
        return dict(sorted((str(each["path"]), _version(each)) for page in pages for each in page))

    def folders(self) -> list[str]:
        """List the folders at the top."""
        with self.errors("list"):
            prefixes = obstore.list_with_delimiter(self._client)["common_prefixes"]
        return [name for prefix in prefixes if not (name := PurePosixPath(prefix).name).startswith(".")]

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; what is not there is removed already."""
        with self.errors("DELETE"):
            obstore.delete(self._client, names)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn what the store answers, or a log's client, into an error that says what to do.

        What is missing or there already, and a commit that lost a race, stays as it is.

        Raises
        ------
        StoreError
            The store does not do it.
        """
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
        return StoreError(f"the lake {self.url} failed at {what}: {advice} ({_reason(text)})")

    @cached_property
    def _client(self) -> Client:
        with self.errors("open"):
            return obstore.store.from_url(
                str(self.url),
                # With options of our own, the client does not look for this one.
                client_options={
                    "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"},
                    "timeout": _REQUEST,
                    "connect_timeout": _CONNECT,
                },
                retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY},
            )


def mark_of(text: str) -> int:
    """Return a number for a name or a tag by which versions of an object are told apart."""
    return zlib.crc32(text.encode())


def mark(copy: Path, number: int) -> None:
    """Have a copy on this machine say of which version it is, where every disk keeps it: behind the second."""
    written_ns = time.time_ns() // _SECOND_NS * _SECOND_NS + number % _SECOND_NS
    os.utime(copy, ns=(written_ns, written_ns))


def is_copy(file: Path, version: FileVersion) -> bool:
    """Return whether what lies in a place of this machine is a marked copy of a version."""
    found = file_version(file)
    return found is not None and (found[1], found[2] % _SECOND_NS) == (version[1], version[0] % _SECOND_NS)


def _version(facts: "ObjectMeta") -> FileVersion:
    written_ns = int(facts["last_modified"].timestamp() * _SECOND_NS)
    return mark_of(str(facts["e_tag"])), int(facts["size"]), written_ns


def _reason(text: str) -> str:
    """Return the store's own word for an error, or the first line of the client's."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else one_line(text, 120)
