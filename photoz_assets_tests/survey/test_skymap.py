"""The Rings skymap against published values, astropy and its own promise to tile the sky."""

from itertools import pairwise

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import NDArray
from skymap_convert import ConvertedSkymapReader

from photoz_assets.survey.skymap import (
    DC2_RINGS,
    LSST_CELLS_V1,
    LSST_CELLS_V2,
    RingsSkyMap,
    SkyBox,
    angular_separation_deg,
)
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.effort import effort

FloatArray = NDArray[np.float64]


def _random_sky(count: int, seed: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))


def _within_cone(ra: float, dec: float, radius_deg: float, count: int) -> tuple[FloatArray, FloatArray]:
    """Positions spread over a cone, half of them just inside of its edge."""
    rng = np.random.default_rng(2)
    distance = radius_deg * np.sqrt(np.append(rng.random(count // 2), np.full(count // 2, 0.999999)))
    centre = SkyCoord(ra, dec, unit="deg")
    spread = centre.directional_offset_by(rng.uniform(0, 360, len(distance)) * u.deg, distance * u.deg)
    return spread.ra.deg, spread.dec.deg


def _unit_vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    return np.asarray(np.moveaxis(SkyCoord(ra, dec, unit="deg").cartesian.xyz.value, 0, -1))


@pytest.mark.parametrize(
    ("ra", "dec", "tract", "patch"), [(55.745834, -32.269167, 4431, 17), (50.5265, -39.7589, 3442, 13)]
)
def test_position_of_a_dp02_tutorial_has_its_tract_and_patch(
    ra: float, dec: float, tract: int, patch: int
) -> None:
    found = DC2_RINGS.tract_and_patch(ra, dec)
    assert (int(found[0]), int(found[1])) == (tract, patch)


@pytest.mark.parametrize(
    ("tract", "ra", "dec"), [(2897, 50.84746, -43.88430), (4226, 54.70588, -33.47107), (4431, 55.65217, -31.98347)]
)
def test_centre_of_a_dc2_tract_is_that_of_rubins_skymap(tract: int, ra: float, dec: float) -> None:
    assert DC2_RINGS.centre(tract) == pytest.approx((ra, dec), abs=1e-5)


def test_inner_box_of_tract_2897_is_that_of_rubins_skymap() -> None:
    box = DC2_RINGS.inner_box(2897)
    assert (box.ra_min, box.ra_max, box.dec_min, box.dec_max) == pytest.approx(
        (49.83050847, 51.86440679, -44.62809918, -43.14049586), abs=2e-8
    )


@pytest.mark.parametrize(("skymap", "side"), [(DC2_RINGS, 7), (LSST_CELLS_V1, 10)])
def test_skymap_has_the_tracts_and_patches_of_its_configuration(skymap: RingsSkyMap, side: int) -> None:
    assert skymap.num_tracts == 18_938
    assert skymap.patches_per_side == side


def _fits_plane(tract: int) -> WCS:
    """The tangent plane of a DC2 tract as astropy has it."""
    ra0, dec0 = DC2_RINGS.centre(tract)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra0, dec0]
    # FITS counts pixels from 1.
    wcs.wcs.crpix = [14_000, 14_000]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    return wcs


@pytest.mark.parametrize("tract", [0, 2897, 9500, 18_937])
def test_pixels_are_those_of_a_tangent_plane_of_fits(tract: int) -> None:
    ra, dec = _within_cone(*DC2_RINGS.centre(tract), 1.05, 1000)
    expected_x, expected_y = _fits_plane(tract).all_world2pix(ra, dec, 0)
    x, y = DC2_RINGS.sky_to_pixel(tract, ra, dec)
    np.testing.assert_allclose(x, expected_x, atol=1e-6)
    np.testing.assert_allclose(y, expected_y, atol=1e-6)
    back_ra, back_dec = DC2_RINGS.pixel_to_sky(tract, x, y)
    assert angular_separation_deg(back_ra, back_dec, ra, dec).max() < 1e-10


def test_corners_of_patch_4431_17_are_its_pixels_on_the_plane_of_fits() -> None:
    # The third column and row: 100 pixels of border around 4000, pixel centres at whole numbers.
    x, y = np.array([11_900, 16_100, 16_100, 11_900]) - 0.5, np.array([7_900, 7_900, 12_100, 12_100]) - 0.5
    expected = np.column_stack(_fits_plane(4431).all_pix2world(x, y, 0))
    np.testing.assert_allclose(DC2_RINGS.patch_polygons(4431, 17, outer=True), expected, atol=1e-10)


@pytest.mark.parametrize("skymap", [DC2_RINGS, LSST_CELLS_V1], ids=["DC2", "cells"])
def test_random_positions_lie_in_the_inner_regions_of_their_tract_and_patch(skymap: RingsSkyMap) -> None:
    ra, dec = _random_sky(effort(200_000, 1_000_000), seed=1)
    # The poles, and both sides of the seam of right ascension, are where formulas fail first.
    ra[:2000], dec[1000:1200] = np.linspace(-1e-9, 1e-9, 2000), np.linspace(-90, -89, 200)
    dec[1200:1400] = np.linspace(89, 90, 200)
    tract, patch = skymap.tract_and_patch(ra, dec)
    assert patch.min() >= 0
    assert patch.max() < skymap.patches_per_side**2
    order = np.argsort(tract, kind="stable")
    numbers, starts = np.unique(tract[order], return_index=True)
    assert len(numbers) > 0.99 * skymap.num_tracts
    for number, rows in zip(numbers, np.split(order, starts[1:]), strict=True):
        assert skymap.inner_box(int(number)).contains(ra[rows], dec[rows]).all()
    for rows in np.array_split(np.arange(len(ra)), 10):
        corners = _unit_vectors(*np.moveaxis(skymap.patch_polygons(tract[rows], patch[rows]), -1, 0))
        # The edges of a patch are great circles: a position inside is on the same side of all four.
        poles = np.cross(corners, np.roll(corners, -1, axis=1))
        sides = np.einsum("nkj,nj->nk", poles, _unit_vectors(ra[rows], dec[rows]))
        assert (sides < 0).all()


def test_inner_boxes_cover_the_sphere_exactly_once() -> None:
    boxes = [DC2_RINGS.inner_box(tract) for tract in range(DC2_RINGS.num_tracts)]
    assert sum(box.area_deg2 for box in boxes) == pytest.approx(129_600 / np.pi, rel=1e-12)
    first = boxes[1]
    for here, there in pairwise(boxes[1:]):
        if here.dec_min == there.dec_min:
            assert here.ra_max == there.ra_min
        else:
            assert here.dec_max == there.dec_min
            # The ring has come around to where it began.
            assert here.ra_max == pytest.approx(first.ra_min + 360, rel=1e-15)
            first = there


@pytest.mark.parametrize("skymap", [DC2_RINGS, LSST_CELLS_V1], ids=["DC2", "cells"])
@pytest.mark.parametrize("tract", [0, 1, 4431, 9500, 18_936, 18_937])
def test_neighbouring_patches_share_their_corners_to_the_last_digit(skymap: RingsSkyMap, tract: int) -> None:
    side = skymap.patches_per_side
    grid = skymap.patch_polygons(tract, np.arange(side**2)).reshape(side, side, 4, 2)
    assert (grid[:, :-1, [1, 2]] == grid[:, 1:, [0, 3]]).all()
    assert (grid[:-1, :, [3, 2]] == grid[1:, :, [0, 1]]).all()


def test_cells_are_those_of_an_independent_implementation() -> None:
    """skymap-convert carries the tracts and patches that the LSST stack makes of its cells skymap."""
    reader = ConvertedSkymapReader(preset="lsst_skymap")
    try:
        assert reader.n_tracts == LSST_CELLS_V1.num_tracts
        tracts = np.arange(LSST_CELLS_V1.num_tracts)
        boxes = [LSST_CELLS_V1.inner_box(int(tract)) for tract in tracts]
        corners = [[(b.ra_min, b.dec_min), (b.ra_max, b.dec_min), (b.ra_max, b.dec_max)] for b in boxes]
        assert _farthest_deg(np.array(corners)[1:-1], np.asarray(reader.tracts)[1:-1, :3]) < 1e-10
        for some in np.array_split(tracts[:: effort(10, 1)], effort(1, 10)):
            # Their corners start at the lower right one and go around clockwise.
            ours = LSST_CELLS_V1.patch_polygons(some[:, None], np.arange(100))[..., [1, 0, 3, 2], :]
            assert _farthest_deg(ours, np.asarray(reader.patches[some])) < 1e-10
    finally:
        reader.cleanup()


def _farthest_deg(ours: FloatArray, theirs: FloatArray) -> float:
    """The largest distance on an axis between corners."""
    ra, dec = np.moveaxis((ours - theirs + 180) % 360 - 180, -1, 0)
    return float(np.abs([ra * np.cos(np.radians(theirs[..., 1])), dec]).max())


def test_outer_polygon_is_wider_by_the_border_and_ends_with_the_tract() -> None:
    inner, outer = DC2_RINGS.patch_polygons(2897, 24), DC2_RINGS.patch_polygons(2897, 24, outer=True)
    growth_arcsec = 3600 * angular_separation_deg(inner[:, 0], inner[:, 1], outer[:, 0], outer[:, 1])
    np.testing.assert_allclose(growth_arcsec, np.hypot(20, 20), rtol=1e-3)
    np.testing.assert_allclose(
        DC2_RINGS.patch_polygons(2897, 0)[0], DC2_RINGS.patch_polygons(2897, 0, outer=True)[0], atol=1e-12
    )


@pytest.mark.parametrize(
    ("skymap", "patch", "x", "y"),
    [
        # dp2.lsst.io prints this box of a coadd.
        (LSST_CELLS_V2, 15, (14_850, 18_150), (2_850, 6_150)),
        (LSST_CELLS_V1, 15, (14_800, 18_200), (2_800, 6_200)),
        # Patches of cells are as large at the tract's edge as anywhere.
        (LSST_CELLS_V2, 0, (-150, 3_150), (-150, 3_150)),
        (LSST_CELLS_V1, 99, (26_800, 30_200), (26_800, 30_200)),
        (DC2_RINGS, 48, (23_900, 28_000), (23_900, 28_000)),
    ],
)
def test_outer_region_of_a_patch_is_that_of_its_coadd(
    skymap: RingsSkyMap, patch: int, x: tuple[int, int], y: tuple[int, int]
) -> None:
    corners = skymap.patch_polygons(5063, patch, outer=True)
    columns, rows = skymap.sky_to_pixel(5063, *np.moveaxis(corners, -1, 0))
    np.testing.assert_allclose(columns, np.array([x[0], x[1], x[1], x[0]]) - 0.5, atol=1e-6)
    np.testing.assert_allclose(rows, np.array([y[0], y[0], y[1], y[1]]) - 0.5, atol=1e-6)


@pytest.mark.parametrize("tract", DP02.tracts[::13])
def test_inner_box_of_a_dc2_tract_lies_within_its_patches(tract: int) -> None:
    box = DC2_RINGS.inner_box(tract)
    ra, dec = np.meshgrid(np.linspace(box.ra_min, box.ra_max, 50), np.linspace(box.dec_min, box.dec_max, 50))
    patch = DC2_RINGS.patch_of(tract, ra, dec)
    assert patch.shape == (50, 50)
    assert set(patch.ravel().tolist()) == set(range(49))


@pytest.mark.parametrize("dec", [-89.9, -44.0, 0.0, 30.0, 89.9])
def test_position_on_the_seam_of_right_ascension_has_one_tract(dec: float) -> None:
    seam = np.array([0.0, 360.0, -1e-17, 1e-13, 360.0 - 1e-13, -360.0, 720.0])
    tracts = DC2_RINGS.tract_of(seam, dec)
    assert len(set(tracts.tolist())) == 1
    assert DC2_RINGS.inner_box(int(tracts[0])).contains(seam, dec).all()


@pytest.mark.parametrize("ra", [0.0, 123.4, 359.999])
@pytest.mark.parametrize(("dec", "tract", "edge"), [(-90.0, 0, -89.5), (90.0, 18_937, 89.5)])
def test_pole_and_its_surroundings_lie_in_a_cap(ra: float, dec: float, tract: int, edge: float) -> None:
    assert int(DC2_RINGS.tract_of(ra, dec)) == tract
    assert int(DC2_RINGS.tract_of(ra, edge)) == tract
    assert DC2_RINGS.inner_box(tract).contains(ra, [dec, edge]).all()
    assert int(DC2_RINGS.patch_of(tract, ra, dec)) == 24


def test_box_of_a_tract_at_the_seam_holds_both_sides_of_it() -> None:
    box = DC2_RINGS.inner_box(int(DC2_RINGS.tract_of(0.0, -44.0)))
    assert box.contains([359.9, 0.1, 1.5, 180.0], -44.0).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("ra", "dec", "radius_deg", "expected"),
    [
        (11.0, 0.0, 0.9, False),
        (11.0, 0.0, 1.1, True),
        (5.0, 11.0, 0.9, False),
        (5.0, 11.0, 1.1, True),
        (358.0, 3.0, 1.9, False),
        (358.0, 3.0, 2.1, True),
        (11.0, 11.0, 1.3, False),
        (11.0, 11.0, 1.5, True),
        (5.0, 5.0, 0.001, True),
        (185.0, -5.0, 179.0, True),
    ],
)
def test_box_meets_a_cone_that_comes_near_enough(
    *, ra: float, dec: float, radius_deg: float, expected: bool
) -> None:
    assert SkyBox(0.0, 10.0, -10.0, 10.0).meets_cone(ra, dec, radius_deg) is expected


def test_seeds_field_touches_three_tracts() -> None:
    assert DC2_RINGS.tracts_touching_cone(62, -37, 0.5) == (3637, 3638, 3831)


@pytest.mark.parametrize(
    ("ra", "dec", "radius_deg"),
    [(62, -37, 0.5), (0.05, -44, 2.0), (359.9, 10, 3.0), (200, 89.7, 1.5), (10, -89.9, 0.05), (77, -88.5, 2.0)],
)
def test_tracts_touching_a_cone_are_those_that_its_positions_lie_in(
    ra: float, dec: float, radius_deg: float
) -> None:
    found = set(DC2_RINGS.tracts_touching_cone(ra, dec, radius_deg))
    inside = set(DC2_RINGS.tract_of(*_within_cone(ra, dec, radius_deg, 40_000)).tolist())
    assert inside <= found
    grazed = found - inside
    shrunk = {tract for tract in found if DC2_RINGS.inner_box(tract).meets_cone(ra, dec, radius_deg * 0.99)}
    # What no position fell into is touched by the outermost percent of the cone alone.
    assert not grazed & shrunk


def test_angular_separation_is_astropys_at_any_distance() -> None:
    ra1, dec1 = _random_sky(1000, seed=3)
    ra2, dec2 = _random_sky(1000, seed=4)
    ra2[:300], dec2[:300] = ra1[:300] + 1e-7, dec1[:300]
    ra2[300:600], dec2[300:600] = ra1[300:600] + 180 - 1e-7, -dec1[300:600]
    expected = SkyCoord(ra1, dec1, unit="deg").separation(SkyCoord(ra2, dec2, unit="deg")).deg
    np.testing.assert_allclose(angular_separation_deg(ra1, dec1, ra2, dec2), expected, rtol=1e-9, atol=1e-13)


def test_area_of_a_box_is_the_integral_over_declination() -> None:
    box = SkyBox(10.0, 12.0, -44.0, -43.0)
    middle = np.linspace(-44, -43, 100_001)[:-1] + 0.5e-5
    assert box.area_deg2 == pytest.approx(2 * np.cos(np.radians(middle)).mean(), rel=1e-9)


@pytest.mark.parametrize("tract", [-1, 18_938])
def test_unknown_tract_is_refused(tract: int) -> None:
    with pytest.raises(ValueError, match="there is no tract"):
        DC2_RINGS.inner_box(tract)


@pytest.mark.parametrize("patch", [-1, 49])
def test_unknown_patch_is_refused(patch: int) -> None:
    with pytest.raises(ValueError, match="there is no patch"):
        DC2_RINGS.patch_polygons(2897, patch)
