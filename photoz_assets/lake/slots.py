"""Slots: how many queries all who share a lake's locks have at the archive at a time.

A slot is a lock, so that of a killed run is free at once. (A Dagster pool's slot is not: a run that is killed
with its process keeps it.)
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from photoz_assets.lake.locks import Lock, Locks

log: Final = logging.getLogger(__name__)

# A run that waits longer than this says for whom, and says so again as often.
PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5


@contextmanager
def slot(
    locks: Locks,
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
    locks
        The lake's, which all share that share the bound.
    count
        The bound, at least 1.
    holder
        Who asks, in words for those who wait.
    log
        Is told for whom this waits, each ``PATIENCE_SECONDS``.
    clock, sleep
        Time in seconds.

    Raises
    ------
    OSError, LockDatabaseError
        The locks cannot be taken.
    """
    names = [f"slots/slot-{number}" for number in range(count)]
    reported = clock()
    while (lock := _free_slot(locks, names, holder)) is None:
        if clock() - reported >= PATIENCE_SECONDS:
            reported = clock()
            log(f"{holder} waits for one of {count} archive slots, held by: {'; '.join(locks.holders(names))}")
        # Jitter keeps waiting processes from asking in step.
        sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret hangs on it
    try:
        yield
    finally:
        lock.release()


def _free_slot(locks: Locks, names: Sequence[str], holder: str) -> Lock | None:
    for name in names:
        if lock := locks.acquire(name, holder):
            return lock
    return None
