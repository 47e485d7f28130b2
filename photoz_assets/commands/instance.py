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
from photoz_assets.lake.locks import Claim

if TYPE_CHECKING:
    import dagster as dg

# Most set-ups take less; of those that take longer, whoever waits is told.
_PATIENCE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1


@contextmanager
def setting_up(home: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Lay an instance's folder out, and keep other processes from doing so for the time of a block.

    Whoever opens the instance for what may be the first time does it in this block.

    Parameters
    ----------
    home
        The folder, which is there.
    say
        Is told for whom this waits, if it takes more than a moment.
    """
    claim = _claim(home, say)
    try:
        claim.write(f"process {os.getpid()}")
        settings = environment.checkout_root() / "deploy" / "dagster.yaml"
        if settings.is_file() and not (home / "dagster.yaml").exists():
            shutil.copyfile(settings, home / "dagster.yaml")
        yield
    finally:
        claim.release()


def _claim(home: Path, say: Callable[[str], None]) -> Claim:
    """Claim the right to set a folder up, waiting for whoever has it."""
    path = home / ".setting-up"
    told_at = time.monotonic() + _PATIENCE_SECONDS
    told = False
    while (claim := Claim.take(path)) is None:
        if not told and time.monotonic() > told_at:
            told = True
            say(
                f"Waiting for {path.read_text() or 'another process'}, which is setting up {home}: a `photoz ui` "
                "that starts does so until its page answers."
            )
        time.sleep(_POLL_SECONDS)
    return claim


@contextmanager
def opened(home: Path, say: Callable[[str], None]) -> Iterator["dg.DagsterInstance"]:
    """Open the instance of ``DAGSTER_HOME``, which is this folder; ``say`` as in ``setting_up``."""
    import dagster as dg  # noqa: PLC0415 - `photoz --help` answers at once without it

    with setting_up(home, say):
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
