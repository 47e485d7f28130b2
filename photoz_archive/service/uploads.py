"""Which tables a request brings along, and where their documents are (TAP 1.1 sec. 2.5).

A document is a part of the request's form, or lies at a URL from which the service takes it when the query runs.
"""

import re
import reprlib
from collections.abc import Mapping
from typing import Final

import requests

from photoz_archive.service.errors import BadRequestError

# Where each table is that a request brings along: its document, or the URL of it.
Documents = Mapping[str, bytes | str]

_NAME: Final = re.compile(r"[A-Za-z]\w*", re.ASCII)
_INLINE: Final = "param:"
_REMOTE: Final = ("http://", "https://")
_FETCH_SECONDS: Final = 30.0
_CHUNK_BYTES: Final = 2**16


def places_of(parameter: str) -> dict[str, str]:
    """Return where the documents of the tables are that the parameter UPLOAD names, by the tables' names.

    A place is ``param:`` and the name of a part of the request, or a URL.

    Raises
    ------
    BadRequestError
        The parameter is not of the form ``name,place;name,place``.
    """
    places: dict[str, str] = {}
    for item in filter(None, map(str.strip, parameter.split(";"))):
        name, _, place = (word.strip() for word in item.partition(","))
        if not place.startswith((_INLINE, *_REMOTE)):
            raise BadRequestError(
                f"UPLOAD has {reprlib.repr(item)}; expected name,param:part for a part of the request, or name,URL"
            )
        if _NAME.fullmatch(name) is None:
            raise BadRequestError(
                f"UPLOAD calls a table {reprlib.repr(name)}; expected letters, digits and _, a letter first"
            )
        if name.lower() in {taken.lower() for taken in places}:
            raise BadRequestError(f"UPLOAD names two tables {name!r}")
        places[name] = place
    return places


def parts_of(parameter: str) -> dict[str, str]:
    """Return which part of the request holds each table that it brings itself; raises as above."""
    places = places_of(parameter).items()
    return {name: place.removeprefix(_INLINE) for name, place in places if place.startswith(_INLINE)}


def documents_of(parameter: str, sent: Mapping[str, bytes]) -> dict[str, bytes | str]:
    """Return the documents of the tables that UPLOAD names, of the parts that were sent, or their URLs.

    Raises
    ------
    BadRequestError
        The parameter cannot be read, or a part is missing.
    """
    parts = parts_of(parameter)
    if missing := sorted(set(parts.values()) - set(sent)):
        raise BadRequestError(
            f"UPLOAD names the part {missing[0]!r}, which the request lacks; send it as multipart/form-data"
        )
    return places_of(parameter) | {name: sent[part] for name, part in parts.items()}


def fetch_document(name: str, url: str, most_bytes: int) -> bytes:
    """Fetch the document of a table.

    Raises
    ------
    BadRequestError
        It cannot be fetched, or is longer than ``most_bytes``.
    """
    document = bytearray()
    try:
        with requests.Session() as session:
            # Neither proxies nor passwords of whoever runs the service are for a URL that a client names.
            session.trust_env = False
            answer = session.get(url, stream=True, timeout=_FETCH_SECONDS)
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK_BYTES):
                document += chunk
                if len(document) > most_bytes:
                    raise BadRequestError(
                        f"The table {name} at {url} has more than {most_bytes} bytes, the uploadLimit of "
                        "/capabilities; bring it in pieces, a request each"
                    )
    except requests.RequestException as error:
        raise BadRequestError(f"The table {name} cannot be fetched from {url}: {error}") from error
    return bytes(document)
