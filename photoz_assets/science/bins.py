"""Counts of galaxies in bins, made by DuckDB: what is read grows with the galaxies, what is held with the bins."""

from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Edges = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What is binned, in SQL over the galaxies' columns, and into which equal half-open bins [low, high).

    ``label`` is what a drawn axis says, with the unit.
    """

    sql: str
    label: str
    low: float
    high: float
    bins: int

    @property
    def edges(self) -> Edges:
        """The edges of the bins, shape (bins + 1,)."""
        return np.linspace(self.low, self.high, self.bins + 1)

    @property
    def width(self) -> float:
        """The width of a bin."""
        return (self.high - self.low) / self.bins

    @property
    def index_sql(self) -> str:
        """The number of the bin in SQL; NULL for a value that is NULL or outside."""
        value = f"({self.sql})::DOUBLE"
        # Just below the upper edge the quotient may be rounded up to the number of bins.
        index = f"least(floor(({value} - {self.low!r}) / {self.width!r})::INTEGER, {self.bins - 1})"
        return f"CASE WHEN {value} >= {self.low!r} AND {value} < {self.high!r} THEN {index} END"


def counts(galaxies: duckdb.DuckDBPyRelation, axis: Axis) -> Counts:
    """Count the galaxies in each bin, shape (axis.bins,); values that are NULL or outside are left out."""
    return _counted(galaxies, axis)


def counts_2d(galaxies: duckdb.DuckDBPyRelation, x: Axis, y: Axis) -> Counts:
    """Count the galaxies in each bin of a plane, shape (x.bins, y.bins) as ``numpy.histogram2d`` has it."""
    return _counted(galaxies, x, y)


def _counted(galaxies: duckdb.DuckDBPyRelation, *axes: Axis) -> Counts:
    indices = ", ".join(f"{axis.index_sql} AS bin_{number}" for number, axis in enumerate(axes))
    names = [f"bin_{number}" for number in range(len(axes))]
    inside = " AND ".join(f"{name} IS NOT NULL" for name in names)
    grouped = ", ".join(names)
    filled = galaxies.project(indices).filter(inside).aggregate(f"{grouped}, count(*) AS galaxies", grouped)
    columns = filled.fetchnumpy()
    found = np.zeros([axis.bins for axis in axes], np.int64)
    found[tuple(columns[name] for name in names)] = columns["galaxies"]
    return found
