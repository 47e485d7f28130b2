"""Drawn galaxies against the facts of the sample that the population was fitted to, and the error model."""

import numpy as np
import pytest

from photoz_archive.sky.photometry import DEPTHS_MAG, flux_error, flux_of_magnitude
from photoz_archive.sky.population import Galaxies, Population, packaged_population


@pytest.fixture(scope="module")
def population() -> Population:
    return packaged_population()


@pytest.fixture(scope="module")
def galaxies(population: Population) -> Galaxies:
    return population.draw(300_000, np.random.default_rng(1))


def test_as_many_galaxies_are_brighter_than_25_3_as_in_the_sample(
    population: Population, galaxies: Galaxies
) -> None:
    share = np.mean(galaxies.magnitudes[:, 3] < 25.3)
    # 188,830 per square degree by noisy magnitudes; noise scatters more in than out.
    assert share * population.per_deg2() == pytest.approx(188_830, rel=0.02)


def test_faint_counts_follow_their_power_law(population: Population, galaxies: Galaxies) -> None:
    counts = [np.mean(galaxies.magnitudes[:, 3] < limit) * population.per_deg2() for limit in (26.0, 27.0, 27.5)]
    assert counts == pytest.approx([313_000, 636_000, 904_000], rel=0.02)


@pytest.mark.parametrize(("quantile", "redshift"), [(0.05, 0.231), (0.25, 0.598), (0.5, 0.885), (0.75, 1.157)])
def test_redshifts_of_bright_galaxies_are_those_of_the_sample(
    galaxies: Galaxies, quantile: float, redshift: float
) -> None:
    bright = galaxies.redshift[galaxies.magnitudes[:, 3] < 25.3]
    assert np.quantile(bright, quantile) == pytest.approx(redshift, abs=0.03)


@pytest.mark.parametrize(("blue", "median"), [(1, 0.60), (2, 0.52), (3, 0.28)])
def test_colours_of_bright_galaxies_are_those_of_the_sample(galaxies: Galaxies, blue: int, median: float) -> None:
    bright = galaxies.magnitudes[galaxies.magnitudes[:, 3] < 25.3]
    assert np.median(bright[:, blue] - bright[:, blue + 1]) == pytest.approx(median, abs=0.03)


def test_redshifts_and_magnitudes_stay_in_their_range(galaxies: Galaxies) -> None:
    assert 0 < galaxies.redshift.min() < galaxies.redshift.max() < 3.1
    assert np.isfinite(galaxies.magnitudes).all()
    assert galaxies.magnitudes[:, 3].max() <= 27.5


def test_no_galaxies_can_be_drawn(population: Population) -> None:
    assert population.draw(0, np.random.default_rng(1)).magnitudes.shape == (0, 6)


def test_source_at_the_depth_has_five_sigma() -> None:
    flux = flux_of_magnitude(DEPTHS_MAG)[None, :]
    # The formula's error of 0.2 mag is 5.4 sigma of flux.
    np.testing.assert_allclose(flux / flux_error(flux), 5.43, rtol=1e-2)


def test_flux_error_is_that_of_the_magnitude_formula() -> None:
    mag, gamma = 22.0, 0.0399254
    x = 10 ** (0.4 * (mag - DEPTHS_MAG[3]))
    expected_mag = np.sqrt((0.04 - gamma) * x + gamma * x**2)
    flux = np.full((1, 6), 10 ** ((31.4 - mag) / 2.5))
    # An error of magnitude is one of flux over 2.5 / ln 10 of it.
    assert flux_error(flux)[0, 3] == pytest.approx(expected_mag * flux[0, 3] * np.log(10) / 2.5)


def test_faint_and_negative_fluxes_have_the_error_of_the_background() -> None:
    np.testing.assert_array_equal(flux_error(np.full((1, 6), -100.0)), flux_error(np.zeros((1, 6))))
