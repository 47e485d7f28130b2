"""When a request is made again: a delay policy and the loop that obeys it.

Only `Transient` errors are retried: what else fails, fails again. Attempts and total time are both bounded. The
delays are exponential with full jitter, so that many clients that failed together do not come back together.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from photoz_assets.tap.errors import Transient

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how long an operation is retried.

    Full jitter as in M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): the delay is
    uniform between zero and an exponentially growing, capped bound.
    """

    attempts: int = 6
    total_seconds: float = 300.0
    first_delay_seconds: float = 1.0
    longest_delay_seconds: float = 60.0

    def delay_seconds(self, failures: int, error: Transient, *, fraction: float) -> float | None:
        """Say how long to wait before the next attempt.

        Parameters
        ----------
        failures
            How many attempts have failed, at least 1.
        error
            The last failure; a delay that it asks for is a lower bound of ours.
        fraction
            The jitter, uniform in [0, 1).

        Returns
        -------
        float | None
            Seconds; None if there is no next attempt.
        """
        if failures >= self.attempts:
            return None
        bound = min(self.longest_delay_seconds, self.first_delay_seconds * 2.0 ** (failures - 1))
        return (error.retry_after_seconds or 0.0) + fraction * bound


@dataclass(frozen=True, kw_only=True)
class Retrying:
    """Runs operations under a policy, with the clock and the sleep that it is given.

    ``on_event`` is told of every retry in one line.
    """

    policy: RetryPolicy
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    on_event: Callable[[str], None] = logging.getLogger(__name__).info

    def __call__(self, operation: Callable[[], T], *, within_seconds: float | None = None) -> T:
        """Run the operation until it succeeds, fails for good or the policy is spent.

        Parameters
        ----------
        operation
            Idempotent, or harmless when done twice.
        within_seconds
            A bound on the total time that is tighter than the policy's.

        Raises
        ------
        ArchiveError
            The operation's last error, unchanged.
        """
        started = self.clock()
        budget = (
            self.policy.total_seconds if within_seconds is None else min(self.policy.total_seconds, within_seconds)
        )
        failures = 0
        while True:
            try:
                return operation()
            except Transient as error:
                failures += 1
                # Jitter needs spread, not secrecy.
                fraction = random.random()  # noqa: S311
                delay = self.policy.delay_seconds(failures, error, fraction=fraction)
                if delay is None or self.clock() - started + delay > budget:
                    raise
                self.on_event(f"retry {failures} of {self.policy.attempts - 1} in {delay:.1f} s: {error.message}")
            self.sleep(delay)
