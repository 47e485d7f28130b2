"""Words of others, such as an archive's messages and texts, made fit to be shown on terminals and pages."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# Of more than this nothing can be left in a line: it is not even looked at.
_CONSIDERED: Final = 1 << 16


def one_line(text: str, most: int = 500) -> str:
    """Make one plain line of a text: without control characters and line breaks, cut where it is too long.

    Parameters
    ----------
    text
        Of any size.
    most
        The most characters to keep; dots mark where more were.
    """
    plain = (" " if unicodedata.category(each).startswith("C") else each for each in text[:_CONSIDERED])
    line = " ".join("".join(plain).split())
    return line if len(line) <= most and len(text) <= _CONSIDERED else f"{line[:most]}..."


def listed(tracts: Iterable[int], most: int | None = None) -> str:
    """Name tracts for people: all, or the first of many and how many more there are; 'none' without any."""
    numbers = list(tracts)
    shown = numbers if most is None else numbers[:most]
    more = f" and {len(numbers) - len(shown)} more" if len(numbers) > len(shown) else ""
    return f"{', '.join(map(str, shown)) or 'none'}{more}"


def code_span(text: str) -> str:
    """Quote a line within Markdown, also within its tables, so that nothing in it is taken for markup."""
    fence = "`" * (1 + _longest_fence(text))
    return f"{fence} {text} {fence}".replace("|", "\\|") if text.strip() else ""


def fenced(sql: str) -> str:
    """Quote a query as Markdown, in a fence that is longer than any within it: names in it are the archive's."""
    fence = "`" * max(3, 1 + _longest_fence(sql))
    return f"{fence}sql\n{sql}\n{fence}"


def _longest_fence(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
