"""Dagster's instance is set up once, by whichever command is the first on its folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The command with everything loaded, so that several can be let go at the same moment.
COMMAND = """
import sys
import photoz_assets.status, photoz_assets.definitions
from photoz_assets.cli import main
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
        assert "157 missing" in said
