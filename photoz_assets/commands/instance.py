"""Dagster's instance, set up in its folder at first use.

Its databases are set up by whoever opens them first, which is for one process at a time: two that start together
on an empty folder would both make the same tables.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from photoz_assets import environment
from photoz_assets.lake.locks import FileLock

if TYPE_CHECKING:
    import dagster as dg

# Most set-ups take less; of those that take longer, whoever waits is told.
_PATIENCE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1


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
    """
    lock = _lock(home, log)
    try:
        lock.write(f"process {os.getpid()}")
        settings = environment.checkout_root() / "deploy" / "dagster.yaml"
        if settings.is_file() and not (home / "dagster.yaml").exists():
            shutil.copyfile(settings, home / "dagster.yaml")
        yield
    finally:
        lock.release()


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
    """Open the instance of ``DAGSTER_HOME``, which is this folder; ``log`` as in ``setting_up``."""
    import dagster as dg  # noqa: PLC0415 - `photoz --help` answers at once without it

    with setting_up(home, log):
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
