"""Redshifts: a forest that keeps p(z) beside the one that this project grew from, on the same rows of a tract.

Galaxies that a band does not see get its ten-year limit, as RAIL gives it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import Measured
from photoz_assets.survey.bands import BANDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIMITS_MAG = {"u": 27.79, "g": 29.04, "r": 29.06, "i": 28.62, "z": 27.98, "y": 27.05}
_VALIDATION = 5_000
_MODEL = "model.parquet"
_FEATURES = (*BANDS, "ug", "gr", "ri", "iz", "zy")
# i, g-r, r-i, i-z.
_COVERAGE = (3, 7, 8, 9)


def _galaxies(path: str) -> "tuple[NDArray[np.float32], NDArray[np.float64]]":
    """Read magnitudes in ugrizy, shape (galaxies, 6), and redshifts, in an order that does not follow either."""
    import duckdb
    import numpy as np

    from photoz_assets.survey.releases.dp02 import RELEASE

    columns = RELEASE.columns
    magnitudes = ", ".join(f"coalesce({columns.magnitude(band)}, {_LIMITS_MAG[band]}) AS {band}" for band in BANDS)
    ordered = f"ORDER BY md5({columns.keys[0]}::VARCHAR)"
    rows = (
        duckdb.connect()
        .sql(f"SELECT {magnitudes}, {columns.redshift} AS redshift FROM '{path}' {ordered}")
        .fetchnumpy()
    )
    return np.stack([rows[band] for band in BANDS], axis=1).astype(np.float32), rows["redshift"].astype(np.float64)


def _features(magnitudes: "NDArray[np.float32]") -> "NDArray[np.float32]":
    import numpy as np

    return np.concatenate([magnitudes, magnitudes[:, :-1] - magnitudes[:, 1:]], axis=1)


def author(path: str, number: int) -> Measured:
    """Grow the forest of the notebook's author: 50 trees, 30 deep, magnitudes only, no p(z)."""
    from sklearn.ensemble import RandomForestRegressor

    magnitudes, redshift = _galaxies(path)

    def run() -> dict[str, Any]:
        RandomForestRegressor(50, max_depth=30, random_state=0).fit(magnitudes[:number], redshift[:number])
        return {"rows": number}

    return run


def forest(path: str, number: int, folder: str) -> Measured:
    """Fit our forest, p(z) tuned, and write it."""
    import sklearn.ensemble  # noqa: F401 - loading it is not the measurement's

    from photoz_assets.photoz.coverage import Coverage
    from photoz_assets.photoz.estimators.estimator import KnownGalaxies
    from photoz_assets.photoz.estimators.forest import Forest
    from photoz_assets.photoz.model import FittedModel, ModelFacts

    magnitudes, redshift = _galaxies(path)
    known = KnownGalaxies(_features(magnitudes), redshift)
    training, validation = (
        KnownGalaxies(known.features[rows], known.redshift[rows])
        for rows in (slice(number), slice(number, number + _VALIDATION))
    )

    def run() -> dict[str, Any]:
        fitted = FittedModel(
            model=Forest().fit(training, validation),
            coverage=Coverage.of(training.features, _COVERAGE),
            facts=ModelFacts(
                kind=Forest.kind,
                features=_FEATURES,
                bands=BANDS,
                photometry="cModel",
                dereddened=False,
                sample_digest="benchmark",
                num_training=len(training),
                num_validation=len(validation),
            ),
        )
        fitted.write(Path(folder) / _MODEL)
        return {"rows": number}

    return run


def estimates(path: str, folder: str, copies: int = 1) -> Measured:
    """Estimate all galaxies of a tract, or of several copies of it, with p(z) and whether each is covered."""
    import numpy as np

    from photoz_assets.photoz.estimators.estimator import estimate
    from photoz_assets.photoz.model import FittedModel

    features = np.tile(_features(_galaxies(path)[0]), (copies, 1))
    fitted = FittedModel.read(Path(folder) / _MODEL)

    def run() -> dict[str, Any]:
        estimate(fitted.model, features)
        fitted.coverage.covers(features)
        return {"rows": len(features)}

    return run


PHOTOZ: dict[str, Callable[..., Measured]] = {
    function.__name__: function for function in (author, forest, estimates)
}
