"""What estimators of redshift make of the objects that the archive serves: as real ones, and without a hint.

Two experiments. The first is the one that this project grew from, made with real objects of DP0.2; its results are
known. The second asks whether the errors of fluxes tell more of a redshift than the fluxes do: real ones do not.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from benchmarks.fidelity.measures import PhotoZ, judged
from photoz_archive.sky.store import TABLES, SkyStore
from photoz_assets.survey.bands import AB_ZERO_POINT_MAG, BANDS

FloatArray = NDArray[np.float64]

# The first experiment with DP0.2's objects, in the field whose tracts these are. Its cuts in magnitude are not
# written down; with these, as large a share of the sample is left as there.
FIELD_TRACTS = (3637, 3638, 3831)
_CUTS_MAG = (17.0, 25.0)
_TRAINING = 25_000
REAL = PhotoZ(sigma_nmad=0.0379, outliers=0.0653, bias=np.nan, deviation=0.0989)
# The second: the sample's own limit, and as many galaxies to train with as to judge.
_LIMIT_MAG = 26.0
_EACH = 20_000
# What stands for a magnitude where the flux is negative: that of one sigma after ten years.
_FAINTEST_MAG = np.array([27.79, 29.04, 29.06, 28.62, 27.98, 27.05])


@dataclass(frozen=True)
class Objects:
    """Galaxies that were found: true redshifts (n,), cModel fluxes and their errors in nJy (n, 6)."""

    redshift: FloatArray
    flux: FloatArray
    error: FloatArray

    def __len__(self) -> int:
        return len(self.redshift)

    @property
    def magnitudes(self) -> FloatArray:
        """AB magnitudes, shape (n, 6); NaN where the flux is negative."""
        with np.errstate(invalid="ignore"):
            return np.asarray(AB_ZERO_POINT_MAG - 2.5 * np.log10(self.flux))

    def brighter(self, limit_mag: float, bright_mag: float = _CUTS_MAG[0]) -> "Objects":
        """Give the galaxies within limits in g, r and i."""
        gri = self.magnitudes[:, 1:4]
        rows = np.all((gri > bright_mag) & (gri < limit_mag), axis=1)
        return Objects(self.redshift[rows], self.flux[rows], self.error[rows])


def matched_galaxies(sky: SkyStore) -> Objects:
    """Give the primary objects that are galaxies, measured in all bands, in an order that means nothing."""
    files = {table: [str(path) for path in sky.files(table, sky.tracts)] for table in TABLES}
    columns = [f"{band}_cModelFlux{end}" for end in ("", "Err") for band in BANDS]
    measured = " AND ".join(f"{name} IS NOT NULL" for name in columns)
    rows = duckdb.execute(
        f"SELECT redshift, {', '.join(columns)} FROM read_parquet($Object) o "
        "JOIN read_parquet($MatchesTruth) m ON m.match_objectId = o.objectId "
        "JOIN read_parquet($TruthSummary) t USING (id_truth_type) "
        f"WHERE t.truth_type = 1 AND detect_isPrimary AND {measured} ORDER BY md5(id_truth_type)",
        files,
    ).fetchnumpy()
    flux, error = (np.stack([rows[name] for name in part], axis=1) for part in (columns[:6], columns[6:]))
    return Objects(np.asarray(rows["redshift"], float), flux, error)


def first_experiment(objects: Objects) -> PhotoZ:
    """Repeat the experiment with DP0.2: a forest on magnitudes alone, of galaxies seen in all bands."""
    from sklearn.ensemble import RandomForestRegressor

    chosen = objects.brighter(_CUTS_MAG[1])
    seen = np.all(chosen.flux > 0, axis=1)
    magnitudes, redshift = chosen.magnitudes[seen], chosen.redshift[seen]
    forest = RandomForestRegressor(50, max_depth=30, random_state=1, n_jobs=-1)
    forest.fit(magnitudes[:_TRAINING], redshift[:_TRAINING])
    return judged(forest.predict(magnitudes[_TRAINING:]), redshift[_TRAINING:])


def with_and_without_errors(objects: Objects) -> tuple[PhotoZ, PhotoZ]:
    """Judge a forest that knows magnitudes, colours and errors of fluxes, and one that knows no errors."""
    chosen = objects.brighter(_LIMIT_MAG)
    magnitudes = np.where(chosen.flux > 0, chosen.magnitudes, _FAINTEST_MAG)
    known = np.column_stack([magnitudes, magnitudes[:, :-1] - magnitudes[:, 1:]])
    error = np.log10(chosen.error)
    mean = error.mean(axis=1, keepdims=True)
    with_errors = np.column_stack([known, mean, error - mean])
    return _forest(with_errors, chosen.redshift), _forest(known, chosen.redshift)


def _forest(inputs: FloatArray, redshift: FloatArray) -> PhotoZ:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(100, min_samples_leaf=3, max_features=0.5, random_state=1, n_jobs=-1)
    forest.fit(inputs[:_EACH], redshift[:_EACH])
    test = slice(_EACH, 2 * _EACH)
    return judged(forest.predict(inputs[test]), redshift[test])
