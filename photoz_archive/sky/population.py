"""Galaxies without positions: redshifts and true magnitudes drawn from the packaged fit to galaxies of cosmoDC2.

The fit is a Gaussian mixture over a transformed redshift, the i magnitude and five colours, used as the
distribution of the others at a given i. Number counts in i are a table of their own, continued to faint
magnitudes by a power law. ``data/README.md`` has the source, its licence and the arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Fainter galaxies are not drawn: the survey detects next to none of them.
FAINT_LIMIT_MAG: Final = 27.5
_COUNT_STEP_MAG: Final = 0.1
# The probabilities of the mixture's components are tabulated at steps of i.
_COMPONENT_STEP_MAG: Final = 0.02
# Dimensions of the mixture: ln z/(zmax - z), i, u-g, g-r, r-i, i-z, z-y.
_I: Final = 1
_OTHERS: Final = (0, 2, 3, 4, 5, 6)
_DIMENSIONS: Final = 7


@dataclass(frozen=True, kw_only=True)
class Galaxies:
    """Redshifts, shape (n,), and AB magnitudes in ugrizy without Milky Way dust, shape (n, 6)."""

    redshift: FloatArray
    magnitudes: FloatArray


@dataclass(frozen=True, kw_only=True)
class Population:
    """A distribution of galaxies, tabulated to be drawn from fast.

    In component k the other dimensions are Gaussian at a given i, with mean ``mean[k] + slope[k] (i - mean_i[k])``
    and lower Cholesky factor ``spread[k]``. ``components`` holds for each step of i the cumulative probability of
    the components, plus the number of the step, so that all of it is one ascending sequence.
    """

    count_edges_mag: FloatArray
    cumulative_per_deg2: FloatArray
    components: FloatArray
    mean: FloatArray
    mean_i: FloatArray
    slope: FloatArray
    spread: FloatArray
    max_redshift: float

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> Self:
        """Tabulate the arrays of the packaged file."""
        mean, weight = arrays["mean"], arrays["weight"]
        factors = np.zeros((len(mean), _DIMENSIONS, _DIMENSIONS))
        rows, columns = np.tril_indices(_DIMENSIONS)
        factors[:, rows, columns] = arrays["chol"]
        covariance = factors @ factors.transpose(0, 2, 1)
        variance = covariance[:, _I, _I]
        slope = covariance[:, _I, _OTHERS] / variance[:, None]
        others = covariance[:, _OTHERS][:, :, _OTHERS]
        edges, cumulative = _counts(arrays)
        steps = np.arange(edges[0], FAINT_LIMIT_MAG, _COMPONENT_STEP_MAG) + _COMPONENT_STEP_MAG / 2
        distance = (steps[:, None] - mean[:, _I]) ** 2 / variance
        log_share = np.log(weight) - 0.5 * np.log(variance) - 0.5 * distance
        share = np.cumsum(np.exp(log_share - log_share.max(axis=1, keepdims=True)), axis=1)
        return cls(
            count_edges_mag=edges,
            cumulative_per_deg2=cumulative,
            components=(share / share[:, -1:] + np.arange(len(steps))[:, None]).ravel(),
            mean=mean[:, _OTHERS],
            mean_i=mean[:, _I],
            slope=slope,
            spread=np.linalg.cholesky(others - np.einsum("ki,kj,k->kij", slope, slope, variance)),
            max_redshift=float(arrays["zmax"]),
        )

    def per_deg2(self, limit_mag: float = FAINT_LIMIT_MAG) -> float:
        """Return the number of galaxies in a square degree of DC2 down to a magnitude in i."""
        return float(np.interp(limit_mag, self.count_edges_mag, self.cumulative_per_deg2))

    def draw(self, count: int, rng: np.random.Generator, limit_mag: float = FAINT_LIMIT_MAG) -> Galaxies:
        """Draw galaxies down to a magnitude in i; their order means nothing."""
        below = rng.random(count) * self.per_deg2(limit_mag)
        i_mag = np.interp(below, self.cumulative_per_deg2, self.count_edges_mag)
        num_components = len(self.mean)
        last_step = len(self.components) // num_components - 1
        step = np.minimum((i_mag - self.count_edges_mag[0]) / _COMPONENT_STEP_MAG, last_step).astype(np.int64)
        component = np.searchsorted(self.components, step + rng.random(count)) % num_components
        order = np.argsort(component, kind="stable")
        i_mag, component = i_mag[order], component[order]
        others = rng.standard_normal((count, len(_OTHERS)))
        bounds = np.searchsorted(component, np.arange(num_components + 1))
        for k in np.flatnonzero(np.diff(bounds)):
            members = slice(bounds[k], bounds[k + 1])
            others[members] = others[members] @ self.spread[k].T
        others += self.mean[component] + self.slope[component] * (i_mag - self.mean_i[component])[:, None]
        return Galaxies(
            redshift=self.max_redshift / (1 + np.exp(-others[:, 0])),
            magnitudes=magnitudes_of_colours(i_mag, others[:, 1:]),
        )


def magnitudes_of_colours(i_mag: FloatArray, colours: FloatArray) -> FloatArray:
    """Return magnitudes in ugrizy, shape (n, 6), of i, shape (n,), and u-g, g-r, r-i, i-z, z-y, shape (n, 5)."""
    u_g, g_r, r_i, i_z, z_y = colours.T
    r_mag = i_mag + r_i
    g_mag = r_mag + g_r
    z_mag = i_mag - i_z
    return np.stack([g_mag + u_g, g_mag, r_mag, i_mag, z_mag, z_mag - z_y], axis=1)


@cache
def packaged_population() -> Population:
    """Load the population that comes with the package."""
    with (
        (resources.files("photoz_archive.data") / "dc2_population.npz").open("rb") as file,
        np.load(file) as arrays,
    ):
        return Population.from_arrays({name: np.asarray(arrays[name], float) for name in arrays.files})


def _counts(arrays: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return edges in i and the number of galaxies per square degree brighter than each."""
    edges = np.round(arrays["count_edges"], 4)
    num_faint = round((FAINT_LIMIT_MAG - edges[-1]) / _COUNT_STEP_MAG)
    faint = edges[-1] + _COUNT_STEP_MAG * np.arange(1, num_faint + 1)
    beyond = arrays["faint_norm"] * (10 ** (arrays["faint_slope"] * (faint - edges[-1])) - 1)
    brighter = np.concatenate([[0.0], np.cumsum(arrays["count_per_deg2"])])
    return np.concatenate([edges, faint]), np.concatenate([brighter, brighter[-1] + beyond])
