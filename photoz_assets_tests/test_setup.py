"""Set-up: what is missing ends in one line that says what to do; what is current is left alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that set-up reads, in a folder whose name has a space."""
    folder = tmp_path / "a checkout"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/setup.sh"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _make(checkout: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    make = shutil.which("make")
    assert make is not None
    return subprocess.run(
        [make, "venv"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"]} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _commands(folder: Path, *names: str, python: str) -> str:
    """Make a folder of commands: the named ones of this machine, and a python3 that is a given script."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    (folder / "python3").write_text(f"#!/bin/sh\n{python}\n")
    (folder / "python3").chmod(0o755)
    return str(folder)


TOOLS = ("sh", "cat", "cksum", "sed", "awk", "grep", "tail", "mv", "rm", "flock")


def test_no_python_that_is_new_enough_ends_in_one_line(checkout: Path, tmp_path: Path) -> None:
    path = _commands(tmp_path / "bin", *TOOLS, python="exit 1")
    ended = _make(checkout, PATH=path)
    assert ended.returncode != 0
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("photoz_assets:")]
    assert "no Python 3.11 or newer was found: install one" in line
    assert not (checkout / ".venv").exists()


def test_wrong_interpreter_is_named(checkout: Path) -> None:
    ended = _make(checkout, PYTHON="/bin/false")
    assert ended.returncode != 0
    assert "PYTHON=/bin/false is no Python 3.11 or newer" in ended.stderr


def test_help_lists_the_commands() -> None:
    make = shutil.which("make")
    assert make is not None
    asked = subprocess.run([make, "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    for command in ("demo", "test", "ui", "check", "bench", "clean"):
        assert f"make {command}" in asked.stdout
