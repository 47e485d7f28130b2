"""Rounds stored values: to more digits than a survey measures, and far fewer than a float has.

The bits beyond are noise that no compression can shorten; without them the files are half as long.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]

# Significant bits: of a flux, 3e-5 of it or 0.03 mmag; of what says how well another number is known, 2e-4.
FLUX_BITS: Final = 15
ERROR_BITS: Final = 12
_SINGLE_BITS: Final = 24
# Positions are whole multiples of these: 3 microarcseconds on the sky, 49 in pixels of a tract.
_GRID_DEG: Final = 2.0**-30
_GRID_PIXELS: Final = 2.0**-12


def rounded(values: NDArray[np.floating], bits: int) -> SingleArray:
    """Return numbers in single precision with some significant bits; 0, NaN and infinity stay what they are."""
    cut = _SINGLE_BITS - bits
    # A carry out of the fraction is one into the exponent, as it should be.
    whole = np.ascontiguousarray(values, np.float32).view(np.uint32) + np.uint32(1 << (cut - 1))
    return (whole & np.uint32(2**32 - 2**cut)).view(np.float32)


def rounded_angles(angles_deg: FloatArray) -> FloatArray:
    """Round angles to the grid of positions."""
    return np.asarray(np.rint(angles_deg / _GRID_DEG) * _GRID_DEG)


def rounded_pixels(pixels: FloatArray) -> FloatArray:
    """Round coordinates in pixels to the grid of positions."""
    return np.asarray(np.rint(pixels / _GRID_PIXELS) * _GRID_PIXELS)
