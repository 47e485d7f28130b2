"""The nearest neighbours among the galaxies of known redshift.

p(z) of a galaxy is a Gaussian at the redshift of each neighbour, weighted by the inverse of its distance, as in
RAIL's KNearNeighEstimator. Distances are in units of each feature's spread.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

import numpy as np

from photoz_assets.photoz.estimators.estimator import (
    Arrays,
    Densities,
    EstimatorError,
    Features,
    KnownGalaxies,
    Model,
    Parameters,
    RedshiftGrid,
    Rows,
)

# Tried on the validation set, the first so many galaxies of it.
_NUMBERS: Final = (4, 7, 10, 16, 24)
_SMOOTHINGS: Final = (0.01, 0.015, 0.02, 0.03, 0.045, 0.06)
_MOST_TO_VALIDATE: Final = 5_000
# So that a galaxy found in the same place has a finite weight.
_LEAST_DISTANCE: Final = 1e-3


class NeighboursModel:
    """Galaxies of known redshift to look for neighbours among.

    Attributes
    ----------
    arrays
        ``features`` and ``place``, the number of the redshift on the grid, of each galaxy of the training set;
        ``spread`` of each feature.
    """

    def __init__(self, grid: RedshiftGrid, parameters: Parameters, arrays: Arrays) -> None:
        from scipy.spatial import cKDTree  # noqa: PLC0415 - the forest does without

        self.grid = grid
        self.parameters = parameters
        self.arrays = arrays
        self._tree = cKDTree(arrays["features"] / arrays["spread"])

    @classmethod
    def restored(cls, grid: RedshiftGrid, parameters: Parameters, arrays: Arrays) -> Self:
        """Return the model that had such parameters and arrays, as ``Model.restored`` has it."""
        features, spread, place = (arrays[name] for name in ("features", "spread", "place"))
        sound = (
            features.shape == (len(place), len(spread))
            and np.isfinite(features).all()
            and (spread > 0).all()
            and (place < grid.size).all()
            and 1 <= parameters["neighbours"] <= len(place)
            and parameters["smoothing"] > 0
        )
        if not sound:
            raise ValueError("the arrays are no neighbours")
        return cls(grid, parameters, arrays)

    def densities(self, features: Features, training_rows: Rows | None = None) -> Densities:
        """Return p(z), as ``Model.densities`` has it: a galaxy trained on is no neighbour of its own."""
        neighbours = int(self.parameters["neighbours"])
        # One more, in place of the galaxy itself.
        distance, found = self._tree.query(features / self.arrays["spread"], range(1, neighbours + 2))
        counted = np.ones(found.shape, bool)
        counted[:, -1] = False
        if training_rows is not None:
            itself = found == training_rows[:, None]
            counted[itself] = False
            counted[itself.any(axis=1), -1] = True
            counted[itself[:, -1], -1] = False
        counted &= np.isfinite(distance)
        cells = np.arange(len(features))[:, None] * self.grid.size + self.arrays["place"].take(found, mode="clip")
        weights = np.bincount(
            cells[counted], 1 / (distance[counted] + _LEAST_DISTANCE), len(features) * self.grid.size
        )
        return Densities.of_weights(
            self.grid,
            weights.astype(np.float32).reshape(len(features), self.grid.size),
            smoothing=self.parameters["smoothing"],
            exponent=1.0,
        )


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """How to look for neighbours; their number and the Gaussians' width are those of the least CDE loss."""

    kind: ClassVar[str] = "neighbours"
    model: ClassVar[type[Model]] = NeighboursModel

    grid: RedshiftGrid = field(default=RedshiftGrid())

    def fit(self, training: KnownGalaxies, validation: KnownGalaxies, *, jobs: int = 1) -> NeighboursModel:  # noqa: ARG002 - others take long
        """Fit a model, as ``Estimator.fit`` has it."""
        training.require_within(self.grid)
        low, high = np.quantile(training.features, (0.16, 0.84), axis=0)
        if not (high > low).all():
            raise EstimatorError("a feature is the same for most galaxies: leave it out")
        arrays = {
            "features": training.features,
            "spread": ((high - low) / 2).astype(np.float32),
            "place": self.grid.nearest(training.redshift),
        }
        numbers = [number for number in _NUMBERS if number < len(training)] or [1]
        features, redshift = validation.features[:_MOST_TO_VALIDATE], validation.redshift[:_MOST_TO_VALIDATE]

        def loss(model: NeighboursModel) -> float:
            return float(model.densities(features).cde_losses(redshift).mean(dtype=np.float64))

        tried = (
            NeighboursModel(self.grid, {"neighbours": float(number), "smoothing": smoothing}, arrays)
            for number in numbers
            for smoothing in _SMOOTHINGS
        )
        return min(tried, key=loss)


ESTIMATOR: Final = Neighbours
