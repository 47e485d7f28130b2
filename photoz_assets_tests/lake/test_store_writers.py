"""A lake in an object store under readers, kills, exceptions and many writers: the old or the new, never else."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from photoz_assets.environment import StoreUrl
from photoz_assets.lake.layout import Lake
from photoz_assets_tests.effort import effort
from photoz_assets_tests.object_store import ObjectStore, needs_object_store
from photoz_assets_tests.reliability.stages import Timeline

deltalake = pytest.importorskip("deltalake", reason="needs the extra s3")
from photoz_assets_tests.lake.store_workers import (  # noqa: E402 - as above
    READERS,
    STAGES,
    TRACT,
    filling,
    forking,
    publication,
    publish,
    publishing,
    reading,
    variables_of,
)

pytestmark = [needs_object_store, pytest.mark.slow, pytest.mark.timeout(3600)]

SEED: Final = 20261127
REPUBLICATIONS: Final = effort(8, 200)
INTERRUPTIONS: Final = effort(8, 200)
WRITERS: Final = effort(4, 16)
TRACTS_EACH: Final = effort(3, 10)


def files_in_log(lake: Lake) -> list[str]:
    return sorted(deltalake.DeltaTable(f"{lake.name}/matched_galaxies").file_uris())


@pytest.fixture
def variables(object_store: ObjectStore, place: StoreUrl, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Return the environment of a machine of a name."""
    return lambda name: variables_of(object_store.variables, place, tmp_path / name)


def test_readers_of_each_kind_see_the_old_or_the_new(
    variables: Callable[[str], dict[str, str]], machine: Callable[[str], Lake], tell: Callable[[str], None]
) -> None:
    lake, begun = machine("writer"), time.monotonic()
    publish(lake, 0)
    counts = {reader: forking().Array("l", 3) for reader in READERS}
    processes = [reading(reader, variables(reader), counts[reader]) for reader in READERS]
    for number in range(1, REPUBLICATIONS + 1):
        publish(lake, number)
        if number % 20 == 0:
            tell(f"{number} republications, {time.monotonic() - begun:.0f} s")
    # Those that are slow to start have read too.
    while not all(each[1] or each[2] for each in counts.values()) and all(each.is_alive() for each in processes):
        time.sleep(0.05)
    for each in counts.values():
        each[0] = 1
    for process in processes:
        process.join(120)
    tell(f"reads, whole and else: { {reader: tuple(each[1:]) for reader, each in counts.items()} }")
    assert [process.exitcode for process in processes] == [0] * len(processes)
    assert all(each[1] for each in counts.values())
    assert {reader: each[2] for reader, each in counts.items()} == dict.fromkeys(READERS, 0)


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_publication_that_is_stopped_at_a_random_moment_is_whole_or_none(
    how: str,
    variables: Callable[[str], dict[str, str]],
    machine: Callable[[str], Lake],
    tell: Callable[[str], None],
) -> None:
    lake, reader, begun = machine("writer"), machine("reader"), time.monotonic()
    publish(lake, 0)
    whole = Timeline(forking(), STAGES)
    process = publishing(variables("writer"), 1, whole)
    process.join(120)
    assert process.exitcode == 0
    chance, hits, old, came = random.Random(SEED), Counter[str](), 1, 0
    for number in range(2, 2 + INTERRUPTIONS // 2):
        aim = chance.choice(STAGES[1:-1])
        timeline = Timeline(forking(), STAGES)
        process = publishing(variables("writer"), number, timeline)
        until = time.monotonic() + 120
        while process.is_alive() and not timeline.is_in_or_after(aim):
            assert time.monotonic() < until, f"{aim} never began"
            time.sleep(0.001)
        process.join(chance.uniform(0, whole.seconds(aim)))
        getattr(process, how)()
        process.join(120)
        assert process.exitcode is not None
        hits[timeline.stage] += 1
        found = publication(READERS["connect"](reader.name))
        assert found in {old, number}
        came += found == number
        old = found
        assert len(files_in_log(reader)) == 1
        if how == "terminate":
            assert list(lake.staging.iterdir()) == []
        if number % 10 == 9:
            tell(f"{number - 1} times {how}, {time.monotonic() - begun:.0f} s: {dict(hits)}, {came} new")
    publish(lake, 2 + INTERRUPTIONS)
    assert publication(READERS["connect"](reader.name)) == 2 + INTERRUPTIONS
    assert list(lake.staging.iterdir()) == []
    # Nothing of the former ones is left but what the log's versions need, once it is swept.
    assert lake.store is not None
    lake.store.vacuum(0, dry_run=False)
    assert publication(READERS["connect"](reader.name)) == 2 + INTERRUPTIONS
    tell(f"{INTERRUPTIONS // 2} times {how}, seed {SEED}: {dict(hits)}; {came} had come, the others had not")


@pytest.mark.parametrize("machines", ["one", "many"])
def test_of_many_writers_at_once_all_publish(
    machines: str,
    variables: Callable[[str], dict[str, str]],
    machine: Callable[[str], Lake],
    tell: Callable[[str], None],
) -> None:
    begun = time.monotonic()
    names = ["one" if machines == "one" else f"{writer}" for writer in range(WRITERS)]
    tracts = range(TRACT, TRACT + WRITERS * TRACTS_EACH)
    processes = [filling(variables(name), list(tracts[writer::WRITERS])) for writer, name in enumerate(names)]
    for process in processes:
        process.join(1800)
    assert [process.exitcode for process in processes] == [0] * WRITERS
    lake = machine("reader")
    assert lake.tracts("matched_galaxies") == tuple(tracts)
    assert len(files_in_log(lake)) == WRITERS * TRACTS_EACH
    tell(f"{WRITERS} writers on {machines}: {WRITERS * TRACTS_EACH} tables in {time.monotonic() - begun:.0f} s")
