"""Dagster's instance, set up in its folder at first use.

Its databases are set up by whoever opens them first, which is for one process at a time: two that start together
on an empty folder would both make the same tables.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from photoz_assets.environment import checkout_root
from photoz_assets.errors import PhotozError
from photoz_assets.lake.locks import FileLock
from photoz_assets.text import one_line

if TYPE_CHECKING:
    import dagster as dg

# Most set-ups take less; of those that take longer, whoever waits is told.
_PATIENCE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
# Dagster's own transactions take a fraction of one.
_LOCKED_SECONDS: Final = 10.0
_DATABASES: Final = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


class InstanceError(PhotozError):
    """A database of Dagster's cannot be used; the text names it and says what to do."""


@contextmanager
def setting_up(home: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Lay an instance's folder out, and keep other processes from doing so for the time of a block.

    Whoever opens the instance for what may be the first time does it in this block.

    Parameters
    ----------
    home
        The folder, which is there.
    log
        Is told for whom this waits, if it takes more than a moment.

    Raises
    ------
    InstanceError
        Another program keeps a database locked; Dagster would wait for it without a word and without end.
    """
    lock = _lock(home, log)
    try:
        # Where even that finds no room, what follows says so better.
        with suppress(OSError):
            lock.write(f"process {os.getpid()}")
        settings = checkout_root() / "deploy" / "dagster.yaml"
        if settings.is_file():
            _lay_down(settings.read_bytes(), home / "dagster.yaml")
        _refuse_locked(home)
        yield
    finally:
        lock.release()


def _lay_down(content: bytes, path: Path) -> None:
    """Write a file that is there once it is whole, unless there is one that says something.

    Raises
    ------
    OSError
        The disk is full or fails; the error names the file.
    """
    if path.exists() and path.stat().st_size:
        return
    written = path.with_name(f".{path.name}.new")
    try:
        with written.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _lock(home: Path, log: Callable[[str], None]) -> FileLock:
    """Return the lock on the setting up of a folder, waiting for whoever holds it."""
    path = home / ".setting-up"
    reported_at = time.monotonic() + _PATIENCE_SECONDS
    reported = False
    while (lock := FileLock.acquire(path)) is None:
        if not reported and time.monotonic() > reported_at:
            reported = True
            log(
                f"Waiting for {path.read_text() or 'another process'}, which is setting up {home}: a `photoz ui` "
                "that starts does so until its page answers."
            )
        time.sleep(_POLL_SECONDS)
    return lock


@contextmanager
def open_instance(home: Path, log: Callable[[str], None]) -> Iterator["dg.DagsterInstance"]:
    """Open the instance of ``DAGSTER_HOME``, which is this folder; ``log`` as in ``setting_up``.

    Raises
    ------
    InstanceError
        A database is locked, or cannot be used; the disk is full, say. Or what ``dagster.yaml`` says makes none.
    """
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415 - `photoz --help` answers at once without it

    try:
        with setting_up(home, log):
            instance = _made(home)
        with instance:
            yield instance
    except OperationalError as error:
        _refuse_locked(home)
        raise InstanceError(
            f"Dagster's databases in {home} cannot be used ({error.orig}): free some space there, see to whose "
            "they are, or set DAGSTER_HOME to another folder"
        ) from error


def _made(home: Path) -> "dg.DagsterInstance":
    """Make the instance that a folder's settings describe."""
    import dagster as dg  # noqa: PLC0415 - as above
    from dagster_shared.check import CheckError  # noqa: PLC0415 - as above
    from yaml import YAMLError  # noqa: PLC0415 - as above

    try:
        return dg.DagsterInstance.get()
    except (YAMLError, dg.DagsterError, CheckError, *_storage_errors()) as error:
        raise InstanceError(
            f"Dagster's instance cannot be opened ({one_line(str(error), 200)}): see to {home / 'dagster.yaml'} "
            "and to the database that it names, or set DAGSTER_HOME to another folder"
        ) from error


def _storage_errors() -> list[type[Exception]]:
    """Return what Dagster's storage on Postgres raises of a database that it cannot reach, where it was loaded."""
    module = sys.modules.get("dagster_postgres.utils")
    return [] if module is None else [module.DagsterPostgresException]


def _refuse_locked(home: Path) -> None:
    """See that Dagster's databases, as far as they are there, can be written in."""
    for path in filter(Path.exists, map(home.joinpath, _DATABASES)):
        try:
            with closing(sqlite3.connect(path, timeout=_LOCKED_SECONDS)) as connection:
                connection.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            raise InstanceError(
                f"Dagster's database {path} cannot be written ({error}): end the program that holds it, see to "
                "whose it is, or set DAGSTER_HOME to another folder"
            ) from error
