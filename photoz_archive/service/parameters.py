"""A request's parameters as one checked object: names in any case, values as TAP 1.1 has them."""

from collections.abc import Iterable
from dataclasses import dataclass

from photoz_archive.service.errors import BadRequestError
from photoz_archive.service.formats import Format, find_format
from photoz_archive.service.profile import Profile

_LANGUAGES = frozenset({"ADQL", "ADQL-2.0", "ADQL-2.1"})


@dataclass(frozen=True, kw_only=True)
class QueryRequest:
    """A query, how many rows it may have, and the format of the answer."""

    query: str
    max_rows: int
    format: Format


def collect(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters under upper-case names; of one sent twice the last counts."""
    return {name.upper(): value for name, value in pairs}


def parse_query(parameters: dict[str, str], profile: Profile) -> QueryRequest:
    """Check the parameters of a query.

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
    if parameters.get("UPLOAD"):
        raise BadRequestError("UPLOAD is not supported: this archive takes no tables")
    query = parameters.get("QUERY", "")
    if not query.strip():
        raise BadRequestError("QUERY is missing; expected an ADQL query")
    name = parameters.get("RESPONSEFORMAT") or parameters.get("FORMAT")
    return QueryRequest(query=query, max_rows=_max_rows(parameters, profile), format=find_format(name, profile))


def _max_rows(parameters: dict[str, str], profile: Profile) -> int:
    text = parameters.get("MAXREC")
    if text is None or not text.strip():
        return profile.default_maxrec
    if not text.strip().isdecimal():
        raise BadRequestError(f"MAXREC is {text!r}; expected a whole number, 0 or more")
    return min(int(text), profile.hard_maxrec)
