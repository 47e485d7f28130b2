"""File locks: files that a living process holds locked.

The kernel drops a lock when its process ends, however it ends, so that a killed process blocks nobody.
File locks bound the concurrent queries (``slots``), mark staged files as in use, and tell whose archive job is
whose. They are ``flock(2)`` locks, which hold between the processes of one machine.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self


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


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file for the time of a block, waiting for whoever holds it."""
    lock = FileLock.acquire(path, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
