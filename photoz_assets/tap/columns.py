"""The contract between a result's columns and the Arrow schema that was asked for, whatever the format.

Which wire types there are, which of them fit an Arrow type without loss, and how a column that fits becomes the
column that was promised. How bytes become columns is the business of `binary`, `tabledata` and `parquet`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.tap.errors import ContractViolation
from photoz_assets.tap.names import fold

Array: TypeAlias = "pa.Array[Any]"  # generic in the stubs alone


class VOTableType(Enum):
    """A VOTable primitive: its name, its big-endian binary form and its Arrow type (VOTable 1.5 sec. 2.1).

    The form of the two kinds of text is that of one character; a bit has a byte of its own.
    """

    BOOLEAN = ("boolean", "u1", pa.bool_())
    BIT = ("bit", "u1", pa.bool_())
    UNSIGNED_BYTE = ("unsignedByte", "u1", pa.uint8())
    SHORT = ("short", ">i2", pa.int16())
    INT = ("int", ">i4", pa.int32())
    LONG = ("long", ">i8", pa.int64())
    FLOAT = ("float", ">f4", pa.float32())
    DOUBLE = ("double", ">f8", pa.float64())
    CHAR = ("char", "u1", pa.string())
    UNICODE_CHAR = ("unicodeChar", ">u2", pa.string())

    def __init__(self, votable: str, form: str, arrow: pa.DataType) -> None:
        self.votable = votable
        self.form = np.dtype(form)
        self.arrow = arrow

    @property
    def is_text(self) -> bool:
        """Whether its arrays are strings."""
        return self in {VOTableType.CHAR, VOTableType.UNICODE_CHAR}

    @property
    def is_integer(self) -> bool:
        """Whether its values are whole numbers."""
        return bool(pa.types.is_integer(self.arrow))

    @property
    def is_floating(self) -> bool:
        """Whether its values are floating-point numbers."""
        return bool(pa.types.is_floating(self.arrow))

    def integer(self, text: str) -> int | None:
        """Read a number of an integer kind, None if the text is none or the number does not fit.

        Hexadecimal numbers are the bits of the value, so that 0xFFFF is -1 in a short (VOTable 1.5 sec. 6).
        """
        limits = np.iinfo(self.form)
        if _DECIMAL.fullmatch(text):
            number = int(text)
        elif _HEXADECIMAL.fullmatch(text):
            number = int(text, 16)
            if limits.max < number < 1 << limits.bits:
                number -= (1 << limits.bits) if limits.min else 0
        else:
            return None
        return number if limits.min <= number <= limits.max else None

    def null(self, text: str) -> int | float | None:
        """Read what stands for NULL in a column of numbers, in their precision; None if it is none of them.

        A whole number may be written as a floating-point one.
        """
        text = text.strip()
        if self.is_integer:
            number = self.integer(text)
            if number is None and _FLOATING.fullmatch(text) and float(text).is_integer():
                number = self.integer(str(int(float(text))))
            return number
        if self.is_floating and (_FLOATING.fullmatch(text) or _HEXADECIMAL.fullmatch(text)):
            value = float(int(text, 16)) if _HEXADECIMAL.fullmatch(text) else float(text)
            with np.errstate(over="ignore"):
                return float(self.form.type(value))
        return None


_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,19}")
_HEXADECIMAL: Final = re.compile(r"[+-]?0[xX][0-9A-Fa-f]{1,16}")
_FLOATING: Final = re.compile(
    r"[+-]?(?:(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,5})?|Inf(?:inity)?)", re.IGNORECASE
)
_INTEGERS: Final = (VOTableType.UNSIGNED_BYTE, VOTableType.SHORT, VOTableType.INT, VOTableType.LONG)

# What may arrive for a column of each Arrow type: the type itself or what widens to it without loss. A flag may
# come as a small integer, as services without a boolean type send it; its values are checked as they come.
_FITTING: Final[dict[pa.DataType, tuple[VOTableType, ...]]] = {
    pa.bool_(): (VOTableType.BOOLEAN, VOTableType.BIT, *_INTEGERS[:3]),
    pa.uint8(): _INTEGERS[:1],
    pa.int16(): _INTEGERS[:2],
    pa.int32(): _INTEGERS[:3],
    pa.int64(): _INTEGERS,
    pa.float32(): (VOTableType.FLOAT,),
    pa.float64(): (VOTableType.DOUBLE,),
    pa.string(): (VOTableType.CHAR, VOTableType.UNICODE_CHAR),
}

# What a COUNT may come as: services without a type for its value take another.
_COUNTING: Final = (*_INTEGERS, VOTableType.FLOAT, VOTableType.DOUBLE, VOTableType.CHAR, VOTableType.UNICODE_CHAR)
_COUNT: Final = {b"photoz_assets.tap": b"count"}
_LARGEST_EXACT: Final = {pa.float32(): 1 << 24, pa.float64(): 1 << 53}

# The columns of TAP_SCHEMA that only label (TAP 1.1 sec. 4).
_LABELS: Final = frozenset({"description", "unit", "ucd", "utype"})


def count_field(name: str) -> "pa.Field[Any]":
    """Return the field of a COUNT, of type int64: taken as a number of any type, or as digits."""
    return pa.field(name, pa.int64(), metadata=_COUNT)


def is_label(name: str) -> bool:
    """Return whether the texts of a column only label, so that a letter of another encoding does no harm."""
    return fold(name) in _LABELS


@dataclass(frozen=True, kw_only=True)
class WireField:
    """What a row of a VOTable holds for a column.

    ``length`` is the number of characters of a text, None where each row has its own; 1 for anything else.
    ``nulls`` are the values that stand for NULL besides the serialization's own way to say it: numbers of the
    column's precision, or texts.
    """

    name: str
    kind: VOTableType
    length: int | None = 1
    nulls: tuple[int | float | str, ...] = ()

    @property
    def is_label(self) -> bool:
        """Whether its texts only label."""
        return is_label(self.name)


@dataclass(frozen=True, kw_only=True)
class ReceivedColumn:
    """A column as the service announces it; ``kind`` is None for a type that no contract has a use for."""

    name: str
    kind: VOTableType | None
    announced: str


def match(schema: pa.Schema, received: Sequence[ReceivedColumn]) -> tuple[int, ...]:
    """Find the received column of each column that was asked for.

    Names are compared without regard to ASCII case, as ADQL does: a service may answer in lower case. Where two
    received names differ in case only, the exact one is taken and the other is one too many.

    Returns
    -------
    tuple[int, ...]
        For each column of the schema, in its order, an index into ``received``.

    Raises
    ------
    ContractViolation
        A column is missing, unexpected, there twice or of a type that does not fit.
    ValueError
        The schema has a type that TAP cannot carry.
    """
    problems: list[str] = []
    positions: list[int] = []
    unclaimed = dict(enumerate(received))
    for field in schema:
        if field.type not in _FITTING:
            raise ValueError(f"column {field.name} is asked for as {field.type}, which no TAP result has")
        alike = [index for index, each in unclaimed.items() if fold(each.name) == fold(field.name)]
        alike.sort(key=lambda index: received[index].name != field.name)
        if not alike:
            problems.append(f"column {field.name} ({field.type}) is missing")
            continue
        found = unclaimed.pop(alike[0])
        positions.append(alike[0])
        if found.kind not in (_COUNTING if _is_count(field) else _FITTING[field.type]):
            problems.append(f"column {field.name} is expected as {field.type}, got {found.announced}")
    problems += [f"column {each.name} ({each.announced}) is not expected" for each in unclaimed.values()]
    if problems:
        raise ContractViolation(*problems)
    return tuple(positions)


def batch(schema: pa.Schema, arrays: Sequence[Array]) -> pa.RecordBatch:
    """Make a batch of the schema of columns that arrived, which are in its order.

    NaN becomes NULL: archives that keep NaN for "no value" and those that send NULL give the same table. Infinity
    stays what it is.

    Raises
    ------
    ContractViolation
        A flag that is neither 0, 1 nor NULL, or a count that is no whole number.
    """
    conformed = [_conformed(array, field) for array, field in zip(arrays, schema, strict=True)]
    return pa.RecordBatch.from_arrays(conformed, schema=schema)


def without(array: Array, nulls: Sequence[int | float | str]) -> Array:
    """Return a column with NULL in place of the values that stand for it."""
    if not nulls:
        return array
    missing = pa.array(nulls, array.type)
    return pc.if_else(pc.is_in(array, missing), pa.scalar(None, array.type), array)


def _is_count(field: "pa.Field[Any]") -> bool:
    return dict(field.metadata or {}) == _COUNT


def _conformed(array: Array, field: "pa.Field[Any]") -> Array:
    """Widen a column that was received to the type that was asked for."""
    if _is_count(field):
        return _counts(array, field.name)
    if pa.types.is_floating(array.type):
        missing = pc.is_nan(array)
        if pc.any(missing).as_py():
            array = pc.if_else(missing, pa.scalar(None, array.type), array)
    elif field.type == pa.bool_() and array.type != field.type:
        odd = pc.unique(array.filter(pc.invert(pc.is_in(array, pa.array([0, 1, None], array.type)))))
        if len(odd):
            raise ContractViolation(f"column {field.name} is expected as {field.type}, got the number {odd[0]}")
    return array.cast(field.type)


def _counts(array: Array, name: str) -> Array:
    """Read counts, of which there are few."""
    counts: list[int] = []
    for value in array.to_pylist():
        match value:
            case str() if re.fullmatch(r"\s*[0-9]{1,18}(?:\.0*)?\s*", value):
                counts.append(int(value.partition(".")[0]))
            case float() if value.is_integer() and 0 <= value <= _LARGEST_EXACT[array.type]:
                counts.append(int(value))
            case int():
                counts.append(value)
            case _:
                raise ContractViolation(f"column {name} is expected as a count, got {value!r}")
    return pa.array(counts, pa.int64())
