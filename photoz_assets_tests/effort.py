"""How much of a long test is done: a part in ``make test``, all of it in ``make soak``."""

import os
from typing import Final

SOAK: Final = os.environ.get("PHOTOZ_SOAK") == "1"


def effort(test: int, soak: int) -> int:
    """Choose between the two."""
    return soak if SOAK else test
