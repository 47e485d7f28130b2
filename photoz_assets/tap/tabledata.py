"""Rows in VOTable's TABLEDATA serialization (VOTable 1.5 sec. 5.1): elements in, Arrow columns out.

NULL is an empty cell, for texts too: the serialization has no other way to say it, and so a text that is empty
becomes NULL as well. Memory is bounded by a batch whatever the document holds.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import XMLParser

import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.tap import charset
from photoz_assets.tap.columns import Array, VOTableType, WireField, without
from photoz_assets.tap.documents import local_name
from photoz_assets.tap.errors import Protocol, TooLarge
from photoz_assets.tap.markup import Markup, close, feed

_LARGEST_CELL: Final = 1 << 20  # characters
_LARGEST_BATCH_CELLS: Final = 1 << 19  # as Python objects they take some 60 bytes each, besides their text
_LARGEST_BATCH_CHARACTERS: Final = 1 << 24
_LARGEST_SILENCE_BYTES: Final = 1 << 25

_BITS: Final = {"1": True, "0": False, "": None}
_BOOLEANS: Final = {
    "true": True,
    "t": True,
    "1": True,
    "false": False,
    "f": False,
    "0": False,
    "": None,
    "?": None,
}


class TableRows(Markup):
    """Collects rows besides the markup around them; a target of an XML parser.

    Parameters
    ----------
    cells
        The columns in the service's order, at least one.
    batch_rows
        The most rows of a batch; wide tables get smaller ones.
    """

    def __init__(self, cells: Sequence[WireField], *, batch_rows: int) -> None:
        super().__init__()
        self._cells = cells
        self._batch_rows = max(1, min(batch_rows, _LARGEST_BATCH_CELLS // len(cells)))
        self._rows: list[list[str]] = []
        self._row: list[str] = []
        self._texts: list[str] | None = None
        self._cell_characters = 0
        self._batch_characters = 0
        self._is_in_rows = False
        self._tag = self._row_tag = self._cell_tag = ""
        self._cells_seen = 0

    def decode(self, pieces: Iterable[bytes]) -> Iterator[list[Array]]:
        """Decode a whole document.

        Parameters
        ----------
        pieces
            The document from its start. A hardened parser must have read it up to its rows: the fast one that is
            used here defends against no document type, and finds none because none can follow.

        Yields
        ------
        list[Array]
            A batch: for each column in the service's order, an array of its kind's Arrow type.

        Raises
        ------
        Protocol
            The document is malformed, or a cell is not of its column's type.
        Truncated
            The document ends early.
        TooLarge
            A cell of an absurd size.
        """
        parser = XMLParser(target=self)  # noqa: S314  (see above)
        silent_bytes = 0
        for piece in pieces:
            seen = self._cells_seen
            feed(parser, piece)
            silent_bytes = silent_bytes + len(piece) if self._cells_seen == seen else 0
            if silent_bytes > _LARGEST_SILENCE_BYTES:
                raise TooLarge(f"{silent_bytes} bytes without a cell of the table")
            while len(self._rows) >= self._batch_rows:
                yield self._take()
            if self._batch_characters > _LARGEST_BATCH_CHARACTERS:
                yield self._take()
        close(parser)
        if self._rows:
            yield self._take()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take note of an element's start."""
        if not self._is_in_rows:
            self._tag = tag
            super().start(tag, attributes)
        elif tag == self._cell_tag:
            if "encoding" in attributes:
                raise Protocol("a cell has an encoding of its own")
            self._texts, self._cell_characters = [], 0
        elif tag == self._row_tag:
            self._row = []
        else:
            raise Protocol(f"there is a {local_name(tag)} among the rows")

    def data(self, text: str) -> None:
        """Take note of text."""
        if self._texts is None:
            super().data(text)
            return
        self._texts.append(text)
        self._cell_characters += len(text)
        if self._cell_characters > _LARGEST_CELL:
            raise TooLarge(f"a cell has over {_LARGEST_CELL} characters")

    def end(self, tag: str) -> None:
        """Take note of an element's end."""
        if tag == self._cell_tag and self._texts is not None:
            self._row.append("".join(self._texts))
            self._batch_characters += self._cell_characters
            self._texts = None
            self._cells_seen += 1
        elif tag == self._row_tag and self._is_in_rows:
            if len(self._row) != len(self._cells):
                raise Protocol(f"a row has {len(self._row)} cells, the table {len(self._cells)} columns")
            self._rows.append(self._row)
        else:
            self._is_in_rows = False
            super().end(tag)

    def _note_rows(self) -> None:
        """Take note of where the rows begin."""
        self._is_in_rows = True
        namespace = self._tag.removesuffix("TABLEDATA")
        self._row_tag, self._cell_tag = f"{namespace}TR", f"{namespace}TD"

    def _take(self) -> list[Array]:
        """Make columns of the first rows and forget these rows."""
        taken, self._rows = self._rows[: self._batch_rows], self._rows[self._batch_rows :]
        self._batch_characters = sum(len(text) for row in self._rows for text in row)
        by_column = zip(*taken, strict=True)
        return [_column(cell, texts) for cell, texts in zip(self._cells, by_column, strict=True)]


def _column(cell: WireField, texts: Sequence[str]) -> Array:
    """Make a column of the text of its cells."""
    if cell.kind.is_text:
        return _texts(cell, texts)
    words = [text.strip() for text in texts]
    if cell.kind.arrow == pa.bool_():
        booleans = _BITS if cell.kind is VOTableType.BIT else _BOOLEANS
        odd = next((word for word in words if word.lower() not in booleans), None)
        if odd is not None:
            raise Protocol(f"column {cell.name}: {odd!r} is no {cell.kind.votable}")
        return pa.array([booleans[word.lower()] for word in words], pa.bool_())
    # Arrow knows neither a plus sign, which the standard allows, nor the sign bit of hexadecimal numbers.
    plain = [_plain(word, cell.kind) if word[:1] == "+" or "x" in word or "X" in word else word for word in words]
    try:
        numbers: Array = pa.array([word or None for word in plain], pa.string()).cast(cell.kind.arrow)
    except pa.ArrowInvalid as error:
        raise Protocol(f"column {cell.name}, of type {cell.kind.votable}: {_odd(plain, cell.kind)}") from error
    return without(numbers, cell.nulls)


def _plain(word: str, kind: VOTableType) -> str:
    """Write a number without a plus sign and in decimal digits; leave what is none as it is."""
    if kind.is_integer and (number := kind.integer(word)) is not None:
        return str(number)
    return word[1:] if re.match(r"\+[^+-]", word) else word


def _odd(words: Sequence[str], kind: VOTableType) -> str:
    """Return which of some words is no number of a kind."""
    for word in words:
        try:
            pa.scalar(word or None, pa.string()).cast(kind.arrow)
        except pa.ArrowInvalid:
            return f"{word!r} is no number" + (" of its range" if kind.is_integer and word.isdecimal() else "")
    return "there is what is no number"


def _texts(cell: WireField, texts: Sequence[str]) -> Array:
    """Make a column of texts, which must have been UTF-8; labels need not."""
    column: Array = pa.array([text or None for text in texts], pa.string())
    if pc.any(pc.match_substring_regex(column, charset.MARKS)).as_py():
        if not cell.is_label:
            raise Protocol(f"column {cell.name} has text that is not UTF-8")
        column = pa.array([charset.labelled(text) or None for text in texts], pa.string())
    return without(column, cell.nulls)
