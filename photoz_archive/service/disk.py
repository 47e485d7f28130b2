"""What the service takes of the disk: its bounds, and what is said where one is reached or the disk is full."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from photoz_archive.service.errors import InsufficientStorageError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_MAKE_ROOM: Final = "delete jobs that are done with (DELETE), or make room on the disk"


@dataclass(frozen=True, kw_only=True)
class DiskLimits:
    """What the queries of a server may take of the disk, in bytes; its sky is bounded by the number of tracts.

    Attributes
    ----------
    spill_bytes
        What running queries that outgrow the memory spill, all together.
    result_bytes
        One stored result.
    store_bytes
        All stored results together, those that are being written included.
    """

    spill_bytes: int = 20 * 10**9
    result_bytes: int = 10 * 10**9
    store_bytes: int = 40 * 10**9


DEFAULT_LIMITS: Final = DiskLimits()


def result_too_large(limits: DiskLimits) -> InsufficientStorageError:
    """Return the error of a result over its bound; Rubin's archive says it in the same words."""
    return InsufficientStorageError(
        f"The query's results are too large: one result may take {_amount(limits.result_bytes)} of the archive's "
        "disk; ask for fewer rows or columns, or start the archive with more --result-gb"
    )


def store_full(limits: DiskLimits) -> InsufficientStorageError:
    """Return the error of a store that has no room for more."""
    return InsufficientStorageError(
        f"The archive's store is full: all results together may take {_amount(limits.store_bytes)} of its disk; "
        "delete jobs that are done with (DELETE), or start the archive with more --store-gb"
    )


def spill_error(text: str, spill_bytes: int) -> InsufficientStorageError | None:
    """Return the error that DuckDB's words mean where it could not spill, None for any others.

    Its errors reach us by way of Arrow, as classes that say nothing.
    """
    if "max_temp_directory_size" in text:
        return InsufficientStorageError(
            f"The archive has no room to run the query: running queries may spill {_amount(spill_bytes)} to its "
            "disk; ask for fewer rows at a time, or start the archive with more --spill-gb"
        )
    if any(os.strerror(number) in text for number in _FULL):
        return _disk_full("what running queries spill")
    return None


@contextmanager
def telling_full_disk(what: str) -> Iterator[None]:
    """Say of a full disk, or a quota that is used up, what could not be stored; other errors pass as they are.

    Raises
    ------
    InsufficientStorageError
        The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _disk_full(what) from error


def _disk_full(what: str) -> InsufficientStorageError:
    return InsufficientStorageError(f"The archive's disk is full and cannot take {what}; {_MAKE_ROOM}")


def _amount(size: int) -> str:
    return f"{size / 1e9:g} GB"
