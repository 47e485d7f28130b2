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
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import FileLock

KEPT_SECONDS: Final = 86_400.0

# Not .parquet, so that no pattern over the lake finds a table twice.
_SUFFIX: Final = ".held"
_LOCK_SUFFIX: Final = ".lock"
# All links lie in one folder, since ten thousand folders cost more than the links: it stands where a slash was.
_SLASH: Final = "@"
_LINK: Final = re.compile(rf"/\.work/readers/[0-9a-f]{{32}}(/\S*?)-\d+\.parquet{re.escape(_SUFFIX)}")


def snapshot(lake: Lake, files: Iterable[Path]) -> list[Path]:
    """Return names under which files of a lake stay as they are now, in the files' order.

    What is no regular file keeps its own name, and so do all files where this account may not write into the lake
    or the disk has no hard links.
    """
    links, root = _process_links(lake.readers, os.getpid()), f"{lake.root}/"
    return [path if links is None else links.link(path, str(path).removeprefix(root)) for path in files]


def in_place(text: str) -> str:
    """Return a text, an error's say, in which the files of snapshots have the names that they have in the lake."""
    return _LINK.sub(lambda found: f"{found[1].replace(_SLASH, '/')}.parquet", text)


@dataclass(frozen=True)
class _Links:
    """The links of one process, in a folder that lives as long as it holds the lock.

    ``made`` has them by the file's name and then by the version's inode, which no other file takes meanwhile.
    """

    folder: Path
    lock: FileLock
    owner: int
    made: dict[str, dict[int, Path]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def link(self, path: Path, name: str) -> Path:
        """Return the link of a file's present version, made if it is missing; the file where it cannot be."""
        with suppress(OSError):
            facts = path.stat()
            if stat.S_ISREG(facts.st_mode):
                link = self.made.get(name, {}).get(facts.st_ino)
                return link if link is not None and link.exists() else self._made(path, name)
        return path

    def _made(self, path: Path, name: str) -> Path:
        stem, _, suffix = name.replace("/", _SLASH).rpartition(".")
        link = Path(f"{self.folder}/{stem}-{next(self.numbers)}.{suffix}{_SUFFIX}")
        links = self.made.setdefault(name, {})
        for inode, former in list(links.items()):
            if _is_done_with(former):
                links.pop(inode, None)
                former.unlink(missing_ok=True)
        link.hardlink_to(path)
        # By the version that was linked: the file may have been replaced since we looked.
        return links.setdefault(link.stat().st_ino, link)

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
        folder.mkdir(exist_ok=True)
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


def _is_done_with(link: Path) -> bool:
    """Return whether a link's file has not been in the lake for a day, or the link itself is gone."""
    try:
        facts = link.stat()
    except FileNotFoundError:
        return True
    return facts.st_nlink == 1 and time.time() - facts.st_ctime > KEPT_SECONDS
