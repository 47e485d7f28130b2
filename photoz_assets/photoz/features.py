"""What estimators see of a galaxy: features by their names, in SQL over its photometry.

A band that does not detect a galaxy gives the magnitude of its flux's error, and so does a flux below its error:
how far below is noise. A galaxy that one of the bands has not observed has no features.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoz_assets.photoz.estimators.estimator import EstimatorError, Features
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.photoz import color_name

# Of them, those that a model has say whether a galaxy is like its training set: more make the search slow.
_COVERAGE: Final = ("mag_i", "color_gr", "color_ri", "color_iz")


def feature_names(bands: tuple[str, ...], *, errors: bool = False) -> tuple[str, ...]:
    """Return the features of a set of bands: magnitudes, colours of neighbours, and errors if they are asked for.

    Parameters
    ----------
    bands
        Two or more of ugrizy, in that order.
    errors
        Whether the magnitudes of the fluxes' errors are features too.

    Raises
    ------
    EstimatorError
        They are no such bands.
    """
    if tuple(band for band in BANDS if band in bands) != bands or len(bands) < 2:  # noqa: PLR2004 - for a colour
        raise EstimatorError(
            f"an estimator takes two or more bands of {''.join(BANDS)} in this order, not {bands}"
        )
    return (
        *(f"mag_{band}" for band in bands),
        *(color_name(blue, red) for blue, red in pairwise(bands)),
        *(f"mag_1sigma_{band}" for band in bands if errors),
    )


def coverage_columns(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return which of some features say whether a galaxy is like others; the first if there is none of them."""
    return tuple(number for number, name in enumerate(names) if name in _COVERAGE) or (0,)


def features_sql(bands: tuple[str, ...], names: Iterable[str]) -> Mapping[str, str]:
    """Return the SQL of features over columns ``mag_u``, ``mag_1sigma_u`` and so on, by name; NULL without a band.

    Parameters
    ----------
    bands
        Those of ``feature_names``.
    names
        Some of its features.
    """
    magnitudes = {f"mag_{band}": f"least(mag_{band}, mag_1sigma_{band})" for band in bands}
    colors = {
        color_name(blue, red): f"{magnitudes[f'mag_{blue}']} - {magnitudes[f'mag_{red}']}"
        for blue, red in pairwise(bands)
    }
    errors = {f"mag_1sigma_{band}": f"mag_1sigma_{band}" for band in bands}
    known = magnitudes | colors | errors
    return {name: f"({known[name]})::FLOAT" for name in names}


def features_of(columns: Mapping[str, pa.Array], names: Iterable[str]) -> Features:
    """Return features as an array of the shape (galaxies, features); NaN where one is NULL."""
    chosen = [np.asarray(columns[name].to_numpy(zero_copy_only=False), np.float32) for name in names]
    return np.ascontiguousarray(np.stack(chosen, axis=1))


def have_all(features: Features) -> NDArray[np.bool_]:
    """Return which galaxies have all features, shape (galaxies,)."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(features), axis=1)
    return finite
