"""The Rings skymap against published values, astropy and its own promise to tile the sky."""

from itertools import pairwise

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import NDArray

from photoz_assets.data.dp02 import TRACTS
from photoz_assets.science.skymap import CELLS, DC2, RingsSkyMap, SkyBox, angular_separation_deg

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
    found = DC2.tract_and_patch(ra, dec)
    assert (int(found[0]), int(found[1])) == (tract, patch)


@pytest.mark.parametrize(
    ("tract", "ra", "dec"), [(2897, 50.84746, -43.88430), (4226, 54.70588, -33.47107), (4431, 55.65217, -31.98347)]
)
def test_centre_of_a_dc2_tract_is_that_of_rubins_skymap(tract: int, ra: float, dec: float) -> None:
    assert DC2.centre(tract) == pytest.approx((ra, dec), abs=1e-5)


def test_inner_box_of_tract_2897_is_that_of_rubins_skymap() -> None:
    box = DC2.inner_box(2897)
    assert (box.ra_min, box.ra_max, box.dec_min, box.dec_max) == pytest.approx(
        (49.83050847, 51.86440679, -44.62809918, -43.14049586), abs=2e-8
    )


@pytest.mark.parametrize(("skymap", "side"), [(DC2, 7), (CELLS, 10)])
def test_skymap_has_the_tracts_and_patches_of_its_configuration(skymap: RingsSkyMap, side: int) -> None:
    assert skymap.num_tracts == 18_938
    assert skymap.patches_per_side == side


def test_pixels_are_those_of_a_tangent_plane_of_fits() -> None:
    ra0, dec0 = DC2.centre(2897)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra0, dec0]
    # FITS counts pixels from 1.
    wcs.wcs.crpix = [14_000, 14_000]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    ra, dec = _within_cone(ra0, dec0, 1.05, 1000)
    expected_x, expected_y = wcs.all_world2pix(ra, dec, 0)
    x, y = DC2.sky_to_pixel(2897, ra, dec)
    np.testing.assert_allclose(x, expected_x, atol=1e-6)
    np.testing.assert_allclose(y, expected_y, atol=1e-6)
    back_ra, back_dec = DC2.pixel_to_sky(2897, x, y)
    np.testing.assert_allclose(back_ra, ra, atol=1e-10)
    np.testing.assert_allclose(back_dec, dec, atol=1e-10)


def test_random_positions_lie_in_the_inner_box_of_their_tract() -> None:
    ra, dec = _random_sky(100_000, seed=1)
    tract, patch = DC2.tract_and_patch(ra, dec)
    assert patch.min() >= 0
    assert patch.max() < 49
    order = np.argsort(tract, kind="stable")
    numbers, starts = np.unique(tract[order], return_index=True)
    for number, rows in zip(numbers, np.split(order, starts[1:]), strict=True):
        assert DC2.inner_box(int(number)).contains(ra[rows], dec[rows]).all()


def test_random_positions_lie_in_the_inner_polygon_of_their_patch() -> None:
    ra, dec = _random_sky(3000, seed=2)
    tract, patch = DC2.tract_and_patch(ra, dec)
    polygons = np.array([DC2.patch_polygon(int(t), int(p)) for t, p in zip(tract, patch, strict=True)])
    corners = _unit_vectors(polygons[..., 0], polygons[..., 1])
    # The edges of a patch are great circles, so that the point is on the same side of all of them.
    poles = np.cross(corners, np.roll(corners, -1, axis=1))
    sides = np.einsum("nkj,nj->nk", poles, _unit_vectors(ra, dec))
    assert ((sides > 0).all(axis=1) | (sides < 0).all(axis=1)).all()


def test_inner_boxes_cover_the_sphere_exactly_once() -> None:
    boxes = [DC2.inner_box(tract) for tract in range(DC2.num_tracts)]
    assert sum(box.area_deg2 for box in boxes) == pytest.approx(129_600 / np.pi, rel=1e-12)
    inner = boxes[1:-1]
    for here, there in pairwise(inner):
        same_ring = here.dec_min == there.dec_min
        assert not same_ring or here.ra_max == pytest.approx(there.ra_min, abs=1e-10)
        assert same_ring or here.dec_max == there.dec_min


def test_neighbouring_patches_share_their_edge() -> None:
    left, right, above = (DC2.patch_polygon(4431, patch) for patch in (16, 17, 23))
    np.testing.assert_allclose(left[[1, 2]], right[[0, 3]], atol=1e-12)
    np.testing.assert_allclose(left[[3, 2]], above[[0, 1]], atol=1e-12)


def test_outer_polygon_is_wider_by_the_border_and_ends_with_the_tract() -> None:
    inner, outer = DC2.patch_polygon(2897, 24), DC2.patch_polygon(2897, 24, outer=True)
    growth_arcsec = 3600 * angular_separation_deg(inner[:, 0], inner[:, 1], outer[:, 0], outer[:, 1])
    np.testing.assert_allclose(growth_arcsec, np.hypot(20, 20), rtol=1e-3)
    np.testing.assert_allclose(
        DC2.patch_polygon(2897, 0)[0], DC2.patch_polygon(2897, 0, outer=True)[0], atol=1e-12
    )


@pytest.mark.parametrize("tract", TRACTS[::13])
def test_inner_box_of_a_dc2_tract_lies_within_its_patches(tract: int) -> None:
    box = DC2.inner_box(tract)
    ra, dec = np.meshgrid(np.linspace(box.ra_min, box.ra_max, 50), np.linspace(box.dec_min, box.dec_max, 50))
    patch = DC2.patch_of(tract, ra, dec)
    assert patch.shape == (50, 50)
    assert set(patch.ravel().tolist()) == set(range(49))


@pytest.mark.parametrize("dec", [-89.9, -44.0, 0.0, 30.0, 89.9])
def test_position_on_the_seam_of_right_ascension_has_one_tract(dec: float) -> None:
    seam = np.array([0.0, 360.0, -1e-17, 1e-13, 360.0 - 1e-13, -360.0, 720.0])
    tracts = DC2.tract_of(seam, dec)
    assert len(set(tracts.tolist())) == 1
    assert DC2.inner_box(int(tracts[0])).contains(seam, dec).all()


@pytest.mark.parametrize("ra", [0.0, 123.4, 359.999])
@pytest.mark.parametrize(("dec", "tract", "edge"), [(-90.0, 0, -89.5), (90.0, 18_937, 89.5)])
def test_pole_and_its_surroundings_lie_in_a_cap(ra: float, dec: float, tract: int, edge: float) -> None:
    assert int(DC2.tract_of(ra, dec)) == tract
    assert int(DC2.tract_of(ra, edge)) == tract
    assert DC2.inner_box(tract).contains(ra, [dec, edge]).all()
    assert int(DC2.patch_of(tract, ra, dec)) == 24


def test_box_of_a_tract_at_the_seam_holds_both_sides_of_it() -> None:
    box = DC2.inner_box(int(DC2.tract_of(0.0, -44.0)))
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
    assert DC2.tracts_touching_cone(62, -37, 0.5) == (3637, 3638, 3831)


@pytest.mark.parametrize(
    ("ra", "dec", "radius_deg"),
    [(62, -37, 0.5), (0.05, -44, 2.0), (359.9, 10, 3.0), (200, 89.7, 1.5), (10, -89.9, 0.05), (77, -88.5, 2.0)],
)
def test_tracts_touching_a_cone_are_those_that_its_positions_lie_in(
    ra: float, dec: float, radius_deg: float
) -> None:
    found = set(DC2.tracts_touching_cone(ra, dec, radius_deg))
    inside = set(DC2.tract_of(*_within_cone(ra, dec, radius_deg, 40_000)).tolist())
    assert inside <= found
    grazed = found - inside
    shrunk = {tract for tract in found if DC2.inner_box(tract).meets_cone(ra, dec, radius_deg * 0.99)}
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
        DC2.inner_box(tract)


@pytest.mark.parametrize("patch", [-1, 49])
def test_unknown_patch_is_refused(patch: int) -> None:
    with pytest.raises(ValueError, match="there is no patch"):
        DC2.patch_polygon(2897, patch)
