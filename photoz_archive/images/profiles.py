"""How light spreads in the images: the PSF, and the disc of a galaxy, as sums of round Gaussians.

Of sums of Gaussians a convolution is one too, whose variances add.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.survey.skymap import DC2_RINGS

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """Round Gaussians around one centre: their shares of the light, which add to 1, and their variances."""

    shares: FloatArray
    variances: FloatArray


# A core with wings, 0.75 arcsec wide at half its height; in pixels squared.
PSF: Final = Mixture(
    shares=np.array([0.80, 0.17, 0.03]),
    variances=(np.array([0.31, 0.59, 1.40]) / DC2_RINGS.pixel_scale_arcsec) ** 2,
)
_DISC_LIGHT: Final = np.array([2.34853813e-3, 3.07995260e-2, 2.23364214e-1, 1.17949102, 4.33873750, 5.99820770])
# An exponential disc, in half-light radii squared (Hogg & Lang 2013, PASP 125, 719; from its authors' Tractor).
DISC: Final = Mixture(
    shares=_DISC_LIGHT / _DISC_LIGHT.sum(),
    variances=np.array([1.20078965e-3, 8.84526493e-3, 3.91463084e-2, 1.39976817e-1, 4.60962500e-1, 1.50159566]),
)


def psf_area_pixels() -> float:
    """Return over how many pixels a flux that is weighted by the PSF gathers noise: 1 over the PSF squared."""
    overlaps = 2 * np.pi * (PSF.variances[:, None] + PSF.variances)
    return float(1 / (PSF.shares[:, None] * PSF.shares / overlaps).sum())
