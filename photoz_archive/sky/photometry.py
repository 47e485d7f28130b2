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


def flux_of_magnitude(magnitude: FloatArray | float) -> FloatArray:
    """Return the fluxes of AB magnitudes in nJy."""
    return np.asarray(10 ** ((AB_ZERO_POINT_MAG - magnitude) / 2.5))


def magnitude_of_flux(flux: NDArray[np.floating]) -> FloatArray:
    """Return the AB magnitudes of positive fluxes in nJy."""
    return np.asarray(AB_ZERO_POINT_MAG - 2.5 * np.log10(flux.astype(np.float64)))


def flux_error(flux: FloatArray) -> FloatArray:
    """Return the standard deviation in nJy of measured fluxes, shape (n, 6), for true fluxes of that shape.

    Ivezic et al. 2019, ApJ 873, 111, eq. 5, without its systematic floor and written for fluxes so that it holds
    for faint ones: in magnitudes, sigma^2 = (0.04 - gamma) x + gamma x^2 with x the flux at five sigma over the
    flux.
    """
    limit = flux_of_magnitude(DEPTHS_MAG)
    variance = (0.04 - _GAMMA) * np.maximum(flux, 0) * limit + _GAMMA * limit**2
    return np.asarray(np.log(10) / 2.5 * np.sqrt(variance))
