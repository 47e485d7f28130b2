"""A random forest whose leaves keep the redshifts of the galaxies that fell into them.

p(z) of a galaxy is the mean of the histograms of its leaves, one a tree (quantile regression forests: Meinshausen
2006, J. Mach. Learn. Res. 7, 983), smoothed and raised to a power. scikit-learn grows the trees; the model is
arrays that numpy walks through, so that a stored one needs neither scikit-learn nor its version.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

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

Weights = NDArray[np.float32]

_TYPES: Final = {
    "root": np.int32,
    "feature": np.uint8,
    "threshold": np.float32,
    "child": np.int32,
    "first": np.int32,
    "place": np.uint16,
    "count": np.int32,
    "seen": np.uint8,
}

# Tried on the validation set, the first so many galaxies of it.
_SMOOTHINGS: Final = (0.005, 0.008, 0.012, 0.016, 0.02, 0.025, 0.03, 0.04)
_EXPONENTS: Final = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
_USUAL_EXPONENT: Final = 1.4
_MOST_TO_VALIDATE: Final = 5_000

# Leaves above this level are rare; below it, galaxies that have arrived are set aside every few levels.
_FIRST_LEAVES_LEVEL: Final = 8
_LEVELS_AT_A_TIME: Final = 4


class ForestModel:
    """A grown forest.

    Attributes
    ----------
    arrays
        The nodes of all trees, one tree after the other. ``root``: the first node of each. ``feature``,
        ``threshold``, ``child``: a galaxy whose feature is at most the threshold goes on to the node ``child``,
        else to the one after that; a leaf is its own child. ``first``, ``place``, ``count``: what a leaf keeps is
        entries ``first[leaf]`` to ``first[leaf + 1]``, the numbers of redshifts of the grid and how often.
        ``seen``: for each galaxy of the training set, a bit for each tree that grew by it.
    """

    def __init__(self, grid: RedshiftGrid, parameters: Parameters, arrays: Arrays) -> None:
        self.grid = grid
        self.parameters = parameters
        self.arrays = arrays
        kept = np.diff(arrays["first"])
        count = arrays["count"].astype(np.float32)
        # A node that keeps nothing sums up what is of another, and is repeated no times.
        totals = np.add.reduceat(np.append(count, np.float32(0)), arrays["first"][:-1])
        self._shares = count / np.repeat(totals, kept)

    @classmethod
    def restored(cls, grid: RedshiftGrid, parameters: Parameters, arrays: Arrays) -> Self:
        """Return the model that had such parameters and arrays, as ``Model.restored`` has it."""
        if not (parameters["smoothing"] > 0 and parameters["exponent"] > 0):
            raise ValueError("smoothing and exponent are above 0")
        _require_sound(grid, parameters["num_features"], arrays)
        return cls(grid, parameters, arrays)

    def tuned(self, validation: KnownGalaxies) -> Self:
        """Return the model with the smoothing and the exponent of the least CDE loss on other galaxies."""
        features, redshift = validation.features[:_MOST_TO_VALIDATE], validation.redshift[:_MOST_TO_VALIDATE]
        weights = self._weights(features, None)

        def loss(smoothing: float, exponent: float) -> float:
            shaped = Densities.of_weights(self.grid, weights, smoothing=smoothing, exponent=exponent)
            return float(shaped.cde_losses(redshift).mean(dtype=np.float64))

        # The loss has one valley, and the exponent moves it along the smoothing by little.
        smoothing = min(_SMOOTHINGS, key=lambda tried: loss(tried, _USUAL_EXPONENT))
        exponent = min(_EXPONENTS, key=lambda tried: loss(smoothing, tried))
        return type(self)(
            self.grid, {**self.parameters, "smoothing": smoothing, "exponent": exponent}, self.arrays
        )

    def densities(self, features: Features, training_rows: Rows | None = None) -> Densities:
        """Return p(z), as ``Model.densities`` has it: of a galaxy trained on, by the trees that did not see it.

        A galaxy that all trees have seen gets NaN.
        """
        return Densities.of_weights(
            self.grid,
            self._weights(features, training_rows),
            smoothing=self.parameters["smoothing"],
            exponent=self.parameters["exponent"],
        )

    def _weights(self, features: Features, training_rows: Rows | None) -> Weights:
        """Return the sum of the normalized histograms of each galaxy's leaves, shape (galaxies, redshifts)."""
        if features.shape[1] != self.parameters["num_features"]:
            raise ValueError(f"{features.shape[1]} features for a model of {self.parameters['num_features']:.0f}")
        first, place = self.arrays["first"], self.arrays["place"]
        galaxies = np.arange(len(features))
        unseen = self._unseen(training_rows)
        weights = np.zeros(len(features) * self.grid.size, np.float32)
        # One tree after the other: each fits into a processor's cache.
        for tree, root in enumerate(self.arrays["root"]):
            counted = galaxies if unseen is None else galaxies[unseen[:, tree]]
            leaf = self._leaves(features[counted], root)
            start, kept = first[leaf], first[leaf + 1] - first[leaf]
            entries = np.arange(kept.sum()) + np.repeat(start - (kept.cumsum() - kept), kept)
            cells = np.repeat(counted * self.grid.size, kept) + place.take(entries)
            np.add.at(weights, cells, self._shares.take(entries))
        return weights.reshape(len(features), self.grid.size)

    def _unseen(self, training_rows: Rows | None) -> NDArray[np.bool_] | None:
        """Return which trees have not seen each galaxy, shape (galaxies, trees); None if none has seen any."""
        if training_rows is None:
            return None
        trained_on = training_rows >= 0
        num_trees = len(self.arrays["root"])
        unseen = np.ones((len(training_rows), num_trees), bool)
        seen = np.unpackbits(self.arrays["seen"][training_rows[trained_on]], axis=1, count=num_trees)
        unseen[trained_on] = seen == 0
        return unseen

    def _leaves(self, features: Features, root: np.int32) -> NDArray[np.int32]:
        """Walk galaxies down a tree, a level at a time, and return the leaf of each."""
        feature, threshold, child = (self.arrays[name] for name in ("feature", "threshold", "child"))
        galaxies, width = features.shape
        flat = features.ravel()
        leaves = np.empty(galaxies, np.int32)
        walking = np.arange(galaxies, dtype=np.int32)
        values = walking * width
        node = np.full(galaxies, root, np.int32)
        level = 0
        while walking.size:
            following = child.take(node)
            following += flat.take(values + feature.take(node)) > threshold.take(node)
            level += 1
            if level > _FIRST_LEAVES_LEVEL and level % _LEVELS_AT_A_TIME == 0:
                arrived = following == node
                leaves[walking[arrived]] = node[arrived]
                on = ~arrived
                walking, values, following = walking[on], values[on], following[on]
            node = following
        return leaves


@dataclass(frozen=True, kw_only=True)
class Forest:
    """How to grow a forest; the names and meanings are those of scikit-learn's ``RandomForestRegressor``.

    ``max_samples`` is the share of the training set, drawn with replacement, that each tree grows by; a leaf keeps
    the redshifts of these galaxies alone.

    Raises
    ------
    EstimatorError
        A value makes no sense.
    """

    kind: ClassVar[str] = "forest"
    model: ClassVar[type[Model]] = ForestModel

    trees: int = 50
    min_samples_leaf: int = 3
    max_features: float = 0.5
    max_samples: float = 0.7
    seed: int = 1
    grid: RedshiftGrid = field(default=RedshiftGrid())

    def __post_init__(self) -> None:
        shares = (self.max_features, self.max_samples)
        if self.trees < 1 or self.min_samples_leaf < 1 or not all(0 < share <= 1 for share in shares):
            raise EstimatorError(
                f"a forest has a tree or more, a galaxy or more in each leaf, and shares up to 1, not {self}"
            )

    def fit(self, training: KnownGalaxies, validation: KnownGalaxies, *, jobs: int = 1) -> ForestModel:
        """Fit a model, as ``Estimator.fit`` has it; smoothing and exponent are those of the least CDE loss."""
        from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - slow to load, and 160 MiB

        training.require_within(self.grid)
        grown = RandomForestRegressor(
            self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            max_samples=self.max_samples,
            random_state=self.seed,
            n_jobs=jobs,
        ).fit(training.features, training.redshift)
        settings = {name: float(value) for name, value in asdict(self).items() if name != "grid"}
        found = {"num_features": float(grown.n_features_in_), "smoothing": self.grid.step, "exponent": 1.0}
        model = ForestModel(self.grid, settings | found, _learnt(grown, training, self.grid))
        return model.tuned(validation)


def _learnt(grown: Any, training: KnownGalaxies, grid: RedshiftGrid) -> Arrays:
    """Return the arrays of a forest that scikit-learn has grown."""
    places = grid.nearest(training.redshift)
    trees = []
    seen = np.zeros((len(training), len(grown.estimators_)), bool)
    root = 0
    roots, firsts = [], [np.zeros(1, np.int32)]
    for number, (tree, drawn) in enumerate(zip(grown.estimators_, grown.estimators_samples_, strict=True)):
        seen[drawn, number] = True
        nodes, node_of = _renumbered(tree.tree_)
        found = node_of[tree.apply(training.features[drawn])].astype(np.int64)
        cells, count = np.unique(found * grid.size + places[drawn], return_counts=True)
        ends = np.searchsorted(cells, np.arange(1, len(node_of) + 1) * grid.size)
        trees.append(
            nodes
            | {
                "child": nodes["child"] + np.int32(root),
                "place": (cells % grid.size).astype(np.uint16),
                "count": count.astype(np.int32),
            }
        )
        firsts.append((ends + firsts[-1][-1]).astype(np.int32))
        roots.append(root)
        root += len(node_of)
    joined = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
    return joined | {
        "root": np.array(roots, np.int32),
        "first": np.concatenate(firsts),
        "seen": np.packbits(seen, axis=1),
    }


def _renumbered(tree: Any) -> tuple[dict[str, NDArray[Any]], NDArray[np.int32]]:
    """Renumber a tree's nodes level by level, so that the two below a node are neighbours.

    Returns
    -------
    dict, numpy.ndarray
        ``feature``, ``threshold`` and ``child`` by the new numbers, and the new number of each node.
    """
    left, right = tree.children_left, tree.children_right
    is_leaf = left < 0
    number = np.zeros(tree.node_count, np.int32)
    level, numbered = np.zeros(1, np.intp), 1
    while level.size:
        parents = level[~is_leaf[level]]
        level = np.column_stack([left[parents], right[parents]]).ravel()
        number[level] = numbered + np.arange(level.size)
        numbered += level.size
    # The features are of single precision: so is the greatest number that is no greater than the threshold.
    threshold = tree.threshold.astype(np.float32)
    threshold = np.where(threshold > tree.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    nodes = {
        "feature": np.where(is_leaf, 0, tree.feature).astype(np.uint8),
        "threshold": np.where(is_leaf, np.float32(np.inf), threshold),
        "child": np.where(is_leaf, number, number[left]),
    }
    ordered = {}
    for name, values in nodes.items():
        ordered[name] = np.empty_like(values)
        ordered[name][number] = values
    return ordered, number


def _require_sound(grid: RedshiftGrid, num_features: float, arrays: Arrays) -> None:
    """Refuse arrays by which a walk would leave them or never end, or whose leaves are empty.

    Raises
    ------
    KeyError
        One is missing.
    ValueError
        One makes no sense.
    """
    feature, threshold, child, first = (arrays[name] for name in ("feature", "threshold", "child", "first"))
    place, count, root, seen = (arrays[name] for name in ("place", "count", "root", "seen"))
    nodes = np.arange(len(child))
    is_leaf = child == nodes
    kept = np.diff(first)
    sound = (
        all(arrays[name].dtype == type_ for name, type_ in _TYPES.items())
        and len(feature) == len(threshold) == len(child) == len(first) - 1
        and len(place) == len(count) == first[-1]
        and first[0] == 0
        and (kept[is_leaf] > 0).all()
        and (kept >= 0).all()
        and (child >= nodes).all()
        and (child[~is_leaf] < len(child) - 1).all()
        and (threshold[is_leaf] == np.inf).all()
        and not np.isnan(threshold).any()
        and (feature < num_features).all()
        and (place < grid.size).all()
        and (count > 0).all()
        and len(root) > 0
        and ((root >= 0) & (root < len(child))).all()
        and seen.ndim == 2  # noqa: PLR2004 - galaxies and trees
        and seen.shape[1] == (len(root) + 7) // 8
    )
    if not sound:
        raise ValueError("the arrays are no forest")


ESTIMATOR: Final = Forest
