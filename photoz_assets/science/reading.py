"""Reading columns of galaxies as numpy arrays, a batch at a time; DuckDB reads and filters."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_BATCH_ROWS: Final = 61_440


def batches(numbers: duckdb.DuckDBPyRelation) -> Iterator[list[Numbers]]:
    """Yield the columns of a relation, all DOUBLE without NULL, in batches.

    The next batch is read ahead in a thread, since DuckDB's reader works only when asked.
    """
    reader = numbers.to_arrow_reader(_BATCH_ROWS)
    with ThreadPoolExecutor(1, "reading ahead") as thread:
        following = thread.submit(next, reader, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, reader, None)
            yield [column.to_numpy() for column in batch.columns]
