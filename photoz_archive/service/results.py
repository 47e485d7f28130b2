"""The files of jobs' results: written aside, counted while they are written, and put in their place or removed.

A full store refuses the next result. It never removes an older one, though UWS lets a service do so: whether a
client has fetched its result cannot be known, since it may fetch it again, and DELETE is how it says so.
"""

import base64
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from photoz_archive.files import put_in_place
from photoz_archive.service.disk import DiskLimits, result_too_large, store_full, telling_full_disk


class ResultStore:
    """The results of all jobs, each a file in its job's folder. Safe for threads."""

    def __init__(self, limits: DiskLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] = {}

    def require_room(self) -> None:
        """Refuse what would end in a result that cannot be stored.

        Raises
        ------
        InsufficientStorageError
            The store is full.
        """
        with self._lock:
            if sum(self._sizes.values()) >= self._limits.store_bytes:
                raise store_full(self._limits)

    def adopt(self, path: Path) -> None:
        """Count a result that an earlier server has stored, also where it is over the bounds of this one.

        Raises
        ------
        OSError
            There is no such file.
        """
        size = path.stat().st_size
        with self._lock:
            self._sizes[path] = size

    def write(self, path: Path, chunks: Iterator[bytes]) -> str:
        """Store a result; whatever goes wrong, nothing of it stays.

        Returns
        -------
        str
            The SHA-256 digest of the bytes, in base64.

        Raises
        ------
        InsufficientStorageError
            The result or the store is over its bound, or the disk is full.
        OSError
            The file cannot be written.
        """
        digest = hashlib.sha256(usedforsecurity=False)
        staged = path.with_name(f"{path.name}.part")
        try:
            with telling_full_disk("the result"):
                with staged.open("wb") as file:
                    for chunk in chunks:
                        self._count(path, len(chunk))
                        file.write(chunk)
                        digest.update(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                put_in_place(staged, path)
        except BaseException:
            staged.unlink(missing_ok=True)
            self.remove(path)
            raise
        return base64.b64encode(digest.digest()).decode()

    def remove(self, path: Path) -> None:
        """Remove a result, if it is there."""
        path.unlink(missing_ok=True)
        with self._lock:
            self._sizes.pop(path, None)

    def _count(self, path: Path, added: int) -> None:
        """Take room for more of a result before it is written."""
        with self._lock:
            size = self._sizes.get(path, 0) + added
            if size > self._limits.result_bytes:
                raise result_too_large(self._limits)
            if sum(self._sizes.values()) + added > self._limits.store_bytes:
                raise store_full(self._limits)
            self._sizes[path] = size
