import base64
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.staging import atomic_write
from photoz_assets.science.bins import Axis, Scale, counts
from photoz_assets.science.figures import (
    SURVEY_FIGURES,
    THUMBNAIL_LIMIT_BYTES,
    Caption,
    contact_sheet,
    figures_of,
    save,
    sky_map,
    state_map,
    thumbnail,
    thumbnail_markdown,
)
from photoz_assets.science.statistics import band_statistics, sample_summary, survey_statistics
from photoz_assets.science.tessellation import patch_table, tract_table
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.skymap import DC2_RINGS
from photoz_assets_tests.dp02 import COLUMNS, DIAGNOSTICS, DP02, SURVEY_DIAGNOSTICS
from photoz_assets_tests.samples import galaxies

GALAXY_FIGURES = figures_of(COLUMNS)
TRACTS = (3637, 3638, 3831)
CAPTION = Caption("Tract 3638", "embedded archive, simulated", 40, DP02)


def _relation(table: pa.Table) -> duckdb.DuckDBPyRelation:
    return duckdb.connect().from_arrow(table)


def _draw(name: str, table: pa.Table, caption: Caption) -> Figure:
    relation = _relation(table)
    figure = GALAXY_FIGURES[name]
    return figure.drawn(figure.count(relation), sample_summary(relation, COLUMNS), caption)


def _words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def _maps(figure: Figure) -> list[QuadMesh]:
    """Return the maps of the panels; a colour bar has one too, but of colours."""
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    return [mesh for axes in panels for mesh in axes.collections if isinstance(mesh, QuadMesh)]


def _drawn(mesh: QuadMesh) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.ma.filled(np.ma.asarray(mesh.get_array()), 0).astype(np.int64)


def _filled_bins(mesh: QuadMesh) -> list[tuple[float, float]]:
    """Return the lower left corners of the bins that are not empty."""
    corners = np.asarray(mesh.get_coordinates())
    return [
        (float(corners[row, column, 0]), float(corners[row, column, 1]))
        for row, column in np.argwhere(_drawn(mesh) > 0)
    ]


@pytest.fixture(scope="module")
def skyinfo() -> pa.Table:
    rows = []
    for tract in TRACTS:
        ra, dec = DC2_RINGS.centre(tract)
        rows += [
            {"tract": tract, "patch": patch, "meanRA": ra, "meanDEC": dec, "num": 100 + patch}
            for patch in range(49)
        ]
    return pa.Table.from_pylist(rows)


def _survey(table: pa.Table, skyinfo: pa.Table) -> tuple[dict[int, pa.Table], pa.Table]:
    measured = {
        3638: band_statistics(_relation(table), sample_summary(_relation(table), COLUMNS), DIAGNOSTICS, COLUMNS)
    }
    return measured, survey_statistics(measured, tract_table(skyinfo, DP02.skymap), SURVEY_DIAGNOSTICS)


X = Axis(sql="x", label="", low=-1.0, high=2.0, bins=30)
Y = Axis(sql="y", label="", low=18.0, high=30.0, bins=17)


def test_counts_of_a_plane_equal_numpys() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.5, 1, 20_000), rng.normal(24, 3, 20_000)
    expected, _, _ = np.histogram2d(x, y, bins=(X.edges, Y.edges))
    found = counts(_relation(pa.table({"x": x, "y": y})), X, Y)
    np.testing.assert_array_equal(found, expected)


def test_counts_on_a_line_equal_numpys() -> None:
    x = np.random.default_rng(4).normal(0.5, 1, 20_000)
    expected, _ = np.histogram(x, bins=X.edges)
    np.testing.assert_array_equal(counts(_relation(pa.table({"x": x})), X), expected)


@pytest.mark.parametrize(
    ("value", "bin_number"),
    [
        (-1.0, 0),
        (np.nextafter(2.0, 0), 29),
        (2.0, None),
        (-1.0001, None),
        (None, None),
        (np.nan, None),
        (np.inf, None),
    ],
)
def test_counts_are_of_half_open_bins(value: float | None, bin_number: int | None) -> None:
    values = pa.array([value], pa.float64(), from_pandas=False)
    found = counts(_relation(pa.table({"x": values})), X)
    assert np.flatnonzero(found).tolist() == ([] if bin_number is None else [bin_number])


LOG = Axis(sql="x", label="", low=0.1, high=1e6, bins=100, scale=Scale.LOGARITHMIC)


def test_counts_on_a_logarithmic_line_equal_numpys() -> None:
    x = 10 ** np.random.default_rng(5).uniform(-2, 7, 20_000)
    expected, _ = np.histogram(x, bins=LOG.edges)
    np.testing.assert_array_equal(counts(_relation(pa.table({"x": x})), LOG), expected)


@pytest.mark.parametrize(
    ("value", "bin_number"),
    [
        (0.1, 0),
        (np.nextafter(0.1, 1), 0),
        (np.nextafter(1e6, 0), 99),
        (1e6, None),
        (np.nextafter(0.1, 0), None),
        (0.0, None),
        (-5.0, None),
        (None, None),
        (np.nan, None),
        (np.inf, None),
    ],
)
def test_counts_on_a_logarithmic_line_are_of_half_open_bins(value: float | None, bin_number: int | None) -> None:
    values = pa.array([value], pa.float64(), from_pandas=False)
    found = counts(_relation(pa.table({"x": values})), LOG)
    assert np.flatnonzero(found).tolist() == ([] if bin_number is None else [bin_number])


COLOR = Axis(sql="x", label="", low=-2.0, high=4.0, bins=120, scale=Scale.MAGNITUDE)


def test_counts_on_a_line_of_magnitudes_equal_numpys() -> None:
    color = np.random.default_rng(6).uniform(-3, 5, 20_000)
    expected, _ = np.histogram(color, bins=COLOR.edges)
    found = counts(_relation(pa.table({"x": 10 ** (color / -2.5)})), COLOR)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("ratio", "bin_number"),
    [
        (10**0.8 * 0.999999, 0),
        (10**0.8 * 1.000001, None),
        (10**-1.6 * 1.000001, 119),
        (10**-1.6 * 0.999999, None),
        (1.0, 40),
        (0.0, None),
        (None, None),
        (np.nan, None),
        (np.inf, None),
    ],
)
def test_counts_on_a_line_of_magnitudes_are_of_flux_ratios(ratio: float | None, bin_number: int | None) -> None:
    values = pa.array([ratio], pa.float64(), from_pandas=False)
    found = counts(_relation(pa.table({"x": values})), COLOR)
    assert np.flatnonzero(found).tolist() == ([] if bin_number is None else [bin_number])


def test_galaxy_figures_are_the_six_of_the_notebook() -> None:
    assert list(GALAXY_FIGURES) == [
        "coordinate_offsets",
        "r_magnitudes",
        "fluxes",
        "color_magnitude_gr",
        "color_magnitude_iz",
        "redshifts",
    ]


@pytest.mark.parametrize("name", GALAXY_FIGURES)
@pytest.mark.parametrize("rows", [40, 1, 0])
def test_galaxy_figure_says_what_it_shows(name: str, rows: int, tmp_path: Path) -> None:
    figure = _draw(name, galaxies(rows), Caption("Tract 3638", "DC2 simulation", rows, DP02))
    save(figure, tmp_path / "figure.png")
    words = _words(figure)
    assert f"Tract 3638 · {rows} galaxies · DC2 simulation" in words
    assert ("no galaxies to show" in words) == (rows == 0)


@pytest.mark.parametrize(
    "origin", ["an archive for $1 and $x_{", "a very long word of an archive " * 4 + "simulated"]
)
def test_caption_shows_an_archives_words_whole(origin: str) -> None:
    figure = _draw("r_magnitudes", galaxies(3), Caption("Tract 3638", origin, 3, DP02))
    figure.draw_without_rendering()
    (caption,) = [text for text in figure.texts if origin in text.get_text()]
    extent = caption.get_window_extent()
    assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width


def test_r_magnitudes_compare_the_true_with_the_measured_r_band() -> None:
    measured: dict[str, Any] = {
        f"obj_{band}_cModelMag": [mag] for band, mag in {"g": 27.03, "r": 21.53, "i": 19.03}.items()
    }
    table = galaxies(1, ts_mag_r=[20.03], **measured)
    (mesh,) = _maps(_draw("r_magnitudes", table, CAPTION))
    assert _filled_bins(mesh) == [pytest.approx((20.0, 21.5))]


def test_coordinate_offsets_lie_on_the_sky() -> None:
    table = galaxies(
        1,
        ts_ra=[62 + 0.43 / 3600],
        obj_coord_ra=[62.0],
        ts_dec=[-60 - 0.105 / 3600],
        obj_coord_dec=[-60.0],
    )
    (mesh,) = _maps(_draw("coordinate_offsets", table, CAPTION))
    # cos(-60 deg) halves 0.43 arcsec; bins are 0.01 arcsec wide.
    assert _filled_bins(mesh) == [pytest.approx((0.21, -0.11))]


def test_fluxes_draw_each_band_in_its_own_panel() -> None:
    fluxes = {band: 10.0**power * 1.05 for power, band in enumerate(BANDS)}
    columns: dict[str, Any] = {f"ts_flux_{band}": [flux] for band, flux in fluxes.items()}
    columns |= {f"obj_{band}_cModelFlux": [flux * 0.5] for band, flux in fluxes.items()}
    maps = _maps(_draw("fluxes", galaxies(1, **columns), CAPTION))
    width_dex = 7 / 100
    for mesh, flux in zip(maps, fluxes.values(), strict=True):
        ((x, y),) = _filled_bins(mesh)
        assert x <= flux < x * 10**width_dex
        assert y <= flux * 0.5 < y * 10**width_dex


@pytest.mark.parametrize("name", ["color_magnitude_gr", "color_magnitude_iz"])
def test_color_magnitude_draws_the_true_beside_the_measured_color(name: str) -> None:
    blue, red = name[-2], name[-1]
    bright, faint = [100 * 10**0.416], [100.0]
    columns: dict[str, Any] = {
        f"ts_flux_{blue}": faint,
        f"ts_flux_{red}": bright,
        "ts_mag_r": [22.05],
        f"obj_{blue}_cModelFlux": bright,
        f"obj_{red}_cModelFlux": faint,
        "obj_r_cModelMag": [23.05],
    }
    true, measured = _maps(_draw(name, galaxies(1, **columns), CAPTION))
    # -2.5 log10(flux ratio) is +-1.04 mag; bins are 0.05 mag by 0.1 mag.
    assert _filled_bins(true) == [pytest.approx((1.0, 22.0))]
    assert _filled_bins(measured) == [pytest.approx((-1.05, 23.0))]


def test_a_panel_counts_what_it_cannot_show() -> None:
    table = galaxies(3, obj_u_cModelFlux=[None, -4.0, 50.0])
    figure = _draw("fluxes", table, Caption("Tract 3638", "DC2 simulation", 3, DP02))
    assert [word for word in _words(figure) if word.endswith("shown")] == ["1 shown"] + ["3 shown"] * 5


@pytest.mark.parametrize("rows", [60, 0])
@pytest.mark.parametrize("name", SURVEY_FIGURES)
def test_survey_figure_says_what_it_shows(name: str, rows: int, skyinfo: pa.Table, tmp_path: Path) -> None:
    measured, statistics = _survey(galaxies(rows), skyinfo)
    caption = Caption("Survey, 1 of 3 tracts", "embedded archive, simulated", rows, DP02)
    figure = SURVEY_FIGURES[name](measured, statistics, caption)
    save(figure, tmp_path / "figure.png")
    assert f"Survey, 1 of 3 tracts · {rows} galaxies · embedded archive, simulated" in _words(figure)


def test_number_counts_are_per_magnitude_and_square_degree(skyinfo: pa.Table) -> None:
    measured, statistics = _survey(galaxies(8, obj_z_cModelMag=[20.6] * 8), skyinfo)
    (axes,) = SURVEY_FIGURES["number_counts"](measured, statistics, CAPTION).axes
    (curve,) = [line for line in axes.lines if line.get_label() == "z"]
    area_deg2 = DC2_RINGS.inner_box(3638).area_deg2
    assert curve.get_xdata() == pytest.approx([20.625])
    assert curve.get_ydata() == pytest.approx([8 / 0.25 / area_deg2])


def test_survey_redshifts_integrate_to_the_density(skyinfo: pa.Table) -> None:
    measured, statistics = _survey(galaxies(500), skyinfo)
    (axes,) = SURVEY_FIGURES["redshifts"](measured, statistics, CAPTION).axes
    (histogram,) = axes.patches
    heights, edges, _ = histogram.get_data()  # type: ignore[attr-defined] # axes.patches is typed as plain patches
    assert (heights * np.diff(edges)).sum() == pytest.approx(500 / DC2_RINGS.inner_box(3638).area_deg2)


def test_state_of_the_survey_counts_each_state() -> None:
    figure = state_map({3636: "fresh", 3637: "fresh", 3638: "failed", 3639: "missing"}, CAPTION)
    [axes] = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["2 fresh", "1 failed", "1 missing"]


def test_completeness_counts_held_and_missing_tracts(skyinfo: pa.Table) -> None:
    figure = SURVEY_FIGURES["completeness"](*_survey(galaxies(5), skyinfo), CAPTION)
    assert {"1 held", "2 missing", *map(str, TRACTS)} <= set(_words(figure))


def test_sky_map_draws_all_patches_by_their_objects_and_labels_each_tract(skyinfo: pa.Table) -> None:
    caption = Caption("3 tracts, 147 patches", "embedded archive, simulated", 18_228, DP02)
    figure = sky_map(tract_table(skyinfo, DP02.skymap), patch_table(skyinfo, DP02.skymap), caption)
    axes = figure.axes[0]
    regions = [found for found in axes.collections if isinstance(found, PolyCollection)]
    assert [len(found.get_paths()) for found in regions] == [147, 3]
    np.testing.assert_array_equal(regions[0].get_array(), patch_table(skyinfo, DP02.skymap).column("num_objects"))
    assert {"3 tracts, 147 patches · 18,228 objects · embedded archive, simulated", *map(str, TRACTS)} <= set(
        _words(figure)
    )
    assert (axes.get_xlim(), axes.get_ylim()) == ((47, 77), (-47, -25))


def test_sky_map_of_nothing_says_so(skyinfo: pa.Table) -> None:
    caption = Caption("no tract", "embedded archive, simulated", 0, DP02)
    none = skyinfo.slice(0, 0)
    figure = sky_map(tract_table(none, DP02.skymap), patch_table(none, DP02.skymap), caption)
    assert "no patches" in _words(figure)


def test_saved_figure_carries_its_alt_text_and_origin(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "diagnostics" / "tract=3638" / "redshifts.png"
    save(_draw("redshifts", galaxies(40), CAPTION), path)
    with Image.open(path) as image:
        description = image.info["Description"]
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
    assert description == (
        "Histogram of the galaxies' true redshifts. Tract 3638, 40 galaxies; embedded archive, simulated."
    )


def test_saving_replaces_a_figure_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "redshifts.png"
    path.write_bytes(b"a former figure")
    save(_draw("redshifts", galaxies(3), CAPTION), path)
    assert [found.name for found in tmp_path.iterdir()] == ["redshifts.png"]
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_drawn_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"a former figure")
    figure = _draw("redshifts", galaxies(3), CAPTION)
    figure.text(0.5, 0.5, r"$\nosuchsymbol$")
    lake = Lake(tmp_path / "lake")
    with pytest.raises(ValueError, match="nosuchsymbol"), atomic_write(lake, path) as file:
        save(figure, file)
    assert list(lake.staging.iterdir()) == []
    assert path.read_bytes() == b"a former figure"


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    path = tmp_path / "noise.png"
    pixels = np.random.default_rng(1).integers(0, 256, (1000, 1400, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_thumbnail_of_pure_noise_stays_small(noise: Path) -> None:
    assert len(thumbnail(noise)) <= THUMBNAIL_LIMIT_BYTES
    assert len(thumbnail_markdown(noise)) <= THUMBNAIL_LIMIT_BYTES


def test_thumbnail_of_a_crowded_figure_is_small_and_readable(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    ra, dec = (rng.uniform(-0.6, 0.6, (2, 20_000)) / 3600).tolist()
    zeros = [0.0] * 20_000
    table = galaxies(20_000, ts_ra=ra, ts_dec=dec, obj_coord_ra=zeros, obj_coord_dec=zeros)
    path = tmp_path / "offsets.png"
    save(_draw("coordinate_offsets", table, CAPTION), path)
    small = thumbnail(path)
    assert len(small) <= THUMBNAIL_LIMIT_BYTES
    assert Image.open(BytesIO(small)).width >= 480


def test_thumbnail_markdown_embeds_the_thumbnail_under_its_alt_text(tmp_path: Path) -> None:
    path = tmp_path / "redshifts.png"
    caption = Caption("Field [a]", "embedded archive, simulated", 3, DP02)
    save(_draw("redshifts", galaxies(3), caption), path)
    markdown = thumbnail_markdown(path)
    match = re.fullmatch(r"!\[(.*)\]\(data:image/avif;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert match
    assert match[1].endswith(r"Field \[a\], 3 galaxies; embedded archive, simulated.")
    assert base64.b64decode(match[2]) == thumbnail(path)
    assert len(markdown) <= THUMBNAIL_LIMIT_BYTES


def test_contact_sheet_shows_every_figure_and_says_so(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in GALAXY_FIGURES]
    for path in paths:
        save(_draw(path.stem, galaxies(200), CAPTION), path)
    sheet = tmp_path / "contact_sheet.png"
    contact_sheet(paths, sheet)
    with Image.open(sheet) as image:
        assert image.width > 3 * 700
        assert "Histogram of the galaxies' true redshifts." in image.info["Description"]
        assert image.info["Description"].count("Tract 3638, 40 galaxies; embedded archive, simulated.") == 6
        pixels = np.asarray(image.convert("L"))
        cells = [cell for row in np.array_split(pixels, 2, axis=0) for cell in np.array_split(row, 3, axis=1)]
        assert all(cell.min() < 50 for cell in cells), "a cell is empty"
    small = thumbnail(sheet)
    assert Image.open(BytesIO(small)).width >= 720
    assert len(thumbnail_markdown(sheet)) <= THUMBNAIL_LIMIT_BYTES


def test_figures_are_drawn_in_threads_without_global_state(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)

    def draw(number: int) -> Image.Image:
        path = tmp_path / f"{number}.png"
        save(_draw("r_magnitudes", galaxies(50), CAPTION), path)
        return Image.open(path)

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(draw, range(4))
    assert all(other.tobytes() == first.tobytes() for other in others)
    assert dict(mpl.rcParams) == before


def test_figures_load_no_pyplot_and_statistics_no_matplotlib() -> None:
    script = (
        "import sys, photoz_assets.science.statistics, photoz_assets.science.photometry\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import photoz_assets.science.figures\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_rights_stand_on_the_figure_of_rows_that_have_them() -> None:
    caption = Caption("Tract 3638", "DC2 simulation", 40, DP02, rights=DP02.rights)
    figure = _draw("redshifts", galaxies(40), caption)
    assert DP02.rights in _words(figure)
    assert DP02.rights in str(figure.get_label())
    assert DP02.rights not in _words(_draw("redshifts", galaxies(40), CAPTION))
