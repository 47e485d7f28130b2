"""Reads a table that a client sends, a VOTable in TABLEDATA, BINARY or BINARY2, into Arrow.

One table of plain columns is taken. Whatever else the document holds, or lacks, is refused in a line.
"""

import reprlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.parsers import expat

import numpy as np
import pyarrow as pa
import pybase64
from numpy.typing import NDArray

from photoz_archive.adql.catalog import TableFacts
from photoz_archive.service.errors import BadRequestError
from photoz_archive.service.fields import PRIMITIVES
from photoz_archive.service.upload_document import CODES, TEXTS, UploadDocument, UploadField

UPLOAD_SCHEMA: Final = "TAP_UPLOAD"

_BOOLEANS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False, "?": None}
# All else is NULL (VOTable 1.4 sec. 6).
_TRUE_BYTES, _FALSE_BYTES = (b"T", b"t", b"1"), (b"F", b"f", b"0")
_LENGTH_BYTES: Final = 4


def read_upload(name: str, document: bytes) -> tuple[TableFacts, pa.Table]:
    """Return what queries may name of the table ``TAP_UPLOAD.name``, and its rows under the same names.

    Raises
    ------
    BadRequestError
        The document is no VOTable, holds not one table, or a column or value that cannot be taken.
    """
    try:
        read = UploadDocument(document)
        fields = read.fields
        columns = _of_texts(fields, read.cells) if read.container == "TABLEDATA" else _of_bytes(fields, read)
        facts = tuple(field.facts for field in fields)
        arrow = pa.schema([pa.field(each.name, PRIMITIVES[each.datatype].arrow) for each in facts])
        table = pa.table([*columns], schema=arrow)
    except (BadRequestError, expat.ExpatError) as error:
        raise BadRequestError(f"The table {UPLOAD_SCHEMA}.{name} cannot be read: {error}") from error
    return TableFacts(schema=UPLOAD_SCHEMA, name=name, columns=facts), table


def _of_texts(fields: Sequence[UploadField], cells: Sequence[Sequence[str]]) -> Iterator[pa.Array]:
    """Yield the columns of rows of text; an empty cell is NULL (VOTable 1.4 sec. 5.1)."""
    for number, field in enumerate(fields):
        value = _reader_of(field)
        values: list[object] = []
        for place, row in enumerate(cells, start=1):
            text = row[number] if field.is_text else row[number].strip()
            try:
                values.append(None if text in {"", field.null} else value(text))
            except (ValueError, OverflowError) as error:
                raise BadRequestError(
                    f"row {place} of column {field.name!r} is {reprlib.repr(text)}, which is no {field.datatype}"
                ) from error
        try:
            yield _without_nan(pa.array(values, PRIMITIVES[field.facts.datatype].arrow))
        except (pa.ArrowInvalid, OverflowError) as error:
            raise BadRequestError(
                f"a value of column {field.name!r} is out of range for {field.datatype}"
            ) from error


def _reader_of(field: UploadField) -> Callable[[str], object]:
    if field.is_text:
        return str
    if field.datatype in {"bit", "boolean"}:
        return _boolean
    return float if field.datatype in {"float", "double"} else _integer


def _integer(text: str) -> int:
    return int(text, 16) if text[:2].lower() == "0x" else int(text)


def _boolean(text: str) -> bool | None:
    if (lower := text.lower()) not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[lower]


def _null_of(field: UploadField) -> int:
    try:
        return _integer(field.null or "")
    except ValueError as error:
        raise BadRequestError(
            f"the null of column {field.name!r} is {field.null!r}, no {field.datatype}"
        ) from error


def _of_bytes(fields: Sequence[UploadField], read: UploadDocument) -> Iterator[pa.Array]:
    """Yield the columns of rows in binary (VOTable 1.4 sec. 5.3 and 5.4)."""
    try:
        data = pybase64.b64decode("".join("".join(read.stream).split()), validate=True)
    except ValueError as error:
        raise BadRequestError("its stream is no base64") from error
    mask_bytes = -(-len(fields) // 8) if read.container == "BINARY2" else 0
    fixed, texts = _rows_apart(data, fields, mask_bytes)
    nulls = np.unpackbits(fixed["mask"].reshape(-1, mask_bytes), axis=1) if mask_bytes else None
    for number, field in enumerate(fields):
        mask = np.zeros(len(fixed), bool) if nulls is None else nulls[:, number].astype(bool)
        if field.is_text:
            raw = texts[number] if number in texts else fixed[str(number)].tolist()
            yield pa.array(_decoded(field, raw, mask, empty_is_null=nulls is None), pa.string())
            continue
        values = fixed[str(number)]
        if field.datatype == "bit":
            # The bit that counts is the first, which not every writer knows.
            yield pa.array(values != 0, mask=mask)
            continue
        if field.datatype == "boolean":
            is_true = np.isin(values, _TRUE_BYTES)
            yield pa.array(is_true, mask=mask | ~(is_true | np.isin(values, _FALSE_BYTES)))
            continue
        if field.null is not None and values.dtype.kind in "iu":
            mask |= values == _null_of(field)
        plain = values.astype(values.dtype.newbyteorder("="))
        yield _without_nan(pa.array(plain, mask=mask).cast(PRIMITIVES[field.facts.datatype].arrow))


def _rows_apart(
    data: bytes, fields: Sequence[UploadField], mask_bytes: int
) -> tuple[NDArray[np.void], dict[int, list[bytes]]]:
    """Return what of the rows has a fixed width as records, and the texts of any length by their columns."""
    kinds: list[tuple[str, str]] = []
    # Where in a row each text of any length stands, in bytes of fixed width behind the one before.
    stops: list[tuple[int, int]] = []
    width = mask_bytes
    for number, field in enumerate(fields):
        size = field.fixed_bytes
        if size is None:
            stops.append((number, width))
            width = 0
        else:
            width += size
            kinds.append((str(number), f"V{size}" if field.is_text else CODES[field.datatype]))
    texts: dict[int, list[bytes]] = {number: [] for number, _ in stops}
    kind = np.dtype([("mask", "u1", (mask_bytes,)), *kinds])
    if stops:
        data = b"".join(_fixed_parts(data, [(n, w, TEXTS[fields[n].datatype][0]) for n, w in stops], width, texts))
    if not kind.itemsize:
        return np.zeros(max(map(len, texts.values()), default=0), kind), texts
    if len(data) % kind.itemsize:
        raise BadRequestError("its stream ends within a row")
    return np.frombuffer(data, kind), texts


def _fixed_parts(
    data: bytes, stops: Sequence[tuple[int, int, int]], last: int, texts: dict[int, list[bytes]]
) -> Iterator[bytes]:
    """Yield the parts of the rows that have a fixed width, and put what stands between them into ``texts``."""
    position = 0
    while position < len(data):
        for number, width, character_bytes in stops:
            yield data[position : position + width]
            start = position + width + _LENGTH_BYTES
            length = int.from_bytes(data[start - _LENGTH_BYTES : start], "big") * character_bytes
            position = start + length
            texts[number].append(data[start:position])
        yield data[position : position + last]
        position += last
    if position > len(data):
        raise BadRequestError("its stream ends within a row")


def _decoded(
    field: UploadField, raw: Sequence[bytes], mask: NDArray[np.bool_], *, empty_is_null: bool
) -> Iterator[str | None]:
    encoding = TEXTS[field.datatype][1]
    for place, (value, is_null) in enumerate(zip(raw, mask.tolist(), strict=True), start=1):
        try:
            # What is shorter than its place is filled with NUL.
            text = value.decode(encoding).partition("\x00")[0]
        except UnicodeDecodeError as error:
            raise BadRequestError(f"row {place} of column {field.name!r} is no text") from error
        yield None if is_null or (empty_is_null and not text) else text


def _without_nan(column: pa.Array) -> pa.Array:
    """Return a column with NULL for NaN, which is how VOTables write it."""
    if not pa.types.is_floating(column.type):
        return column
    return pa.array(column.to_numpy(zero_copy_only=False), column.type, from_pandas=True)
