"""Counts of galaxies in bins, for histograms and maps; the memory follows the number of bins, not of galaxies.

DuckDB reads and filters; numpy finds the bins, several times faster than a GROUP BY of the bins.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from photoz_assets.science.reading import Numbers, batches

Counts = NDArray[np.int64]


class Scale(Enum):
    """How values are placed on an axis: as they are, by their logarithm, or as flux ratios in magnitudes."""

    LINEAR = "linear"
    LOGARITHMIC = "logarithmic"
    MAGNITUDE = "magnitude"


# numpy's natural logarithm takes half the time of its logarithm to the base of ten, and a tenth of DuckDB's.
_MAGNITUDES_PER_E: Final = -2.5 / math.log(10)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A quantity, in SQL over the galaxies' columns, and the half-open bins [low, high) that it is counted in.

    The bins are equally wide, on a logarithmic axis in the logarithm. On an axis of magnitudes the SQL gives flux
    ratios, positive or NULL, and the limits are magnitudes: -2.5 log10(ratio). ``label`` is what a drawn axis
    says, with its unit.
    """

    sql: str
    label: str
    low: float
    high: float
    bins: int
    scale: Scale = Scale.LINEAR

    @property
    def edges(self) -> Numbers:
        """The edges of the bins, shape (bins + 1,)."""
        spaced = np.geomspace if self.scale is Scale.LOGARITHMIC else np.linspace
        return spaced(self.low, self.high, self.bins + 1)

    @property
    def width(self) -> float:
        """The width of a bin, on a logarithmic axis in dex."""
        if self.scale is Scale.LOGARITHMIC:
            return math.log10(self.high / self.low) / self.bins
        return (self.high - self.low) / self.bins

    def inside(self, name: str) -> str:
        """Return the SQL condition that the value of that name lies in one of the bins."""
        if self.scale is Scale.MAGNITUDE:
            bright, faint = (math.exp(limit / _MAGNITUDES_PER_E) for limit in (self.low, self.high))
            return f"{name} > {faint!r} AND {name} <= {bright!r}"
        return f"{name} >= {self.low!r} AND {name} < {self.high!r}"

    def numbers(self, values: Numbers) -> NDArray[np.intp]:
        """Return the bin of each value, counted from 0; every value must lie in one."""
        low, high = self.low, self.high
        if self.scale is Scale.LOGARITHMIC:
            low, high, values = math.log(low), math.log(high), np.log(values)
        elif self.scale is Scale.MAGNITUDE:
            values = _MAGNITUDES_PER_E * np.log(values)
        places = values - low
        places /= (high - low) / self.bins
        # At the ends the quotient may be rounded to the next number.
        return np.clip(places.astype(np.intp), 0, self.bins - 1)


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
    named = {f"axis_{number}": axis for number, axis in enumerate(axes)}
    values = galaxies.project(", ".join(f"({axis.sql})::DOUBLE AS {name}" for name, axis in named.items()))
    inside = values.filter(" AND ".join(axis.inside(name) for name, axis in named.items()))
    shape = [axis.bins for axis in axes]
    found = np.zeros(math.prod(shape), np.int64)
    for columns in batches(inside):
        cells: Any = 0
        for axis, column in zip(axes, columns, strict=True):
            cells = cells * axis.bins + axis.numbers(column)
        found += np.bincount(cells, minlength=found.size)
    return found.reshape(shape)
