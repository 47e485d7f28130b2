"""Which galaxies are unlike all that a model was trained on.

An estimator says something of every galaxy; where none of the training set is near, it says what it knows of
others.
"""

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from photoz_assets.photoz.estimators.estimator import Arrays, EstimatorError, Features

_NEIGHBOUR: Final = 5
_COVERED_SHARE: Final = 0.999
# Of the training set, the first so many: they are drawn at random, and more find no other gaps.
_MOST: Final = 20_000
# The search takes some hundred bytes a galaxy.
_BATCH_ROWS: Final = 16_384


class Coverage:
    """The colours and magnitudes that a training set covers.

    A galaxy is covered if the fifth nearest galaxy of the training set is no farther than it is for 99.9 % of the
    training set itself. Distances are in units of each feature's spread.

    Attributes
    ----------
    arrays
        ``columns``: which features count. ``features``, ``spread``: of the training set, those. ``limit``: the
        greatest distance.
    """

    def __init__(self, arrays: Arrays) -> None:
        from scipy.spatial import cKDTree  # noqa: PLC0415 - only where it is asked

        self.arrays = arrays
        self._tree = cKDTree(arrays["features"] / arrays["spread"])

    @classmethod
    def of(cls, features: Features, columns: tuple[int, ...]) -> Self:
        """Return what a training set covers.

        Parameters
        ----------
        features
            Of the training set, shape (galaxies, features), in random order.
        columns
            Which of them count. Four are enough, such as i, g-r, r-i, i-z: the search grows with each.

        Raises
        ------
        EstimatorError
            There are too few galaxies, or a feature is the same for most.
        """
        chosen = features[:_MOST, columns]
        if len(chosen) <= _NEIGHBOUR:
            raise EstimatorError(f"{len(chosen)} galaxies to train on cover nothing: fetch more tracts")
        low, high = np.quantile(chosen, (0.16, 0.84), axis=0)
        if not (high > low).all():
            raise EstimatorError("a feature is the same for most galaxies: leave it out of the coverage")
        arrays = {
            "columns": np.array(columns, np.int32),
            "features": chosen,
            "spread": (high - low).astype(np.float32),
            "limit": np.full(1, np.inf),
        }
        # The nearest of the training set to one of its own is itself.
        distances = cls(arrays).distances(features[:_MOST], _NEIGHBOUR + 1)
        return cls({**arrays, "limit": np.quantile(distances, [_COVERED_SHARE])})

    @classmethod
    def restored(cls, arrays: Arrays) -> Self:
        """Return the coverage that had such arrays.

        Raises
        ------
        KeyError, ValueError
            They are not those of a coverage.
        """
        columns, features, spread, limit = (arrays[name] for name in ("columns", "features", "spread", "limit"))
        sound = (
            features.ndim == 2  # noqa: PLR2004 - galaxies and features
            and features.shape[1] == len(columns) == len(spread)
            and len(features) > _NEIGHBOUR
            and np.isfinite(features).all()
            and (spread > 0).all()
            and (columns >= 0).all()
            and limit.shape == (1,)
        )
        if not sound:
            raise ValueError("the arrays are no coverage")
        return cls(arrays)

    def covers(self, features: Features) -> NDArray[np.bool_]:
        """Return whether each galaxy is covered; ``features`` as the training set's, the result (galaxies,)."""
        covered = np.empty(len(features), bool)
        for start in range(0, len(features), _BATCH_ROWS):
            batch = slice(start, start + _BATCH_ROWS)
            covered[batch] = self.distances(features[batch], _NEIGHBOUR) <= self.arrays["limit"]
        return covered

    def distances(self, features: Features, neighbour: int) -> NDArray[np.float64]:
        """Return how far the n-th nearest galaxy of the training set is from each, shape (galaxies,)."""
        chosen = features[:, self.arrays["columns"]] / self.arrays["spread"]
        found: NDArray[np.float64] = self._tree.query(chosen, [neighbour])[0][:, 0]
        return found
