"""Tracts come, change and go, and what follows from them is killed at random moments: in the end all is as anew."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from photoz_assets.lake.layout import Lake
from photoz_assets_tests.effort import SOAK
from photoz_assets_tests.reliability.records import SoakRecord, note_soak
from photoz_assets_tests.reliability.training import (
    Following,
    digests,
    exported_samples,
    model_digest,
    put_tract,
    remove_tract,
)
from photoz_assets_tests.reliability.world import leftovers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not SOAK, reason="make soak runs it; photoz/test_exports and orchestration show its parts"),
]

SEED: Final = 20261127
KILLS: Final = 20
TRACTS: Final = (3636, 3637, 3638, 3639)
FEWEST: Final = 2


def _whole(root: Path, changed: list[int]) -> tuple[float, int]:
    """Make all that follows; give the seconds that it was at work, and how many models it has fitted."""
    following = Following(root, changed)
    begun = _begin(following)
    following.process.join(600)
    assert following.process.exitcode == 0
    return time.monotonic() - begun, following.fitted


def _begin(following: Following) -> float:
    deadline = time.monotonic() + 120
    while not following.has_begun:
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.001)
    return time.monotonic()


def _change(lake: Lake, held: dict[int, int], chance: random.Random) -> tuple[str, list[int]]:
    """Add, refresh, repeat or remove a tract; give what was done, and the tracts whose features are to be made."""
    missing = [tract for tract in TRACTS if tract not in held]
    kinds = [
        "refreshed",
        "repeated",
        *(["added"] if missing else []),
        *(["removed"] if len(held) > FEWEST else []),
    ]
    kind = chance.choice(kinds)
    tract = chance.choice(missing if kind == "added" else sorted(held))
    if kind == "removed":
        del held[tract]
        remove_tract(lake, tract)
        return kind, []
    held[tract] = held.get(tract, chance.randrange(2)) + (kind == "refreshed")
    put_tract(lake, tract, held[tract])
    return kind, [tract]


def test_what_follows_is_as_from_scratch_whatever_came_between(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    started, chance, lake = time.monotonic(), random.Random(SEED), Lake(tmp_path / "lake")
    held = dict.fromkeys(TRACTS[:FEWEST], 0)
    for tract, version in held.items():
        put_tract(lake, tract, version)
    longest, _ = _whole(lake.root, list(held))
    done, struck, midway, spared = Counter[str](), 0, 0, 0
    scratch: dict[frozenset[tuple[int, int]], Mapping[str, str]] = {}
    for number in range(KILLS):
        former, before = model_digest(lake), digests(lake)
        kind, changed = _change(lake, held, chance)
        killed = Following(lake.root, changed)
        _begin(killed)
        killed.process.join(chance.uniform(0, longest))
        killed.process.kill()
        killed.process.join()
        struck += killed.process.exitcode == -signal.SIGKILL
        # Each table is whole, and the files of an export are of one sample.
        after = digests(lake)
        assert len(exported_samples(lake)) == 1
        found = model_digest(lake)
        # A machine's load changes: the next kill goes by what a whole run takes now.
        longest, fitted = _whole(lake.root, changed)
        needed = model_digest(lake)
        assert (fitted == 0) == (found == needed)
        if former == needed:
            assert killed.fitted == 0
        state = frozenset(held.items())
        if state not in scratch:
            scratch[state] = _of_scratch(tmp_path / f"scratch-{number}", held)
        assert digests(lake) == scratch[state]
        assert leftovers(lake) == []
        assert len(list((lake.root / "exports" / ".publications" / "rail").iterdir())) == 1
        done[kind] += 1
        midway += before != after != digests(lake)
        spared += fitted == 0
        tell(f"{number + 1} of {KILLS} kills, seed {SEED}, {time.monotonic() - started:.0f} s: {dict(done)}")
    assert struck > KILLS / 2
    changes = ", ".join(f"{times} {kind}" for kind, times in sorted(done.items()))
    note_soak(
        SoakRecord(
            "training sets, model and catalogue of tracts that come and go, killed",
            f"{KILLS} (seed {SEED}): {changes}",
            f"rows, order and digests as from scratch; {struck} struck before the end, {midway} of them between two "
            "tables; "
            f"{spared} of the next runs had nothing to fit",
        ),
        started,
    )


def _of_scratch(root: Path, held: dict[int, int]) -> Mapping[str, str]:
    """Return the digests of a lake of these tracts to which nothing happened, made in another order."""
    lake = Lake(root)
    for tract in sorted(held, reverse=True):
        put_tract(lake, tract, held[tract])
    _whole(root, sorted(held))
    return digests(lake)
