"""The command ``photoz-archive`` as a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pyvo
import requests

from photoz_archive_tests.shared import hiding, with_path

COMMAND = [sys.executable, "-m", "photoz_archive.main"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, used_folder: Path) -> Iterator[Start]:
    """Start the command in a folder that has nothing but the archive's folder ``used``."""
    assert list(tmp_path.iterdir()) == [used_folder]
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | environment,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"https?://\S+", line)
    assert found, (line, process.stderr.read() if process.stderr else "")
    return found[0]


def assert_stops_cleanly(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    process.send_signal(number)
    rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_command_prints_its_url_within_ten_seconds_from_an_empty_folder(start: Start, tmp_path: Path) -> None:
    began = time.monotonic()
    url = url_of(start("--port", "0", "--density", "1", "--data-dir", "new/folder"))
    assert time.monotonic() - began < 10
    assert len(pyvo.dal.TAPService(url).search("SELECT table_name FROM tap_schema.tables")) == 51
    assert (tmp_path / "new" / "folder").is_dir()


def test_servers_that_start_at_once_on_an_empty_folder_list_the_same(start: Start) -> None:
    both = [start("--data-dir", "new") for _ in range(2)]
    urls = [url_of(process) for process in both]
    query = {"LANG": "ADQL", "QUERY": "SELECT * FROM tap_schema.columns", "FORMAT": "csv"}
    first, second = (requests.get(f"{url}/sync", params=query, timeout=30).text for url in urls)
    assert first == second
    assert len(first.splitlines()) == 2255


def test_settings_come_from_the_environment_and_else_from_the_env_file(start: Start, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PHOTOZ_ARCHIVE_DENSITY=0.002\nPHOTOZ_ARCHIVE_DIR=elsewhere\n")
    process = start(PHOTOZ_ARCHIVE_DIR=str(tmp_path / "used"), PHOTOZ_ARCHIVE_RESULT_GB="0.000001")
    service = pyvo.dal.TAPService(url_of(process))
    (description,) = service.search(
        "SELECT description FROM tap_schema.schemas WHERE schema_name = 'dp02_dc2_catalogs'"
    )["description"]
    assert "density 0.002" in description
    assert (tmp_path / "used" / "sky").is_dir()
    assert not (tmp_path / "elsewhere").exists()
    job = service.submit_job("SELECT * FROM tap_schema.columns").run().wait()
    assert "one result may take 1e-06 GB" in job.job.errorsummary.message.content


def test_env_file_that_is_no_text_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PHOTOZ_ARCHIVE_DIR=\xff\xfe\n")
    errors = refused(start, "--data-dir", "used")
    assert re.fullmatch(r"Error: .*\.env is no text in UTF-8: write it anew, a line for each variable\n", errors)


def test_token_comes_from_the_variable_that_is_named(start: Start) -> None:
    process = start("--data-dir", "used", "--token-env", "SECRET", SECRET="gt-right")  # noqa: S106 (of a test)
    url = url_of(process)
    assert requests.get(f"{url}/tables", timeout=30).status_code == 401
    assert requests.get(f"{url}/tables", headers={"Authorization": "Bearer gt-right"}, timeout=30).ok
    assert_stops_cleanly(process, signal.SIGTERM)


def test_profile_is_chosen(start: Start) -> None:
    process = start("--data-dir", "used", "--profile", "plain")
    url = url_of(process)
    wrong = {"LANG": "ADQL", "QUERY": "SELECT nothing FROM tap_schema.tables"}
    assert requests.get(f"{url}/sync", params=wrong, timeout=30).status_code == 200
    assert_stops_cleanly(process, signal.SIGINT)


def refused(start: Start, *arguments: str, **environment: str) -> str:
    process = start(*arguments, **environment)
    output, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert output == ""
    assert "Traceback" not in errors
    return errors


def test_taken_port_is_one_clear_line(start: Start) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        errors = refused(start, "--port", port, "--data-dir", "used")
    assert re.fullmatch(
        rf"Error: cannot serve 127\.0\.0\.1:{port} from used: Address already in use; .*\n", errors
    )


def test_schemas_that_cannot_be_read_are_one_clear_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "broken" / "felis").mkdir(parents=True)
    (tmp_path / "broken" / "felis" / "__init__.py").write_text("raise RuntimeError('no luck')")
    errors = refused(start, "--data-dir", "new", PYTHONPATH=with_path(tmp_path / "broken"))
    assert re.fullmatch(
        r"Error: the schemas .* cannot be read .*no luck.*: install it again: pip install .*\n", errors
    )


@pytest.mark.parametrize("module", ["sqlglot", "vo_models"])
def test_without_the_extra_one_line_says_what_to_install(start: Start, tmp_path: Path, module: str) -> None:
    errors = refused(start, "--data-dir", "new", PYTHONPATH=with_path(hiding(tmp_path / "hidden", module)))
    assert re.fullmatch(
        rf"Error: the embedded archive is not installed \({module}\S* is missing\): "
        r"pip install 'photoz_assets\[archive\]'\n",
        errors,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-dir", "used", "--density", "0"], "0<x<=1"),
        (["--data-dir", "used", "--density", "2"], "0<x<=1"),
        (["--data-dir", "used", "--store-gb", "0"], "x>0"),
        (["--data-dir", "used", "--profile", "odd"], "'odd' is not one of"),
        (["--data-dir", "used", "--token-env", "NOWHERE"], "NOWHERE is empty"),
        (["--data-dir", "/proc/nowhere"], "cannot serve"),
        (["--data-dir", "used", "--host", "192.0.2.1"], "another --host"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_setting_is_explained(start: Start, arguments: list[str], message: str) -> None:
    assert message in refused(start, *arguments)


def test_killed_server_serves_again_what_it_had(start: Start) -> None:
    process = start("--data-dir", "used", "--density", "0.001")
    url = url_of(process)
    query = {"LANG": "ADQL", "PHASE": "RUN"}
    done = requests.post(
        f"{url}/async", data=query | {"QUERY": "SELECT table_name FROM tap_schema.tables"}, timeout=30
    ).url
    requests.get(done, params={"WAIT": "10"}, timeout=30)
    requests.get(done, params={"WAIT": "10"}, timeout=30)
    making = {"QUERY": "SELECT COUNT(*) AS n FROM dp02_dc2_catalogs.Object"}
    cut_off = requests.post(f"{url}/async", data=query | making, timeout=30).url
    deadline = time.monotonic() + 60
    while requests.get(f"{cut_off}/phase", timeout=30).text != "EXECUTING":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()

    again = url_of(start("--data-dir", "used", "--density", "0.001")).removesuffix("/tap")
    found = requests.get(again + urlsplit(done).path, timeout=30).text
    assert "COMPLETED" in found
    assert requests.get(f"{again}{urlsplit(done).path}/results/result", timeout=30).ok
    assert (
        "The service stopped while the query ran" in requests.get(again + urlsplit(cut_off).path, timeout=30).text
    )
    counted = {
        "LANG": "ADQL",
        "QUERY": "SELECT COUNT(*) AS n FROM dp02_dc2_catalogs.Object WHERE tract = 2897",
        "FORMAT": "csv",
    }
    assert int(requests.get(f"{again}/tap/sync", params=counted, timeout=60).text.split()[1]) > 1000
