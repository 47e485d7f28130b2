"""Rows in VOTable's BINARY and BINARY2 serializations (VOTable 1.5 sec. 5.3, 5.4): base64 in, Arrow columns out.

A row of BINARY2 begins with a bit for each column: whether it is NULL. BINARY has NaN for NULL in columns
of floating-point numbers, "?" in those of booleans, and nothing for a text: as in TABLEDATA, an empty one becomes
NULL.

Rows are decoded a batch at a time with numpy, never one by one, but for finding the row boundaries where a column
has a varying length. Memory is bounded by a batch whatever the document claims.
"""

import binascii
import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pybase64

from photoz_assets.tap import charset
from photoz_assets.tap.columns import Array, VOTableType, WireField, without
from photoz_assets.tap.errors import Protocol, TooLarge

_LINE_END: Final = b"\n"
_OTHER_WHITE_SPACE: Final = b"\r\t "
_LARGEST_BATCH_BYTES: Final = 1 << 26
_LARGEST_ROW_BYTES: Final = 1 << 22
_LARGEST_TEXT_BYTES: Final = 1 << 20
_VARYING_BATCH_BYTES: Final = 1 << 23
_LENGTH: Final = struct.Struct(">I")  # the number of characters, before a text of varying length

# A boolean is one ASCII character (VOTable 1.5 sec. 6); a look-up by byte is several times faster than a search.
_TRUE, _UNKNOWN, _BOOLEAN = (np.isin(np.arange(256), list(some)) for some in (b"Tt1", b"? \0", b"Tt1Ff0? \0"))
# A scalar bit is the highest of its byte and the rest is padding (VOTable 1.5 sec. 6); astropy sets the fourth,
# others the lowest. Any other byte is of no known writer.
_SET, _BIT = (np.isin(np.arange(256), list(some)) for some in (b"\x80\x08\x01", b"\0\x80\x08\x01"))

Numbers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """A stretch of a row that always has the same form, and the text of varying length that ends it, if one does.

    The fields of the form are named by the number of their column: two columns of a broken document may share a
    name. ``text`` is such a number too.
    """

    form: "np.dtype[Any]"
    text: int | None


def unbase64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decode base64 text that is broken into pieces and lines anywhere.

    Raises
    ------
    Protocol
        Not base64, or a number of characters that is not a multiple of four.
    """
    rest, padded = b"", False
    for chunk in chunks:
        text = rest + _without_white_space(chunk)
        if text and padded:
            raise Protocol("the rows are not base64: text follows the padding")
        whole = len(text) - len(text) % 4
        text, rest = text[:whole], text[whole:]
        try:
            data = pybase64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Protocol(f"the rows are not base64: {error}") from error
        padded = text.endswith(b"=")
        if data:
            yield data
    if rest:
        raise Protocol("the rows are not base64: their last group is incomplete")


def _without_white_space(text: bytes) -> bytes:
    """Drop line ends, and what other white space there rarely is; to look for that costs less than to drop it."""
    text = text.replace(_LINE_END, b"")
    if any(space in text for space in _OTHER_WHITE_SPACE):
        return text.translate(None, _OTHER_WHITE_SPACE)
    return text


def decode(
    data: Iterable[bytes], cells: Sequence[WireField], *, batch_rows: int, has_null_bits: bool
) -> Iterator[list[Array]]:
    """Decode rows.

    Parameters
    ----------
    data
        The binary stream in pieces of any size.
    cells
        The columns of a row in the service's order, at least one.
    batch_rows
        The most rows that are held at a time.
    has_null_bits
        Whether the rows are BINARY2, not BINARY.

    Yields
    ------
    list[Array]
        A batch: for each column in the service's order, an array of its kind's Arrow type.

    Raises
    ------
    Protocol
        The stream ends within a row, or a value cannot be one of its column's type.
    TooLarge
        A row or a text of an absurd length.
    """
    rows = _Rows(cells, batch_rows, has_null_bits=has_null_bits)
    pieces: list[bytes] = []
    size = 0
    for piece in data:
        pieces.append(piece)
        size += len(piece)
        if size >= rows.batch_bytes:
            buffer = b"".join(pieces)
            pieces.clear()
            rest = yield from rows.take(buffer, is_last=False)
            pieces, size = [rest], len(rest)
    rest = yield from rows.take(b"".join(pieces), is_last=True)
    if rest:
        raise Protocol(f"the rows end within a row: {len(rest)} bytes are left over")


def _cut(cells: Sequence[WireField], *, has_null_bits: bool) -> list[_Segment]:
    """Describe a row as segments; the first begins with the null bits, one for each column, if there are any."""
    segments: list[_Segment] = []
    form: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []
    if has_null_bits:
        form.append(("null", np.dtype(np.uint8), (-(-len(cells) // 8),)))
    for number, cell in enumerate(cells):
        if cell.length is None:
            segments.append(_Segment(form=np.dtype(form), text=number))
            form = []
            continue
        if cell.length > _LARGEST_TEXT_BYTES:
            raise TooLarge(f"column {cell.name} announces {cell.length} characters in each row")
        form.append((str(number), cell.kind.form, (cell.length,) if cell.kind.is_text else ()))
    if form:
        segments.append(_Segment(form=np.dtype(form), text=None))
    return segments


class _Rows:
    """Cuts a buffer into rows and rows into columns."""

    def __init__(self, cells: Sequence[WireField], batch_rows: int, *, has_null_bits: bool) -> None:
        self._cells = cells
        self._has_null_bits = has_null_bits
        self._segments = _cut(cells, has_null_bits=has_null_bits)
        size = sum(segment.form.itemsize for segment in self._segments)
        if size > _LARGEST_ROW_BYTES:
            raise TooLarge(f"rows of over {_LARGEST_ROW_BYTES} bytes are announced")
        varying = any(segment.text is not None for segment in self._segments)
        self._stride = None if varying else size
        if not size and not varying:
            raise Protocol("the rows are announced as of no bytes")
        self._batch_rows = max(1, min(batch_rows, _LARGEST_BATCH_BYTES // max(size, 1)))
        self.batch_bytes = _VARYING_BATCH_BYTES if varying else self._batch_rows * size

    def take(self, data: bytes, *, is_last: bool) -> Generator[list[Array], None, bytes]:
        """Yield the whole rows of a buffer in batches, return the bytes that are left over.

        Where more data follow, rows of one form too few for a full batch are left over too, not made a small one.
        """
        position = 0
        while is_last or not self._stride or len(data) - position >= self.batch_bytes:
            marks = self._marks(data, position)
            if not len(marks):
                break
            yield self._columns(data, marks)
            position = int(marks[-1, -1])
        return data[position:]

    def _marks(self, data: bytes, position: int) -> Offsets:
        """Find where the segments of the next rows begin and the rows end, shape (rows, segments + 1)."""
        if self._stride:
            rows = min(self._batch_rows, (len(data) - position) // self._stride)
            starts = position + self._stride * np.arange(rows, dtype=np.int64)
            return np.stack([starts, starts + self._stride], axis=1)
        marks: list[list[int]] = []
        while len(marks) < self._batch_rows and (row := self._walk(data, position)):
            marks.append(row)
            position = row[-1]
        return np.array(marks, np.int64).reshape(len(marks), len(self._segments) + 1)

    def _walk(self, data: bytes, position: int) -> list[int] | None:
        """Find the segments of a row with texts of varying length, None if the buffer ends within it."""
        row = [position]
        for segment in self._segments:
            position += segment.form.itemsize
            if segment.text is not None:
                if position + _LENGTH.size > len(data):
                    return None
                cell = self._cells[segment.text]
                length_bytes = _LENGTH.unpack_from(data, position)[0] * cell.kind.form.itemsize
                if length_bytes > _LARGEST_TEXT_BYTES:
                    raise TooLarge(f"column {cell.name} has a text of {length_bytes} bytes")
                position += _LENGTH.size + length_bytes
            row.append(position)
        return row if position <= len(data) else None

    def _columns(self, data: bytes, marks: Offsets) -> list[Array]:
        """Decode the columns of the rows that the marks delimit."""
        values: dict[int, Numbers] = {}
        texts: dict[int, list[bytes]] = {}
        nulls: Numbers = np.zeros((len(self._cells), len(marks)), np.bool_)
        for number, segment in enumerate(self._segments):
            block = self._block(data, marks[:, number], segment)
            for name in segment.form.names or ():
                if name == "null":
                    nulls = np.unpackbits(block[name], axis=1).T.astype(np.bool_, order="C")
                else:
                    values[int(name)] = block[name]
            if segment.text is not None:
                begins = (marks[:, number] + segment.form.itemsize + _LENGTH.size).tolist()
                ends = marks[:, number + 1].tolist()
                texts[segment.text] = [data[begin:end] for begin, end in zip(begins, ends, strict=True)]
        columns = [
            _varying_texts(cell, texts[number], nulls[number])
            if number in texts
            else _fixed(cell, values[number], nulls[number])
            for number, cell in enumerate(self._cells)
        ]
        return columns if self._has_null_bits else [_without_empty(column) for column in columns]

    def _block(self, data: bytes, starts: Offsets, segment: _Segment) -> Numbers:
        """Read a segment of every row, shape (rows,)."""
        if self._stride:
            return np.frombuffer(data, segment.form, len(starts), int(starts[0]))
        size = segment.form.itemsize
        if not size:
            return np.empty(len(starts), segment.form)
        windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), size)
        return np.ascontiguousarray(windows[starts]).view(segment.form)[:, 0]


def _fixed(cell: WireField, values: Numbers, nulls: Flags) -> Array:
    """Make the column of a cell that has the same form in every row."""
    match cell.kind:
        case VOTableType.UNICODE_CHAR:
            return _varying_texts(cell, [row.tobytes() for row in values], nulls)
        case VOTableType.CHAR:
            return _fixed_texts(cell, values, nulls)
        case VOTableType.BOOLEAN:
            _refuse(cell, values[~nulls & ~_BOOLEAN[values]])
            return _array(_TRUE[values], nulls | _UNKNOWN[values])
        case VOTableType.BIT:
            _refuse(cell, values[~nulls & ~_BIT[values]])
            return _array(_SET[values], nulls)
    for null in cell.nulls:
        nulls = nulls | (values == null)
    return _array(values.astype(values.dtype.newbyteorder("=")), nulls)


def _refuse(cell: WireField, odd: Numbers) -> None:
    """Refuse bytes that are no value of a flag."""
    if len(odd):
        raise Protocol(f"column {cell.name}: the byte {int(odd[0])} is no {cell.kind.votable}")


def _without_empty(column: Array) -> Array:
    """Return a column with NULL in place of empty texts."""
    return without(column, [""]) if column.type == pa.string() else column


def _array(values: Numbers, nulls: Flags) -> Array:
    """Make an Arrow column of numbers or flags."""
    column: Array = pa.array(values, mask=nulls if nulls.any() else None)
    return column


def _fixed_texts(cell: WireField, characters: Numbers, nulls: Flags) -> Array:
    """Make a column of texts of fixed length, shape (rows, length), each ended by its first NUL if it has one."""
    used = characters != 0
    if (used[:, 1:] > used[:, :-1]).any():
        used = np.logical_and.accumulate(used, axis=1)
    used &= ~nulls[:, None]
    offsets = np.zeros(len(characters) + 1, np.int32)
    np.cumsum(used.sum(axis=1), out=offsets[1:])
    return _texts(cell, offsets, characters[used].tobytes(), nulls)


def _varying_texts(cell: WireField, texts: list[bytes], nulls: Flags) -> Array:
    """Make a column of texts of varying length, each ended by its first NUL if it has one."""
    if cell.kind is VOTableType.UNICODE_CHAR:
        errors = "replace" if cell.is_label else "strict"
        try:
            texts = [text.decode("utf-16-be", errors).encode() for text in texts]
        except UnicodeError as error:
            raise Protocol(f"column {cell.name} has text that is not Unicode: {error}") from error
    texts = [text.partition(b"\0")[0] for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return _texts(cell, offsets, b"".join(texts), nulls)


def _texts(cell: WireField, offsets: npt.NDArray[np.int32], characters: bytes, nulls: Flags) -> Array:
    """Make an Arrow column of texts; they must be UTF-8, as ASCII is, which the standard has. Labels need not."""
    validity: pa.Buffer | None = pa.py_buffer(np.packbits(~nulls, bitorder="little").tobytes())
    buffers = [validity, pa.py_buffer(offsets.tobytes()), pa.py_buffer(characters)]
    column: Array = pa.Array.from_buffers(pa.string(), len(nulls), buffers)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if not cell.is_label:
            raise Protocol(f"column {cell.name} has text that is not UTF-8") from error
        column = charset.read_labels(column)
    return without(column, cell.nulls)
