"""Tables that a request brings along (TAP 1.1 sec. 2.5): VOTables, which the query finds as TAP_UPLOAD."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow as pa

MEDIA_TYPE: Final = "application/x-votable+xml;serialization=BINARY2"
# What Rubin's service takes in one request, all of the request counted.
MOST_BYTES: Final = 32 << 20
# Of the request around the table, far more than it needs.
_ENVELOPE_BYTES: Final = 1 << 16

_TYPES: Final = {pa.int64(): ("long", ">i8"), pa.float64(): ("double", ">f8")}


@dataclass(frozen=True)
class Upload:
    """A table to send along: columns of int64 and float64 without NULL, under the name that the query has.

    Raises
    ------
    ValueError
        A column is of another type, or holds NULL.
    """

    name: str
    table: pa.Table

    def __post_init__(self) -> None:
        for field, column in zip(self.table.schema, self.table.columns, strict=True):
            if field.type not in _TYPES or column.null_count:
                raise ValueError(
                    f"{self.name}: cannot send {field.name}, {field.type} with {column.null_count} NULL"
                )

    @property
    def parameter(self) -> str:
        """The value of the parameter UPLOAD: the table is in the request, in a part of its name."""
        return f"{self.name},param:{self.name}"

    @cached_property
    def document(self) -> bytes:
        """The table as a VOTable in BINARY2 (VOTable 1.4 sec. 5.4): a byte of NULL flags before each row."""
        kinds = [(field.name, _TYPES[field.type]) for field in self.table.schema]
        flags = f"V{-(-len(kinds) // 8)}"
        rows = np.zeros(self.table.num_rows, [("", flags), *((name, form) for name, (_, form) in kinds)])
        for name, _ in kinds:
            rows[name] = self.table.column(name).to_numpy()
        fields = "".join(
            f"<FIELD name={quoteattr(name)} datatype={quoteattr(kind)}/>" for name, (kind, _) in kinds
        )
        return (
            b'<?xml version="1.0" encoding="UTF-8"?>\n'
            b'<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
            + fields.encode()
            + b'<DATA><BINARY2><STREAM encoding="base64">'
            + base64.b64encode(rows.tobytes())
            + b"</STREAM></BINARY2></DATA></TABLE></RESOURCE></VOTABLE>\n"
        )

    @property
    def digest(self) -> str:
        """A short digest of the table, as it is sent."""
        return hashlib.sha256(self.document).hexdigest()[:16]


def most_rows(columns: int, most_bytes: int = MOST_BYTES) -> int:
    """Return how many rows of so many columns a request takes."""
    row_bytes = 8 * columns + -(-columns // 8)
    return (most_bytes - _ENVELOPE_BYTES) * 3 // 4 // row_bytes
