"""``photoz atlas`` as its user starts it, where it cannot be served: one line, and nothing that is not so."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from photoz_assets.commands.cli import main
from photoz_assets.lake.layout import Lake


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(tmp_path))
    return Lake(tmp_path)


def test_taken_port_ends_in_one_line_that_says_what_to_do(lake: Lake) -> None:
    lake.atlas.mkdir(parents=True)
    (lake.atlas / "index.html").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        ended = CliRunner().invoke(main, ["atlas", "--port", str(taken)])
    assert ended.exit_code == 1
    [line] = ended.output.splitlines()
    assert str(taken) in line
    assert f"photoz atlas --port {taken + 1}" in line


def test_lake_without_an_atlas_says_how_to_make_it(lake: Lake) -> None:
    ended = CliRunner().invoke(main, ["atlas"])
    assert ended.exit_code == 1
    [line] = ended.output.splitlines()
    assert f"the lake {lake.root} has no atlas yet" in line
    assert "--select atlas" in line
