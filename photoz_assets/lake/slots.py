"""Slots: how many queries the processes of one machine have at the archive at a time.

A slot is a lock, so that of a killed run is free at once. (A Dagster pool's slot is not: a run that is killed
with its process keeps it.)
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from photoz_assets.lake.locks import FileLock

log: Final = logging.getLogger(__name__)

# A run that waits longer than this says for whom, and says so again as often.
PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5


@contextmanager
def slot(
    folder: Path,
    *,
    count: int,
    holder: str,
    log: Callable[[str], None] = log.info,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold one of ``count`` slots for the time of a block, waiting for a free one.

    Parameters
    ----------
    folder
        Where the slots lie; made if missing. All processes that share the bound share the folder.
    count
        The bound, at least 1.
    holder
        Who asks, in words for those who wait.
    log
        Is told for whom this waits, each ``PATIENCE_SECONDS``.
    clock, sleep
        Time in seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"slot-{number}" for number in range(count)]
    reported = clock()
    while (lock := _free_slot(paths)) is None:
        if clock() - reported >= PATIENCE_SECONDS:
            reported = clock()
            log(f"{holder} waits for one of {count} archive slots, held by: {'; '.join(_holders(paths))}")
        # Jitter keeps waiting processes from asking in step.
        sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret hangs on it
    try:
        lock.write(holder)
        yield
    finally:
        lock.release()


def _free_slot(paths: list[Path]) -> FileLock | None:
    for path in paths:
        if lock := FileLock.acquire(path):
            return lock
    return None


def _holders(paths: list[Path]) -> list[str]:
    return [path.read_text() or "unknown" for path in paths if path.exists()]
