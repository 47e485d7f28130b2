"""A request's parameters as one checked object: names in any case, values as TAP 1.1 has them."""

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from photoz_archive.service.errors import BadRequestError
from photoz_archive.service.fields import xml_text
from photoz_archive.service.formats import Format, find_format
from photoz_archive.service.profile import Profile
from photoz_archive.service.uploads import Documents

_LANGUAGES = frozenset({"ADQL", "ADQL-2.0", "ADQL-2.1"})
# Each table has one of its own (TAP 1.1 sec. 2.5).
_MANY = "UPLOAD"


@dataclass(frozen=True, kw_only=True)
class QueryRequest:
    """A query, how many rows it may have, and the format of the answer."""

    query: str
    max_rows: int
    format: Format
    uploads: Documents = field(default_factory=dict)


def collect(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters under upper-case names; of one sent twice the last counts, but all of UPLOAD do.

    Raises
    ------
    BadRequestError
        One has characters that XML 1.0 cannot hold, in which jobs are told.
    """
    collected: dict[str, str] = {}
    for name, value in pairs:
        before = collected.get(_MANY) if name.upper() == _MANY else None
        collected[name.upper()] = f"{before};{value}" if before else value
    for name, value in collected.items():
        if xml_text(text := name + value) != text:
            raise BadRequestError(f"{reprlib.repr(name)} has control characters; expected text")
    return collected


def whole_number(name: str, text: str, *, at_most: int) -> int:
    """Return the whole number that a parameter is, or ``at_most`` where it is more, of any length.

    Raises
    ------
    BadRequestError
        It is none.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()):
        raise BadRequestError(f"{name} is {reprlib.repr(text)}; expected a whole number, 0 or more")
    digits = digits.lstrip("0") or "0"
    # Python reads no number of thousands of digits.
    return at_most if len(digits) > len(str(at_most)) else min(int(digits), at_most)


def moment(name: str, text: str) -> datetime:
    """Return the time that a parameter is, in UTC; a time without a zone is UTC (DALI 1.1 sec. 3.3.3).

    Raises
    ------
    BadRequestError
        It is none, or is before or after all years that have four digits.
    """
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequestError(
            f"{name} is {reprlib.repr(text)}; expected a time in ISO 8601, as 2026-01-31T12:00:00Z"
        ) from error


def parse_query(parameters: dict[str, str], profile: Profile, uploads: Documents) -> QueryRequest:
    """Check the parameters of a query.

    Parameters
    ----------
    uploads
        The tables that it brings along.

    Raises
    ------
    BadRequestError
        One is missing or wrong; the message says what was expected.
    """
    request = parameters.get("REQUEST", "doQuery")
    if request.lower() != "doquery":
        raise BadRequestError(f"REQUEST is {request!r}; expected doQuery")
    language = parameters.get("LANG", "ADQL")
    if language.upper() not in _LANGUAGES:
        raise BadRequestError(f"LANG is {language!r}; expected {', '.join(sorted(_LANGUAGES))}")
    query = parameters.get("QUERY", "")
    if not query.strip():
        raise BadRequestError("QUERY is missing; expected an ADQL query")
    name = parameters.get("RESPONSEFORMAT") or parameters.get("FORMAT")
    return QueryRequest(
        query=query, max_rows=_max_rows(parameters, profile), format=find_format(name, profile), uploads=uploads
    )


def _max_rows(parameters: dict[str, str], profile: Profile) -> int:
    text = parameters.get("MAXREC")
    if text is None or not text.strip():
        return profile.default_maxrec
    return whole_number("MAXREC", text, at_most=profile.hard_maxrec)
