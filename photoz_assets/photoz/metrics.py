"""How good redshifts are: numbers with their chance errors, over all galaxies and in bins.

e is (z_phot - z) / (1 + z). Each number can be weighted, so that a sample with spectra speaks for one without.
Limits and targets are not here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.errors import PhotozError

Numbers = NDArray[np.floating]

# Of a normal distribution, the standard deviation in units of the median absolute deviation and of the
# interquartile range.
_SIGMA_PER_MAD: Final = 1.4826
_SIGMA_PER_IQR: Final = 1 / 1.349
# Of the quartiles of one sample: sqrt(p (1 - q) / (q (1 - p))) with p = 1/4, q = 3/4.
_QUARTILES_CORRELATION: Final = 1 / 3
FIXED_OUTLIER: Final = 0.15
_LEAST_OUTLIER: Final = 0.06
_OUTLIER_SIGMA: Final = 3


class MetricsError(PhotozError):
    """Redshifts that no quality can be said of."""


@dataclass(frozen=True)
class Measured:
    """A number and the standard deviation that chance gives it."""

    value: float
    error: float


@dataclass(frozen=True, kw_only=True)
class JudgedGalaxies:
    """Galaxies that were not trained on, of known redshift, with their estimates; arrays of shape (galaxies,).

    Attributes
    ----------
    redshift, estimate
        The known redshift and the point estimate.
    pit, cde_losses
        As ``Densities`` gives them.
    weight
        How many galaxies each stands for; None if all count alike.

    Raises
    ------
    MetricsError
        There are none, or one has no estimate.
    ValueError
        The shapes do not belong together.
    """

    redshift: Numbers
    estimate: Numbers
    pit: Numbers
    cde_losses: Numbers
    weight: Numbers | None = None

    def __post_init__(self) -> None:
        columns = [self.redshift, self.estimate, self.pit, self.cde_losses]
        if self.weight is not None:
            columns.append(self.weight)
        if len({column.shape for column in columns}) != 1:
            raise ValueError(f"columns of the shapes {[column.shape for column in columns]}")
        if not len(self.redshift):
            raise MetricsError("there are no galaxies to judge: fetch more tracts or widen the cuts")
        if not all(np.isfinite(column).all() for column in columns):
            raise MetricsError("a galaxy has no redshift, estimate or weight: leave such galaxies out")

    @property
    def errors(self) -> NDArray[np.float64]:
        """The errors e of the estimates."""
        known = self.redshift.astype(np.float64)
        return (self.estimate - known) / (1 + known)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "JudgedGalaxies":
        """Return some of the galaxies, at least one."""
        return JudgedGalaxies(
            redshift=self.redshift[chosen],
            estimate=self.estimate[chosen],
            pit=self.pit[chosen],
            cde_losses=self.cde_losses[chosen],
            weight=None if self.weight is None else self.weight[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good the redshifts of a sample are.

    Attributes
    ----------
    num_galaxies, effective_number
        How many there are, and how many of equal weights would have the same chance errors (Kish 1965):
        (sum of w)^2 / (sum of w^2).
    bias
        The median of e.
    smad
        1.4826 times the median of |e - bias|.
    sigma_iqr
        The interquartile range of e over 1.349.
    outliers_fixed
        The share with |e| > 0.15.
    outliers_adaptive
        The share with |e| > max(0.06, 3 sigma_iqr): LSST Science Book (arXiv:0912.0201), section 3.8, and RAIL.
    pit_ks
        The largest distance of the PIT's cumulative distribution from the uniform one (Kolmogorov and Smirnov).
    cde_loss
        As in ``Densities.cde_losses``, the lower the better.

    Notes
    -----
    Errors of quantiles are half of the distance between those a standard deviation of the binomial distribution
    away (Woodruff 1952, JASA 47, 635); those of shares are binomial, as for half a galaxy more on either side, and
    that of the KS distance as of a share where it is largest; perfect p(z) has a distance of 0.87 / sqrt(number),
    on average. The error of the loss is that of a mean.
    """

    num_galaxies: int
    effective_number: float
    bias: Measured
    smad: Measured
    sigma_iqr: Measured
    outliers_fixed: Measured
    outliers_adaptive: Measured
    pit_ks: Measured
    cde_loss: Measured

    @property
    def metrics(self) -> Mapping[str, Measured]:
        """The numbers by their names."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Measured)}


@dataclass(frozen=True, kw_only=True)
class QualityInBin:
    """The quality of the galaxies in [low, high) of a quantity; None if there are too few to say."""

    low: float
    high: float
    num_galaxies: int
    quality: Quality | None


def quality(judged: JudgedGalaxies) -> Quality:
    """Return how good the redshifts of galaxies are."""
    weight = np.ones(len(judged.redshift)) if judged.weight is None else judged.weight.astype(np.float64)
    if (weight < 0).any() or not weight.any():
        raise MetricsError("weights are negative, or all zero: no galaxy stands for any other")
    errors = judged.errors
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    distribution = _Distribution(errors, weight, effective)
    bias = distribution.quantile(0.5)
    deviation = _Distribution(np.abs(errors - bias.value), weight, effective).quantile(0.5)
    lower, upper = distribution.quantile(0.25), distribution.quantile(0.75)
    spread = (upper.value - lower.value) * _SIGMA_PER_IQR
    variance = lower.error**2 + upper.error**2 - 2 * _QUARTILES_CORRELATION * lower.error * upper.error
    adaptive = max(_LEAST_OUTLIER, _OUTLIER_SIGMA * spread)
    return Quality(
        num_galaxies=len(errors),
        effective_number=effective,
        bias=bias,
        smad=Measured(_SIGMA_PER_MAD * deviation.value, _SIGMA_PER_MAD * deviation.error),
        sigma_iqr=Measured(spread, _SIGMA_PER_IQR * float(np.sqrt(variance))),
        outliers_fixed=_share(np.abs(errors) > FIXED_OUTLIER, weight, effective),
        outliers_adaptive=_share(np.abs(errors) > adaptive, weight, effective),
        pit_ks=_ks_distance(judged.pit, weight, effective),
        cde_loss=_mean(judged.cde_losses.astype(np.float64), weight, effective),
    )


def quality_in_bins(
    judged: JudgedGalaxies, quantity: Numbers, edges: Sequence[float], *, fewest: int = 30
) -> list[QualityInBin]:
    """Return the quality of galaxies in bins of a quantity.

    Parameters
    ----------
    judged
        The galaxies.
    quantity
        What they are binned by, shape (galaxies,); NaN is in no bin, nor is a galaxy that stands for none.
    edges
        Of the bins, ascending.
    fewest
        How many galaxies a bin must have.
    """
    found = []
    for low, high in pairwise(edges):
        inside = (quantity >= low) & (quantity < high)
        if judged.weight is not None:
            inside &= judged.weight > 0
        number = int(np.count_nonzero(inside))
        found.append(
            QualityInBin(
                low=low,
                high=high,
                num_galaxies=number,
                quality=quality(judged.where(inside)) if number >= fewest else None,
            )
        )
    return found


def neighbour_weights(
    spectroscopic: NDArray[np.floating], photometric: NDArray[np.floating], *, neighbours: int = 10
) -> NDArray[np.float64]:
    """Return how many photometric galaxies each galaxy with a spectrum stands for.

    Parameters
    ----------
    spectroscopic, photometric
        Colours and magnitudes of both samples, shape (galaxies, features).
    neighbours
        To which of its neighbours with a spectrum the surroundings of a galaxy reach.

    Returns
    -------
    numpy.ndarray
        The photometric galaxies in the surroundings over those with a spectrum, of mean 1; shape (galaxies,).

    Raises
    ------
    MetricsError
        There are too few galaxies with a spectrum.

    Notes
    -----
    Lima et al. 2008, MNRAS 390, 118, section 3.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 - only where redshifts are spectroscopic

    if len(spectroscopic) <= neighbours:
        raise MetricsError(f"{len(spectroscopic)} galaxies with a spectrum have no {neighbours} neighbours each")
    low, high = np.quantile(spectroscopic, (0.16, 0.84), axis=0)
    spread = np.where(high > low, high - low, 1)
    known, others = spectroscopic / spread, photometric / spread
    distance, _ = cKDTree(known).query(known, [neighbours + 1])
    found = cKDTree(others).query_ball_point(known, distance[:, 0], return_length=True).astype(np.float64)
    if not found.any():
        raise MetricsError("no photometric galaxy is near any with a spectrum: they are of different surveys")
    weights: NDArray[np.float64] = found / found.mean()
    return weights


class _Distribution:
    """Weighted values whose quantiles are those of numpy if the weights are equal."""

    def __init__(self, values: NDArray[np.float64], weight: NDArray[np.float64], effective: float) -> None:
        counted = weight > 0
        values, weight = values[counted], weight[counted]
        order = np.argsort(values, kind="stable")
        self._values, weight = values[order], weight[order]
        middles = np.cumsum(weight) - weight / 2
        span = middles[-1] - middles[0]
        self._levels = (middles - middles[0]) / (span or 1)
        self._effective = effective

    def quantile(self, level: float) -> Measured:
        away = float(np.sqrt(level * (1 - level) / self._effective))
        below, value, above = np.interp(
            [max(level - away, 0), level, min(level + away, 1)], self._levels, self._values
        )
        return Measured(float(value), float(above - below) / 2)


def _share(chosen: NDArray[np.bool_], weight: NDArray[np.float64], effective: float) -> Measured:
    share = float(weight[chosen].sum() / weight.sum())
    surely = (share * effective + 0.5) / (effective + 1)
    return Measured(share, float(np.sqrt(surely * (1 - surely) / effective)))


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64], effective: float) -> Measured:
    mean = float(np.average(values, weights=weight))
    variance = float(np.average((values - mean) ** 2, weights=weight))
    return Measured(mean, float(np.sqrt(variance / effective)))


def _ks_distance(pit: Numbers, weight: NDArray[np.float64], effective: float) -> Measured:
    order = np.argsort(pit, kind="stable")
    uniform = pit[order].astype(np.float64)
    cumulative = np.concatenate([[0], np.cumsum(weight[order])]) / weight.sum()
    above, below = cumulative[1:] - uniform, uniform - cumulative[:-1]
    largest = max(above.max(), below.max())
    share = uniform[np.argmax(np.maximum(above, below))]
    return Measured(float(largest), float(np.sqrt(share * (1 - share) / effective)))
