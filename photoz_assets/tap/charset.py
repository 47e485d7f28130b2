"""Bytes that are not UTF-8 where UTF-8 is due: read in text that only labels, refused in data.

Descriptions are typed by people, and one letter in Latin-1 must not make a service unusable. Such a byte is kept
as a mark until it is known what it stands in: `labelled` reads it as Latin-1, and data must have no `MARKS`.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

import pyarrow as pa

# Private use, of plane 16: no archive has a use for it.
_FIRST: Final = 0x10FE00
MARKS: Final = f"[{chr(_FIRST)}-{chr(_FIRST + 0xFF)}]"  # a regular expression
_MARK: Final = re.compile(MARKS)
_ERRORS: Final = "photoz_assets.mark"
_DECLARATION: Final = re.compile(rb"""\s*<\?xml[^>]*?\bencoding\s*=\s*["']([\w.:-]+)""")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UTF8: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_LONGEST_DECLARATION_BYTES: Final = 256


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Return the marks of what could not be decoded."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_FIRST + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _mark)


def marked(document: Iterable[bytes]) -> Iterator[bytes]:
    """Yield an XML document in which each byte that is not UTF-8 is a mark, if the document is to be UTF-8.

    Parameters
    ----------
    document
        In pieces of any size.
    """
    pieces = iter(document)
    start = b""
    for piece in pieces:
        start += piece
        if b">" in start or len(start) > _LONGEST_DECLARATION_BYTES:
            break
    if not _is_utf8(start):
        yield start
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder("utf-8")(_ERRORS)
    for piece in chain([start], pieces):
        is_whole = not decoder.getstate()[0]
        yield piece if is_whole and piece.isascii() else decoder.decode(piece).encode()
    if last := decoder.decode(b"", final=True):
        yield last.encode()


def read_label(text: bytes) -> str:
    """Decode text that only labels: UTF-8, and Latin-1 where it is not."""
    return labelled(text.decode(errors=_ERRORS))


def read_labels(column: "pa.Array[Any]") -> "pa.Array[Any]":
    """Return a column of texts that only label, and may be no UTF-8, as texts."""
    texts = column.cast(pa.binary()).to_pylist()
    return pa.array([None if text is None else read_label(text) for text in texts], pa.string())


def labelled(text: str) -> str:
    """Return text that only labels, with Latin-1 in place of the marks."""
    return _MARK.sub(lambda found: chr(ord(found[0]) - _FIRST), text)


def _is_utf8(start: bytes) -> bool:
    """Return whether a document that begins so is to be UTF-8 (XML 1.0 sec. 4.3.3)."""
    if start.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return False
    declared = _DECLARATION.match(start.removeprefix(_BYTE_ORDER_MARK))
    return declared is None or declared[1].decode().lower() in _UTF8
