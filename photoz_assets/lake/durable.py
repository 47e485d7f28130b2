"""Files that outlast a power cut: on the disk before they are put in their place, and their place with them."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each on the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush(folder.parent)


def put_in_place(written: Path, destination: Path) -> None:
    """Rename a file that is on the disk to its destination, over a former one, whose folder exists.

    Raises
    ------
    OSError
        The rename failed, and what was there stays; or the disk failed after it.
    """
    written.replace(destination)
    flush(destination.parent)
