"""How an archive rounds what it sends: numbers of single precision come as text of a few significant digits.

Rounding keeps an order: what lies above a limit does not fall below the rounded limit.
"""

import struct


def rounded(value: float, digits: int) -> float:
    """Return a value as it comes: rounded to significant digits, and read again in single precision."""
    [read] = struct.unpack("f", struct.pack("f", float(f"{value:.{digits}g}")))
    return float(read)


def relative_step(digits: int) -> float:
    """Return the most, relative to a value, that it is changed by: half a unit of the last of its digits."""
    # The digit that is rounded is worth most, against the value, where this starts with a one.
    return 0.5 * 10.0 ** (1 - digits)
