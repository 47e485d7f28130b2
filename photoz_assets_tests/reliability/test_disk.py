"""A disk that is full or read-only, as a file system of its own: nothing is lost, and the message says what to do."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from photoz_assets.storage.lake import Lake
from photoz_assets_tests.reliability.records import FaultRecord, note, recording
from photoz_assets_tests.reliability.world import World

FULL = FaultRecord(
    "Process", "disk full at each write", "a file system that fills up after 0, 32, 64 ... kB",
    "refused: the disk failed; the last good table stays until all fits", jobs=1,
)  # fmt: skip
READ_ONLY = FaultRecord(
    "Process",
    "read-only lake",
    "a file system that is mounted so",
    "refused: the disk failed, before anything is asked",
    jobs=0,
)
CLOCK = FaultRecord(
    "Process", "clock jumps", "the time of day jumps by a day at each look", "recovered", retries=0, jobs=1
)
FAULTS = [FULL.fault, READ_ONLY.fault, CLOCK.fault]

Remount = Callable[[str], None]


@pytest.fixture
def small_disk(world: World, tmp_path: Path) -> Iterator[Remount]:
    """Move the world's lake to a file system of 4 MB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    attempt = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "photoz", mounted], check=False)  # noqa: S607
    if attempt.returncode:
        pytest.skip("this machine does not let us mount a file system")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", mounted], check=True)  # noqa: S607

    try:
        shutil.copytree(world.lake.root, mounted / "lake")
        world.lake = Lake(mounted / "lake")
        yield remount
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)  # noqa: S607


@pytest.mark.usefixtures("small_disk")
def test_disk_that_is_full_at_any_write_keeps_the_last_good_table(world: World, truth: pa.Table) -> None:
    before = world.digest()
    filler = world.lake.root.parent / "filler"
    left_bytes, refused = 0, 0
    while True:
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(shutil.disk_usage(world.lake.root).free - left_bytes))
        outcome = world.refresh()
        assert world.rows().equals(truth)
        if outcome.error is None:
            break
        refused += 1
        assert "the disk failed" in outcome.text
        assert "Free some space" in str(outcome.error)
        assert world.digest() == before
        filler.unlink()
        assert world.leftovers() == []
        left_bytes += 32_768
    assert refused > 3
    note(FULL)


def test_lake_that_is_read_only_is_refused_before_anything_is_asked(
    world: World, small_disk: Remount, truth: pa.Table
) -> None:
    small_disk("ro")
    outcome = world.refresh()
    assert "Read-only file system" in outcome.text
    assert world.proxy.jobs == 0
    assert world.rows().equals(truth)
    small_disk("rw")
    assert world.refresh().error is None
    note(READ_ONLY)


def test_clock_that_jumps_changes_nothing(world: World, truth: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    true_time, jumps = time.time, iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: true_time() + (-1) ** next(jumps) * 86_400)
    outcome = world.refresh()
    assert outcome.error is None
    assert world.rows().equals(truth)
    note(replace(CLOCK, retries=outcome.retries, jobs=world.proxy.jobs))


def test_faults_that_need_root_are_listed_though_they_are_skipped() -> None:
    if not recording() and os.geteuid() != 0:
        note(FULL)
        note(READ_ONLY)
