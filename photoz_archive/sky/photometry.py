"""AB magnitudes, fluxes in nJy and the survey's random errors of fluxes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.survey.bands import AB_ZERO_POINT_MAG

FloatArray = NDArray[np.float64]

# What stands out of the noise by this much, in any band, is detected.
DETECTION_SNR: Final = 5.0

# Five-sigma depths in ugrizy after five years: those of the fitted ten-year sample less 0.376 mag, which is half
# of the visits.
DEPTHS_MAG: Final = np.array([24.803, 26.506, 26.598, 26.194, 25.571, 24.664])
# Of the fitted sample: how much of the error the background makes.
_GAMMA: Final = np.array([0.0397267, 0.0398869, 0.0399254, 0.0399254, 0.0399200, 0.0399200])

# The PSF, taken for a Gaussian of 0.78 arcsec at half its height, and the half-light radius of one.
_PSF_SIGMA_ARCSEC: Final = 0.33
_HALF_LIGHT_PER_SIGMA: Final = 1.1774
# A Gaussian aperture of images brought to one seeing, which is worse than theirs by so much.
_GAAP_SIGMA_ARCSEC: Final = 1.0
_GAAP_PSF_SIGMA_ARCSEC: Final = 1.15 * _PSF_SIGMA_ARCSEC
# Over how much sky it gathers noise: the integral of the squared weight that gives points all of their light.
GAAP_AREA_ARCSEC2: Final = np.pi * _GAAP_SIGMA_ARCSEC**4 / (_GAAP_SIGMA_ARCSEC**2 - _GAAP_PSF_SIGMA_ARCSEC**2)


def flux_of_magnitude(magnitude: FloatArray | float) -> FloatArray:
    """Return the fluxes of AB magnitudes in nJy."""
    return np.asarray(10 ** ((AB_ZERO_POINT_MAG - magnitude) / 2.5))


def magnitude_of_flux(flux: NDArray[np.floating]) -> FloatArray:
    """Return the AB magnitudes of positive fluxes in nJy."""
    return np.asarray(AB_ZERO_POINT_MAG - 2.5 * np.log10(flux.astype(np.float64)))


def noise_area_arcsec2(radius_arcsec: FloatArray) -> FloatArray:
    """Return over how much sky the fluxes of sources gather noise, whose half-light radii are given.

    Where the light is a Gaussian and weighs the pixels, that is 4 pi of its variance (King 1983, PASP 95, 163).
    """
    return np.asarray(4 * np.pi * (_PSF_SIGMA_ARCSEC**2 + (radius_arcsec / _HALF_LIGHT_PER_SIGMA) ** 2))


def share_within(aperture_arcsec: float, radius_arcsec: FloatArray) -> FloatArray:
    """Return the share of sources' light within a radius of their centres; their half-light radii are given.

    That of an exponential disc, made larger by the PSF (Graham & Driver 2005, PASA 22, 118, eq. 2 for n = 1).
    """
    scaled = 1.678 * aperture_arcsec / np.hypot(radius_arcsec, _HALF_LIGHT_PER_SIGMA * _PSF_SIGMA_ARCSEC)
    return np.asarray(1 - (1 + scaled) * np.exp(-scaled))


def gaap_share(radius_arcsec: FloatArray) -> FloatArray:
    """Return the share of sources' light in a Gaussian aperture of 1 arcsec, in which points have all of theirs.

    The sources are taken for Gaussians, whose half-light radii are given (Kuijken 2008, A&A 482, 1053, sec. 2).
    """
    return np.asarray(
        _GAAP_SIGMA_ARCSEC**2 / (_GAAP_SIGMA_ARCSEC**2 + (radius_arcsec / _HALF_LIGHT_PER_SIGMA) ** 2)
    )


POINT_AREA_ARCSEC2: Final = float(noise_area_arcsec2(np.array(0.0)))
# The sample's noise knows no size, so that its depths are those of typical galaxies: as many are found as if all
# were this large, 0.22 arcsec.
TYPICAL_AREA_ARCSEC2: Final = float(noise_area_arcsec2(np.array(0.22)))


def flux_error(
    flux: NDArray[np.floating],
    area_arcsec2: FloatArray | float = TYPICAL_AREA_ARCSEC2,
    depths_mag: FloatArray = DEPTHS_MAG,
) -> FloatArray:
    """Return the standard deviation in nJy of fluxes, shape (n, 6), measured over an area of sky.

    Ivezic et al. 2019, ApJ 873, 111, eq. 5, without its systematic floor and written for fluxes so that it holds
    for faint ones: in magnitudes, sigma^2 = (0.04 - gamma) x + gamma x^2 with x the flux at five sigma over the
    flux. The second term is the sky's, and grows with the area.
    """
    limit = flux_of_magnitude(depths_mag)
    # In place: a tract has millions of rows.
    variance = np.maximum(flux, 0, dtype=np.float64)
    variance *= (0.04 - _GAMMA) * limit
    variance += _GAMMA * limit**2 * (area_arcsec2 / TYPICAL_AREA_ARCSEC2)
    return np.asarray(np.log(10) / 2.5 * np.sqrt(variance, out=variance))


def variance_per_flux() -> FloatArray:
    """Return by how many nJy^2 the variance grows for each nJy of light, in ugrizy: the first term above."""
    return np.asarray((np.log(10) / 2.5) ** 2 * (0.04 - _GAMMA) * flux_of_magnitude(DEPTHS_MAG))
