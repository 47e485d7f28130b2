"""Dagster's instance is set up once, by whichever command is the first on its folder."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import OperationalError

from photoz_assets.commands.cli import main
from photoz_assets.commands.instance import InstanceError, open_instance
from photoz_assets.lake.locks import FileLock
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.effort import effort

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
        for _ in range(effort(2, 4))
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
        assert f"{len(DP02.tracts)} missing" in said


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
    assert f"{len(DP02.tracts)} missing" in shown


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Dagster's that nobody has set up."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


def _status() -> Result:
    return CliRunner().invoke(main, ["status"])


@pytest.mark.parametrize("former", [None, ""], ids=["none", "an empty one"])
def test_settings_are_laid_down_where_there_are_none(home: Path, former: str | None) -> None:
    if former is not None:
        (home / "dagster.yaml").write_text(former)
    with open_instance(home, click.echo) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
    assert not list(home.glob(".dagster.yaml*"))


def test_settings_that_are_there_stay(home: Path) -> None:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with open_instance(home, click.echo) as instance:
        assert not instance.run_monitoring_enabled
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A small file system in the place of Dagster's folder."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    attempt = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "photoz", home], check=False)  # noqa: S607
    if attempt.returncode:
        pytest.skip("this machine does not let us mount a file system")
    yield home
    subprocess.run(["umount", "-l", home], check=True)  # noqa: S607


@pytest.mark.parametrize("left", [0, 4096], ids=["none left", "a page left"])
def test_first_start_on_a_full_disk_names_the_file_and_leaves_no_empty_settings(
    small_disk: Path, left: int
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - left))
    refused = _status()
    assert refused.exit_code == 1
    [line] = refused.output.strip().splitlines()
    assert str(small_disk / ("dagster.yaml" if left == 0 else "")) in line
    filler.unlink()
    with open_instance(small_disk, click.echo) as instance:
        assert instance.run_monitoring_enabled


def test_locked_database_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photoz_assets.commands.instance._LOCKED_SECONDS", 0.2)
    assert _status().exit_code == 0
    database = home / "history" / "runs" / "index.db"
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = _status()
    assert refused.exit_code == 1
    [line] = refused.output.strip().splitlines()
    assert str(database) in line
    assert "database is locked" in line
    assert _status().exit_code == 0


def test_database_that_fails_later_is_told_in_one_line(home: Path) -> None:
    def fail() -> None:
        with open_instance(home, click.echo):
            raise OperationalError("INSERT", None, sqlite3.OperationalError("disk I/O error"))

    with pytest.raises(InstanceError, match=rf"{home} cannot be used .*disk I/O error"):
        fail()
