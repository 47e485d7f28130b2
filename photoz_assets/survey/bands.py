"""The six LSST bands in the order of the field: the AB system they are measured in, how they are drawn."""

import math
from typing import Final

BANDS: Final = ("u", "g", "r", "i", "z", "y")

# Dark Energy Survey's colours, as the notebook has them; they stay apart for colour-blind eyes.
BAND_COLORS: Final = {
    "u": "#56b4e9",
    "g": "#008060",
    "r": "#ff4000",
    "i": "#850000",
    "z": "#6600cc",
    "y": "#000000",
}
BAND_SYMBOLS: Final = {"u": "o", "g": "^", "r": "v", "i": "s", "z": "*", "y": "p"}

# AB magnitude of a source of 1 nJy (Oke and Gunn 1983, ApJ 266, 713, rounded as the archive's scisql rounds it).
AB_ZERO_POINT_MAG: Final = 31.4


def magnitude_of_flux(flux_njy: float) -> float | None:
    """Return the AB magnitude of a flux in nJy: 31.4 - 2.5 log10(flux); None for one that is not positive."""
    return AB_ZERO_POINT_MAG - 2.5 * math.log10(flux_njy) if flux_njy > 0 else None


def flux_of_magnitude(mag: float) -> float:
    """Return the flux of an AB magnitude in nJy: 10^((31.4 - mag) / 2.5)."""
    return float(10 ** ((AB_ZERO_POINT_MAG - mag) / 2.5))
