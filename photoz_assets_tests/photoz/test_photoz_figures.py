from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text

from photoz_assets.photoz.metrics import JudgedGalaxies, quality, quality_in_bins
from photoz_assets.photoz.tomography import equal_bins
from photoz_assets.science.figures.photoz import JudgedSample, TomographicBin, photoz_figures
from photoz_assets.science.figures.style import Caption
from photoz_assets_tests.dp02 import DP02

METHOD: Final = "forest on ugrizy magnitudes and colours · 5,000 trained on · split by galaxy"
CAPTION: Final = Caption("Test set", "embedded archive, simulated", 2_000, DP02, method=METHOD)
NAMES: Final = (
    "photoz_redshifts",
    "photoz_errors_by_estimate",
    "photoz_errors_by_magnitude",
    "photoz_pit",
    "photoz_tomography",
    "photoz_outliers",
)
MAGNITUDES: Final = (16.0, 18.0, 22.0, 26.0)
EDGES: Final = np.arange(0, 3.01, 0.1)
# Every tenth estimate is an outlier, all of one colour.
OUTLIER_COLORS: Final = (1.51, 0.81)


def _columns(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    redshift = rng.gamma(3, 0.3, number).clip(0.01, 2.5)
    far = np.arange(number) % 10 == 0
    return {
        "redshift": redshift,
        "estimate": np.where(far, redshift + 0.3 * (1 + redshift), redshift + rng.normal(0, 0.03, number)).clip(
            0.01
        ),
        "pit": rng.random(number),
        "color_gr": np.where(far, OUTLIER_COLORS[0], 0.31),
        "color_ri": np.where(far, OUTLIER_COLORS[1], 0.11),
    }


def _sample(columns: dict[str, Any], *, shown: int) -> JudgedSample:
    judged = JudgedGalaxies(
        redshift=columns["redshift"],
        estimate=columns["estimate"],
        pit=columns["pit"],
        cde_losses=np.full(len(columns["pit"]), -2.0),
    )
    magnitude = np.linspace(18, 26, len(columns["pit"]), endpoint=False)
    # A model of fewer galaxies has more outliers.
    degraded = np.arange(len(magnitude)) % 4 != 1
    tomographic = equal_bins(columns["estimate"], 3)
    return JudgedSample(
        galaxies=duckdb.connect().from_arrow(pa.table(columns)).limit(shown),
        redshift_words="true redshift",
        quality=quality(judged),
        by_estimate=quality_in_bins(judged, columns["estimate"], (0.0, 0.5, 1.0, 3.0)),
        by_magnitude=quality_in_bins(judged, magnitude, MAGNITUDES),
        degraded_by_magnitude=quality_in_bins(judged.where(degraded), magnitude[degraded], MAGNITUDES),
        degraded_words="followed up to i = 23, width 0.4",
        tomography=[
            TomographicBin(low=float(low), high=float(high), redshift_edges=EDGES, stacked=np.full(30, 1 / 30))
            for low, high in pairwise(tomographic)
        ],
    )


@pytest.fixture(scope="module")
def sample() -> JudgedSample:
    return _sample(_columns(2_000), shown=2_000)


@pytest.fixture(scope="module")
def figures(sample: JudgedSample) -> dict[str, Figure]:
    return dict(photoz_figures(sample, CAPTION))


def _words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def _maps(figure: Figure) -> Iterator[QuadMesh]:
    for axes in figure.axes:
        if axes.get_label() != "<colorbar>":
            yield from (mesh for mesh in axes.collections if isinstance(mesh, QuadMesh))


def test_each_figure_names_its_data_and_says_in_words_what_it_shows(figures: dict[str, Figure]) -> None:
    assert tuple(figures) == NAMES
    for figure in figures.values():
        assert "Test set · 2,000 galaxies · embedded archive, simulated" in _words(figure)
        assert METHOD in _words(figure)
        assert str(figure.get_label()).endswith(
            f"Test set, 2,000 galaxies; embedded archive, simulated. {METHOD}."
        )


def test_all_galaxies_are_in_the_map_of_redshifts(sample: JudgedSample, figures: dict[str, Figure]) -> None:
    figure = figures["photoz_redshifts"]
    [mesh] = _maps(figure)
    inside = sample.galaxies.filter("estimate < 3").count("*").fetchall()[0][0]
    assert np.ma.filled(np.ma.asarray(mesh.get_array()), 0).sum() == inside
    assert f"outliers {sample.quality.outliers_fixed.value:.2%} ± " in _words(figure)
    [axes] = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    equal, above, below = (line.get_ydata() for line in axes.lines)
    assert list(np.asarray(equal)) == [0, 3]
    assert list(np.asarray(above)) == [0.15, pytest.approx(3.6)]
    assert list(np.asarray(below)) == [-0.15, pytest.approx(2.4)]


def test_the_errors_are_those_of_the_bins(sample: JudgedSample, figures: dict[str, Figure]) -> None:
    above, below = figures["photoz_errors_by_magnitude"].axes
    known, degraded = (
        [each.quality for each in bins if each.quality is not None]
        for bins in (sample.by_magnitude, sample.degraded_by_magnitude)
    )
    assert len(known) == len(degraded) == 2
    for axes, expected in (
        (above, [[each.bias.value for each in known]]),
        (below, [[each.outliers_fixed.value for each in qualities] for qualities in (known, degraded)]),
    ):
        points = [container[0] for container in axes.containers]
        for drawn, values in zip(points, expected, strict=True):
            np.testing.assert_allclose(drawn.get_xdata(), [20, 24])
            np.testing.assert_allclose(drawn.get_ydata(), values)
    words = _words(figures["photoz_errors_by_magnitude"])
    assert "dashed: trained on galaxies\nfollowed up to i = 23, width 0.4" in words
    assert "measured i magnitude [AB mag]" in _words(figures["photoz_errors_by_magnitude"])


def test_the_outliers_are_where_they_are(figures: dict[str, Figure]) -> None:
    [mesh] = _maps(figures["photoz_outliers"])
    share: np.ma.MaskedArray[Any, Any] = np.ma.asarray(mesh.get_array())
    corners = np.asarray(mesh.get_coordinates())
    found = {
        (round(float(corners[row, column, 0]), 2), round(float(corners[row, column, 1]), 2)): float(
            share[row, column]
        )
        for row, column in np.argwhere(~np.ma.getmaskarray(share))
    }
    assert found == {(0.3, 0.1): 0.0, (1.5, 0.8): 1.0}


def test_a_uniform_pit_lies_on_the_line(figures: dict[str, Figure]) -> None:
    quantiles = figures["photoz_pit"].axes[1].lines[0]
    np.testing.assert_allclose(np.asarray(quantiles.get_xdata()), np.asarray(quantiles.get_ydata()), atol=0.03)


def test_the_tomographic_bins_say_how_far_their_means_are_off(figures: dict[str, Figure]) -> None:
    words = _words(figures["photoz_tomography"])
    assert words.count("Δ⟨z⟩ = ") == 3
    assert "stacked p(z)" in words


def test_figures_of_no_galaxies_say_so() -> None:
    empty = _sample(_columns(20), shown=0)
    for name, figure in photoz_figures(empty, CAPTION):
        assert "no galaxies to show" in _words(figure) or "no cell has 10 galaxies" in _words(figure), name
