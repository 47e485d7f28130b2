"""Locks that their holder's end sets free: what all have in common, and those that are files.

``Locks`` are a lake's, by name: files here, which hold between the processes of one machine, or
``postgres_locks``, which hold across machines. They bound the concurrent queries (``slots``).

A file lock is a file that a living process holds by ``flock(2)``. The kernel drops it when the process ends,
however it ends, so that a killed process blocks nobody. File locks also mark staged files and readers' links as in
use, and tell whose archive job is whose.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self


class Lock(Protocol):
    """What is held until it is released or its holder ends."""

    def release(self) -> None:
        """Release it; a second call does nothing."""


class Locks(Protocol):
    """The locks of a lake, by name: of all who share them, one holds each at a time."""

    def acquire(self, name: str, holder: str, *, wait: bool = False) -> Lock | None:
        """Take a lock in the name of a holder, in words for others; None if it is held and ``wait`` is false."""

    def holders(self, names: Sequence[str]) -> list[str]:
        """Return in words who holds some locks."""


class FileLock:
    """An exclusive hold on a file, given up by ``release`` or by the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path, *, create: bool = True, wait: bool = False) -> Self | None:
        """Lock a file; return None if it is missing and ``create`` is false, or locked and ``wait`` is false.

        Raises
        ------
        OSError
            The file cannot be made or opened for writing.
        """
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        while True:
            try:
                descriptor = os.open(path, flags, 0o666)
            except FileNotFoundError:
                if create:
                    raise
                return None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                # A signal while we waited, or a file system without locks.
                os.close(descriptor)
                raise
            if _is_still(path, descriptor):
                return cls(path, descriptor)
            # Its last holder removed or renamed it between our open and our lock.
            os.close(descriptor)

    def write(self, text: str) -> None:
        """Replace what the file says, on the disk."""
        descriptor = self._held()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        os.fsync(descriptor)

    def rename(self, path: Path) -> None:
        """Move the file; the lock goes with it."""
        self._held()
        self.path = self.path.rename(path)

    def release(self, *, remove: bool = False) -> None:
        """Release the file; a second call does nothing."""
        if self._descriptor is None:
            return
        if remove:
            with suppress(FileNotFoundError):
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _held(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is no longer locked")
        return self._descriptor


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether a path still names the file that a descriptor holds open."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


@dataclass(frozen=True)
class FileLocks:
    """The locks of a lake as files below a folder, for the processes of one machine."""

    folder: Path

    def acquire(self, name: str, holder: str, *, wait: bool = False) -> FileLock | None:
        """Lock the file of a name, and write the holder into it; raises as ``FileLock.acquire``."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if lock := FileLock.acquire(path, wait=wait):
            try:
                lock.write(holder)
            except BaseException:
                lock.release()
                raise
        return lock

    def holders(self, names: Sequence[str]) -> list[str]:
        """Return what the files of some names say."""
        paths = [self.folder / name for name in names]
        return [path.read_text() or "unknown" for path in paths if path.exists()]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file for the time of a block, waiting for whoever holds it."""
    lock = FileLock.acquire(path, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
