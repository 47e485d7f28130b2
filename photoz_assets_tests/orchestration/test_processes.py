"""Several processes on one lake, by the command line that the design promises; a killed one blocks nobody."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets.lake.layout import Lake
from photoz_assets_tests.effort import SOAK
from photoz_assets_tests.reliability.proxy import POLL, Fault, FaultyProxy, rewritten

ROOT = Path(__file__).parents[2]
DAGSTER = Path(sys.executable).with_name("dagster")

pytestmark = pytest.mark.slow


def _start(
    tmp_path: Path, number: int, asset: str, tract: int | None = None, url: str | None = None
) -> "subprocess.Popen[str]":
    home = tmp_path / f"home-{number}"
    home.mkdir()
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DAGSTER_HOME": str(home),
        "PHOTOZ_DATA_DIR": str(tmp_path / "lake"),
        "PHOTOZ_ARCHIVE_DIR": str(tmp_path / "archive"),
        "PHOTOZ_ARCHIVE_DENSITY": "0.004",
    }
    if url:
        variables["PHOTOZ_TAP_URL"] = url
    command = [str(DAGSTER), "asset", "materialize", "-m", "photoz_assets.definitions", "--select", asset]
    if tract:
        command += ["--partition", str(tract)]
    return subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _rows(lake: Path, tract: int) -> tuple[int, int]:
    path = Lake(lake).table("matched_galaxies", tract)
    sql = "SELECT count(*), count(DISTINCT mt_match_objectId) FROM read_parquet(?)"
    [(rows, keys)] = duckdb.execute(sql, [str(path)]).fetchall()
    return rows, keys


@pytest.mark.skipif(not SOAK, reason="make soak runs it; reliability/test_processes shows the same in less time")
def test_processes_at_a_time_all_succeed_and_leave_whole_tables(tmp_path: Path) -> None:
    tracts = (3637, 3638, 3638)
    processes = [_start(tmp_path, number, "matched_galaxies", tract) for number, tract in enumerate(tracts)]
    for process in processes:
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output[-3000:]
    for tract in set(tracts):
        rows, keys = _rows(tmp_path / "lake", tract)
        assert rows == keys > 1000
    assert list((tmp_path / "lake" / ".work" / "staging").iterdir()) == []


def test_killed_run_blocks_nobody_and_leaves_no_table(tmp_path: Path, archive: ArchiveServer) -> None:
    lake = tmp_path / "lake"
    with FaultyProxy(archive.url).running() as proxy:
        assert isinstance(proxy, FaultyProxy)
        proxy.faults = [Fault(POLL, rewritten(b"COMPLETED", b"EXECUTING"))]
        killed = _start(tmp_path, 0, "matched_galaxies", 3638, f"{proxy.base}/tap")
        deadline = time.monotonic() + 120
        while not proxy.asked_for(POLL):
            assert killed.poll() is None, killed.communicate()[0][-3000:]
            assert time.monotonic() < deadline, "the run never waited for its job"
            time.sleep(0.01)
        # In the middle of its query: it holds a slot, and its job is on record.
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        assert list(lake.rglob("*.parquet")) == []
        assert len(list((lake / ".work" / "jobs").iterdir())) > 0
        proxy.faults = []
        following = _start(tmp_path, 1, "matched_galaxies", 3638, f"{proxy.base}/tap")
        output, _ = following.communicate(timeout=120)
    assert following.returncode == 0, output[-3000:]
    rows, keys = _rows(lake, 3638)
    assert rows == keys > 1000
    assert list((lake / ".work" / "jobs").iterdir()) == []
    assert list((lake / ".work" / "staging").iterdir()) == []
