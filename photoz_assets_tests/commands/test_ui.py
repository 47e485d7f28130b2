"""``photoz ui``: its processes start together, say what goes wrong, and leave nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from photoz_assets_tests.effort import SOAK, effort

PHOTOZ = Path(sysconfig.get_path("scripts")) / "photoz"
STUB = """
import os
import dagster as dg
from requests.utils import should_bypass_proxies

@dg.asset(metadata={
    "url": os.environ.get("PHOTOZ_TAP_URL", "none"),
    "token": os.environ.get("ACCESS_TOKEN", "none"),
    "loopback": "direct" if should_bypass_proxies("http://127.0.0.1/", None) else "proxied",
})
def seen(): ...

defs = dg.Definitions(assets=[seen])
"""
# How a page ends, and its exit code; the killed one must leave nothing either.
ENDS = {
    "interrupted": (signal.SIGINT, 0),
    "killed": (signal.SIGKILL, -signal.SIGKILL),
    **({"terminated": (signal.SIGTERM, 0)} if SOAK else {}),
}
SEEN = "{ assetNodes { metadataEntries { label ... on TextMetadataEntry { text } } } }"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "stub.py").write_text(STUB)
    path = tmp_path / "workspace.yaml"
    path.write_text("load_from:\n  - python_file: {relative_path: stub.py}\n")
    return path


@contextmanager
def _ui(workspace: Path, port: int, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    folder = workspace.parent
    (folder / "home").mkdir(exist_ok=True)
    with subprocess.Popen(
        [PHOTOZ, "ui", "--port", str(port), "--workspace", workspace],
        cwd=folder,
        env=os.environ | {"DAGSTER_HOME": str(folder / "home"), "DAGSTER_DISABLE_TELEMETRY": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)


def _until_ready(process: "subprocess.Popen[str]") -> list[str]:
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if "The Dagster UI is at" in line:
            return lines
    pytest.fail("".join(lines))


def _left_behind(folder: Path) -> list[str]:
    """List the commands of living processes whose environment names a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def _seen(port: int) -> dict[str, str]:
    """Ask what the stub saw when it was loaded; the page answers before it is."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": SEEN}, timeout=30).json()
        for node in answer["data"]["assetNodes"]:
            return {entry["label"]: entry["text"] for entry in node["metadataEntries"]}
        time.sleep(0.5)
    pytest.fail("the page never showed the stub's asset")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    ENDS.values(),
    ids=ENDS,
)
def test_ui_without_archive_serves_the_embedded_one_and_leaves_nothing(
    workspace: Path, port: int, number: signal.Signals, code: int
) -> None:
    with _ui(workspace, port, ACCESS_TOKEN="secret") as process:  # noqa: S106 - nobody's
        lines = _until_ready(process)
        [url] = re.findall(r"\[archive\].*?(http://\S+/tap)", "".join(lines))
        assert requests.get(f"{url}/availability", timeout=10).ok
        assert _seen(port) == {"url": url, "token": "none", "loopback": "direct"}
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == code
    deadline = time.monotonic() + 20
    while (left := _left_behind(workspace.parent)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


@pytest.mark.slow
def test_env_file_is_read_and_what_is_set_wins(workspace: Path, port: int) -> None:
    (workspace.parent / ".env").write_text(
        "PHOTOZ_TAP_URL=http://127.0.0.1:9/env\nACCESS_TOKEN=of-the-file\nNO_PROXY=lsst.cloud\n"
    )
    with _ui(workspace, port, PHOTOZ_TAP_URL="http://127.0.0.1:9/set") as process:
        assert not any(line.startswith("[archive]") for line in _until_ready(process))
        assert _seen(port) == {"url": "http://127.0.0.1:9/set", "token": "of-the-file", "loopback": "direct"}


@pytest.mark.slow
def test_service_that_ends_is_named_with_its_last_words(workspace: Path, port: int) -> None:
    (workspace.parent / "home").mkdir()
    (workspace.parent / "home" / "dagster.yaml").write_text("no_such_setting: true\n")
    with _ui(workspace, port, PHOTOZ_TAP_URL="http://127.0.0.1:9/tap") as process:
        said, _ = process.communicate(timeout=90)
        assert process.returncode == 1
    assert re.search(r"Error: the (page|daemon) has ended with exit code", said)
    assert "no_such_setting" in said.partition("Its last words:")[2]


@pytest.mark.slow
def test_second_page_of_one_folder_is_refused_with_the_first_ones_address(workspace: Path, port: int) -> None:
    archive = "http://127.0.0.1:9/tap"
    with _ui(workspace, port, PHOTOZ_TAP_URL=archive) as first:
        _until_ready(first)
        for other in (port, port + 1):
            with _ui(workspace, other, PHOTOZ_TAP_URL=archive) as second:
                said, _ = second.communicate(timeout=60)
                assert second.returncode == 1
            [line] = said.splitlines()
            assert f"process {first.pid} serves http://127.0.0.1:{port}" in line
            assert "DAGSTER_HOME" in line
    for _ in range(effort(0, 1)):
        with _ui(workspace, port, PHOTOZ_TAP_URL=archive) as again:
            _until_ready(again)


def test_taken_port_ends_in_one_line_that_says_what_to_do(workspace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with _ui(workspace, taken) as process:
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 1
    [line] = said.splitlines()
    assert str(taken) in line
    assert f"--port {taken + 1}" in line


def test_senseless_density_ends_in_one_line(workspace: Path, port: int) -> None:
    with _ui(workspace, port, PHOTOZ_ARCHIVE_DENSITY="much") as process:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
    [line] = said.splitlines()
    assert "PHOTOZ_ARCHIVE_DENSITY must be a number above 0" in line
