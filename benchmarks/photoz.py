"""Redshifts: training sets beside pandas', a forest that keeps p(z) beside the notebook's and RAIL's neighbours.

Each on the same rows. For forests on a tract, galaxies that a band does not see get its ten-year limit, as RAIL
gives it.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import Measured, status_bytes
from photoz_assets.survey.bands import BANDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIMITS_MAG = {"u": 27.79, "g": 29.04, "r": 29.06, "i": 28.62, "z": 27.98, "y": 27.05}
_VALIDATION = 5_000
_BATCH_ROWS = 16_384
_DRAWN = ("training", "test")
_NOT_OBSERVED = 2
_NOT_DETECTED_MAG = 99.0
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


def features(path: str, lake: str, tract: int) -> Measured:
    """Publish a tract's galaxies with features, split and draw, audited."""
    import duckdb

    from photoz_assets.lake.layout import Lake
    from photoz_assets.lake.provenance import Provenance
    from photoz_assets.lake.writing import write_rows
    from photoz_assets.photoz.galaxies import tract_galaxies
    from photoz_assets.survey.contracts.photoz import photoz_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.survey.sampling import Sampling

    spec, sampling = photoz_galaxies_spec(RELEASE), Sampling()
    provenance = Provenance(
        table=spec.table, code_version="benchmark", run_id="benchmark", tract=tract, sampling=sampling.of_a_galaxy
    )

    def run() -> dict[str, Any]:
        galaxies = tract_galaxies(
            duckdb.connect().read_parquet(path), spec, RELEASE.columns, tract, sampling.of_a_galaxy
        )
        table = write_rows(Lake(Path(lake)), spec, galaxies.rows.to_arrow_reader(_BATCH_ROWS), provenance)
        return {"rows": table.rows}

    return run


def sample(lake: str, tracts: list[int], number: int) -> Measured:
    """Draw a training and a test set out of some tracts and export both for RAIL, read back."""
    import duckdb
    import h5py  # noqa: F401 - loading it is not the measurement's
    import pandas as pd  # noqa: F401 - with the first array, Arrow loads it

    from photoz_assets.lake.layout import Lake
    from photoz_assets.lake.provenance import Provenance
    from photoz_assets.photoz.exports import write_profile
    from photoz_assets.photoz.profiles import PROFILES
    from photoz_assets.photoz.sample import draw_sample
    from photoz_assets.survey.contracts.photoz import photoz_sample_spec
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.survey.sampling import Sampling

    store, spec = Lake(Path(lake)), photoz_sample_spec(RELEASE)
    sampling = Sampling(sizes=(number, 1, number))
    profile = replace(PROFILES["rail"], files={f"{split}.hdf5": (split,) for split in _DRAWN})
    provenance = Provenance(table=spec.table, code_version="benchmark", run_id="benchmark", sampling=sampling)

    def run() -> dict[str, Any]:
        drawn = draw_sample({tract: store.table("photoz_galaxies", tract) for tract in tracts}, spec, sampling)
        written = write_profile(store, profile, duckdb.from_arrow(drawn.rows), provenance)
        return {"rows": written.rows}

    return run


def pandas_sample(lake: str, tracts: list[int], number: int, folder: str) -> Measured:
    """Draw and write both sets as a notebook does: pandas, ``train_test_split``, HDF5."""
    import h5py
    import pandas as pd
    from sklearn.model_selection import train_test_split

    from photoz_assets.lake.layout import Lake

    magnitudes, errors = ([f"{kind}_{band}" for band in BANDS] for kind in ("mag", "mag_err"))
    paths = [Lake(Path(lake)).table("photoz_galaxies", tract) for tract in tracts]

    def run() -> dict[str, Any]:
        galaxies = pd.concat([pd.read_parquet(path) for path in paths])
        observed = galaxies[(galaxies[[f"state_{band}" for band in BANDS]] < _NOT_OBSERVED).all(axis=1)]
        sets = train_test_split(observed, train_size=number, test_size=number, random_state=1)
        for name, rows in zip(_DRAWN, sets, strict=True):
            with h5py.File(Path(folder) / f"pandas-{name}.hdf5", "w") as file:
                for column in ("object_id", *magnitudes, *errors, "redshift"):
                    file[f"photometry/{column}"] = rows[column].fillna(_NOT_DETECTED_MAG).to_numpy()
        return {"rows": sum(map(len, sets))}

    return run


def rail_neighbours(lake: str, folder: str, python: str) -> Measured:
    """Learn redshifts from the exported training set by RAIL's neighbours, in RAIL's own environment."""
    from benchmarks.rail import theirs

    command = [python, str(theirs.__file__), "KNearNeigh", *map(str, _exported(lake))]

    def run() -> dict[str, Any]:
        told = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout
        took = json.loads(told.splitlines()[-1])
        return {"processor": took["training"], "peak_mib": took["peak_mib"]}

    return run


def rail_forest(lake: str) -> Measured:
    """Learn redshifts from the same file by our forest; memory is of the whole process, as RAIL's is."""
    import sklearn.ensemble  # noqa: F401 - loading it is not the measurement's

    from benchmarks.rail import ours
    from photoz_assets.photoz.estimators.estimator import KnownGalaxies
    from photoz_assets.photoz.estimators.forest import Forest

    training, test = _exported(lake)
    features, redshift, _ = ours.read(test)
    validation = KnownGalaxies(features[:_VALIDATION], redshift[:_VALIDATION])

    def run() -> dict[str, Any]:
        features, redshift, _ = ours.read(training)
        Forest().fit(KnownGalaxies(features, redshift), validation)
        return {"rows": len(redshift), "peak_mib": status_bytes("VmHWM") / 2**20}

    return run


def _exported(lake: str) -> list[Path]:
    from photoz_assets.lake.layout import Lake

    return [Lake(Path(lake)).export("rail", f"{split}.hdf5") for split in _DRAWN]


PHOTOZ: dict[str, Callable[..., Measured]] = {
    function.__name__: function
    for function in (author, forest, estimates, features, sample, pandas_sample, rail_forest, rail_neighbours)
}
