"""How a galaxy stands in a band: a code a band, so that what is missing is told from what is faint."""

from enum import IntEnum


class PhotometryState(IntEnum):
    """Measured: a flux above zero. Not detected: one of zero or below. Not observed: no flux, or no error."""

    MEASURED = 0
    NOT_DETECTED = 1
    NOT_OBSERVED = 2
