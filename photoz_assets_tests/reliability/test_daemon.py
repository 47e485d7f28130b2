"""A run under Dagster's daemon is killed, and the daemon with it: the next run is dequeued, and completes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.effort import SOAK
from photoz_assets_tests.reliability.proxy import POLL, Fault, rewritten
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.world import TRACT, World, lost_and_wrong

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for the run's process in /proc"),
]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KILLED = FaultRecord(
    "Process", "kill -9 of a queued run's process and of the daemon", "while the archive runs the query; one slot for queries",
    "after a restart of the daemon, the next run goes on with the archive's job", jobs=1,
)  # fmt: skip
REFUSED = FaultRecord(
    "Service", "a query that fails, in a run that may be retried twice", "phase ERROR to a queued run with the tag `dagster/max_retries`",
    "refused; no layer of Dagster's retries asks again", jobs=1,
)  # fmt: skip
FAULTS = [KILLED.fault, REFUSED.fault]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Deployment:
    """A Dagster home with the deployment's settings, and the processes that are started in it."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        shutil.copy(ROOT / "deploy" / "dagster.yaml", self.home)
        self._variables = variables | {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DAGSTER_HOME": str(self.home),
        }

    def command(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command of Dagster's, in a process group of its own."""
        with (self.home / "output").open("ab") as output:
            return subprocess.Popen(
                [BIN / words[0], *words[1:], "-m", "photoz_assets.definitions"],
                cwd=ROOT, env=self._variables, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def queue(self, **more_tags: str) -> str:
        """Put a run of the tract into the queue; give its id."""
        run_id = str(uuid.uuid4())
        config = {"resources": {"archive": {"config": {"max_concurrent_queries": 1}}}}
        tags = {"dagster/partition": str(TRACT)} | more_tags
        words = ["-j", "refresh_tracts", "--run-id", run_id, "--tags", json.dumps(tags)]
        assert self.command("dagster", "job", "launch", *words, "--config-json", json.dumps(config)).wait(120) == 0
        return run_id

    def processes(self) -> list[int]:
        """List the living processes of this home."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.home).encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def kill(self, daemon: "subprocess.Popen[bytes]") -> None:
        """Kill all of them at once, as a machine that goes down does."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        daemon.wait()
        wait_until(lambda: self.processes() == [])


@pytest.mark.skipif(not SOAK, reason="make soak runs it")
def test_run_and_daemon_that_are_killed_do_not_block_the_next_run(
    world: World, truth: pa.Table, tmp_path: Path
) -> None:
    before = world.digest()
    world.proxy.faults = [Fault(POLL, rewritten(b"COMPLETED", b"EXECUTING"))]
    deployment = Deployment(
        tmp_path, {"PHOTOZ_TAP_URL": f"{world.proxy.base}/tap", "PHOTOZ_DATA_DIR": str(world.lake.root)}
    )
    # In a new folder, one process has to set up Dagster's databases before another opens them.
    with dg.DagsterInstance.from_config(str(deployment.home)) as instance:
        try:
            daemon = deployment.command("dagster-daemon", "run")
            deployment.queue()
            wait_until(lambda: len(world.proxy.asked_for(POLL)) > 4)
            deployment.kill(daemon)
            assert world.digest() == before
            assert world.leftovers(), "the archive's job is on record"
            world.proxy.faults = []
            daemon = deployment.command("dagster-daemon", "run")
            following = deployment.queue()
            wait_until(lambda: any(run.is_success for run in instance.get_runs(dg.RunsFilter([following]))))
        finally:
            deployment.kill(daemon)
    assert world.digest() != before
    assert world.proxy.jobs == KILLED.jobs
    assert world.leftovers() == []
    lost, wrong = lost_and_wrong(world.rows(), truth)
    assert (lost, wrong) == (0, 0)
    note(KILLED)


def test_query_that_fails_is_not_asked_again_by_any_layer_of_retries(
    world: World, one_tract: ArchiveServer, tmp_path: Path
) -> None:
    before = world.digest()
    one_tract.faults = Faults(error_text="disk on fire")
    deployment = Deployment(
        tmp_path, {"PHOTOZ_TAP_URL": f"{world.proxy.base}/tap", "PHOTOZ_DATA_DIR": str(world.lake.root)}
    )
    with dg.DagsterInstance.from_config(str(deployment.home)) as instance:
        daemon = deployment.command("dagster-daemon", "run")
        try:
            run_id = deployment.queue(**{"dagster/max_retries": "2"})
            failed = dg.RunsFilter([run_id], statuses=[dg.DagsterRunStatus.FAILURE])
            # The tag comes with the failure, or a moment later; it is what the daemon goes by.
            wait_until(lambda: any("dagster/will_retry" in run.tags for run in instance.get_runs(failed)))
            assert instance.get_runs(failed)[0].tags["dagster/will_retry"] == "false"
            assert len(instance.get_runs()) == 1
        finally:
            deployment.kill(daemon)
    assert world.proxy.jobs == REFUSED.jobs
    assert world.digest() == before
    assert world.leftovers() == []
    note(REFUSED)
