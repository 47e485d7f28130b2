"""Rows of ``photoz_sample`` made up in a moment, whose magnitudes tell of their redshifts."""

import duckdb
import numpy as np
import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.sampling import SPLITS
from photoz_assets_tests.photoz.mock_galaxies import mock_galaxies


def mock_sample(number: int, *, seed: int = 1, noise_mag: float = 0.05) -> duckdb.DuckDBPyRelation:
    """Return galaxies of the columns that estimators and their judges read, a third of them in each split.

    The brighter half in i is followed up. Of every fiftieth, u is not observed; of others, it is not detected.
    """
    known = mock_galaxies(number, seed=seed, noise_mag=noise_mag)
    i, *colors = known.features.T
    bluer = {"u": colors[0] + colors[1] + colors[2], "g": colors[1] + colors[2], "r": colors[2]}
    redder = {"i": np.zeros(number), "z": -colors[3], "y": -colors[3] - colors[4]}
    magnitudes = {band: (i + offset).astype(np.float32) for band, offset in (bluer | redder).items()}
    rank = np.arange(number)
    columns = {
        "object_id": rank[::-1] * 7,
        "source_key": rank.astype(str),
        "ra": np.full(number, 62.0),
        "dec": np.full(number, -37.0),
        "tract": np.full(number, 3638),
        "patch": rank % 49,
        "redshift": known.redshift,
        "split": np.array(SPLITS)[rank % 3],
        "draw": (rank + 0.5) / number,
        "followed_up": i < np.median(i),
        "color_gr": magnitudes["g"] - magnitudes["r"],
        "color_ri": magnitudes["r"] - magnitudes["i"],
    }
    for band in BANDS:
        missing = (rank % 25 == 0) if band == "u" else np.zeros(number, bool)
        limit = np.full(number, 30, np.float32)
        limit[missing & (rank % 50 == 0)] = np.nan
        columns[f"mag_{band}"] = np.where(missing, np.nan, magnitudes[band]).astype(np.float32)
        columns[f"mag_1sigma_{band}"] = limit
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    return duckdb.from_arrow(pa.table(arrays))
