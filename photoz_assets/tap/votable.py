"""A result as a VOTable, decoded while it arrives: pieces of bytes in, Arrow record batches out.

Here a document is taken apart: its beginning, which says what the columns are; its rows, which `binary` or
`tabledata` decode; its end, which says whether that was all. The first parser to see a document refuses document
types, entities and external references; the rows of BINARY and BINARY2 never pass through XML at all. Nothing here
knows HTTP.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import pyarrow as pa
from defusedxml.ElementTree import DefusedXMLParser

from photoz_assets.tap import binary, charset, columns
from photoz_assets.tap.columns import Array, ReceivedColumn, VOTableType, WireField
from photoz_assets.tap.documents import error_words, excerpt, failure, looks_like_html
from photoz_assets.tap.errors import ArchiveError, Damaged, Protocol, Rejected, TooLarge, Truncated
from photoz_assets.tap.markup import FieldMarkup, Markup, close, feed
from photoz_assets.tap.tabledata import TableRows

# Large enough that numpy's and Arrow's cost for each column of a batch is small beside that of its rows.
DEFAULT_BATCH_ROWS: Final = 8_192

_PIECE_BYTES: Final = 1 << 20
_LARGEST_HEADER_BYTES: Final = 1 << 24  # a thousand columns with descriptions take some 500 kB
_LARGEST_TAIL_BYTES: Final = 1 << 20
_EXCERPT_BYTES: Final = 200
_LONGEST_SEARCH_BYTES: Final = 1 << 16

_STREAM_TAG: Final = re.compile(rb"""<(?:[\w.-]+:)?STREAM\b(?:"[^"]*"|'[^']*'|[^'">])*>""")
_KINDS: Final = {kind.votable: kind for kind in VOTableType}


def decode(chunks: Iterable[bytes], schema: pa.Schema, *, batch_rows: int = DEFAULT_BATCH_ROWS) -> "Decoding":
    """Decode a result table.

    Parameters
    ----------
    chunks
        The document in pieces of any size; taken as the batches are asked for.
    schema
        The columns that were asked for. Names are matched without regard to case, in any order; see
        `columns.match` for the types that fit.
    batch_rows
        The most rows of a batch.

    Returns
    -------
    Decoding
        An iterable of record batches of exactly that schema. It ends without an error only if the result is
        complete.
    """
    return Decoding(chunks, schema, batch_rows=batch_rows)


def describe(document: bytes) -> tuple[dict[str, WireField], bool]:
    """Read a VOTable without rows, which describes a table that is stored otherwise.

    Returns
    -------
    tuple[dict[str, WireField], bool]
        Its columns of the types that can be asked for, by their names; and whether the table was cut off.

    Raises
    ------
    ArchiveError
        This is no such document, or it reports an error.
    """
    markup = _read(charset.marked([document]))
    _raise_error(markup)
    fields = [field for field in markup.fields if _kind(field.attributes)]
    return {field.name: _cell(field, markup.nulls(field)) for field in fields}, markup.overflow


class Decoding:
    """A result table that is being decoded; iterate over it once.

    ``rows`` counts what was handed out; ``overflow`` tells whether the service cut the result off.

    Raises
    ------
    Truncated
        The service marks the result as cut off, or the document ends early.
    ContractViolation
        The columns are not those of the schema.
    Protocol
        This is no VOTable, or a broken one.
    TooLarge
        A row, a text or a header of an absurd size.
    Rejected, Transient, TooLarge
        The document reports an error, by its words.
    """

    def __init__(self, chunks: Iterable[bytes], schema: pa.Schema, *, batch_rows: int) -> None:
        self.rows = 0
        self.overflow = False
        self._chunks = chunks
        self._schema = schema
        self._batch_rows = batch_rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        pieces = _Pieces(self._chunks)
        try:
            yield from self._batches(pieces)
        except (Protocol, Truncated) as error:
            if not self.overflow and (words := error_words(pieces.around())):
                raise failure(words, otherwise=Rejected) from error
            raise

    def _batches(self, pieces: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
        """Decode the document."""
        header = _read_header(pieces)
        markup = header.markup
        _raise_error(markup)
        order = columns.match(self._schema, [_received(field) for field in markup.fields])
        cells = [_cell(field, markup.nulls(field)) for field in markup.fields]
        for arrays in self._rows(header, pieces, cells):
            batch = columns.batch(self._schema, [arrays[index] for index in order])
            self.rows += batch.num_rows
            yield batch

    def _rows(
        self, header: "_VOTableHeader", pieces: Iterator[bytes], cells: Sequence[WireField]
    ) -> Iterator[list[Array]]:
        """Decode the rows, then judge what the document says after them."""
        serialization = header.markup.serialization
        if header.rows_at is None:
            self._judge(header.markup)
        elif serialization == "TABLEDATA":
            rows = TableRows(cells, batch_rows=self._batch_rows)
            yield from rows.decode(chain([header.text], pieces))
            self._judge(rows)
        else:
            stream = _Stream(header.text, header.rows_at, pieces)
            data = binary.unbase64(stream.body())
            has_null_bits = serialization == "BINARY2"
            yield from binary.decode(data, cells, batch_rows=self._batch_rows, has_null_bits=has_null_bits)
            self._judge(_read(stream.without_body()))

    def _judge(self, markup: Markup) -> None:
        """Raise what speaks against the result, once all of the document is read."""
        _raise_error(markup)
        if markup.overflow:
            self.overflow = True
            raise Truncated(f"the archive cut the result off after {self.rows} rows (OVERFLOW)")
        announced = self.rows if markup.announced_rows is None else markup.announced_rows
        if self.rows != announced:
            came = "1 row" if self.rows == 1 else f"{self.rows} rows"
            error = Truncated if self.rows < announced else Protocol
            raise error(f"{came} came, the table announces {announced} (nrows)")


def _raise_error(markup: Markup) -> None:
    """Raise the error that a document reports, or the lack of a result table."""
    if markup.error is not None:
        raise failure(markup.error, otherwise=Rejected)
    if markup.complaint is not None and not (markup.is_ok and markup.tables):
        raise failure(markup.complaint, otherwise=Rejected)
    if not markup.tables:
        raise Protocol("the document has no result table")


@dataclass(frozen=True, kw_only=True)
class _VOTableHeader:
    """The beginning of a document: what its markup says, and its text as far as it was read.

    ``rows_at`` is the position of the element that holds the rows; None if the document has ended without one.
    """

    markup: Markup
    text: bytes
    rows_at: int | None


def _read_header(pieces: Iterator[bytes]) -> _VOTableHeader:
    """Read a document up to where its rows begin, or to its end."""
    markup = Markup(locate=lambda: parser.parser.CurrentByteIndex)
    parser = DefusedXMLParser(target=markup, forbid_dtd=True)
    text = bytearray()
    for piece in pieces:
        text += piece
        try:
            feed(parser, piece)
        except ArchiveError as error:
            # Once the rows have begun, what the parser says is about them, and they are not its business.
            if markup.rows_at is None:
                while len(text) < _EXCERPT_BYTES and (piece := next(pieces, b"")):
                    text += piece
                raise _unreadable(bytes(text), error) from error
        if markup.rows_at is not None:
            return _VOTableHeader(markup=markup, text=bytes(text), rows_at=markup.rows_at)
        if len(text) > _LARGEST_HEADER_BYTES:
            raise TooLarge(f"over {_LARGEST_HEADER_BYTES} bytes come before the rows")
    if not text:
        raise Truncated("the answer is empty")
    close(parser)
    return _VOTableHeader(markup=markup, text=bytes(text), rows_at=None)


def _unreadable(text: bytes, error: ArchiveError) -> ArchiveError:
    """Return the error that says what came in place of a VOTable, if that is known."""
    if looks_like_html(text):
        return Protocol("a web page came in place of a result")
    if not text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return Protocol(f"this is no VOTable: {excerpt(text)}")
    return error


def _read(document: Iterable[bytes]) -> Markup:
    """Read the markup of a document to its end."""
    markup = Markup()
    parser = DefusedXMLParser(target=markup, forbid_dtd=True)
    for part in document:
        feed(parser, part)
    close(parser)
    return markup


class _Stream:
    """A document whose rows are the text of one element: first this text, then the document without it."""

    def __init__(self, text: bytes, rows_at: int, pieces: Iterator[bytes]) -> None:
        tag = _STREAM_TAG.match(text, rows_at)
        if tag is None:
            raise Protocol("the document is in an encoding that does not extend ASCII")
        self._is_empty = tag[0].endswith(b"/>")
        self._head = text[: tag.end()]
        self._tail = text[tag.end() :]
        self._pieces = pieces

    def body(self) -> Iterator[bytes]:
        """Yield the text of the element; nothing but its end tag can end it."""
        if self._is_empty:
            return
        for piece in chain([self._tail], self._pieces):
            text, bracket, rest = piece.partition(b"<")
            yield text
            if bracket:
                self._tail = bracket + rest
                return
        raise Truncated("the answer ends within its rows")

    def without_body(self) -> Iterator[bytes]:
        """Yield the document around the text, once that is read."""
        tail = b""
        for piece in chain([self._tail], self._pieces):
            tail += piece
            if len(tail) > _LARGEST_TAIL_BYTES:
                raise TooLarge(f"over {_LARGEST_TAIL_BYTES} bytes follow the rows")
        # A comment or a CDATA section is as good an end of base64 as a tag is, but rows may follow it.
        if not self._is_empty and not tail.startswith(b"</") and tail != b"<":
            raise Protocol("there is markup among the rows")
        yield self._head
        yield tail


class _Pieces:
    """The document in pieces of a bounded size; the last of them are remembered."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._pieces = charset.marked(
            chunk[start : start + _PIECE_BYTES] for chunk in chunks for start in range(0, len(chunk), _PIECE_BYTES)
        )
        self._last: deque[bytes] = deque()
        self._last_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._last.append(piece)
        self._last_bytes += len(piece)
        while self._last_bytes - len(self._last[0]) >= _LARGEST_TAIL_BYTES:
            self._last_bytes -= len(self._last.popleft())
        return piece

    def around(self) -> bytes:
        """Return what came last and what comes next, to look into for what went wrong.

        Raises
        ------
        Damaged
            The bytes are not those that were sent, which explains it.
        """
        text = b"".join(self._last)[-_LARGEST_TAIL_BYTES:]
        size = len(text) + _LONGEST_SEARCH_BYTES
        try:
            while len(text) < size and (piece := next(self._pieces, b"")):
                text += piece
        except Damaged:
            raise
        except ArchiveError:
            return text
        return text


def _kind(attributes: Mapping[str, str]) -> VOTableType | None:
    """Return a FIELD's kind, None for arrays of anything but characters and for types that nobody asks for."""
    kind = _KINDS.get(attributes.get("datatype", ""))
    arraysize = attributes.get("arraysize", "").strip()
    if kind and kind.is_text:
        return kind if re.fullmatch(r"\d{0,9}\*?", arraysize, re.ASCII) else None
    return kind if arraysize in {"", "1"} else None


def _received(field: FieldMarkup) -> ReceivedColumn:
    """Describe a FIELD for the comparison with the contract."""
    datatype, arraysize = field.attributes.get("datatype", "no datatype"), field.attributes.get("arraysize")
    announced = f"{datatype}[{arraysize}]" if arraysize else datatype
    return ReceivedColumn(name=field.name, kind=_kind(field.attributes), announced=announced)


def _cell(field: FieldMarkup, nulls: Iterable[str]) -> WireField:
    """Describe what a row holds for a FIELD that fits its contract."""
    kind = _kind(field.attributes)
    if kind is None:
        raise Protocol(f"column {field.name} is of no type that can be read")
    arraysize = field.attributes.get("arraysize", "").strip() if kind.is_text else ""
    return WireField(
        name=field.name,
        kind=kind,
        length=None if arraysize.endswith("*") else int(arraysize or 1),
        nulls=tuple(null for text in nulls if (null := text if kind.is_text else kind.null(text)) is not None),
    )
