"""VOTable 1.4 documents: header and footer by an XML writer, rows vectorised, errors as documents."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pybase64
from numpy.typing import NDArray

from photoz_archive.service.fields import VOTableField, xml_text
from photoz_archive.service.stream import ResultWriter

NAMESPACE: Final = "http://www.ivoa.net/xml/VOTable/v1.3"
_LINE_CHARACTERS: Final = 64
_LINE_BYTES: Final = 48  # what 64 characters of base64 hold

Bytes = NDArray[np.uint8]
_Body = Callable[[ResultWriter], Iterator[bytes]]


class Document:
    """A VOTable under construction; ``take`` hands out what was written since the last time."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._xml = XMLGenerator(self._buffer, encoding="UTF-8", short_empty_elements=True)
        self._open: list[str] = []

    def start(self, name: str, attributes: dict[str, str] | None = None) -> None:
        """Begin an element, which ``end`` ends."""
        self._xml.startElement(name, AttributesImpl({k: xml_text(v) for k, v in (attributes or {}).items()}))
        self._open.append(name)

    def end(self) -> None:
        """End the innermost element."""
        self._xml.endElement(self._open.pop())

    def element(self, name: str, attributes: dict[str, str], text: str = "") -> None:
        """Write an element that holds text alone."""
        self.start(name, attributes)
        self._xml.characters(xml_text(text))
        self.end()
        self._xml.ignorableWhitespace("\n")

    def begin(self) -> None:
        """Begin a document and its resource of results."""
        self._xml.startDocument()
        self.start("VOTABLE", {"version": "1.4", "xmlns": NAMESPACE})
        self.start("RESOURCE", {"type": "results"})
        self._xml.ignorableWhitespace("\n")

    def status(self, value: str, text: str = "") -> None:
        """Write what became of the query."""
        self.element("INFO", {"name": "QUERY_STATUS", "value": value}, text)

    def fields(self, fields: Sequence[VOTableField], *, numbered: bool, declares_null: bool = False) -> None:
        """Describe the columns of a table."""
        for index, field in enumerate(fields):
            identity = {"ID": f"col_{index}"} if numbered else {}
            self.start("FIELD", identity | field.attributes)
            if field.facts and field.facts.description:
                self.element("DESCRIPTION", {}, field.facts.description)
            if declares_null and (null := _null(field)) is not None:
                self.element("VALUES", {"null": str(null)})
            self.end()
            self._xml.ignorableWhitespace("\n")

    def newline(self) -> None:
        """Write a line's end, for who reads the text."""
        self._xml.ignorableWhitespace("\n")

    def finish(self) -> None:
        """End all that is open."""
        while self._open:
            self.end()
        self.newline()

    def take(self) -> bytes:
        """Return what was written since the last time."""
        written = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return written


def error_document(message: str) -> bytes:
    """Write the VOTable that reports an error (DALI 1.1 sec. 4.4)."""
    document = Document()
    document.begin()
    document.status("ERROR", message)
    document.finish()
    return document.take()


def header_document(fields: Sequence[VOTableField], *, numbered: bool, overflow: bool) -> bytes:
    """Write a VOTable that describes the fields and holds no rows, as VOParquet files carry it."""
    document = Document()
    document.begin()
    document.status("OK")
    document.start("TABLE")
    document.newline()
    document.fields(fields, numbered=numbered)
    document.end()
    if overflow:
        document.status("OVERFLOW")
    document.finish()
    return document.take()


def write_binary2(stream: ResultWriter, *, numbered: bool) -> Iterator[bytes]:
    """Yield a VOTable in BINARY2, rows in base64 lines of 64 characters."""
    yield from _write(stream, ("BINARY2", "STREAM"), _base64_lines, numbered=numbered)


def write_binary(stream: ResultWriter, *, numbered: bool) -> Iterator[bytes]:
    """Yield a VOTable in BINARY, where NULL is a value that the FIELD declares, NaN or nothing."""
    yield from _write(stream, ("BINARY", "STREAM"), _binary_lines, numbered=numbered, declares_null=True)


def write_tabledata(stream: ResultWriter, *, numbered: bool) -> Iterator[bytes]:
    """Yield a VOTable in TABLEDATA."""
    yield from _write(stream, ("TABLEDATA",), _table_rows, numbered=numbered)


def _write(
    stream: ResultWriter,
    containers: tuple[str, ...],
    body: _Body,
    *,
    numbered: bool,
    declares_null: bool = False,
) -> Iterator[bytes]:
    document = Document()
    document.begin()
    document.status("OK")
    document.start("TABLE")
    document.newline()
    document.fields(stream.fields, numbered=numbered, declares_null=declares_null)
    document.start("DATA")
    for container in containers:
        document.start(container, {"encoding": "base64"} if container == "STREAM" else None)
    document.newline()
    yield document.take()
    yield from body(stream)
    for _ in (*containers, "DATA", "TABLE"):
        document.end()
    document.newline()
    if stream.failure is not None:
        document.status("ERROR", stream.failure)
    elif stream.overflow:
        document.status("OVERFLOW")
    document.finish()
    yield document.take()


def _binary_lines(stream: ResultWriter) -> Iterator[bytes]:
    return _base64_lines(stream, has_null_bits=False)


def _null(field: VOTableField) -> int | None:
    """Return what stands for NULL in a BINARY column of integers, None for any other."""
    code = field.primitive.numpy
    return int(np.iinfo(code).min) if code is not None and np.dtype(code).kind == "i" else None


def _base64_lines(stream: ResultWriter, *, has_null_bits: bool = True) -> Iterator[bytes]:
    carry = b""
    for batch in stream.batches():
        data = carry + encode_rows(batch, stream.fields, has_null_bits=has_null_bits)
        whole = len(data) - len(data) % _LINE_BYTES
        if whole:
            encoded = np.frombuffer(pybase64.b64encode(data[:whole]), np.uint8).reshape(-1, _LINE_CHARACTERS)
            lines = np.empty((len(encoded), _LINE_CHARACTERS + 1), np.uint8)
            lines[:, :-1] = encoded
            lines[:, -1] = ord("\n")
            yield lines.tobytes()
        carry = data[whole:]
    if carry:
        yield pybase64.b64encode(carry) + b"\n"


def encode_rows(batch: pa.RecordBatch, fields: Sequence[VOTableField], *, has_null_bits: bool = True) -> bytes:
    """Encode a batch as BINARY2 rows, or BINARY rows, without base64.

    Each row of BINARY2 starts with a bit per column, most significant first, set where the value is NULL
    (VOTable 1.4 sec. 5.4).
    """
    nulls = np.packbits(
        np.stack([column.is_null().to_numpy(zero_copy_only=False) for column in batch.columns], axis=1), axis=1
    )
    # Neighbours of fixed width are laid out as one; between them stands text of any length.
    blocks: list[list[Bytes]] = [[nulls if has_null_bits else nulls[:, :0]]]
    texts: list[tuple[NDArray[np.int64], Bytes]] = []
    for column, field in zip(batch.columns, fields, strict=True):
        if field.primitive.numpy is not None or field.fixed_bytes is not None:
            blocks[-1].append(_fixed_cells(column, field, None if has_null_bits else _null(field)))
            continue
        lengths, text = _text_cells(column)
        if len(lengths) and (lengths == lengths[0]).all():
            blocks[-1] += [_counts(lengths), text.reshape(len(lengths), -1)]
            continue
        texts.append((lengths, text))
        blocks.append([np.zeros((batch.num_rows, 0), np.uint8)])
    whole = [np.concatenate(cells, axis=1) for cells in blocks]
    return _variable_rows(whole, texts) if texts else whole[0].tobytes()


def _counts(lengths: NDArray[np.int64]) -> Bytes:
    """Return lengths as VOTable writes them before a text, shape (rows, 4)."""
    return lengths.astype(">i4").view(np.uint8).reshape(-1, 4)


def _variable_rows(blocks: Sequence[Bytes], texts: Sequence[tuple[NDArray[np.int64], Bytes]]) -> bytes:
    """Lay out rows whose lengths differ: blocks of fixed width, with a text behind its length between each two."""
    widths = sum(block.shape[1] for block in blocks) + sum((lengths + 4 for lengths, _ in texts))
    ends = np.cumsum(widths)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    position = ends - widths
    for number, block in enumerate(blocks):
        out[position[:, None] + np.arange(block.shape[1])] = block
        position = position + block.shape[1]
        if number < len(texts):
            lengths, text = texts[number]
            out[position[:, None] + np.arange(4)] = _counts(lengths)
            starts = np.repeat(position + 4 - (np.cumsum(lengths) - lengths), lengths)
            out[starts + np.arange(len(text))] = text
            position = position + 4 + lengths
    return out.tobytes()


def _fixed_cells(column: pa.Array, field: VOTableField, null: int | None = None) -> Bytes:
    """Return a column's values as big-endian bytes, shape (rows, width); NULL is 0 or another, NaN or NUL."""
    width = field.fixed_bytes
    if width is not None:
        return _padded_text(column, width)
    datatype = field.primitive.datatype
    if datatype == "boolean":
        flags = np.where(
            pc.fill_null(column, pa.scalar(value=False)).to_numpy(zero_copy_only=False), ord("T"), ord("F")
        )
        values = np.where(column.is_null().to_numpy(zero_copy_only=False), 0, flags).astype("u1")
    else:
        filled = column.fill_null(np.nan if datatype in {"float", "double"} else null or 0)
        values = filled.to_numpy(zero_copy_only=False).astype(field.primitive.numpy)
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(column), -1)


def _text_cells(column: pa.Array) -> tuple[NDArray[np.int64], Bytes]:
    """Return the texts' lengths in bytes and their bytes one after the other; NULL has length 0."""
    filled = pc.fill_null(column, "")
    if not pc.all(pc.string_is_ascii(filled)).as_py():
        # A VOTable char is ASCII (VOTable 1.4 sec. 2.1).
        filled = pc.replace_substring_regex(filled, r"[^\x00-\x7f]", "?")
    if not len(filled):
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    _, offsets_buffer, data = filled.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[filled.offset : filled.offset + len(filled) + 1]
    text = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    return np.diff(offsets).astype(np.int64), text


def _padded_text(column: pa.Array, width: int) -> Bytes:
    """Return texts as rows of ``width`` bytes, cut or padded with NUL."""
    lengths, text = _text_cells(column)
    out = np.zeros((len(lengths), width), np.uint8)
    if len(text):
        starts = np.cumsum(lengths) - lengths
        places = np.arange(width)
        inside = places < lengths[:, None]
        out[inside] = text[np.minimum(starts[:, None] + places, len(text) - 1)[inside]]
    return out


def _table_rows(stream: ResultWriter) -> Iterator[bytes]:
    for batch in stream.batches():
        if not batch.num_rows:
            continue
        cells = [_xml_cells(column) for column in batch.columns]
        rows = pc.binary_join_element_wise(*cells, "</TD><TD>")
        lines = pc.binary_join_element_wise("<TR><TD>", rows, "</TD></TR>\n", "")
        yield b"".join(pa.array(lines).cast(pa.binary()).to_pylist())


def _xml_cells(column: pa.Array) -> pa.Array:
    """Return the text of each value as it stands in a TD element; NULL is empty."""
    if pa.types.is_string(column.type):
        text = pc.replace_substring_regex(column, "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]", "")
        for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = pc.replace_substring(text, plain, escaped)
    else:
        text = column.cast(pa.string())
        if pa.types.is_floating(column.type):
            # VOTable spells the special values otherwise than Arrow.
            for arrow, votable in (("^-inf$", "-Inf"), ("^inf$", "+Inf"), ("^nan$", "NaN")):
                text = pc.replace_substring_regex(text, arrow, votable)
    return pc.fill_null(text, "")
