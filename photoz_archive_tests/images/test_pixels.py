"""Pixels and catalogue tell one story, and a pixel is the same whatever box it is asked for in."""

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_archive.images.drawing import Lights
from photoz_archive.images.pixels import MASK_PLANES, SkyImages, sky_noise
from photoz_archive.sky.photometry import POINT_AREA_ARCSEC2, flux_error
from photoz_archive.sky.random_streams import TractSimulation
from photoz_archive_tests.conftest import SkyRows
from photoz_archive_tests.shared import DENSITY
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

TRACT, PATCH, R = 3637, 24, BANDS.index("r")
WHOLE = DC2_RINGS.patch_box(PATCH)


@pytest.fixture(scope="module")
def images() -> SkyImages:
    return SkyImages(density=DENSITY)


def around(x: float, y: float, pixels: int) -> PixelBox:
    column, row = round(x), round(y)
    return PixelBox(column - pixels, row - pixels, column + pixels + 1, row + pixels + 1)


@pytest.fixture(scope="module")
def bright(sky_rows: SkyRows) -> NDArray[np.float64]:
    """Primary objects of the patch that stand out of the noise: x, y and flux in r, shape (n, 3)."""
    rows = sky_rows.objects
    rows = rows[(rows["tract"] == TRACT) & (rows["patch"] == PATCH) & rows["detect_isPrimary"]]
    rows = rows[(rows["r_cModelFlux"] > 50 * rows["r_cModelFluxErr"]).fillna(value=False)]
    x, y = DC2_RINGS.sky_to_pixel(TRACT, rows["coord_ra"], rows["coord_dec"])
    return np.stack([x, y, rows["r_cModelFlux"].to_numpy(float)], axis=1)


@pytest.mark.parametrize("left", [WHOLE.left, WHOLE.left + 63, WHOLE.left + 100])
def test_box_is_part_of_a_larger_one_to_the_bit(images: SkyImages, bright: NDArray[np.float64], left: int) -> None:
    x, y, _ = bright[np.argmax(bright[:, 2])]
    large = around(x, y, 130) & WHOLE
    left = max(left, large.left)
    small = PixelBox(large.left + (left - WHOLE.left) % 97, round(y) - 9, round(x) + 21, round(y) + 30)
    parts = images.coadd(TRACT, PATCH, R, small), SkyImages(density=DENSITY).coadd(TRACT, PATCH, R, large)
    for plane in ("image", "mask", "variance"):
        part, whole = (getattr(coadd, plane) for coadd in parts)
        np.testing.assert_array_equal(part, whole[small.slices(large)])
    assert parts[0].mask.any()


def test_objects_are_where_the_catalogue_has_them_and_as_bright(
    images: SkyImages, bright: NDArray[np.float64]
) -> None:
    ratios, offsets = [], []
    for x, y, flux in bright:
        box = around(x, y, 27)
        image = images.coadd(TRACT, PATCH, R, box).image.astype(float)
        dx, dy = np.meshgrid(np.arange(box.left, box.right) - x, np.arange(box.low, box.high) - y)
        # Five arcseconds, which hold the largest.
        ratios.append(image[np.hypot(dx, dy) < 25].sum() / flux)
        weighted = image * np.exp(-0.5 * (dx**2 + dy**2) / 2.35**2)
        offsets.append([2 * (weighted * d).sum() / weighted.sum() for d in (dx, dy)])
    assert len(bright) > 15
    assert 0.93 < np.median(ratios) < 1.02
    # What the thin sky merges is drawn near by: few objects lack light that the catalogue gives them.
    assert np.mean(np.array(ratios) < 0.8) < 0.1
    milliarcseconds = np.median(offsets, axis=0) * 1000 * DC2_RINGS.pixel_scale_arcsec
    assert (abs(milliarcseconds) < 30).all()


def test_noise_is_that_of_the_catalogues_errors(images: SkyImages) -> None:
    coadd = images.coadd(TRACT, PATCH, R, PixelBox(WHOLE.left, WHOLE.low, WHOLE.left + 600, WHOLE.low + 300))
    empty = coadd.mask == 0
    expected = sky_noise(TractSimulation(tract=TRACT, seed=1, density=DENSITY), PATCH, R)
    assert np.std(coadd.image[empty]) == pytest.approx(expected, rel=0.03)
    assert np.sqrt(np.median(coadd.variance)) == pytest.approx(expected, rel=0.01)
    # A flux under the PSF gathers the noise of about 37 pixels; patches differ by a few percent.
    of_point = flux_error(np.zeros((1, 6)), POINT_AREA_ARCSEC2)[0, R]
    assert expected * np.sqrt(37) == pytest.approx(of_point, rel=0.2)


def test_planes_of_the_mask_are_set_where_there_is_light(images: SkyImages, bright: NDArray[np.float64]) -> None:
    x, y, _ = bright[np.argmax(bright[:, 2])]
    mask = images.coadd(TRACT, PATCH, R, around(x, y, 40)).mask
    assert mask[40, 40] & 1 << MASK_PLANES.index("DETECTED")
    assert not mask[0, 0]


def test_drawn_disc_has_its_light_its_size_and_its_angle() -> None:
    box = PixelBox(0, 0, 161, 161)
    shape = {"x": [80.3], "y": [79.6], "radius": [8.0], "axis_ratio": [0.4], "angle": [0.5], "reach": [80.0]}
    lights = Lights(flux=np.full((1, 6), 1e5, np.float32), **{name: np.array(v) for name, v in shape.items()})
    light = lights.drawn(box, R).astype(float)
    assert light.sum() == pytest.approx(1e5, rel=0.002)
    dx, dy = np.meshgrid(np.arange(161) - 80.3, np.arange(161) - 79.6)
    xx, yy, xy = ((light * product).sum() / light.sum() for product in (dx * dx, dy * dy, dx * dy))
    assert 0.5 * np.arctan2(2 * xy, xx - yy) == pytest.approx(0.5, abs=0.01)
    # Along its longer axis, half of an exponential disc's light lies within 0.97 of its root mean square.
    long = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)
    assert np.sqrt(long) == pytest.approx(8.0 * 1.03, rel=0.08)


def test_box_outside_the_patch_is_refused(images: SkyImages) -> None:
    for box in (PixelBox(0, 0, 10, 10), PixelBox(WHOLE.left, WHOLE.low, WHOLE.left, WHOLE.high)):
        with pytest.raises(ValueError, match="not within patch 24"):
            images.coadd(TRACT, PATCH, R, box)
