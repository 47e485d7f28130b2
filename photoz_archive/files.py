"""Locks, and files and folders that outlast a power cut: on the disk before they are in their place, and it after.

The folders are shared by several processes; a lock ends with its process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file for the time of a block, waiting for whoever holds it; it stays behind, empty."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def flush(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(folder: Path) -> None:
    """Bring a folder to the disk, with all that lies in it."""
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each on the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush(folder.parent)


def put_in_place(written: Path, destination: Path) -> None:
    """Rename what is on the disk to its destination, over a former file, whose folder exists.

    Raises
    ------
    OSError
        The rename failed, and what was there stays; or the disk failed after it.
    """
    written.replace(destination)
    flush(destination.parent)


def write_in_place(destination: Path, content: bytes) -> None:
    """Write a file aside and put it in its place, whose folder exists; one writer at a time.

    Raises
    ------
    OSError
        The disk has no room or fails; what was there stays.
    """
    staged = destination.with_name(f"{destination.name}.part")
    try:
        staged.write_bytes(content)
        flush(staged)
        put_in_place(staged, destination)
    finally:
        staged.unlink(missing_ok=True)
