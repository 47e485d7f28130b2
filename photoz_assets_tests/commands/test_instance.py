"""Dagster's instance is set up once, by whichever command is the first on its folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from photoz_assets.lake.locks import FileLock
from photoz_assets.survey.dp02 import TRACTS

# The command with everything loaded, so that several can be let go at the same moment.
COMMAND = """
import sys
import photoz_assets.commands.status, photoz_assets.definitions
from photoz_assets.commands.cli import main
print("loaded", flush=True)
sys.stdin.readline()
main(["status"])
"""


@pytest.mark.slow
def test_commands_that_start_together_on_an_empty_folder_set_it_up_once(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            env=os.environ | {"DAGSTER_HOME": str(tmp_path / "home")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    for command in started:
        assert command.stdout is not None
        assert command.stdout.readline() == "loaded\n"
    for command in started:
        assert command.stdin is not None
        command.stdin.write("\n")
        command.stdin.flush()
    for command in started:
        said, _ = command.communicate(timeout=120)
        assert command.returncode == 0, said
        assert f"{len(TRACTS)} missing" in said


def test_command_says_for_whom_it_waits(tmp_path: Path) -> None:
    lock = FileLock.acquire(tmp_path / ".setting-up")
    assert lock is not None
    lock.write("process 4711")
    with subprocess.Popen(
        [sys.executable, "-c", "from photoz_assets.commands.cli import main; main(['status'])"],
        env=os.environ | {"DAGSTER_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        lock.release()
        shown, more = waiting.communicate(timeout=120)
    assert "process 4711" in said
    assert str(tmp_path) in said
    assert more == ""
    assert f"{len(TRACTS)} missing" in shown
