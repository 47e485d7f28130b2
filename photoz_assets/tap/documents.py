"""What an archive says about itself and its jobs: bytes in, frozen facts out.

Pure: no HTTP, no clock. Result tables are not read here but in `votable` and `parquet`.
"""

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from photoz_assets.tap.errors import ArchiveError, Busy, JobFailed, Protocol, Rejected, TooLarge, Transient
from photoz_assets.text import one_line

if TYPE_CHECKING:
    from pyvo.io.vosi.tapregext import TableAccess

_XLINK_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_UDF_FEATURES: Final = "ivo://ivoa.net/std/tapregext#features-udf"
_BINARY2_OUTPUT: Final = "ivo://ivoa.net/std/TAPRegExt#output-votable-binary2"
_BINARY2_FORMAT: Final = "application/x-votable+xml;serialization=binary2"
_PARQUET_FORMATS: Final = frozenset({"application/vnd.apache.parquet", "application/parquet", "parquet"})
_LONGEST_PHASE: Final = 40  # characters: services have phases of their own
_EXCERPT: Final = 200  # characters of an unexpected answer that an error shows

# Rubin's TAP tells its failures apart in words only: a job's error type is always "fatal". The phrases are those
# of its query bridge (lsst-sqre/qserv-kafka) and of the CADC TAP server in front of it (opencadc/tap).
_PHRASES: Final[tuple[tuple[str, type[ArchiveError]], ...]] = (
    ("maximum running queries reached", Busy),
    ("down for maintenance", Busy),
    ("qserv request failed", Transient),
    ("sql query error", Transient),
    ("timed out retrieving and uploading", Transient),
    ("failed to send job to kafka", Transient),
    ("results are too large", TooLarge),
    ("illegalargumentexception", Rejected),
    ("unsupportedoperationexception", Rejected),
)


def failure(reason: str, *, otherwise: type[ArchiveError] = JobFailed) -> ArchiveError:
    """Turn the words of an archive into the error that they mean.

    Parameters
    ----------
    reason
        The archive's message.
    otherwise
        The class where the words are not known.
    """
    text = reason.lower()
    found = next((kind for phrase, kind in _PHRASES if phrase in text), otherwise)
    return found(f"the archive says: {reason.strip() or 'nothing'}")


def looks_like_html(head: bytes) -> bool:
    """Tell whether an answer is a web page: a login form, a proxy's error, a wrong URL."""
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html"))


def excerpt(body: bytes) -> str:
    """Give the beginning of an answer that nobody expected, for an error message."""
    return repr(body[:_EXCERPT].decode("utf-8", errors="replace"))


def local_name(tag: str) -> str:
    """Take the namespace off a tag: services differ in the versions of theirs."""
    return tag.rpartition("}")[2]


def parse(body: bytes, *, what: str) -> Element:
    """Parse a small XML document without following or expanding anything.

    Raises
    ------
    Protocol
        A web page, malformed XML, or XML with a document type or entities.
    """
    if looks_like_html(body):
        raise Protocol(f"a web page came in place of {what}")
    try:
        return ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Protocol(f"{what} cannot be read ({error}): {excerpt(body)}") from error


def _descendants(element: Element, name: str) -> Iterator[Element]:
    """Yield the elements of that local name below one."""
    return (each for each in element.iter() if local_name(each.tag) == name)


def _text(element: Element, name: str) -> str | None:
    """Give the stripped text of the first such element, None where there is none."""
    found = next(_descendants(element, name), None)
    return (("".join(found.itertext())).strip() or None) if found is not None else None


def query_error(root: Element) -> str | None:
    """Give the message of a VOTable that reports an error (DALI 1.1 sec. 4.4), None of any other document."""
    for info in _descendants(root, "INFO"):
        if info.get("name", "").upper() == "QUERY_STATUS" and info.get("value", "").upper() == "ERROR":
            return "".join(info.itertext()).strip() or "no reason given"
    return None


def reason_of(body: bytes) -> str | None:
    """Give the reason that a refusal's body states: a VOTable's error, a short plain text, or nothing."""
    if not body.strip() or looks_like_html(body):
        return None
    try:
        return query_error(parse(body, what="the refusal"))
    except Protocol:
        return (
            body[:_EXCERPT].decode("utf-8", errors="replace").strip()
            if not body.lstrip().startswith(b"<")
            else None
        )


@dataclass(frozen=True, kw_only=True)
class JobSummary:
    """A UWS job as its document tells it (UWS 1.1 sec. 2.1).

    ``rows`` is the final row count and ``items_done`` of ``items_total`` the progress (in the archive's own units,
    chunks of sky at Rubin): both only where the archive tells them. ``maxrec`` is the row limit that the job was
    created with.
    """

    phase: str
    error: str | None = None
    error_is_transient: bool = False
    result_url: str | None = None
    rows: int | None = None
    items_done: int | None = None
    items_total: int | None = None
    maxrec: int | None = None


def _whole(text: str | None) -> int | None:
    """Read a non-negative integer of a sensible length, None where there is none."""
    return int(text) if text and re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def parse_job(body: bytes, *, url: str) -> JobSummary:
    """Read a job document.

    The few facts that matter are picked out whatever surrounds them: a date in an unusual form or an element of a
    service's own must not end a wait of hours.

    Parameters
    ----------
    body
        The document.
    url
        Its URL, which relative links in it are resolved against.

    Raises
    ------
    Protocol
        Not a job document.
    Rejected, Transient
        An error document in its place, which some services send with HTTP 200.
    """
    root = parse(body, what="a job document")
    phase = _text(root, "phase")
    if local_name(root.tag) != "job" or not phase:
        if (reason := query_error(root)) is not None:
            raise failure(reason, otherwise=Rejected)
        raise Protocol(f"this is no job document: {excerpt(body)}")
    if one_line(phase, _LONGEST_PHASE) != phase:
        raise Protocol(f"the job is in what is no phase: {one_line(phase, _LONGEST_PHASE)!r}")
    summary = next(_descendants(root, "errorSummary"), None)
    links = {each.get("id", ""): each.get(_XLINK_HREF, "") for each in _descendants(root, "result")}
    parameters = {each.get("id", "").upper(): each.text for each in _descendants(root, "parameter")}
    result = links.get("result") or next(
        (link for link in links.values() if link.endswith("/results/result")), None
    )
    counted = links.get("rowcount", "").removeprefix("final:")
    try:
        result_url = urljoin(f"{url}/", result) if result else None
    except ValueError as error:
        raise Protocol(f"the job's result is at what is no URL: {result!r}") from error
    return JobSummary(
        phase=phase.upper(),
        error=_text(summary, "message") if summary is not None else None,
        error_is_transient=summary is not None and summary.get("type") == "transient",
        result_url=result_url,
        rows=_whole(counted),
        items_done=_whole(_text(root, "itemsProcessed")),
        items_total=_whole(_text(root, "totalItems")),
        maxrec=_whole((parameters.get("MAXREC") or "").strip()),
    )


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a TAP service declares that it can do (TAPRegExt 1.0).

    ``functions`` are the names of its user-defined functions in lower case, ``formats`` the media types and short
    names of its output formats as it spells them. The row limits are None where it declares none in rows: Rubin
    declares bytes. ``response_format`` is what to ask for, None for the service's default.
    """

    functions: frozenset[str]
    formats: tuple[str, ...]
    default_rows: int | None
    most_rows: int | None
    response_format: str | None

    @property
    def has_box(self) -> bool:
        """Whether ``scisql_s2PtInBox``, a box in longitude and latitude, can be asked for."""
        return "scisql_s2ptinbox" in self.functions

    @property
    def parquet_format(self) -> str | None:
        """The name to ask for Parquet with; None where the service has none."""
        return next((each for each in self.formats if each.lower() in _PARQUET_FORMATS), None)


def parse_capabilities(body: bytes) -> Capabilities:
    """Read a service's capabilities (VOSI 1.1).

    Raises
    ------
    Protocol
        Not the capabilities of a TAP service.
    """
    # Imported late: pyvo brings astropy, which takes seconds.
    from pyvo.io import vosi  # noqa: PLC0415  (see above)
    from pyvo.io.vosi.tapregext import TableAccess  # noqa: PLC0415

    root = parse(body, what="the service's capabilities")
    if local_name(root.tag) != "capabilities":
        raise Protocol(f"these are no capabilities: {excerpt(body)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            capabilities = vosi.parse_capabilities(io.BytesIO(body).read)
        access = next((each for each in capabilities if isinstance(each, TableAccess)), None)
        if access is None:
            raise Protocol("the service declares no TAP capability")
        return _capabilities(access)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        # pyvo's ways to meet a document that is XML but not what its schema allows.
        raise Protocol(f"the service's capabilities cannot be read: {error}") from error


def _capabilities(access: "TableAccess") -> Capabilities:
    """Pick what we use out of pyvo's tree of a TAP capability."""
    functions = {
        feature.form.partition("(")[0].strip().lower()
        for language in access.languages
        for features in language.languagefeaturelists
        if (features.type or "").lower() == _UDF_FEATURES
        for feature in features
        if feature.form
    }
    formats, binary2 = [], None
    for output in access.outputformats:
        names = [str(name).strip() for name in (output.mime, *output.aliases) if name]
        formats += names
        named = next((name for name in names if name.lower().replace(" ", "") == _BINARY2_FORMAT), None)
        if binary2 is None and (named or output.ivo_id == _BINARY2_OUTPUT):
            binary2 = named or next(iter(names), None)
    limits = access.outputlimit
    return Capabilities(
        functions=frozenset(functions),
        formats=tuple(formats),
        default_rows=_rows(limits.default) if limits else None,
        most_rows=_rows(limits.hard) if limits else None,
        response_format=binary2,
    )


def _rows(limit: object) -> int | None:
    """Give a declared limit if it is one of rows."""
    return getattr(limit, "content", None) if getattr(limit, "unit", None) == "row" else None
