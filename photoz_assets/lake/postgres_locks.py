"""Locks that hold across machines: advisory locks of a Postgres database that all of them reach.

They live as long as the session that took them, as ``flock`` lives as long as its process: a killed process frees
them at once, and a machine that was cut off when the server has missed its answers, some 11 seconds later.
(Linux by itself would wait for two hours.) Who was cut off may go on for as long without knowing it, so that these
locks bound work; no data may hang on them alone. The driver, ``psycopg2``, comes with
``dagster-postgres``.
"""

import hashlib
import importlib
import os
import random
import re
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from photoz_assets.errors import PhotozError

_CONNECT_SECONDS: Final = 10
# Silence, in seconds, after which a side asks for a sign of life; how often, and how many may stay unanswered.
_KEEPALIVES: Final = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
_UNANSWERED_MS: Final = 11_000
_POLL_SECONDS: Final = 0.1
# SQLAlchemy's URLs name the driver, which Postgres's own do not know.
_DRIVER: Final = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
_HOLDERS: Final = """SELECT DISTINCT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint, objid::bigint) IN %s ORDER BY application_name"""


class LockDatabaseError(PhotozError):
    """The database of the locks cannot be reached, or not in a way that keeps locks."""


class PostgresLocks:
    """The locks of one lake, taken in one session.

    The session is opened when it is needed. If it breaks, its locks are free, and the next is taken in a new one.
    """

    def __init__(self, url: str, lake: str) -> None:
        """Take locks in the database at a URL, for the lake with an identity (``lake_identity``)."""
        self._url = _DRIVER.sub("postgresql://", url)
        self.lake = lake
        self._session: Any = None
        self._held: set[str] = set()
        self._guard = threading.RLock()

    def acquire(self, name: str, holder: str, *, wait: bool = False) -> "PostgresLock | None":
        """Take a lock; return None if another holds it, in this process or elsewhere, and ``wait`` is false.

        Raises
        ------
        LockDatabaseError
            The database cannot be reached, or only through a pooler.
        """
        while (lock := self._attempt(name, holder)) is None and wait:
            # Jitter keeps waiting processes from asking in step.
            time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret hangs on it
        return lock

    def holders(self, names: Sequence[str]) -> list[str]:
        """Return who holds some locks now, each with its machine; raises as ``acquire``."""
        keys = tuple(tuple(key % 2**32 for key in self._keys(name)) for name in names)
        return [str(name) for (name,) in self.ask(_HOLDERS, (keys,))]

    def close(self) -> None:
        """End the session, and with it all that it holds."""
        with self._guard:
            if self._session is not None:
                self._session.close()
            self._session = None
            self._held.clear()

    def _attempt(self, name: str, holder: str) -> "PostgresLock | None":
        with self._guard:
            # Postgres gives a session its own lock again.
            if name in self._held:
                return None
            [(taken,)] = self.ask("SELECT pg_try_advisory_lock(%s, %s)", self._keys(name))
            if not taken:
                return None
            self._held.add(name)
            self.ask("SELECT set_config('application_name', %s, false)", (_on_this_machine(holder),))
            return PostgresLock(self, name, self._session)

    def release(self, name: str, session: Any) -> None:
        """Give back a lock that was taken in a session; one of a session that has ended is free already."""
        with self._guard:
            if session is self._session and name in self._held:
                self._held.discard(name)
                with suppress(LockDatabaseError):
                    self.ask("SELECT pg_advisory_unlock(%s, %s)", self._keys(name))

    def ask(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the answer to a statement; in a new session where the former has broken.

        Raises
        ------
        LockDatabaseError
            The database cannot be reached, or only through a pooler, or refuses the statement.
        """
        driver: Any = importlib.import_module("psycopg2")
        with self._guard:
            if self._session is not None:
                try:
                    return _answer(self._session, sql, values)
                except driver.Error:
                    self.close()
            try:
                self._session = self._connected(driver)
                return _answer(self._session, sql, values)
            except driver.ProgrammingError as error:
                raise LockDatabaseError(
                    f"the database {self._place(driver)} refuses what the lake keeps there "
                    f"({_first_line(error)}). Let its account make and change tables, and run again"
                ) from None
            except driver.Error as error:
                self.close()
                raise LockDatabaseError(
                    f"the lake's locks cannot be taken: the database {self._place(driver)} does not answer "
                    f"({_first_line(error)}). Start it, or let this machine reach it, and run again"
                ) from None

    def _keys(self, name: str) -> tuple[int, int]:
        return _hash(self.lake), _hash(name)

    def _connected(self, driver: Any) -> Any:
        session = driver.connect(
            self._url,
            connect_timeout=_CONNECT_SECONDS,
            keepalives=1,
            tcp_user_timeout=_UNANSWERED_MS,
            **_KEEPALIVES,
        )
        session.autocommit = True
        # A pooler answers for the server with a number of its own.
        [(server,)] = _answer(session, "SELECT pg_backend_pid()", ())
        if server != session.get_backend_pid():
            session.close()
            raise LockDatabaseError(
                f"the database {self._place(driver)} is behind a pooler (PgBouncer, say), which gives a session's "
                "locks to others: name the server itself in Dagster's storage"
            )
        # The server is the one that has to notice a machine that was cut off.
        for name, value in {**_KEEPALIVES, "user_timeout": _UNANSWERED_MS}.items():
            _answer(session, "SELECT set_config(%s, %s, false)", (f"tcp_{name}", str(value)))
        return session

    def _place(self, driver: Any) -> str:
        """Return where the database is, without the password."""
        parts = driver.extensions.parse_dsn(self._url)
        return f"{parts.get('dbname', '')} at {parts.get('host', 'localhost')}:{parts.get('port', '5432')}"


class PostgresLock:
    """A lock that is held until it is released or its session ends."""

    def __init__(self, locks: PostgresLocks, name: str, session: Any) -> None:
        self._locks = locks
        self._name = name
        self._session = session

    def release(self) -> None:
        """Release it; a second call does nothing."""
        self._locks.release(self._name, self._session)


def lake_identity(work: Path) -> str:
    """Return the identity of the lake with a work folder, made with the first call.

    It lies with the lake, since machines may have one lake in different places, and other lakes in the same.

    Raises
    ------
    OSError
        It cannot be read or made.
    """
    path = work / "identity"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        written = work / f"{uuid.uuid4().hex}.identity"
        written.write_text(uuid.uuid4().hex)
        # Of two that make it at once, the first counts.
        with suppress(FileExistsError):
            os.link(written, path)
        written.unlink()
    return path.read_text()


def _hash(text: str) -> int:
    """Return a number of the 32 bits, with a sign, that Postgres has for half the key of a lock."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big", signed=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _on_this_machine(holder: str) -> str:
    # Postgres keeps 63 bytes: the machine and the run come first.
    return f"{socket.gethostname().partition('.')[0]}: {holder}"


def _answer(session: Any, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with session.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []
