"""Dagster's instance, set up in its folder at first use.

Its databases are set up by whoever opens them first, which is for one process at a time: two that start together
on an empty folder would both make the same tables.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from photoz_assets import environment
from photoz_assets.storage.claims import claimed

if TYPE_CHECKING:
    import dagster as dg


@contextmanager
def setting_up(home: Path) -> Iterator[None]:
    """Lay an instance's folder out, and keep other processes from doing so for the time of a block.

    Whoever opens the instance for what may be the first time does it in this block.
    """
    with claimed(home / ".setting-up"):
        settings = environment.checkout_root() / "deploy" / "dagster.yaml"
        if settings.is_file() and not (home / "dagster.yaml").exists():
            shutil.copyfile(settings, home / "dagster.yaml")
        yield


@contextmanager
def opened(home: Path) -> Iterator["dg.DagsterInstance"]:
    """Open the instance of ``DAGSTER_HOME``, which is this folder."""
    import dagster as dg  # noqa: PLC0415 - `photoz --help` answers at once without it

    with setting_up(home):
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
