"""What is measured of galaxies alone on the sky: noise that depends on size and patch, errors that know no truth."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_archive.sky.measurement import Detections, measure
from photoz_archive.sky.photometry import flux_of_magnitude
from photoz_archive.sky.random_streams import TractSimulation
from photoz_archive.sky.truth import GALAXY, NO_HOST, Sources
from photoz_assets.survey.skymap import DC2_RINGS

FloatArray = NDArray[np.float64]

G = 1
# Galaxies on a square grid, inside of the border that a patch shares with others.
PER_SIDE = 60
MARGIN = 150


def _measured(
    *, radius_arcsec: float, magnitude: FloatArray | float, patches: Sequence[int] = (24,)
) -> tuple[Sources, Detections]:
    """Measure galaxies of one size in some patches, each far from the next; sky objects are left out."""
    size = DC2_RINGS.patch_inner_pixels
    place = np.linspace(MARGIN, size - MARGIN, PER_SIDE)
    x, y = (
        np.concatenate([grid.ravel() + corner * size for corner in corners])
        for grid, corners in zip(
            np.meshgrid(place, place),
            zip(*(divmod(patch, 7)[::-1] for patch in patches), strict=True),
            strict=True,
        )
    )
    count = len(x)
    flux = np.broadcast_to(flux_of_magnitude(magnitude), (6, count)).T.astype(np.float32)
    ra_deg, dec_deg = DC2_RINGS.pixel_to_sky(3637, x, y)
    sources = Sources(
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        x=x,
        y=y,
        truth_type=np.full(count, GALAXY, np.int8),
        is_variable=np.zeros(count, bool),
        host=np.full(count, NO_HOST),
        redshift=np.ones(count),
        flux=flux,
        flux_without_dust=flux,
        radius_arcsec=np.full(count, radius_arcsec),
        axis_ratio=np.ones(count),
        angle=np.zeros(count),
    )
    found = measure(TractSimulation(tract=3637, seed=1, density=1.0), sources)
    return sources, found.take(np.flatnonzero(~found.is_sky))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.argsort(np.argsort(values))


def test_reported_errors_know_the_measured_flux_and_nothing_else_of_the_true_one() -> None:
    magnitude = np.random.default_rng(1).uniform(24.5, 25.7, PER_SIDE**2)
    sources, found = _measured(radius_arcsec=0.3, magnitude=magnitude)
    measured, true = found.cmodel_flux[:, G], sources.flux[found.source, G]
    near_25 = (measured > flux_of_magnitude(25.2)) & (measured < flux_of_magnitude(25.0))
    measured, true, error = measured[near_25], true[near_25], found.cmodel_error[near_25, G]
    assert len(error) > 500
    assert np.corrcoef(_ranks(error), _ranks(measured))[0, 1] > 0.9999
    # The two fluxes go together; what the error adds to the measured one does not go with the true one.
    of_fluxes = np.corrcoef(_ranks(measured), _ranks(true))[0, 1]
    assert np.corrcoef(_ranks(error), _ranks(true))[0, 1] == pytest.approx(of_fluxes, abs=0.002)


def test_larger_galaxies_have_larger_errors() -> None:
    medians = []
    for radius_arcsec in (0.1, 0.25, 0.4, 0.8):
        _, found = _measured(radius_arcsec=radius_arcsec, magnitude=23.5)
        medians.append(np.median(found.cmodel_error, axis=0))
    growth = np.array(medians[1:]) / np.array(medians[:-1])
    assert (growth > 1.1).all()
    # The noise of the sky under four pi of the light's variance, the PSF's included.
    small, large = (0.33**2 + (radius_arcsec / 1.1774) ** 2 for radius_arcsec in (0.25, 0.4))
    np.testing.assert_allclose(growth[1], np.sqrt(large / small), rtol=0.01)


def test_patches_and_bands_differ_in_depth_by_some_per_cent() -> None:
    patches = (8, 10, 12, 22, 24, 26, 36, 38, 40)
    _, found = _measured(radius_arcsec=0.25, magnitude=25.0, patches=patches)
    log_error = np.log([np.median(found.cmodel_error[found.patch == patch], axis=0) for patch in patches])
    scatter = log_error.std(axis=0)
    assert ((scatter > 0.02) & (scatter < 0.10)).all()
    # A patch that is deep in one band is not deep in all.
    assert (log_error - log_error.mean(axis=0)).mean(axis=1).std() < 0.75 * scatter.mean()


def test_aperture_holds_the_light_of_all_but_the_largest_galaxies() -> None:
    held = []
    for radius_arcsec in (0.1, 0.4, 1.6):
        sources, found = _measured(radius_arcsec=radius_arcsec, magnitude=21.0)
        held.append(np.median(found.aperture_flux / sources.flux[found.source]))
    small, middle, large = held
    assert small == pytest.approx(1.0, abs=0.002)
    assert middle == pytest.approx(0.995, abs=0.005)
    # 1.678 half-light radii of 1.65 arcsec, made larger by the PSF, are 2.44 scale lengths: 1 - 3.44 exp(-2.44).
    assert large == pytest.approx(0.70, abs=0.01)


def test_aperture_gathers_the_noise_of_its_area() -> None:
    sources, found = _measured(radius_arcsec=0.25, magnitude=25.0)
    # Twelve pixels of 0.2 arcsec against four pi of the PSF's variance.
    ratio = np.median(found.aperture_error / found.psf_error, axis=0)
    np.testing.assert_allclose(ratio, np.sqrt(2.4**2 / (4 * 0.33**2)), rtol=0.01)
    pull = (found.aperture_flux - sources.flux[found.source]) / found.aperture_error
    np.testing.assert_allclose(pull.std(axis=0), 1 / 0.9, rtol=0.05)
    np.testing.assert_allclose(pull.mean(axis=0), 0, atol=0.1)


@pytest.mark.parametrize("radius_arcsec", [0.1, 0.6])
@pytest.mark.parametrize("patch", [8, 24, 40])
def test_noise_is_as_large_as_reported_in_galaxies_of_any_size_and_patch(radius_arcsec: float, patch: int) -> None:
    sources, found = _measured(radius_arcsec=radius_arcsec, magnitude=25.0, patches=[patch])
    # All of them are detected, in i if not in u: no band has lost those that its noise made fainter.
    assert len(found) > 0.95 * PER_SIDE**2
    true = sources.flux[found.source]
    pull = (found.cmodel_flux - true) / found.cmodel_error
    centre, width = np.median(pull, axis=0), np.diff(np.quantile(pull, [0.159, 0.841], axis=0), axis=0)[0] / 2
    np.testing.assert_allclose(centre, 0, atol=0.1)
    # Errors are reported a tenth too small, and do not tell that models miss by 3 % of the flux.
    expected = np.hypot(1 / 0.9, 0.03 * np.median(true / found.cmodel_error, axis=0))
    np.testing.assert_allclose(width, expected, rtol=0.06)
