"""Links in documents, resolved as RFC 3986 has it; Python's urljoin drops the empty segments of a path."""

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_WEB: Final = frozenset({"http", "https"})
_LINE_END: Final = re.compile(r"\s*[\r\n\t]\s*|\s{2,}")


def resolve(base: str, reference: str) -> str | None:
    """Resolve a link against the URL of its document (RFC 3986 sec. 5.2).

    Parameters
    ----------
    base
        An absolute URL.
    reference
        As the document has it. White space around it, and what breaks it into lines, does not belong to it
        (RFC 3986 app. C).

    Returns
    -------
    str | None
        An http or https URL; None if the link is none.
    """
    reference = _LINE_END.sub("", reference.strip())
    try:
        link, on = urlsplit(reference), urlsplit(base)
        if link.scheme and (link.scheme not in _WEB or not link.hostname):
            return None
        link.port  # noqa: B018  (which raises if it is none)
    except ValueError:
        return None
    if not reference:
        return None
    if link.scheme:
        target = link._replace(path=_without_dots(link.path))
    elif link.netloc:
        target = link._replace(scheme=on.scheme, path=_without_dots(link.path))
    elif not link.path:
        target = on._replace(query=link.query or on.query, fragment=link.fragment)
    else:
        path = link.path if link.path.startswith("/") else f"{on.path.rpartition('/')[0]}/{link.path}"
        target = on._replace(path=_without_dots(path), query=link.query, fragment=link.fragment)
    return urlunsplit(target)


def _without_dots(path: str) -> str:
    """Remove the segments "." and ".." from a path (RFC 3986 sec. 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments):
        is_last = number == len(segments) - 1
        if segment == "..":
            # The empty segment before the first slash stays.
            del kept[max(len(kept) - 1, 1) :]
        if segment not in {".", ".."}:
            kept.append(segment)
        elif is_last:
            kept.append("")
    return "/".join(kept)
