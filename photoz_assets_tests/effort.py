"""How much of a long test is done: a part in ``make test``, all of it in ``make soak``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

SOAK: Final = os.environ.get("PHOTOZ_SOAK") == "1"
Extent = TypeVar("Extent")


def effort(test: Extent, soak: Extent) -> Extent:
    """Choose between the two."""
    return soak if SOAK else test


@dataclass
class Progress:
    """Says at each tenth of a long test how far it has come."""

    say: Callable[[str], None]
    what: str
    total: int
    done: int = 0

    def step(self) -> None:
        """Take note of one more."""
        self.done += 1
        if self.done % max(1, self.total // 10) == 0:
            self.say(f"{self.done} of {self.total} {self.what}")
