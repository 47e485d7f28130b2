"""Takes the document of a table that a client sends apart, a VOTable; what it holds besides one is refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

import numpy as np

from photoz_archive.adql.catalog import ColumnFacts
from photoz_archive.service.errors import BadRequestError

# VOTable datatypes by the codes of NumPy that read them.
CODES: Final = {
    "bit": "u1",
    "boolean": "S1",
    "unsignedByte": "u1",
    "short": ">i2",
    "int": ">i4",
    "long": ">i8",
    "float": ">f4",
    "double": ">f8",
}
# What one character takes in binary, and its encoding (VOTable 1.4 sec. 2.1; later versions have UTF-8 for char).
TEXTS: Final = {"char": (1, "utf-8"), "unicodeChar": (2, "utf-16-be")}
# What the service calls those that it has not.
_SERVED_AS: Final = {"bit": "boolean", "unsignedByte": "short", "unicodeChar": "char"}
_CONTAINERS: Final = ("TABLEDATA", "BINARY", "BINARY2")
_SIZE: Final = re.compile(r"(\d*)(\*?)")


@dataclass
class UploadField:
    """A FIELD as it stands in the document; ``null`` is the text of the value that stands for NULL."""

    name: str
    attributes: dict[str, str]
    null: str | None = None
    description: str = ""

    @property
    def datatype(self) -> str:
        """What its values are; empty where the document does not say."""
        return self.attributes.get("datatype", "")

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.datatype in TEXTS

    @property
    def fixed_bytes(self) -> int | None:
        """The bytes of a value in binary; None for text of any length."""
        if not self.is_text:
            return np.dtype(CODES[self.datatype]).itemsize
        digits, star = self._size()
        return None if star else int(digits or 1) * TEXTS[self.datatype][0]

    def check(self) -> None:
        """Refuse what is no plain column."""
        if not self.name.strip():
            raise BadRequestError("a FIELD has no name")
        if self.datatype not in CODES and not self.is_text:
            known = ", ".join([*CODES, *TEXTS])
            raise BadRequestError(
                f"column {self.name!r} has the datatype {self.datatype!r}; expected one of {known}"
            )
        size = self.attributes.get("arraysize", "")
        if _SIZE.fullmatch(size) is None or (not self.is_text and size not in {"", "1"}):
            raise BadRequestError(
                f"column {self.name!r} holds arrays (arraysize {size!r}); expected one value a row, or text"
            )

    @property
    def facts(self) -> ColumnFacts:
        """What a query's result says of the column."""
        return ColumnFacts(
            name=self.name,
            datatype=_SERVED_AS.get(self.datatype, self.datatype),
            # One character is written as none of them has to be (VOTable 1.3, erratum 3).
            arraysize=None if self._size() == ("1", "") else "".join(self._size()) or None,
            description=self.description.strip() or None,
            xtype=self.attributes.get("xtype"),
            unit=self.attributes.get("unit"),
            ucd=self.attributes.get("ucd"),
            utype=self.attributes.get("utype"),
        )

    def _size(self) -> tuple[str, str]:
        found = _SIZE.fullmatch(self.attributes.get("arraysize", ""))
        return (found[1], found[2]) if found is not None else ("", "")


class UploadDocument:
    """A VOTable taken apart: its fields, and the cells of its rows or the text of its stream.

    Raises
    ------
    BadRequestError
        It holds not one table of plain columns with names of their own.
    expat.ExpatError
        It is no XML.
    """

    def __init__(self, document: bytes) -> None:
        self.fields: list[UploadField] = []
        self._has_table = False
        self.container = "TABLEDATA"
        self.stream: list[str] = []
        self.cells: list[list[str]] = []
        self._row: list[str] = []
        self._text: list[str] | None = None
        self._path: list[str] = []
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._take
        parser.Parse(document, True)  # noqa: FBT003 - pyexpat takes it by its place alone
        if not self.fields:
            raise BadRequestError("it holds no table with columns")
        _check_fields(self.fields)

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(" ")[2]
        inside = self._path[-1] if self._path else ""
        _check_element(inside, name, attributes)
        self._path.append(name)
        match inside, name:
            case _, "TD":
                self._text = []
            case _, "TR":
                self._row = []
            case "FIELD", "DESCRIPTION":
                self._text = []
            case "FIELD", "VALUES":
                self.fields[-1].null = attributes.get("null")
            case "TABLE", "FIELD":
                self.fields.append(UploadField(attributes.get("name", ""), attributes))
            case _, "TABLE":
                self._begin_table()
            case "TABLE", "DATA":
                _check_fields(self.fields)
            case _, "STREAM":
                self._text = self.stream
            case "DATA", _:
                self.container = name

    def _begin_table(self) -> None:
        if self._has_table:
            raise BadRequestError("it holds more than one table")
        self._has_table = True

    def _take(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, qualified: str) -> None:
        name = qualified.rpartition(" ")[2]
        self._path.pop()
        if name == "TD":
            self._row.append("".join(self._text or ()))
        elif name == "TR":
            if len(self._row) != len(self.fields):
                raise BadRequestError(
                    f"row {len(self.cells) + 1} has {len(self._row)} cells for {len(self.fields)} columns"
                )
            self.cells.append(self._row)
        elif name == "DESCRIPTION" and self._path and self._path[-1] == "FIELD":
            self.fields[-1].description = "".join(self._text or ())
        elif name not in {"STREAM", "DESCRIPTION"}:
            return
        self._text = None


def _check_element(inside: str, name: str, attributes: dict[str, str]) -> None:
    """Refuse rows that are not here, or not in a form that can be read."""
    if not inside and name != "VOTABLE":
        raise BadRequestError(f"it is no VOTable, but {name}")
    if inside == "DATA" and name not in _CONTAINERS:
        raise BadRequestError(f"its rows are in {name}; expected one of {', '.join(_CONTAINERS)}")
    if name == "STREAM" and ("href" in attributes or attributes.get("encoding") != "base64"):
        raise BadRequestError("its STREAM is not in the document; expected rows in base64")


def _check_fields(fields: Sequence[UploadField]) -> None:
    taken: set[str] = set()
    for field in fields:
        field.check()
        if field.name.lower() in taken:
            raise BadRequestError(f"two columns are called {field.name!r}, but for their case; rename one")
        taken.add(field.name.lower())


def _refuse_doctype(*_: object) -> None:
    raise BadRequestError("it has a document type, which no VOTable needs; remove it")
