"""Snapshots: names of stored files under which they stay as they are, whatever is published meanwhile.

A reader opens a file more than once: for its footer, for its rows, in each of its threads. If the file is
published again in between, an old footer meets new bytes. Readers therefore read hard links, which keep the
version that they were made of. A process keeps its links until it ends, since no relation or cursor says when it
is done; those of files that were replaced a day ago are removed before. What a killed process left is swept by the
next.
"""

import atexit
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import FileLock

KEPT_SECONDS: Final = 86_400.0

# Not .parquet, so that no pattern over the lake finds a table twice.
_SUFFIX: Final = ".held"
_LOCK_SUFFIX: Final = ".lock"
_LINK: Final = re.compile(rf"/\.work/readers/[0-9a-f]{{32}}(/\S*?)-\d+\.parquet{re.escape(_SUFFIX)}")


def snapshot(lake: Lake, files: Iterable[Path]) -> list[Path]:
    """Return names under which files of a lake stay as they are now, in the files' order.

    What is no regular file keeps its own name, and so do all files where this account may not write into the lake
    or the disk has no hard links.
    """
    links = _process_links(lake.readers, os.getpid())
    return [path if links is None else links.link(path, path.relative_to(lake.root)) for path in files]


def in_place(text: str) -> str:
    """Return a text, an error's say, in which the files of snapshots have the names that they have in the lake."""
    return _LINK.sub(r"\1.parquet", text)


@dataclass(frozen=True)
class _Links:
    """The links of one process, in a folder that lives as long as it holds the lock."""

    folder: Path
    lock: FileLock
    owner: int

    def link(self, path: Path, name: Path) -> Path:
        """Return the link of a file's present version, made if it is missing; the file where it cannot be."""
        with suppress(OSError):
            if path.is_file():
                link = self._named(name, path.stat().st_ino)
                return link if link.exists() else self._made(path, name)
        return path

    def _named(self, name: Path, inode: int) -> Path:
        return self.folder / name.with_name(f"{name.stem}-{inode}{name.suffix}{_SUFFIX}")

    def _made(self, path: Path, name: Path) -> Path:
        aside = self._named(name, 0).with_name(uuid.uuid4().hex)
        aside.parent.mkdir(parents=True, exist_ok=True)
        for former in aside.parent.iterdir():
            _remove_replaced(former)
        aside.hardlink_to(path)
        # Named by the version that was linked: the file may have been replaced since we looked.
        link = self._named(name, aside.stat().st_ino)
        aside.replace(link)
        # Of two names of one file, a rename leaves both.
        aside.unlink(missing_ok=True)
        return link

    def remove(self) -> None:
        """Remove the folder, unless in a process that was forked from the one that made it."""
        if os.getpid() == self.owner:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.lock.release(remove=True)


@cache
def _process_links(readers: Path, process: int) -> _Links | None:
    """Return this process's links below a folder; None if it may not make any."""
    folder = readers / uuid.uuid4().hex
    try:
        readers.mkdir(parents=True, exist_ok=True)
        _sweep(readers)
        lock = FileLock.acquire(folder.with_suffix(_LOCK_SUFFIX))
    except OSError:
        return None
    if lock is None:
        return None
    links = _Links(folder, lock, process)
    atexit.register(links.remove)
    return links


def _sweep(readers: Path) -> None:
    """Remove the links of processes that are dead."""
    for leftover in readers.glob(f"*{_LOCK_SUFFIX}"):
        if lock := FileLock.acquire(leftover, create=False):
            shutil.rmtree(leftover.with_suffix(""), ignore_errors=True)
            lock.release(remove=True)


def _remove_replaced(link: Path) -> None:
    """Remove a link whose file is no more in the lake, if that has been so for a day."""
    facts = link.stat()
    if facts.st_nlink == 1 and time.time() - facts.st_ctime > KEPT_SECONDS:
        link.unlink(missing_ok=True)
