"""VOTables as test input: written by astropy, or by hand where astropy writes no such thing."""

import base64
import io
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from astropy.io.votable.tree import Field, Info, Resource, TableElement, VOTableFile
from hypothesis import strategies as st

# Of each column the datatype, the arraysize and the values, None for NULL.
Columns: TypeAlias = dict[str, tuple[str, str | None, list[Any]]]


def votable(
    columns: Columns,
    *,
    serialization: str = "binary2",
    status: str = "OK",
    trailing_status: str | None = None,
) -> bytes:
    """Write a table with astropy."""
    file = VOTableFile(version="1.4")
    resource = Resource(type="results")
    resource.infos.append(Info(name="QUERY_STATUS", value=status))
    file.resources.append(resource)
    table = TableElement(file)
    resource.tables.append(table)
    for name, (datatype, arraysize, _) in columns.items():
        table.fields.append(Field(file, ID=f"col_{name}", name=name, datatype=datatype, arraysize=arraysize))
    rows = len(next(iter(columns.values()))[2])
    table.create_arrays(rows)
    for name, (datatype, _, values) in columns.items():
        column = table.array[f"col_{name}"]
        for row, value in enumerate(values):
            if value is None:
                column[row] = "" if datatype in {"char", "unicodeChar"} else 0
                column.mask[row] = True
            else:
                column[row] = value
    if trailing_status:
        table.infos.append(Info(name="QUERY_STATUS", value=trailing_status))
    out = io.BytesIO()
    file.to_xml(out, tabledata_format=serialization)
    return out.getvalue()


def by_hand(fields: str, data: str, *, before: str = "", after: str = "", prefix: str = "") -> bytes:
    """Write a VOTable around the given FIELDs and DATA."""
    p = f"{prefix}:" if prefix else ""
    xmlns = f"xmlns{':' + prefix if prefix else ''}"
    namespace = "http://www.ivoa.net/xml/VOTable/v1.3"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{p}VOTABLE version="1.4" {xmlns}="{namespace}">'
        f'<{p}RESOURCE type="results">{before}<{p}TABLE>{fields}{data}</{p}TABLE>'
        f"{after}</{p}RESOURCE></{p}VOTABLE>"
    ).encode()


def binary2(rows: bytes, *, line: int = 64, prefix: str = "") -> str:
    """Write rows as a BINARY2 stream in lines of 64 characters, as Rubin's archive does."""
    p = f"{prefix}:" if prefix else ""
    text = base64.b64encode(rows).decode()
    lines = "\n".join(text[start : start + line] for start in range(0, len(text), line))
    return f'<{p}DATA><{p}BINARY2><{p}STREAM encoding="base64">\n{lines}\n</{p}STREAM></{p}BINARY2></{p}DATA>'


def binary(rows: bytes) -> str:
    """Write rows as a BINARY stream."""
    return binary2(rows).replace("BINARY2", "BINARY")


def tabledata(*cells: str) -> str:
    """Write rows of one cell as TABLEDATA."""
    rows = "".join(f"<TR><TD>{cell}</TD></TR>" for cell in cells)
    return f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA>"


def error_document(reason: str) -> bytes:
    """Write the VOTable of a query that failed."""
    return (
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">'
        f'<INFO name="QUERY_STATUS" value="ERROR">{reason}</INFO></RESOURCE></VOTABLE>'
    ).encode()


def in_pieces(document: bytes, size: int) -> Iterator[bytes]:
    """Cut a document into pieces."""
    for start in range(0, len(document), size):
        yield document[start : start + size]


def longs(values: list[int]) -> bytes:
    """Write rows of one long, none of them NULL, in BINARY2."""
    rows = np.zeros(len(values), [("null", "u1"), ("value", ">i8")])
    rows["value"] = values
    return rows.tobytes()


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """Damage a document in some places."""
    body = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 40)))
        body[start:end] = draw(st.sampled_from([b"", b"<", b"&", b"\xff", b"9" * 30, bytes(body[:50])]))
    return bytes(body)
