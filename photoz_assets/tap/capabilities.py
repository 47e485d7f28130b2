"""What a TAP service declares that it can do (VOSI 1.1, TAPRegExt 1.0): bytes in, frozen facts out.

Pure: no HTTP, no clock. What is used is picked out and the rest is not looked at, so that a value that we have no
use for makes no service unusable: templates of services are published with their placeholders in them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Final
from xml.etree.ElementTree import Element

from photoz_assets.tap.documents import excerpt, local_name, parse, whole
from photoz_assets.tap.errors import Protocol
from photoz_assets.tap.names import fold

_TAP_STANDARD: Final = re.compile(r"ivo://ivoa\.net/std/tap([/#].*)?", re.IGNORECASE)
_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_TAP_TYPE: Final = "tableaccess"
_UDF_FEATURES: Final = "ivo://ivoa.net/std/tapregext#features-udf"
_IVOA_NAMESPACE: Final = re.compile(r"\{https?://www\.ivoa\.net/.*\}")

_BINARY2, _BINARY, _TABLEDATA, _PARQUET = "BINARY2", "BINARY", "TABLEDATA", "PARQUET"
# By the identifiers of TAPRegExt 1.0 sec. 2.3, and by the aliases of vollt and DaCHS.
_OUTPUT_IDS: Final = {
    "ivo://ivoa.net/std/tapregext#output-votable-binary2": _BINARY2,
    "ivo://ivoa.net/std/tapregext#output-votable-binary": _BINARY,
    "ivo://ivoa.net/std/tapregext#output-votable-td": _TABLEDATA,
}
_ALIAS: Final = re.compile(r"votable[/_-]?(b2|binary2|b|binary|td|tabledata)|parquet")
_ALIASES: Final = {"b2": _BINARY2, "b": _BINARY, "td": _TABLEDATA, None: _PARQUET}
_VOTABLE: Final = "votable"
_XML_TYPES: Final = frozenset({"text/xml", "application/xml"})
_PARQUET_TYPES: Final = frozenset(
    {"application/vnd.apache.parquet", "application/parquet", "application/x-parquet"}
)


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """A format of results.

    ``names`` are what a request may call it, its media type before its aliases. ``form`` is how its rows are
    written: BINARY2, BINARY or TABLEDATA within a VOTable, or PARQUET; None where it is another or is not told.
    """

    names: tuple[str, ...]
    form: str | None


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a TAP service declares that it can do.

    ``functions`` are the names of its user-defined functions in lower case. The row limits are None where it
    declares none in rows: Rubin declares bytes.
    """

    functions: frozenset[str]
    formats: tuple[OutputFormat, ...]
    default_rows: int | None
    most_rows: int | None

    @property
    def has_box(self) -> bool:
        """Whether ``scisql_s2PtInBox``, a box in longitude and latitude, can be asked for."""
        return "scisql_s2ptinbox" in self.functions

    @property
    def response_format(self) -> str | None:
        """The name of the format to ask for; None for the service's default.

        BINARY2 before BINARY, which has no NULL of its own, before TABLEDATA, which is slow. Parquet, which cannot
        say that a result was cut off, is asked for only where there is no VOTable.
        """
        names = map(self._name, (_BINARY2, _BINARY, _TABLEDATA))
        has_votable = not self.formats or any(map(_is_votable, self.formats))
        return next(filter(None, names), None if has_votable else self.parquet_format)

    @property
    def parquet_format(self) -> str | None:
        """The name to ask for Parquet with; None where the service has none."""
        return self._name(_PARQUET)

    def _name(self, form: str) -> str | None:
        """Return the name of the first format of that form; one that tells the form, or is no other format's."""
        found = next((each for each in self.formats if each.form == form), None)
        if found is None:
            return None
        others = {name for each in self.formats if each is not found for name in each.names}
        telling = [name for name in found.names if _form(name) == form]
        own = [name for name in found.names if name not in others]
        return [*telling, *own, *found.names][0]


def parse_capabilities(body: bytes) -> Capabilities:
    """Read a service's capabilities.

    Raises
    ------
    Protocol
        Not the capabilities of a TAP service.
    """
    root = parse(body, what="the service's capabilities")
    if local_name(root.tag) != "capabilities":
        raise Protocol(f"these are no capabilities: {excerpt(body)}")
    access = [each for each in _elements(root, "capability") if _is_tap(each)]
    if not access:
        raise Protocol("the service declares no TAP capability")
    return Capabilities(
        functions=frozenset(name for each in access for name in _functions(each)),
        formats=tuple(_format(output) for each in access for output in _elements(each, "outputFormat")),
        default_rows=_rows(access, "default"),
        most_rows=_rows(access, "hard"),
    )


def _is_tap(capability: Element) -> bool:
    """Return whether a capability is one of TAP, by its standard or by its type; either may be missing."""
    standard = capability.get("standardID", "").strip()
    kind = capability.get(_TYPE, "").strip().rpartition(":")[2]
    return bool(_TAP_STANDARD.fullmatch(standard)) or (not standard and kind.lower() == _TAP_TYPE)


def _elements(element: Element, name: str) -> Iterator[Element]:
    """Yield the elements of that name below one; those of a service's own namespace are not the standard's."""
    for each in element.iter():
        namespace = each.tag.rpartition("}")[0]
        if local_name(each.tag) == name and (not namespace or _IVOA_NAMESPACE.fullmatch(namespace + "}")):
            yield each


def _texts(element: Element, name: str) -> tuple[str, ...]:
    """Return the texts of the elements of that name below one, without those that are empty."""
    return tuple(text for each in _elements(element, name) if (text := "".join(each.itertext()).strip()))


def _functions(capability: Element) -> Iterator[str]:
    """Yield the names of the user-defined functions."""
    for features in _elements(capability, "languageFeatures"):
        if features.get("type", "").strip().lower() == _UDF_FEATURES:
            for form in _texts(features, "form"):
                yield fold(form.partition("(")[0].strip())


def _format(output: Element) -> OutputFormat:
    """Read an output format."""
    names = _texts(output, "mime") + _texts(output, "alias")
    told = next((form for name in names if (form := _form(name))), None)
    return OutputFormat(names=names, form=told or _OUTPUT_IDS.get(output.get("ivo-id", "").strip().lower()))


def _is_votable(output: OutputFormat) -> bool:
    """Return whether a format is a VOTable."""
    kinds = [name.partition(";")[0].strip().lower() for name in output.names]
    return output.form in {_BINARY2, _BINARY, _TABLEDATA} or any(
        _VOTABLE in kind or kind in _XML_TYPES for kind in kinds
    )


def _form(name: str) -> str | None:
    """Return the form of rows that the name of a format tells: a media type (RFC 9110 sec. 8.3.1) or an alias."""
    header = Message()
    header["Content-Type"] = name
    parameters = {key.strip().lower(): value for key, value in header.get_params([])}
    kind = name.partition(";")[0].strip().lower()
    if kind in _PARQUET_TYPES:
        return _PARQUET
    if _VOTABLE in kind or kind in _XML_TYPES:
        serialization = parameters.get("serialization", "").strip().upper()
        if serialization in {_BINARY2, _BINARY, _TABLEDATA}:
            return serialization
    alias = _ALIAS.fullmatch(kind)
    return _ALIASES.get(alias[1], (alias[1] or "").upper()) if alias else None


def _rows(capabilities: list[Element], name: str) -> int | None:
    """Return the first limit of that name that is a number of rows."""
    for each in capabilities:
        for limits in _elements(each, "outputLimit"):
            for limit in _elements(limits, name):
                if limit.get("unit", "").strip().lower() == "row":
                    return whole((limit.text or "").strip()) or None
    return None
