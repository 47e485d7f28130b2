"""When a request is made again: a delay policy and the loop that obeys it.

Only `Transient` errors are retried: what else fails, fails again. Attempts and total time are both bounded; a
service that is `Busy` may be given other bounds than one that is broken. The delays are exponential with full
jitter, so that many clients that failed together do not come back together.
"""

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from photoz_assets.tap.errors import Busy, Transient

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
        """Return how long to wait before the next attempt.

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

    ``on_event`` is told of every retry in one line; ``busy`` is the policy for `Busy` errors, where it differs.
    """

    policy: RetryPolicy
    busy: RetryPolicy | None = None
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
            A bound on the total time that is tighter than the policies'.

        Raises
        ------
        ArchiveError
            The operation's last error, unchanged.
        """
        started = self.clock()
        failures: Counter[RetryPolicy] = Counter()
        while True:
            try:
                return operation()
            except Transient as error:
                policy = self.busy if self.busy and isinstance(error, Busy) else self.policy
                failures[policy] += 1
                # Jitter needs spread, not secrecy.
                fraction = random.random()  # noqa: S311
                delay = policy.delay_seconds(failures[policy], error, fraction=fraction)
                budget = min(policy.total_seconds, math.inf if within_seconds is None else within_seconds)
                if delay is None or self.clock() - started + delay > budget:
                    raise
                self.on_event(f"retry {failures[policy]} in {delay:.1f} s: {error.message}")
            self.sleep(delay)
