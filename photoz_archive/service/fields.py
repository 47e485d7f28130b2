"""The columns of a result as VOTable fields, and batches brought to the fields' Arrow types."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from photoz_archive.adql.catalog import ColumnFacts


@dataclass(frozen=True)
class Primitive:
    """A VOTable datatype with the Arrow type that holds it and, where its width is fixed, its NumPy code."""

    datatype: str
    arrow: pa.DataType
    numpy: str | None


PRIMITIVES: Final = {
    primitive.datatype: primitive
    for primitive in (
        Primitive("boolean", pa.bool_(), "S1"),
        Primitive("short", pa.int16(), ">i2"),
        Primitive("int", pa.int32(), ">i4"),
        Primitive("long", pa.int64(), ">i8"),
        Primitive("float", pa.float32(), ">f4"),
        Primitive("double", pa.float64(), ">f8"),
        Primitive("char", pa.string(), None),
    )
}


@dataclass(frozen=True, kw_only=True)
class VOTableField:
    """A column of a result."""

    name: str
    primitive: Primitive
    facts: ColumnFacts | None = None

    @property
    def arraysize(self) -> str | None:
        """The VOTable arraysize; ``*`` for text of any length."""
        if self.primitive.datatype != "char":
            return None
        return (self.facts.arraysize if self.facts else None) or "*"

    @property
    def fixed_bytes(self) -> int | None:
        """The width of text that is padded with NUL to one length, None for all else."""
        arraysize = self.arraysize
        return int(arraysize) if arraysize is not None and arraysize.isdigit() else None

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of the FIELD element, but for its ID."""
        facts = self.facts
        known = {
            "name": self.name,
            "datatype": self.primitive.datatype,
            "arraysize": self.arraysize,
            "xtype": facts.xtype if facts else None,
            "unit": facts.unit if facts else None,
            "ucd": facts.ucd if facts else None,
            "utype": facts.utype if facts else None,
        }
        return {key: value for key, value in known.items() if value}

    @property
    def arrow(self) -> "pa.Field[pa.DataType]":
        """The Arrow field, with unit, UCD and description as metadata."""
        facts = self.facts
        known = {
            "unit": facts.unit if facts else None,
            "ucd": facts.ucd if facts else None,
            "description": facts.description if facts else None,
        }
        metadata = {key: value for key, value in known.items() if value}
        return pa.field(self.name, self.primitive.arrow, metadata=metadata or None)


def primitive_of(arrow_type: pa.DataType) -> Primitive:
    """Return the VOTable datatype that holds an Arrow type without loss, or text."""
    names = (
        ("boolean", pa.types.is_boolean),
        ("short", lambda t: pa.types.is_int8(t) or pa.types.is_uint8(t) or pa.types.is_int16(t)),
        ("int", lambda t: pa.types.is_uint16(t) or pa.types.is_int32(t) or pa.types.is_null(t)),
        ("long", lambda t: pa.types.is_integer(t) or (pa.types.is_decimal(t) and t.scale == 0)),
        ("float", pa.types.is_float32),
        ("double", lambda t: pa.types.is_floating(t) or pa.types.is_decimal(t)),
    )
    found = next((name for name, holds in names if holds(arrow_type)), "char")
    return PRIMITIVES[found]


def result_fields(schema: pa.Schema, facts: Sequence[ColumnFacts | None]) -> tuple[VOTableField, ...]:
    """Describe a result: by what the catalog says of a plain column, else by the type that DuckDB gave it."""
    return tuple(
        VOTableField(
            name=arrow.name,
            primitive=PRIMITIVES[known.datatype] if known else primitive_of(arrow.type),
            facts=known,
        )
        for arrow, known in zip(schema, facts, strict=True)
    )


def conform(batch: pa.RecordBatch, fields: Sequence[VOTableField]) -> pa.RecordBatch:
    """Bring a batch to the fields' types and names.

    Raises
    ------
    pyarrow.ArrowInvalid
        A value does not fit its field's type.
    """
    columns = [
        column if column.type == field.primitive.arrow else pc.cast(column, field.primitive.arrow)
        for column, field in zip(batch.columns, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([field.arrow for field in fields]))


def xml_text(text: str) -> str:
    """Drop the control characters that XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
