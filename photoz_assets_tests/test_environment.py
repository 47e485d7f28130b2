"""The environment: the caller wins over `.env`, the defaults lie in the checkout, a wrong value says so."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from photoz_assets import environment

PHOTOZ = Path(sys.executable).with_name("photoz")


def test_caller_wins_over_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PHOTOZ_TAP_URL=http://from-file/tap\nPHOTOZ_ARCHIVE_DENSITY=0.5\n")
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DENSITY", "0.02")
    monkeypatch.setenv("PHOTOZ_TAP_URL", "")
    monkeypatch.delenv("PHOTOZ_TAP_URL")
    environment.load_env_file(tmp_path)
    assert environment.tap_url() == "http://from-file/tap"
    assert environment.archive_density() == 0.02


def test_defaults_lie_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PHOTOZ_DATA_DIR", "PHOTOZ_ARCHIVE_DIR"):
        monkeypatch.delenv(name)
    root = environment.checkout_root()
    assert (root / "pyproject.toml").is_file()
    assert environment.data_dir() == root / "data"
    assert environment.archive_dir() == root / ".archive"
    assert environment.tap_url() is None
    assert environment.archive_density() == 0.01


@pytest.mark.parametrize("text", ["much", "0", "1.5", "nan"])
def test_density_without_sense_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DENSITY", text)
    with pytest.raises(environment.SettingError, match="PHOTOZ_ARCHIVE_DENSITY"):
        environment.archive_density()


def test_token_falls_back_to_the_archives_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_TOKEN", "theirs")
    assert environment.tap_token() == "theirs"
    monkeypatch.setenv("PHOTOZ_TAP_TOKEN", "ours")
    assert environment.tap_token() == "ours"


def test_taken_port_ends_the_ui_with_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [str(PHOTOZ), "ui", "--port", str(port)],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode != 0
    assert ended.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert f"--port {port + 1}" in ended.stderr
