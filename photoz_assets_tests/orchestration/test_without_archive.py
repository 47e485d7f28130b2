"""The embedded archive is optional: what holds where its libraries, the extra ``archive``, are not installed."""

import os
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import hiding, with_path
from photoz_assets.orchestration.embedded_archive import LIBRARIES

ROOT = Path(__file__).parents[2]
# Dagster's web page and its settings bring these too.
BROUGHT_BY_OTHERS = {"dotenv", "starlette", "uvicorn", "yaml"}
ADVICE = "set it to an archive's URL, or pip install 'photoz_assets[archive]'"
MATERIALIZE = ("dagster", "asset", "materialize", "-m", "photoz_assets.definitions", "--select")


def _run(folder: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of this environment, without the embedded archive and its libraries."""
    (folder / "home").mkdir(exist_ok=True)
    hidden = hiding(folder / "hidden", "photoz_archive", *sorted({*LIBRARIES} - BROUGHT_BY_OTHERS))
    return subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / command[0]), *command[1:]],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DAGSTER_HOME": str(folder / "home"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "PHOTOZ_DATA_DIR": str(folder / "lake"),
            "PHOTOZ_ARCHIVE_DIR": str(folder / "archive"),
            "PYTHONPATH": os.pathsep.join([with_path(hidden), str(ROOT)]),
        }
        | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_libraries_that_are_looked_for_are_those_of_the_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {canonicalize_name(Requirement(text).name) for text in extras["archive"]}
    packages = packages_distributions()
    brought = {canonicalize_name(name) for library in LIBRARIES for name in packages[library.partition(".")[0]]}
    assert brought & wanted == wanted


def test_base_has_few_dependencies_and_none_that_only_the_archive_uses() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    extra = {canonicalize_name(Requirement(text).name) for text in project["optional-dependencies"]["archive"]}
    # Sixteen for the pipeline, and for photo-z scikit-learn, which brings scipy, and h5py.
    # Astropy comes with pyvo in any case.
    assert len(base) <= 19
    assert not base & extra


def test_tract_is_fetched_from_a_named_archive(archive: ArchiveServer, tmp_path: Path) -> None:
    ran = _run(tmp_path, *MATERIALIZE, "matched_galaxies", "--partition", "3638", PHOTOZ_TAP_URL=archive.url)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert (tmp_path / "lake" / "matched_galaxies" / "tract=3638" / "matched_galaxies.parquet").is_file()


def test_run_without_an_archive_says_in_one_line_what_to_install(tmp_path: Path) -> None:
    ran = _run(tmp_path, *MATERIALIZE, "tap_tables")
    assert ran.returncode != 0
    [line] = {line.strip() for line in ran.stderr.splitlines() if "dagster.Failure" in line or "Failure:" in line}
    assert ADVICE in line


@pytest.mark.parametrize("command", ["demo", "ui"])
def test_command_without_an_archive_says_in_one_line_what_to_install(tmp_path: Path, command: str) -> None:
    ran = _run(tmp_path, "photoz", command)
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("Error: PHOTOZ_TAP_URL is not set, and the embedded archive is not installed (")
    assert line.endswith(ADVICE)
    assert not (tmp_path / "archive").exists()


def test_archive_that_cannot_read_its_schemas_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken" / "felis").mkdir(parents=True)
    (tmp_path / "broken" / "felis" / "__init__.py").write_text("raise RuntimeError('no luck')")
    program = """
from photoz_assets.errors import PhotozError
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.survey.releases.dp02 import RELEASE
try:
    ArchiveResource().client(RELEASE, run_id="a", log=print)
except PhotozError as error:
    print("SAID:", error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PHOTOZ_ARCHIVE_DIR": str(tmp_path / "archive"),
            "PYTHONPATH": os.pathsep.join([with_path(tmp_path / "broken"), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    [line] = ran.stdout.splitlines()
    assert line.startswith("SAID: the schemas dp02_dc2, ")
    assert "no luck" in line
