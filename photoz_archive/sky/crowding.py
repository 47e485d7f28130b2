"""Pairs of sources within a radius on a plane, and which source is absorbed by which."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def close_pairs(x: FloatArray, y: FloatArray, radius: float) -> tuple[IntArray, IntArray]:
    """List each pair of points nearer than a radius once, as two arrays of indices.

    Points are sorted into square cells of that size, so that a partner lies in the same cell or in one of the
    neighbours: the cells to the right, and the three of the row above.
    """
    column = np.floor((x - x.min(initial=0.0)) / radius).astype(np.int64) + 1
    row = np.floor((y - y.min(initial=0.0)) / radius).astype(np.int64)
    width = int(column.max(initial=0)) + 2
    cell = row * width + column
    # The order within a cell is left open: it decides only in which order pairs are listed.
    order = np.argsort(cell)
    cell = cell[order]
    here = np.arange(len(cell))
    found = [
        _expand(here + 1, np.searchsorted(cell, cell + 1, side="right")),
        _expand(np.searchsorted(cell, cell + width - 1), np.searchsorted(cell, cell + width + 1, side="right")),
    ]
    first, second = (order[np.concatenate(parts)] for parts in zip(*found, strict=True))
    near = (x[first] - x[second]) ** 2 + (y[first] - y[second]) ** 2 < radius**2
    return first[near], second[near]


def _expand(starts: IntArray, stops: IntArray) -> tuple[IntArray, IntArray]:
    """Pair each index with all numbers from its start up to its stop."""
    counts = np.maximum(stops - starts, 0)
    first = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first, starts[first] + offsets


def absorbers(x: FloatArray, y: FloatArray, flux: FloatArray, radius: float) -> IntArray:
    """Return for each source the one that it is absorbed by: itself, if nothing brighter lies within the radius.

    A source goes to the brightest of its brighter neighbours, and on to where that one went.
    """
    rank = np.empty(len(flux), np.int64)
    rank[np.argsort(flux, kind="stable")] = np.arange(len(flux))
    first, second = close_pairs(x, y, radius)
    swap = rank[first] > rank[second]
    faint, bright = np.where(swap, second, first), np.where(swap, first, second)
    into = np.arange(len(flux))
    # Of assignments to one place the last holds, which is that of the brightest.
    order = np.argsort(rank[bright])
    into[faint[order]] = bright[order]
    while not np.array_equal(further := into[into], into):
        into = further
    return into
