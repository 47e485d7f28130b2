"""The figures of a judged test set: what they are drawn from, out of its estimates. How they look is not here.

Importing this loads matplotlib.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import duckdb
import numpy as np
from matplotlib.figure import Figure

from photoz_assets.photoz.estimators.estimator import FINE_QUANTILE_LEVELS
from photoz_assets.photoz.quality import JudgedTestSet
from photoz_assets.photoz.tomography import stacked
from photoz_assets.science.figures.photoz import JudgedSample, TomographicBin, photoz_figures
from photoz_assets.science.figures.style import Caption

# Wide enough that a bin of a small test set has some galaxies.
_REDSHIFT_EDGES: Final = np.linspace(0, 3, 31)


def judged_figures(
    estimates: duckdb.DuckDBPyRelation,
    judged: JudgedTestSet,
    redshift_words: str,
    degraded_words: str,
    caption: Caption,
) -> Iterator[tuple[str, Figure]]:
    """Yield the name and the figure of each figure of a test set.

    Parameters
    ----------
    estimates
        Rows of ``photoz_estimates``.
    judged
        What was found of them.
    redshift_words
        What their known redshift is called.
    degraded_words
        What the degraded model was trained on.
    caption
        As ``photoz_figures`` takes it.
    """
    drawn = estimates.filter("z_median IS NOT NULL")
    sample = JudgedSample(
        galaxies=drawn.project("redshift, z_median AS estimate, pit, color_gr, color_ri"),
        redshift_words=redshift_words,
        quality=judged.quality,
        by_estimate=judged.by_estimate,
        by_magnitude=judged.by_magnitude,
        degraded_by_magnitude=judged.degraded_by_magnitude,
        degraded_words=degraded_words,
        tomography=[_bin(drawn, low, high) for low, high in pairwise(judged.tomography.tolist())],
    )
    yield from photoz_figures(sample, caption)


def _bin(estimates: duckdb.DuckDBPyRelation, low: float, high: float) -> TomographicBin:
    inside = (
        estimates.filter(f"z_median >= {low!r} AND z_median < {high!r}").project("z_quantiles").to_arrow_table()
    )
    lists = inside.column("z_quantiles").combine_chunks()
    quantiles = lists.flatten().to_numpy().reshape(-1, len(FINE_QUANTILE_LEVELS))
    return TomographicBin(
        low=low,
        high=high,
        redshift_edges=_REDSHIFT_EDGES,
        stacked=stacked(FINE_QUANTILE_LEVELS, quantiles, _REDSHIFT_EDGES),
    )
