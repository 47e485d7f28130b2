"""The markup of a VOTable around its rows: which table, which columns, and what the service says of the result.

`Markup` is the target of an XML parser and holds what it was told; `feed` and `close` drive a parser in our
errors. Rows are not looked at here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self
from xml.etree.ElementTree import ParseError, XMLParser

from defusedxml import DefusedXmlException

from photoz_assets.tap import charset
from photoz_assets.tap.documents import is_complaint, local_name, query_status, whole
from photoz_assets.tap.errors import Protocol, Truncated

_LONGEST_REASON: Final = 1 << 16  # characters
_DEEPEST: Final = 64

# Errors of a document that lacks nothing but its end, by expat's numbers: no element found, unclosed token,
# partial character, unclosed CDATA section.
_ENDS_EARLY: Final = frozenset({3, 5, 6, 20})


@dataclass(frozen=True, kw_only=True)
class Values:
    """A VALUES element: what stands for NULL, and the ID of another that says more (VOTable 1.5 sec. 4.2)."""

    null: str | None
    ref: str | None

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> Self:
        """Read its attributes."""
        return cls(null=attributes.get("null"), ref=attributes.get("ref"))


@dataclass(frozen=True, kw_only=True)
class FieldMarkup:
    """A FIELD element: its attributes, and its VALUES."""

    attributes: Mapping[str, str]
    values: list[Values]

    @property
    def name(self) -> str:
        """Its name; the ID is an internal label where there is a name."""
        return self.attributes.get("name") or self.attributes.get("ID", "")


class Markup:
    """What the markup of a VOTable says, element by element.

    ``fields`` are the result table's FIELDs in their order and ``announced_rows`` its nrows; ``tables`` counts the
    result tables. ``error`` is the message if there is one (DALI 1.1 sec. 4.4); ``complaint`` is the message of an
    INFO "Error", which is older; ``is_ok`` says whether the service calls the query well. Given a ``locate``
    function, it notes its value as ``rows_at`` where the rows begin and ignores what follows.
    """

    def __init__(self, locate: Callable[[], int] | None = None) -> None:
        self.fields: list[FieldMarkup] = []
        self.announced_rows: int | None = None
        self.serialization: str | None = None
        self.tables = 0
        self.overflow = False
        self.error: str | None = None
        self.complaint: str | None = None
        self.is_ok = False
        self.rows_at: int | None = None
        self._locate = locate
        self._path: list[str] = []
        self._resource_types: list[str] = []
        self._values: dict[str, Values] = {}
        self._info: dict[str, str] | None = None
        self._text: list[str] = []
        self._characters = 0

    def nulls(self, field: FieldMarkup) -> frozenset[str]:
        """Return what stands for NULL in a field: by its own VALUES, and by those that they refer to.

        Raises
        ------
        Protocol
            They refer to what the document does not have before the rows.
        """
        nulls: set[str] = set()
        seen: set[str] = set()
        following = list(field.values)
        while following:
            values = following.pop()
            if values.null is not None:
                nulls.add(values.null)
            if values.ref and values.ref not in seen:
                seen.add(values.ref)
                if values.ref not in self._values:
                    raise Protocol(f"column {field.name} refers to VALUES {values.ref}, which are nowhere")
                following.append(self._values[values.ref])
        return frozenset(nulls)

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
            self._info, self._text, self._characters = attributes, [], 0
        elif name == "VALUES" and "ID" in attributes:
            self._values[attributes["ID"]] = Values.of(attributes)
        if name in {"RESOURCE", "INFO"}:
            return
        if self._resource_types and self._resource_types[-1] in {"", "results"}:
            # Resources of other types hold metadata, such as descriptions of related services.
            self._note_table(name, inside, attributes)

    def data(self, text: str) -> None:
        """Take note of text."""
        if self._info is not None and self._characters < _LONGEST_REASON:
            self._text.append(text)
            self._characters += len(text)

    def end(self, _tag: str) -> None:
        """Take note of an element's end."""
        if self.rows_at is not None:
            return
        name = self._path.pop()
        if name == "RESOURCE":
            self._resource_types.pop()
        elif name == "INFO" and self._info is not None:
            self._note_info(self._info, charset.labelled("".join(self._text)).strip())
            self._info = None

    def close(self) -> None:
        """Finish; a parser expects it of its target."""

    def _note_info(self, attributes: dict[str, str], text: str) -> None:
        """Take note of what the service says of the result as a whole."""
        match query_status(attributes):
            case "ERROR":
                self.error = text or "no reason given"
            case "OVERFLOW":
                self.overflow = True
            case "OK":
                self.is_ok = True
        if is_complaint(attributes):
            self.complaint = text or attributes.get("value", "").strip() or "no reason given"

    def _note_table(self, name: str, inside: str, attributes: dict[str, str]) -> None:
        """Take note of an element of the result table."""
        match inside, name:
            case _, "TABLE":
                self.tables += 1
                if self.tables > 1:
                    raise Protocol("the document has two result tables")
                self.announced_rows = whole(attributes.get("nrows", "").strip())
            case "TABLE", "FIELD":
                self.fields.append(FieldMarkup(attributes=dict(attributes), values=[]))
            case "FIELD", "VALUES":
                self.fields[-1].values.append(Values.of(attributes))
            case "DATA", "BINARY" | "BINARY2":
                self.serialization = name
            case "DATA", "TABLEDATA":
                self.serialization = name
                self._note_rows()
            case "DATA", "FITS" | "PARQUET":
                raise Protocol(f"the rows are written as {name}, which was not asked for")
            case "BINARY" | "BINARY2", "STREAM":
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
