"""A real run that is told to end: its query is stopped at the archive, and nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoz_assets_tests.reliability.proxy import PHASE, POLL, Fault, rewritten
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.world import CANARY, TRACT, World

ROOT = Path(__file__).parents[2]
STOPPED = FaultRecord(
    "Process", "SIGTERM while the archive runs the query", "sent to the process of `dagster asset materialize`",
    "the job is aborted and deleted at the archive; the last good table stays", retries=0, jobs=1,
)  # fmt: skip
FAULTS = [STOPPED.fault]


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def running(world: World, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run by the command line, whose query never ends."""
    world.proxy.faults = [Fault(POLL, rewritten(b"COMPLETED", b"EXECUTING"))]
    (tmp_path / "home").mkdir()
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "PHOTOZ_DATA_DIR": str(world.lake.root),
        "PHOTOZ_TAP_URL": f"{world.proxy.base}/tap",
        "PHOTOZ_TAP_TOKEN": CANARY,
    }
    command = [
        Path(sys.executable).with_name("dagster"),
        "asset",
        "materialize",
        "-m",
        "photoz_assets.definitions",
    ]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            [*map(str, command), "--select", "matched_galaxies", "--partition", str(TRACT)],
            cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        yield process
        process.kill()
        process.wait()


def test_run_that_is_told_to_end_aborts_and_deletes_its_job(
    world: World, running: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    before = world.digest()
    wait_until(lambda: len(world.proxy.asked_for(POLL)) > 4, running)
    assert CANARY.encode() not in Path(f"/proc/{running.pid}/cmdline").read_bytes()
    running.send_signal(signal.SIGTERM)
    running.wait(60)
    assert [request.parameters["PHASE"] for request in world.proxy.asked_for(PHASE)] == ["RUN", "ABORT"]
    assert [request.method for request in world.proxy.requests][-1] == "DELETE"
    assert world.digest() == before
    assert world.leftovers() == []
    reported = (tmp_path / "output").read_bytes()
    assert reported
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []
    note(STOPPED)
