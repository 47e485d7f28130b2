"""Tomographic bins: galaxies by their estimates, and what their p(z) together say of n(z)."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def equal_bins(estimate: NDArray[np.floating], number: int) -> NDArray[np.float64]:
    """Return the edges of bins of estimates that hold equally many galaxies, shape (number + 1,)."""
    edges: NDArray[np.float64] = np.quantile(estimate.astype(np.float64), np.linspace(0, 1, number + 1))
    # The bins are half-open.
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return edges


def stacked(
    levels: tuple[float, ...], quantiles: NDArray[np.floating], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of the p(z) of galaxies in bins of redshift.

    Parameters
    ----------
    levels, quantiles
        As ``Estimates`` has them; the more levels, the better. Between two, p(z) is taken as constant, and outside
        of the outermost as nothing.
    edges
        Of the bins, ascending.

    Returns
    -------
    numpy.ndarray
        The share of the galaxies in each bin, shape (bins,).
    """
    cumulative = np.zeros(len(edges))
    for number, (low, high) in enumerate(pairwise(levels)):
        start = quantiles[:, number, None]
        width = np.maximum(quantiles[:, number + 1, None] - start, np.finfo(np.float32).tiny)
        cumulative += (high - low) * ((edges - start) / width).clip(0, 1).mean(axis=0)
    return np.diff(cumulative) / (levels[-1] - levels[0])
