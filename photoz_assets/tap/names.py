"""Names as ADQL compares them."""

import string
from typing import Final

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(name: str) -> str:
    """Return a name in lower case, in ASCII alone: two names of an archive are one where their folds are equal.

    ADQL's regular identifiers are ASCII (ADQL 2.1 sec. 2.1.2); what Unicode takes for the same letter, such as the
    Kelvin sign for a k, is another name.
    """
    return name.translate(_LOWER)
