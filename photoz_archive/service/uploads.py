"""Which tables a request brings along, and the parts of its form that hold them (TAP 1.1 sec. 2.5)."""

import re
import reprlib
from collections.abc import Mapping
from typing import Final

from photoz_archive.service.errors import BadRequestError

_NAME: Final = re.compile(r"[A-Za-z]\w*", re.ASCII)
_INLINE: Final = "param:"


def parts_of(parameter: str) -> dict[str, str]:
    """Return which part of the request holds each table that the parameter UPLOAD names.

    Raises
    ------
    BadRequestError
        It is not of the form ``name,param:part;name,param:part``.
    """
    parts: dict[str, str] = {}
    for item in filter(None, map(str.strip, parameter.split(";"))):
        name, _, place = (word.strip() for word in item.partition(","))
        if not place.startswith(_INLINE):
            raise BadRequestError(
                f"UPLOAD has {reprlib.repr(item)}; expected name,param:part, a table within the request"
            )
        if _NAME.fullmatch(name) is None:
            raise BadRequestError(
                f"UPLOAD calls a table {reprlib.repr(name)}; expected letters, digits and _, a letter first"
            )
        if name.lower() in {taken.lower() for taken in parts}:
            raise BadRequestError(f"UPLOAD names two tables {name!r}")
        parts[name] = place.removeprefix(_INLINE)
    return parts


def documents_of(parameter: str, sent: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the documents of the tables that UPLOAD names, by the tables' names, of the parts that were sent.

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
    return {name: sent[part] for name, part in parts.items()}
