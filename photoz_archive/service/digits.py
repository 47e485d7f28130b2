"""Numbers of single precision with fewer significant digits, as an archive gives them that writes them as text."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Powers of ten up to this one are exact as doubles.
_LARGEST_EXACT_POWER: Final = 22


def with_digits(batch: pa.RecordBatch, digits: Mapping[int, int]) -> pa.RecordBatch:
    """Return a batch with some of its columns rounded, each by its number to so many significant digits."""
    for number, kept in digits.items():
        column = batch.column(number)
        values = column.to_numpy(zero_copy_only=False)
        rounded = pa.array(_rounded(values.astype(np.float64), kept).astype(np.float32), mask=_nulls(column))
        batch = batch.set_column(number, batch.schema.field(number), rounded.cast(column.type))
    return batch


def _nulls(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


def _rounded(values: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """Round numbers in decimal; 0, NaN and infinity stay what they are."""
    ordinary = np.isfinite(values) & (values != 0)
    shift = digits - 1 - np.floor(np.log10(np.abs(values, where=ordinary, out=np.ones_like(values)))).astype(int)
    # In two steps, since the power for the smallest numbers is none that a double has exactly.
    first = np.clip(shift, -_LARGEST_EXACT_POWER, _LARGEST_EXACT_POWER)
    whole = _times_power(_times_power(values, first), shift - first)
    kept = _times_power(_times_power(np.rint(whole), first - shift), -first)
    return np.where(ordinary, kept, values)


def _times_power(values: NDArray[np.float64], power: NDArray[np.int64]) -> NDArray[np.float64]:
    """Multiply by powers of ten, or divide, since those of negative exponents are not exact."""
    scale = 10.0 ** np.abs(power)
    return np.where(power >= 0, values * scale, values / scale)
