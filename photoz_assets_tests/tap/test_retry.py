import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoz_assets.tap.errors import Busy, Rejected, Transient
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets_tests.tap.faulty_server import Clock

POLICY = RetryPolicy(attempts=4, total_seconds=100.0, first_delay_seconds=1.0, longest_delay_seconds=3.0)


class Flaky:
    """Fails as told, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def retrying(clock: Clock, policy: RetryPolicy = POLICY) -> Retrying:
    return Retrying(policy=policy, clock=clock, sleep=clock.sleep)


def test_retrying_after_transient_errors_succeeds(clock: Clock) -> None:
    events: list[str] = []
    operation = Flaky(Transient("one"), Transient("two"))
    policy = Retrying(policy=POLICY, clock=clock, sleep=clock.sleep, on_event=events.append)
    assert policy(operation) == "done"
    assert operation.calls == 3
    assert [event.split(" in ")[0] for event in events] == ["retry 1", "retry 2"]
    assert events[0].endswith("one")


def test_retrying_what_is_busy_has_its_own_policy_and_count(clock: Clock) -> None:
    patient = RetryPolicy(attempts=9, total_seconds=900.0, first_delay_seconds=60.0)
    operation = Flaky(*[Transient("broken")] * 3, *[Busy("full")] * 8)
    assert Retrying(policy=POLICY, busy=patient, clock=clock, sleep=clock.sleep)(operation) == "done"
    operation = Flaky(*[Busy("full")] * 9)
    with pytest.raises(Busy):
        Retrying(policy=POLICY, busy=patient, clock=clock, sleep=clock.sleep)(operation)


def test_retrying_of_what_is_our_fault_does_not_happen(clock: Clock) -> None:
    operation = Flaky(Rejected("syntax"))
    with pytest.raises(Rejected, match="syntax"):
        retrying(clock)(operation)
    assert (operation.calls, clock.naps) == (1, [])


def test_retrying_ends_with_the_last_error_when_attempts_are_spent(clock: Clock) -> None:
    operation = Flaky(*[Transient(f"failure {number}") for number in range(1, 9)])
    with pytest.raises(Transient, match="failure 4"):
        retrying(clock)(operation)
    assert operation.calls == 4


def test_retrying_does_not_start_a_delay_that_the_total_time_does_not_allow(clock: Clock) -> None:
    operation = Flaky(Transient("busy", retry_after_seconds=101))
    with pytest.raises(Transient, match="busy") as caught:
        retrying(clock)(operation)
    assert caught.value.retry_after_seconds == 101
    assert clock.naps == []


def test_retrying_within_a_tighter_bound_keeps_it(clock: Clock) -> None:
    operation = Flaky(Transient("busy", retry_after_seconds=10))
    with pytest.raises(Transient):
        retrying(clock)(operation, within_seconds=5)


def test_retrying_waits_as_long_as_it_is_told(clock: Clock) -> None:
    retrying(clock)(Flaky(Transient("busy", retry_after_seconds=20)))
    assert 20 <= clock.naps[0] <= 21


@given(failures=st.integers(1, 3), fraction=st.floats(0, 1, exclude_max=True))
def test_delay_is_between_zero_and_its_capped_bound(failures: int, fraction: float) -> None:
    delay = POLICY.delay_seconds(failures, Transient("x"), fraction=fraction)
    assert delay is not None
    assert 0 <= delay <= {1: 1.0, 2: 2.0, 3: 3.0}[failures]


def test_delays_of_many_clients_spread(clock: Clock) -> None:
    for _ in range(50):
        retrying(clock)(Flaky(Transient("x")))
    assert max(clock.naps) - min(clock.naps) > 0.5
