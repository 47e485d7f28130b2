"""The wheel in environments of its own: without extras it asks an archive, with the extra `archive` it is one.

Off unless PHOTOZ_WHEEL=1 (`make wheel`): an environment takes minutes to install.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
import requests

ROOT = Path(__file__).parents[1]
ARCHIVES_OWN = ("lsst-felis", "lsst-sdm-schemas", "pydantic-xml", "python-multipart", "sqlglot", "vo-models")
MATERIALIZE = (
    *("asset", "materialize", "-m", "photoz_assets.definitions"),
    *("--select", "matched_galaxies", "--partition", "3638"),
)
CLIENT = """
import photoz_assets
from photoz_assets.survey.selection import Selection

version: str = photoz_assets.__version__
faint: float = Selection().faint_limit_mag


def count(folder: str) -> int:
    with photoz_assets.connect(folder) as lake:
        [row] = lake.sql("SELECT count(*) FROM matched_galaxies").fetchall()
    return int(row[0])
"""

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.environ.get("PHOTOZ_WHEEL") != "1", reason="make wheel runs it"),
]


def _run(command: Sequence[str | Path], folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with nothing of the developer's shell but what finds programs."""
    return subprocess.run(
        command,
        cwd=folder,
        env=_variables(folder) | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def _variables(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1"}


def _pip(python: Path, *arguments: str, folder: Path) -> None:
    """Run pip as the developer's shell configures it."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if re.search("NewConnectionError|Temporary failure in name resolution|ReadTimeout", ran.stderr):
        pytest.skip("the package index cannot be reached")
    assert ran.returncode == 0, ran.stderr[-3000:]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    for package in ("photoz_assets", "photoz_archive"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    _pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(folder), str(source), folder=folder)
    [built] = folder.glob("*.whl")
    return built


def _environment(folder: Path, requirement: str) -> Path:
    """Make an environment with a requirement alone; return its folder of commands."""
    made = _run([sys.executable, "-m", "venv", "env"], folder)
    assert made.returncode == 0, made.stderr
    commands = folder / "env" / "bin"
    _pip(commands / "python", "install", "-c", str(ROOT / "constraints.txt"), requirement, folder=folder)
    return commands


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel and no extra."""
    return _environment(tmp_path_factory.mktemp("bare"), str(wheel))


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel and the embedded archive."""
    return _environment(tmp_path_factory.mktemp("full"), f"{wheel}[archive]")


def test_wheel_carries_the_licence_of_what_its_population_was_fitted_to(wheel: Path) -> None:
    with ZipFile(wheel) as files:
        licence = files.read("photoz_archive/data/LICENSE.dc2_population").decode()
    assert "LSST Dark Energy Science Collaboration" in licence
    assert "permission notice shall be included in all" in licence


def test_wheel_without_extras_brings_nothing_that_only_the_archive_uses(bare: Path, tmp_path: Path) -> None:
    listed = _run([bare / "python", "-m", "pip", "list", "--format=freeze"], tmp_path).stdout
    installed = {line.partition("==")[0].lower() for line in listed.splitlines()}
    assert "photoz_assets" in installed
    assert not installed & set(ARCHIVES_OWN)


@pytest.mark.parametrize(
    ("more", "status"), [pytest.param("", 0, id="right"), pytest.param("wrong: str = faint", 1, id="wrong")]
)
def test_strict_type_check_of_a_client_sees_the_types_of_the_wheel(
    bare: Path, tmp_path: Path, more: str, status: int
) -> None:
    (tmp_path / "client.py").write_text(CLIENT + more)
    mypy: list[str | Path] = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        bare / "python",
        "client.py",
    ]
    assert _run(mypy, tmp_path).returncode == status


def test_wheel_without_extras_fetches_a_tract_from_an_archive_elsewhere(
    bare: Path, full: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    with subprocess.Popen(
        [full / "photoz-archive", "--data-dir", "archive"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as archive:
        try:
            assert archive.stdout is not None
            found = re.search(r"https?://\S+", archive.stdout.readline())
            assert found is not None
            ran = _run(
                [bare / "dagster", *MATERIALIZE],
                tmp_path,
                DAGSTER_HOME=str(tmp_path / "home"),
                PHOTOZ_TAP_URL=found[0],
            )
        finally:
            archive.terminate()
    assert ran.returncode == 0, ran.stderr[-3000:]
    table = tmp_path / "data" / "matched_galaxies" / "tract=3638" / "matched_galaxies.parquet"
    assert pq.read_metadata(table).num_rows > 1000


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        pytest.param(["photoz", "demo"], "archive"),
        pytest.param(["photoz", "ui"], "archive"),
        pytest.param(["photoz-archive", "--data-dir", "made"], "archive"),
        pytest.param(["photoz-butler", "--repository", "made", "--data-dir", "sky"], "butler"),
    ],
)
def test_command_without_its_extra_says_in_one_line_what_to_install(
    bare: Path, tmp_path: Path, command: list[str], extra: str
) -> None:
    ran = _run([bare / command[0], *command[1:]], tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith(f"pip install 'photoz_assets[{extra}]'")


@pytest.fixture(scope="module")
def demo(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was empty before the demo ran in it."""
    folder = tmp_path_factory.mktemp("demo")
    ran = _run([full / "photoz", "demo"], folder)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "Everything holds. `photoz ui` shows it" in ran.stdout
    return folder


def test_wheel_with_the_archive_runs_the_demo_in_an_empty_folder(demo: Path) -> None:
    assert (demo / "data" / "field_galaxies" / "field_galaxies.parquet").is_file()


@pytest.mark.parametrize(
    ("command", "says", "atlas"),
    [
        pytest.param("ui", "The Dagster UI is at", "/atlas/dp02/index.html", id="ui"),
        pytest.param("atlas", "The atlas is at", "/index.html", id="atlas"),
    ],
)
def test_atlas_is_shown_out_of_that_folder(full: Path, demo: Path, command: str, says: str, atlas: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [full / "photoz", command, "--port", str(port)],
        cwd=demo,
        env=_variables(demo),
        stdout=subprocess.PIPE,
        text=True,
    ) as shown:
        try:
            assert shown.stdout is not None
            assert any(says in line for line in shown.stdout)
            deadline = time.monotonic() + 30
            while (page := _asked(f"http://127.0.0.1:{port}{atlas}")) is None:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            shown.terminate()
            shown.communicate(timeout=60)
    assert "embedded archive, simulated" in page


def _asked(url: str) -> str | None:
    try:
        return requests.get(url, timeout=10).text
    except requests.ConnectionError:
        return None
