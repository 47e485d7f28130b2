"""The markup of a VOTable around its rows: which table, which columns, and what the service says of the result.

`Markup` is the target of an XML parser and holds what it was told; `feed` and `close` drive a parser in our
errors. Rows are not looked at here.
"""

from collections.abc import Callable
from typing import Final
from xml.etree.ElementTree import ParseError, XMLParser

from defusedxml import DefusedXmlException

from photoz_assets.tap.documents import local_name
from photoz_assets.tap.errors import Protocol, Truncated

_LONGEST_REASON: Final = 1 << 16  # characters
_DEEPEST: Final = 64

# Errors of a document that lacks nothing but its end, by expat's numbers: no element found, unclosed token,
# partial character, unclosed CDATA section.
_ENDS_EARLY: Final = frozenset({3, 5, 6, 20})


class Markup:
    """What the markup of a VOTable says, element by element.

    ``fields`` are the attributes of the result table's FIELDs in their order, with the ``null`` of their VALUES;
    ``tables`` counts the result tables; ``error`` is the message if there is one (DALI 1.1 sec. 4.4). Given a
    ``locate`` function, it notes its value as ``rows_at`` where the rows begin and ignores what follows.
    """

    def __init__(self, locate: Callable[[], int] | None = None) -> None:
        self.fields: list[dict[str, str]] = []
        self.serialization: str | None = None
        self.tables = 0
        self.overflow = False
        self.error: str | None = None
        self.rows_at: int | None = None
        self._locate = locate
        self._path: list[str] = []
        self._resource_types: list[str] = []
        self._reason: str | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take note of an element's start."""
        if self.rows_at is not None:
            return
        name = local_name(tag)
        if not self._path and name != "VOTABLE":
            raise Protocol(f"this is no VOTable but a document of type {name}")
        if len(self._path) >= _DEEPEST:
            raise Protocol("the document is nested too deeply")
        inside = self._path[-1] if self._path else ""
        self._path.append(name)
        if name == "RESOURCE":
            self._resource_types.append(attributes.get("type", ""))
        elif name == "INFO":
            self._note_info(attributes)
        elif self._resource_types and self._resource_types[-1] in {"", "results"}:
            # Resources of other types hold metadata, such as descriptions of related services.
            self._note_table(name, inside, attributes)

    def data(self, text: str) -> None:
        """Take note of text."""
        if self._reason is not None and len(self._reason) < _LONGEST_REASON:
            self._reason += text

    def end(self, _tag: str) -> None:
        """Take note of an element's end."""
        if self.rows_at is not None:
            return
        name = self._path.pop()
        if name == "RESOURCE":
            self._resource_types.pop()
        elif name == "INFO" and self._reason is not None:
            self.error, self._reason = self._reason.strip() or "no reason given", None

    def close(self) -> None:
        """Finish; a parser expects it of its target."""

    def _note_info(self, attributes: dict[str, str]) -> None:
        """Take note of what the service says of the result as a whole."""
        if attributes.get("name", "").upper() == "QUERY_STATUS":
            match attributes.get("value", "").upper():
                case "ERROR":
                    self._reason = ""
                case "OVERFLOW":
                    self.overflow = True

    def _note_table(self, name: str, inside: str, attributes: dict[str, str]) -> None:
        """Take note of an element of the result table."""
        match inside, name:
            case _, "TABLE":
                self.tables += 1
                if self.tables > 1:
                    raise Protocol("the document has two result tables")
            case "TABLE", "FIELD":
                self.fields.append(dict(attributes))
            case "FIELD", "VALUES" if "null" in attributes:
                self.fields[-1]["null"] = attributes["null"]
            case "DATA", "BINARY2":
                self.serialization = name
            case "DATA", "TABLEDATA":
                self.serialization = name
                self._note_rows()
            case "DATA", "BINARY" | "FITS" | "PARQUET":
                raise Protocol(f"the rows are written as {name}, which was not asked for")
            case "BINARY2", "STREAM":
                if attributes.get("href") or attributes.get("encoding", "").lower() != "base64":
                    raise Protocol("the rows are not written as base64 within the document")
                self._note_rows()

    def _note_rows(self) -> None:
        """Take note of where the rows begin."""
        if self._locate:
            self.rows_at = self._locate()


def feed(parser: XMLParser, piece: bytes) -> None:
    """Hand a piece of a document to a parser.

    Raises
    ------
    Protocol
        The document is malformed, or has what a hardened parser refuses.
    """
    try:
        parser.feed(piece)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Protocol(f"the document is broken: {error}") from error


def close(parser: XMLParser) -> None:
    """Tell a parser that the document ends here.

    Raises
    ------
    Truncated
        The document lacks its end.
    Protocol
        The document is malformed.
    """
    try:
        parser.close()
    except ParseError as error:
        if error.code in _ENDS_EARLY:
            raise Truncated("the answer ends before the document does") from error
        raise Protocol(f"the document is broken: {error}") from error
