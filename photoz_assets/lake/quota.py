"""A quota: how much the processes of one machine ask of an archive in a minute, which counts it a user.

When each was asked stands in a file, which is locked for the moment of looking and noting.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from photoz_assets.lake.locks import locked

_WINDOW_SECONDS: Final = 60.0
_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Quota:
    """So many requests in any minute, of all that share the file.

    ``path`` is the file, ``per_minute`` the bound; ``log`` is told of each wait. ``clock`` has the time of day in
    seconds, which processes share, and ``sleep`` lets it pass.
    """

    path: Path
    per_minute: int
    log: Callable[[str], None] = _LOGGER.info
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def take(self) -> None:
        """Wait until one more is allowed, and note it.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while (seconds := self._note()) > 0:
            self.log(f"the quota of {self.per_minute} a minute is used up: waiting for {seconds:.0f} s")
            self.sleep(seconds)

    def _note(self) -> float:
        """Note a request and return 0, or return the seconds until there is room for one."""
        with locked(self.path):
            now = self.clock()
            noted = map(float, self.path.read_text().split())
            # A clock that was set back leaves times to come, which say nothing.
            times = [moment for moment in noted if now - _WINDOW_SECONDS < moment <= now]
            if len(times) >= self.per_minute:
                return times[-self.per_minute] + _WINDOW_SECONDS - now
            self.path.write_text("\n".join(map(repr, [*times, now])))
            return 0.0
