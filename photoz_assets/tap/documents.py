"""What an archive says about itself and its jobs: bytes in, frozen facts out.

Pure: no HTTP, no clock. Result tables are not read here but in `votable` and `parquet`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from photoz_assets.tap import charset
from photoz_assets.tap.errors import ArchiveError, Busy, JobFailed, Protocol, Rejected, TooLarge, Transient
from photoz_assets.tap.links import resolve
from photoz_assets.tap.names import fold
from photoz_assets.text import one_line

_XLINK_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_LONGEST_PHASE: Final = 40  # characters: services have phases of their own
_EXCERPT: Final = 200  # characters of an unexpected answer that an error shows
_MOST_ODD: Final = 0.2  # of a text; of bytes that are packed it is more than half
_INFO: Final = re.compile(
    rb"""<(?P<prefix>[\w.-]+:)?INFO\b(?:"[^"<]*"|'[^'<]*'|[^'"<>/]|/(?!>))*(?:/>|>.{0,65536}?</(?P=prefix)?INFO\s*>)""",
    re.DOTALL,
)

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
    """Return whether an answer is a web page: a login form, a proxy's error, a wrong URL."""
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html"))


def excerpt(body: bytes) -> str:
    """Return the beginning of an answer that nobody expected, for an error message."""
    if _is_binary(body):
        return "bytes that are no text"
    return repr(charset.labelled(body[:_EXCERPT].decode("utf-8", errors="replace")))


def _is_binary(body: bytes) -> bool:
    """Return whether an answer is no text: much of it is control characters, or no UTF-8."""
    text = re.sub(charset.MARKS, "\ufffd", body[:_EXCERPT].decode("utf-8", errors="replace"))
    odd = sum(each in "\ufffd\x7f" or (each < " " and each not in "\t\n\f\r") for each in text)
    return odd > _MOST_ODD * len(text)


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
        return ElementTree.fromstring(b"".join(charset.marked([body])), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Protocol(f"{what} cannot be read ({error}): {excerpt(body)}") from error


def descendants(element: Element, name: str) -> Iterator[Element]:
    """Yield the elements of that local name below one."""
    return (each for each in element.iter() if local_name(each.tag) == name)


def _words(element: Element) -> str:
    """Return the text of an element without the white space around it."""
    return charset.labelled("".join(element.itertext())).strip()


def _text(element: Element, name: str) -> str | None:
    """Return the stripped text of the first such element, None where there is none."""
    found = next(descendants(element, name), None)
    return (_words(found) or None) if found is not None else None


def query_status(info: Mapping[str, str]) -> str:
    """Return the status that the attributes of an INFO tell of a query (DALI 1.1 sec. 4.4), or nothing."""
    return info.get("value", "").strip().upper() if fold(info.get("name", "").strip()) == "query_status" else ""


def is_complaint(info: Mapping[str, str]) -> bool:
    """Return whether the attributes of an INFO are those of an error as services told it before DALI."""
    return fold(info.get("name", "").strip()) == "error"


def query_error(root: Element) -> str | None:
    """Return the message of a VOTable that reports an error, None of any other document."""
    for info in descendants(root, "INFO"):
        if query_status(info.attrib) == "ERROR":
            return _words(info) or "no reason given"
    for info in descendants(root, "INFO"):
        if is_complaint(info.attrib):
            return _words(info) or info.get("value", "").strip() or "no reason given"
    return None


def error_words(text: bytes) -> str | None:
    """Find the message of an error in a stretch of a document that cannot be parsed as a whole.

    Services whose query fails under way write the error where they are, such as a second document in the first.
    """
    for found in _INFO.finditer(text):
        try:
            info = parse(found[0].replace(found["prefix"] or b"", b""), what="the error")
        except Protocol:
            continue
        if (words := query_error(info)) is not None:
            return words
    return None


def reason_of(body: bytes) -> str | None:
    """Return the reason that a refusal's body states: a VOTable's error, a short plain text, or nothing."""
    if not body.strip() or looks_like_html(body):
        return None
    try:
        return query_error(parse(body, what="the refusal"))
    except Protocol:
        if body.lstrip().startswith(b"<"):
            return error_words(body)
        return None if _is_binary(body) else body[:_EXCERPT].decode("utf-8", errors="replace").strip()


def _result_url(links: Mapping[str, str], url: str) -> str | None:
    """Return where a job's result is, by the links of its document at a URL; None if they do not tell.

    TAP calls the result "result" (TAP 1.1 sec. 2.2.3); services have other names for the only one. Links are
    relative to the document (RFC 3986 sec. 5.1.3), but for those that were meant to be relative to the job.
    """
    below = f"{url.rstrip('/')}/"
    promised = f"{below}results/result"
    named = [links["result"]] if "result" in links else []
    alone = list(links.values()) if len(links) == 1 else []
    alike = [link for link in links.values() if link.strip().endswith("/results/result")]
    for link in (*named, *alone, *alike):
        if (found := resolve(url, link)) is not None:
            return promised if resolve(below, link) == promised and not found.startswith(below) else found
    return None


@dataclass(frozen=True, kw_only=True)
class JobSummary:
    """A UWS job as its document tells it (UWS 1.1 sec. 2.1).

    ``rows`` is the final row count and ``items_done`` of ``items_total`` the progress (in the archive's own units,
    chunks of sky at Rubin): both only where the archive tells them. ``maxrec`` is the row limit and ``query`` the
    ADQL that the job was created with, where the archive tells them.
    """

    phase: str
    error: str | None = None
    error_is_transient: bool = False
    result_url: str | None = None
    rows: int | None = None
    items_done: int | None = None
    items_total: int | None = None
    maxrec: int | None = None
    query: str | None = None


def whole(text: str | None) -> int | None:
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
    summary = next(descendants(root, "errorSummary"), None)
    links = {fold(each.get("id", "").strip()): each.get(_XLINK_HREF, "") for each in descendants(root, "result")}
    parameters = {fold(each.get("id", "")): each.text for each in descendants(root, "parameter")}
    counted = links.pop("rowcount", "").strip().removeprefix("final:")
    return JobSummary(
        phase=fold(phase).upper(),
        error=_text(summary, "message") if summary is not None else None,
        error_is_transient=summary is not None and summary.get("type") == "transient",
        result_url=_result_url(links, url),
        rows=whole(counted),
        items_done=whole(_text(root, "itemsProcessed")),
        items_total=whole(_text(root, "totalItems")),
        maxrec=whole((parameters.get("maxrec") or "").strip()),
        query=parameters.get("query"),
    )
