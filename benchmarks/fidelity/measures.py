"""How two samples of galaxies differ: distribution by distribution, all at once, and for a photo-z estimator."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.fidelity.sample import Sample
from photoz_assets.survey.bands import BANDS

FloatArray = NDArray[np.float64]

COLOURS = tuple(f"{blue}-{red}" for blue, red in itertools.pairwise(BANDS))
_OUTLIER = 0.15
_NOT_DETECTED_MAG = 28.5


def quantities(sample: Sample) -> dict[str, FloatArray]:
    """Give what is compared one by one; without the galaxies that a band does not see."""
    found = {"redshift": sample.redshift, "r": sample.magnitudes[:, 2], "i": sample.magnitudes[:, 3]}
    found |= dict(zip(COLOURS, sample.colours.T, strict=True))
    return {name: values[np.isfinite(values)] for name, values in found.items()}


def ks_distances(ours: Sample, real: Sample) -> dict[str, float]:
    """Give the largest difference of the cumulative distributions, quantity by quantity."""
    from scipy.stats import ks_2samp

    mine, theirs = quantities(ours), quantities(real)
    return {name: float(ks_2samp(mine[name], theirs[name]).statistic) for name in theirs}


def classifier_auc(ours: Sample, real: Sample) -> float:
    """Give how well boosted trees tell the two apart (0.5: not at all), each half by the other's trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    columns = [np.column_stack([s.redshift, s.magnitudes, s.colours]) for s in (ours, real)]
    label = np.repeat([1, 0], [len(ours), len(real)])
    folds = StratifiedKFold(2, shuffle=True, random_state=1)
    trees = HistGradientBoostingClassifier(random_state=1)
    scores = cross_val_predict(trees, np.concatenate(columns), label, cv=folds, method="predict_proba")
    return float(roc_auc_score(label, scores[:, 1]))


@dataclass(frozen=True)
class PhotoZ:
    """How good an estimator is: scatter, outliers, median and standard deviation of (z_est - z) / (1 + z)."""

    sigma_nmad: float
    outliers: float
    bias: float
    deviation: float


def judged(estimate: FloatArray, redshift: FloatArray) -> PhotoZ:
    """Judge estimates by the true redshifts."""
    error = (estimate - redshift) / (1 + redshift)
    spread = 1.4826 * np.median(np.abs(error - np.median(error)))
    return PhotoZ(
        sigma_nmad=float(spread),
        outliers=float(np.mean(np.abs(error) > _OUTLIER)),
        bias=float(np.median(error)),
        deviation=float(error.std()),
    )


def photo_z(training: Sample, test: Sample, kind: str) -> PhotoZ:
    """Train ``forest`` or ``neighbours`` on one sample and judge it on another."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.neighbors import KNeighborsRegressor

    estimator = {
        "forest": RandomForestRegressor(100, min_samples_leaf=3, random_state=1),
        "neighbours": KNeighborsRegressor(10, weights="distance"),
    }[kind]
    estimator.fit(_inputs(training), training.redshift)
    return judged(estimator.predict(_inputs(test)), test.redshift)


def _inputs(sample: Sample) -> FloatArray:
    magnitudes = np.where(np.isnan(sample.magnitudes), _NOT_DETECTED_MAG, sample.magnitudes)
    # A colour says more of a redshift than a magnitude.
    return np.column_stack([0.3 * magnitudes[:, 3], magnitudes[:, :-1] - magnitudes[:, 1:]])
