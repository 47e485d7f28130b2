"""The quota: what two processes ask of an archive together stays below its bound in any minute."""

from dataclasses import dataclass, field
from pathlib import Path

from photoz_assets.lake.quota import Quota


@dataclass
class Time:
    """A clock that passes when somebody sleeps."""

    now: float = 1_000_000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_quota_is_shared_by_all_that_name_the_file_and_waits_no_longer_than_it_must(tmp_path: Path) -> None:
    time, said = Time(), list[str]()

    def quota() -> Quota:
        place = tmp_path / "quotas" / "cutouts"
        return Quota(path=place, per_minute=3, log=said.append, clock=lambda: time.now, sleep=time.sleep)

    one, other = quota(), quota()
    taken = []
    for each in (one, other, one, other, one, other, other):
        each.take()
        taken.append(time.now)
        time.now += 10
    assert all(later - earlier >= 60 for earlier, later in zip(taken, taken[3:], strict=False))
    assert time.slept == [30.0, 30.0]
    assert said[0] == "the quota of 3 a minute is used up: waiting for 30 s"


def test_clock_that_was_set_back_stops_nobody(tmp_path: Path) -> None:
    time = Time()
    quota = Quota(path=tmp_path / "cutouts", per_minute=1, clock=lambda: time.now, sleep=time.sleep)
    quota.take()
    time.now -= 86_400
    quota.take()
    assert time.slept == []
