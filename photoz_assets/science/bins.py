"""Counts of galaxies in bins: what is read grows with the galaxies, what is held with the bins.

DuckDB reads and filters; numpy finds the bins, several times faster than an aggregate by the bins would.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Edges = NDArray[np.float64]

_BATCH_ROWS = 61_440


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What is binned, in SQL over the galaxies' columns, and into which half-open bins [low, high).

    The bins are equally wide, on a ``logarithmic`` axis in the logarithm. ``label`` is what a drawn axis says,
    with its unit.
    """

    sql: str
    label: str
    low: float
    high: float
    bins: int
    logarithmic: bool = False

    @property
    def edges(self) -> Edges:
        """The edges of the bins, shape (bins + 1,)."""
        spaced = np.geomspace if self.logarithmic else np.linspace
        return spaced(self.low, self.high, self.bins + 1)

    @property
    def width(self) -> float:
        """The width of a bin, on a logarithmic axis in dex."""
        low, high = self._limits
        return (high - low) / self.bins

    def numbers(self, values: Edges) -> NDArray[np.intp]:
        """Give the bin of each value, from 0; all of them must lie in one."""
        low, _ = self._limits
        scaled = np.log10(values) if self.logarithmic else values
        # Just below the upper end the quotient may be rounded up to the number of bins.
        return np.minimum(((scaled - low) / self.width).astype(np.intp), self.bins - 1)

    @property
    def _limits(self) -> tuple[float, float]:
        if self.logarithmic:
            return float(np.log10(self.low)), float(np.log10(self.high))
        return self.low, self.high


def counts(galaxies: duckdb.DuckDBPyRelation, *axes: Axis) -> Counts:
    """Count the galaxies in the bins of one axis, or of several together.

    Parameters
    ----------
    galaxies
        With the columns that the axes' SQL names.
    axes
        One for a histogram, two for a map.

    Returns
    -------
    numpy.ndarray
        Shape (bins of the first axis, ...), as ``numpy.histogramdd`` has it but for the upper end: all bins are
        half-open. Values that are NULL or outside are left out.
    """
    names = [f"axis_{number}" for number in range(len(axes))]
    values = galaxies.project(
        ", ".join(f"({axis.sql})::DOUBLE AS {name}" for axis, name in zip(axes, names, strict=True))
    )
    inside = values.filter(
        " AND ".join(
            f"{name} >= {axis.low!r} AND {name} < {axis.high!r}" for axis, name in zip(axes, names, strict=True)
        )
    )
    found = np.zeros(math.prod(axis.bins for axis in axes), np.int64)
    for batch in _read_ahead(inside.to_arrow_reader(_BATCH_ROWS)):
        cells = np.zeros(batch.num_rows, np.intp)
        for axis, column in zip(axes, batch.columns, strict=True):
            cells = cells * axis.bins + axis.numbers(column.to_numpy())
        found += np.bincount(cells, minlength=found.size)
    return found.reshape([axis.bins for axis in axes])


def _read_ahead(batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield batches, each read while the one before it is counted: a reader works only when asked."""
    with ThreadPoolExecutor(1, "reading ahead") as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch
