"""What an estimator of redshifts is, and what is said of a galaxy's redshift.

An estimator is fitted to galaxies of known redshift and gives a model; a model gives p(z), a batch at a time. p(z)
itself is never kept: it would take 1.3 kB a galaxy. What is asked of it is asked while it is there. How p(z) comes
about is the business of each estimator, in a file of its own.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from photoz_assets.errors import PhotozError

Features = NDArray[np.float32]
"""Of galaxies, shape (galaxies, features), all finite: magnitudes, colours, whatever the model was fitted to."""

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]
Parameters = Mapping[str, float]

# With their medians and the limits of 68 and 90 % among them.
QUANTILE_LEVELS: Final = (0.05, 0.16, 0.5, 0.84, 0.95)
FINE_QUANTILE_LEVELS: Final = (
    *(0.001, 0.01, 0.05, 0.1, 0.16, 0.22, 0.28, 0.34, 0.4, 0.45),
    0.5,
    *(0.55, 0.6, 0.66, 0.72, 0.78, 0.84, 0.9, 0.95, 0.99, 0.999),
)

# Small enough that p(z) of a batch, 5 MB, stays in a processor's cache.
_BATCH_ROWS: Final = 4_096
# Where a Gaussian is cut off.
_REACH_SIGMA: Final = 4


class EstimatorError(PhotozError):
    """Galaxies that no estimator can be fitted to, or whose redshift none can estimate."""


@dataclass(frozen=True, kw_only=True)
class RedshiftGrid:
    """The redshifts that p(z) is given at: from 0 to ``highest``, equally spaced by ``step``."""

    highest: float = 3.2
    step: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.step < self.highest:
            raise EstimatorError(f"a grid to z = {self.highest:g} in steps of {self.step:g} has no bins")

    @property
    def size(self) -> int:
        """The number of redshifts."""
        return round(self.highest / self.step) + 1

    @property
    def redshifts(self) -> Numbers:
        """The redshifts, ascending, shape (size,)."""
        return np.arange(self.size, dtype=np.float64) * self.step

    def nearest(self, redshift: Numbers) -> NDArray[np.uint16]:
        """Return the number of the nearest redshift of the grid to each redshift; all must lie on it."""
        return np.rint(redshift / self.step).astype(np.uint16)


@dataclass(frozen=True)
class KnownGalaxies:
    """Galaxies of known redshift: ``features`` and ``redshift``, shape (galaxies,).

    Raises
    ------
    EstimatorError
        There are none, or a value is not finite.
    ValueError
        The shapes do not belong together.
    """

    features: Features
    redshift: Numbers

    def __post_init__(self) -> None:
        if self.redshift.shape != self.features.shape[:1]:
            raise ValueError(f"{self.redshift.shape} redshifts for {self.features.shape} features")
        if not len(self):
            raise EstimatorError("there are no galaxies of known redshift: fetch more tracts or widen the cuts")
        require_finite(self.features)
        if not np.isfinite(self.redshift).all():
            raise EstimatorError("a redshift is not finite: leave such galaxies out")

    def __len__(self) -> int:
        return len(self.redshift)

    def require_within(self, grid: RedshiftGrid) -> None:
        """Refuse redshifts beside a grid.

        Raises
        ------
        EstimatorError
            One lies outside.
        """
        low, high = self.redshift.min(), self.redshift.max()
        if low < 0 or high > grid.highest:
            raise EstimatorError(
                f"redshifts run from {low:.3f} to {high:.3f}, and p(z) from 0 to {grid.highest:g}: "
                "leave galaxies outside out, or let the grid reach further"
            )


def require_finite(features: Features) -> None:
    """Refuse features that are not finite.

    Raises
    ------
    EstimatorError
        One is not.
    """
    if not np.isfinite(features).all():
        raise EstimatorError("a feature is not finite: give bands without a detection their limit")


@dataclass(frozen=True)
class Densities:
    """p(z) of a batch of galaxies: linear between the redshifts of a grid, each of integral 1.

    ``values`` has the shape (galaxies, redshifts); a galaxy that nothing is known of has NaN in all of them.
    """

    grid: RedshiftGrid
    values: NDArray[np.float32]

    @classmethod
    def of_weights(
        cls, grid: RedshiftGrid, weights: NDArray[np.float32], *, smoothing: float, exponent: float
    ) -> Self:
        """Return densities in proportion to weights at the redshifts of the grid.

        Parameters
        ----------
        weights
            Shape (galaxies, redshifts), none negative; galaxies that have no weight at all get NaN.
        smoothing
            The standard deviation in redshift of the Gaussian that they are convolved with; above 0.
        exponent
            The power that they are then raised to: above 1 it makes p(z) narrower.
        """
        from scipy.ndimage import correlate1d  # noqa: PLC0415 - a tenth of all imports, and no other asset's

        # One row by itself has the same bits as among others, unlike with a matrix product or a transform.
        reach = math.ceil(_REACH_SIGMA * smoothing / grid.step)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * grid.step / smoothing) ** 2)
        values = correlate1d(weights, kernel / kernel.sum(), axis=1, mode="constant")
        np.power(values, np.float32(exponent), out=values)
        totals = (values.sum(axis=1) - (values[:, 0] + values[:, -1]) / 2) * np.float32(grid.step)
        values /= np.where(totals > 0, totals, np.float32(np.nan))[:, None]
        return cls(grid, values)

    @cached_property
    def _cumulative(self) -> NDArray[np.float32]:
        """The integrals of p(z) from 0 to each redshift of the grid, by trapezoids, shape as ``values``."""
        sums: NDArray[np.float32] = np.cumsum(self.values, axis=1)
        sums -= (self.values + self.values[:, :1]) / 2
        sums *= np.float32(self.grid.step)
        return sums

    def quantiles(self, levels: tuple[float, ...]) -> NDArray[np.float32]:
        """Return the redshifts below which p(z) has integrals of so much, shape (galaxies, levels).

        Within a step of the grid the integral is taken as linear.
        """
        galaxies = np.arange(len(self.values))
        found = np.empty((len(self.values), len(levels)), np.float32)
        for number, level in enumerate(levels):
            above = np.count_nonzero(self._cumulative < np.float32(level), axis=1).clip(1, self.grid.size - 1)
            low, high = self._cumulative[galaxies, above - 1], self._cumulative[galaxies, above]
            found[:, number] = (above - 1 + (level - low) / (high - low)) * self.grid.step
        return found

    def modes(self) -> NDArray[np.float32]:
        """Return the redshifts of the grid where p(z) is highest, shape (galaxies,)."""
        highest: NDArray[np.float32] = (np.argmax(self.values, axis=1) * self.grid.step).astype(np.float32)
        highest[np.isnan(self.values[:, 0])] = np.nan
        return highest

    def pit(self, redshift: Numbers) -> NDArray[np.float32]:
        """Return the probability integral transform: the integral of p(z) up to each galaxy's redshift.

        Dawid 1984, J. R. Stat. Soc. A 147, 278. Beyond the grid it is 0 or 1.
        """
        return self._at(self._cumulative, redshift)

    def cde_losses(self, redshift: Numbers) -> NDArray[np.float32]:
        """Return each galaxy's part in the CDE loss: the integral of p(z)^2 less twice p at its redshift.

        Their mean is the loss of Izbicki & Lee 2017, Electron. J. Stat. 11, 2800, eq. 7, without its constant. The
        integral is by trapezoids; beyond the grid p is 0.
        """
        squares = np.einsum("ij,ij->i", self.values, self.values)
        squares -= (self.values[:, 0] ** 2 + self.values[:, -1] ** 2) / 2
        outside = (redshift < 0) | (redshift > self.grid.highest)
        losses: NDArray[np.float32] = squares * np.float32(self.grid.step)
        losses -= 2 * np.where(outside, np.float32(0), self._at(self.values, redshift))
        return losses

    def _at(self, values: NDArray[np.float32], redshift: Numbers) -> NDArray[np.float32]:
        """Interpolate values on the grid at each galaxy's redshift."""
        place = (redshift / self.grid.step).clip(0, self.grid.size - 1)
        below = place.astype(np.intp).clip(max=self.grid.size - 2)
        share = (place - below).astype(np.float32)
        galaxies = np.arange(len(values))
        found: NDArray[np.float32] = values[galaxies, below] * (1 - share) + values[galaxies, below + 1] * share
        return found


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What is kept of each galaxy's p(z).

    Attributes
    ----------
    levels, quantiles
        The redshifts below which p(z) has integrals of ``levels``, shape (galaxies, levels).
    mode
        Where p(z) is highest, shape (galaxies,).
    pit, cde_losses
        Of galaxies whose redshift was given, shape (galaxies,); else None.
    """

    levels: tuple[float, ...]
    quantiles: NDArray[np.float32]
    mode: NDArray[np.float32]
    pit: NDArray[np.float32] | None
    cde_losses: NDArray[np.float32] | None

    def quantile(self, level: float) -> NDArray[np.float32]:
        """Return the redshifts of one of the levels, shape (galaxies,); the point estimate is that of 0.5."""
        return self.quantiles[:, self.levels.index(level)]


class Model(Protocol):
    """An estimator that was fitted; arrays and numbers, no code."""

    grid: RedshiftGrid

    @property
    def parameters(self) -> Parameters:
        """The numbers that it was fitted with, and those that the fit has found."""
        ...

    @property
    def arrays(self) -> Arrays:
        """What it has learnt, by name; ``parameters`` and ``arrays`` are all of it."""
        ...

    @classmethod
    def restored(cls, grid: RedshiftGrid, parameters: Parameters, arrays: Arrays) -> Self:
        """Return the model that had such parameters and arrays.

        Raises
        ------
        KeyError, ValueError
            They are not those of such a model, or would lead it outside its arrays.
        """
        ...

    def densities(self, features: Features, training_rows: Rows | None = None) -> Densities:
        """Return p(z) of galaxies.

        Parameters
        ----------
        features
            Shape (galaxies, features), in the order that the model was fitted to.
        training_rows
            Which row of the training set each galaxy is, or -1: one that was trained on is estimated by what was
            learnt without it. None if no galaxy was trained on.
        """
        ...


class Estimator(Protocol):
    """A way to estimate redshifts, with its settings: a frozen dataclass, in a module named as its ``kind``.

    ``model`` is the class of the models that it fits.
    """

    kind: ClassVar[str]
    model: ClassVar[type[Model]]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def grid(self) -> RedshiftGrid:
        """The redshifts that p(z) is given at."""
        ...

    def fit(self, training: KnownGalaxies, validation: KnownGalaxies, *, jobs: int = 1) -> Model:
        """Fit a model.

        Parameters
        ----------
        training
            Galaxies to learn from; another order of the same rows may give another model.
        validation
            Others, by which the width of p(z) is chosen.
        jobs
            How many processors may work on it; the model is the same to the bit.

        Raises
        ------
        EstimatorError
            There is nothing to learn, or a redshift lies outside the grid.
        """
        ...


def estimate(
    model: Model,
    features: Features,
    *,
    levels: tuple[float, ...] = QUANTILE_LEVELS,
    redshift: Numbers | None = None,
    training_rows: Rows | None = None,
) -> Estimates:
    """Estimate the redshifts of any number of galaxies; p(z) is in memory for a batch of them at a time.

    Parameters
    ----------
    model
        By which.
    features
        Shape (galaxies, features), as the model was fitted to.
    levels
        Of the quantiles that are wanted.
    redshift
        The known redshifts, if p(z) is to be judged by them; shape (galaxies,).
    training_rows
        As ``Model.densities`` takes them.

    Raises
    ------
    EstimatorError
        A feature is not finite.
    """
    require_finite(features)
    count = len(features)
    quantiles = np.empty((count, len(levels)), np.float32)
    mode = np.empty(count, np.float32)
    pit, losses = (np.empty(count, np.float32) if redshift is not None else None for _ in range(2))
    for batch in _batches(count):
        densities = model.densities(features[batch], None if training_rows is None else training_rows[batch])
        quantiles[batch] = densities.quantiles(levels)
        mode[batch] = densities.modes()
        if redshift is not None and pit is not None and losses is not None:
            pit[batch] = densities.pit(redshift[batch])
            losses[batch] = densities.cde_losses(redshift[batch])
    return Estimates(levels=levels, quantiles=quantiles, mode=mode, pit=pit, cde_losses=losses)


def _batches(count: int) -> Iterator[slice]:
    for start in range(0, count, _BATCH_ROWS):
        yield slice(start, start + _BATCH_ROWS)
