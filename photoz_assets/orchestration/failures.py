"""How a run fails: in one line that says what happened, to what, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import duckdb

from photoz_assets.errors import PhotozError
from photoz_assets.lake.sharing import SHARE
from photoz_assets.lake.snapshot import in_place
from photoz_assets.lake.writing import STAYS
from photoz_assets.text import one_line


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Turn what can go wrong outside this program into one clear failure that Dagster does not retry.

    Transient faults were retried where they happened (``tap.retry``).

    Raises
    ------
    dagster.Failure
        With what happened, to what, and what to do next.
    """
    try:
        yield
    except PhotozError as error:
        raise dg.Failure(f"{in_place(str(error)).rstrip('.')}. {STAYS}.", allow_retries=False) from error
    except ConnectionError:
        raise
    except PermissionError as error:
        where = in_place(str(error.filename or "the lake"))
        raise dg.Failure(
            f"{where} cannot be used by this account ({error.strerror}): {SHARE}. {STAYS}.", allow_retries=False
        ) from error
    except OSError as error:
        if error.errno is None:
            # What Arrow passes on of a damaged file that DuckDB reads for it; an error of the disk has a number.
            raise _damaged(error) from error
        where = f" at {error.filename}" if error.filename else ""
        raise _disk_failure(f"{where}: {error.strerror or error}") from error
    except duckdb.InvalidInputException as error:
        raise _damaged(error) from error
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        # It spills to the disk what exceeds its memory, and advises at length when it cannot.
        raise _disk_failure(f" DuckDB: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise dg.Failure(
            f"DuckDB cannot read what is stored: {_first_line(error)}: `photoz status --verify` names damaged "
            f"files; if there is none, materialize again what this is made of. {STAYS}.",
            allow_retries=False,
        ) from error


def _damaged(error: Exception) -> dg.Failure:
    """Return the failure by a damaged file, which the error names."""
    return dg.Failure(
        f"a stored table is damaged: {_first_line(error)}: move it elsewhere and materialize its asset again. "
        f"{STAYS}.",
        allow_retries=False,
    )


def _first_line(error: Exception) -> str:
    return one_line(in_place(str(error).splitlines()[0])).rstrip(".")


def _disk_failure(what: str) -> dg.Failure:
    return dg.Failure(
        f"the disk failed{what}. Free some space, or point PHOTOZ_DATA_DIR elsewhere. {STAYS}.",
        allow_retries=False,
    )
