"""Counts of galaxies in bins: what is read grows with the galaxies, what is held with the bins.

DuckDB reads and filters; numpy finds the bins, several times faster than an aggregate by the bins would.
"""

import math
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from photoz_assets.science.reading import Numbers, batches

Counts = NDArray[np.int64]


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
    def edges(self) -> Numbers:
        """The edges of the bins, shape (bins + 1,)."""
        spaced = np.geomspace if self.logarithmic else np.linspace
        return spaced(self.low, self.high, self.bins + 1)

    @property
    def width(self) -> float:
        """The width of a bin, on a logarithmic axis in dex."""
        if self.logarithmic:
            return math.log10(self.high / self.low) / self.bins
        return (self.high - self.low) / self.bins

    def numbers(self, values: Numbers) -> NDArray[np.intp]:
        """Give the bin of each value, from 0; all of them must lie in one."""
        low, high = self.low, self.high
        if self.logarithmic:
            # The natural logarithm takes half the time of that to the base of ten.
            low, high, values = math.log(low), math.log(high), np.log(values)
        places = values - low
        places /= (high - low) / self.bins
        # Just below the upper end the quotient may be rounded up to the number of bins.
        return np.minimum(places.astype(np.intp), self.bins - 1)


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
    shape = [axis.bins for axis in axes]
    found = np.zeros(math.prod(shape), np.int64)
    for columns in batches(inside):
        cells: Any = 0
        for axis, column in zip(axes, columns, strict=True):
            cells = cells * axis.bins + axis.numbers(column)
        found += np.bincount(cells, minlength=found.size)
    return found.reshape(shape)
