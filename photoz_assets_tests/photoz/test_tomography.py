from itertools import pairwise

import numpy as np
import pytest

from photoz_assets.photoz.estimators.estimator import FINE_QUANTILE_LEVELS, Densities, RedshiftGrid
from photoz_assets.photoz.tomography import equal_bins, stacked

GRID = RedshiftGrid()


def test_bins_hold_equally_many_galaxies_and_all_of_them() -> None:
    estimate = np.random.default_rng(1).gamma(3, 0.3, 1_000).astype(np.float32)
    edges = equal_bins(estimate, 5)
    # As the figures count: half-open.
    number = [np.count_nonzero((estimate >= low) & (estimate < high)) for low, high in pairwise(edges)]
    assert number == [200] * 5


def test_stacked_quantiles_are_the_stacked_densities() -> None:
    rng = np.random.default_rng(2)
    weights = np.zeros((2_000, GRID.size), np.float32)
    galaxies = np.arange(2_000)
    for share in (1.0, 0.4):
        weights[galaxies, GRID.nearest(rng.gamma(3, 0.3, 2_000).clip(0, 3))] += share
    densities = Densities.of_weights(GRID, weights, smoothing=0.03, exponent=1.2)
    edges = np.arange(0, 3.21, 0.05)
    mean = densities.values.mean(axis=0, dtype=np.float64)
    exact = np.diff(np.interp(edges, GRID.redshifts, (mean.cumsum() - (mean + mean[0]) / 2) * GRID.step))
    found = stacked(FINE_QUANTILE_LEVELS, densities.quantiles(FINE_QUANTILE_LEVELS), edges)
    assert found.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, exact, atol=2e-3)
    middles = edges[:-1] + 0.025
    assert (found * middles).sum() == pytest.approx((exact * middles).sum() / exact.sum(), abs=2e-3)


def test_a_galaxy_whose_redshift_is_certain_is_in_one_bin() -> None:
    found = stacked((0.1, 0.5, 0.9), np.full((1, 3), 0.42), np.array([0.0, 0.4, 0.5, 1.0]))
    np.testing.assert_allclose(found, [0, 1, 0])
