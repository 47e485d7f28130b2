"""A Gaussian mixture in seven dimensions whose densities are one matrix product over quadratic features."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DIMENSIONS = 7
_UPPER = np.triu_indices(DIMENSIONS)
_FEATURES = 1 + DIMENSIONS + len(_UPPER[0])
# A component with fewer galaxies than this has starved.
_STARVED = 8


@dataclass(frozen=True)
class Mixture:
    """Weights (k,), means (k, 7) and covariances (k, 7, 7)."""

    weight: FloatArray
    mean: FloatArray
    covariance: FloatArray

    def widened(self, variances: FloatArray) -> "Mixture":
        """Give the mixture with variances added to each component."""
        return Mixture(self.weight, self.mean, self.covariance + np.diag(variances))

    def coefficients(self, dimensions: list[int]) -> FloatArray:
        """Give what turns features into the components' log densities in some of the dimensions, shape (36, k)."""
        mean = self.mean[:, dimensions]
        covariance = self.covariance[:, dimensions][:, :, dimensions]
        precision = np.linalg.inv(covariance)
        slope = np.einsum("kij,kj->ki", precision, mean)
        out = np.zeros((_FEATURES, len(self.weight)))
        out[0] = (
            np.log(self.weight)
            - 0.5 * np.linalg.slogdet(covariance)[1]
            - 0.5 * len(dimensions) * np.log(2 * np.pi)
            - 0.5 * np.einsum("ki,ki->k", mean, slope)
        )
        out[1 + np.array(dimensions)] = slope.T
        pairs = zip(*(indices.tolist() for indices in _UPPER), strict=True)
        place = {pair: number for number, pair in enumerate(pairs, start=1 + DIMENSIONS)}
        for a, first in enumerate(dimensions):
            for b, second in enumerate(dimensions[a:], start=a):
                out[place[first, second]] = precision[:, a, b] * (-0.5 if a == b else -1.0)
        return out


def features(x: FloatArray) -> FloatArray:
    """Give 1, the values and their products, shape (n, 36)."""
    return np.concatenate([np.ones((len(x), 1)), x, x[:, _UPPER[0]] * x[:, _UPPER[1]]], axis=1)


def log_density(x: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Give the log density of the whole mixture, shape (n,)."""
    parts = features(x) @ coefficients
    top = parts.max(axis=1)
    return np.asarray(top + np.log(np.exp(parts - top[:, None]).sum(axis=1)))


def improved(mixture: Mixture, x: FloatArray, *, prior: float = 4.0, prior_variance: float = 1e-3) -> Mixture:
    """Take a step of expectation and maximization; the prior keeps covariances from collapsing."""
    table = features(x)
    parts = table @ mixture.coefficients(list(range(DIMENSIONS)))
    share = np.exp(parts - parts.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    sums = share.T @ table
    count = sums[:, 0] + 1e-9
    mean = sums[:, 1 : 1 + DIMENSIONS] / count[:, None]
    scatter = np.zeros((len(count), DIMENSIONS, DIMENSIONS))
    scatter[:, _UPPER[0], _UPPER[1]] = sums[:, 1 + DIMENSIONS :]
    scatter += np.transpose(np.triu(scatter, 1), (0, 2, 1))
    scatter -= count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    identity = np.eye(DIMENSIONS)
    covariance = (scatter + prior * prior_variance * identity) / (count + prior)[:, None, None] + 1e-6 * identity
    return _revived(count, mean, covariance)


def _revived(count: FloatArray, mean: FloatArray, covariance: FloatArray) -> Mixture:
    """Put starved components beside heavy ones, half of whose weight they take."""
    starved = count < _STARVED
    if starved.any():
        rng = np.random.default_rng(int(count.sum()) % 1000)
        alive = np.flatnonzero(~starved)
        donors = rng.choice(alive, starved.sum(), p=count[alive] / count[alive].sum())
        steps = rng.standard_normal((len(donors), DIMENSIONS))
        mean[starved] = mean[donors] + 0.7 * np.einsum("kij,kj->ki", np.linalg.cholesky(covariance[donors]), steps)
        covariance[starved] = covariance[donors]
        count[starved] = count[donors] / 2
        count[donors] /= 2
    return Mixture(count / count.sum(), mean, covariance)
