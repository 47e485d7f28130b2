"""STILTS, the command-line twin of TOPCAT, as a client of the archive; Debian's package ``stilts`` has it."""

import shutil
import subprocess

import pytest

COMMAND = shutil.which("stilts")

needs_stilts = pytest.mark.skipif(COMMAND is None, reason="STILTS is not installed (Debian's package stilts)")


def run_stilts(task: str, *arguments: str) -> str:
    """Run a task and return its output, whatever its exit status says."""
    done = subprocess.run(
        [COMMAND or "stilts", task, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    return done.stdout + done.stderr
