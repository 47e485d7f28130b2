"""A disk that is full or read-only, as a file system of its own: nothing is lost, and the message says what to do."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from photoz_assets.lake.audit import audit
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.survey.checks import KeyRule
from photoz_assets_tests.reliability.records import FaultRecord, note, recording
from photoz_assets_tests.reliability.world import TRACT, World
from photoz_assets_tests.runs import Runs

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
FIGURES = FaultRecord(
    "Process", "disk full while figures are drawn", "a file system that fills up after 0 and 200 kB",
    "refused: the disk failed; each figure is the last good one until it is whole", jobs=0,
)  # fmt: skip
SPILL = FaultRecord(
    "Process", "disk full while the audit spills", "ten million keys, and a file system of 4 MB to spill to",
    "refused: the disk failed",
)  # fmt: skip
FAULTS = [FULL.fault, READ_ONLY.fault, CLOCK.fault, FIGURES.fault, SPILL.fault]

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


@pytest.mark.usefixtures("small_disk")
def test_disk_that_is_full_while_figures_are_drawn_keeps_the_last_good_ones(world: World) -> None:
    def figures() -> dict[str, str]:
        found = world.lake.figure("diagnostics", "any", TRACT).parent.iterdir()
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    runs = Runs(f"{world.proxy.base}/tap", world.lake.root)
    assert runs("diagnostics", tract=TRACT).success
    before = figures()
    filler = world.lake.root.parent / "filler"
    for left_bytes in (0, 200_000):
        filler.write_bytes(bytes(shutil.disk_usage(world.lake.root).free - left_bytes))
        run = runs("diagnostics", tract=TRACT)
        filler.unlink()
        assert not run.success
        assert "the disk failed" in run.failure
        assert "\n" not in run.failure
        assert figures() == before
        assert world.leftovers() == []
    assert world.proxy.jobs == 0
    note(FIGURES)


@pytest.mark.usefixtures("small_disk")
def test_disk_that_is_full_while_the_audit_spills_is_said_in_one_line(world: World, tmp_path: Path) -> None:
    keys = tmp_path / "keys.parquet"
    duckdb.execute("COPY (SELECT range AS key FROM range(10_000_000)) TO ? (FORMAT parquet)", [str(keys)])
    rules, spill = [KeyRule(check="unique", columns=("key",))], world.lake.root / "spill"
    with pytest.raises(dg.Failure, match=r"^the disk failed.*Free some space") as failed, as_dagster_failure():
        audit(keys, rules, spill=spill)
    assert "\n" not in str(failed.value.description)
    note(SPILL)


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
        for record in (FULL, READ_ONLY, FIGURES, SPILL):
            note(record)
