"""The contract between a result's columns and the Arrow schema that was asked for, whatever the format.

Which wire types there are, which of them fit an Arrow type without loss, and how a column that fits becomes the
column that was promised. How bytes become columns is the business of `binary2`, `tabledata` and `parquet`.
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

Array: TypeAlias = "pa.Array[Any]"  # generic in the stubs alone


class VOTableType(Enum):
    """A VOTable primitive: its name, its big-endian form in BINARY2 and its Arrow type (VOTable 1.5 sec. 2.1).

    The form of the two kinds of text is that of one character.
    """

    BOOLEAN = ("boolean", "u1", pa.bool_())
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

    def integer(self, text: str) -> int | None:
        """Read a number of an integer kind; None if the text or the kind is none, or the number does not fit."""
        if self.form.kind not in "iu" or self.is_text or not re.fullmatch(r"\s*[+-]?\d{1,19}\s*", text, re.ASCII):
            return None
        number, limits = int(text), np.iinfo(self.form)
        return number if limits.min <= number <= limits.max else None


_INTEGERS: Final = (VOTableType.UNSIGNED_BYTE, VOTableType.SHORT, VOTableType.INT, VOTableType.LONG)

# What may arrive for a column of each Arrow type: the type itself or what widens to it without loss. A flag may
# come as a small integer, as services without a boolean type send it; its values are checked as they come.
_FITTING: Final[dict[pa.DataType, tuple[VOTableType, ...]]] = {
    pa.bool_(): (VOTableType.BOOLEAN, *_INTEGERS[:3]),
    pa.uint8(): _INTEGERS[:1],
    pa.int16(): _INTEGERS[:2],
    pa.int32(): _INTEGERS[:3],
    pa.int64(): _INTEGERS,
    pa.float32(): (VOTableType.FLOAT,),
    pa.float64(): (VOTableType.DOUBLE,),
    pa.string(): (VOTableType.CHAR, VOTableType.UNICODE_CHAR),
}


@dataclass(frozen=True, kw_only=True)
class WireField:
    """What a row of a VOTable holds for a column.

    ``length`` is the number of characters of a text, None where each row has its own; 1 for anything else.
    ``null`` is a number that stands for NULL besides the serialization's own way to say it.
    """

    name: str
    kind: VOTableType
    length: int | None = 1
    null: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReceivedColumn:
    """A column as the service announces it; ``kind`` is None for a type that no contract has a use for."""

    name: str
    kind: VOTableType | None
    announced: str


def match(schema: pa.Schema, received: Sequence[ReceivedColumn]) -> tuple[int, ...]:
    """Find the received column of each column that was asked for.

    Names are compared without regard to case, as ADQL does: a service may answer in lower case. Where two received
    names differ in case only, the exact one is taken and the other is one too many.

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
        alike = [index for index, each in unclaimed.items() if each.name.casefold() == field.name.casefold()]
        alike.sort(key=lambda index: received[index].name != field.name)
        if not alike:
            problems.append(f"column {field.name} ({field.type}) is missing")
            continue
        found = unclaimed.pop(alike[0])
        positions.append(alike[0])
        if found.kind not in _FITTING[field.type]:
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
        A flag that is neither 0, 1 nor NULL.
    """
    conformed = [_conformed(array, field) for array, field in zip(arrays, schema, strict=True)]
    return pa.RecordBatch.from_arrays(conformed, schema=schema)


def _conformed(array: Array, field: "pa.Field[Any]") -> Array:
    """Widen a column that arrived to the type that was asked for."""
    if pa.types.is_floating(array.type):
        missing = pc.is_nan(array)
        if pc.any(missing).as_py():
            array = pc.if_else(missing, pa.scalar(None, array.type), array)
    elif field.type == pa.bool_() and array.type != field.type:
        odd = pc.unique(array.filter(pc.invert(pc.is_in(array, pa.array([0, 1, None], array.type)))))
        if len(odd):
            raise ContractViolation(f"column {field.name} is expected as {field.type}, got the number {odd[0]}")
    return array.cast(field.type)
