"""The demo as its user runs it: it makes everything, says where it lies, and may be run again."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets.lake.layout import Lake
from photoz_assets_tests.conftest import THIN
from photoz_assets_tests.effort import effort
from photoz_assets_tests.runs import Runs

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def _start(folder: Path, sky: Path, **variables: str) -> "subprocess.Popen[str]":
    (folder / "home").mkdir(exist_ok=True)
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DAGSTER_HOME": str(folder / "home"),
        "PHOTOZ_DATA_DIR": str(folder / "lake"),
        "PHOTOZ_ARCHIVE_DIR": str(sky),
        "PHOTOZ_ARCHIVE_DENSITY": str(THIN),
    }
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("photoz")), "demo"],
        cwd=ROOT,
        env=settings | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Wait for the end; give what it said."""
    try:
        return process.communicate(timeout=600)
    finally:
        process.kill()


@pytest.fixture(scope="module", autouse=True)
def in_vain(sky_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[str]"]:
    """A demo against an archive that is not there. It tries for a minute, so it begins before the other tests."""
    folder = tmp_path_factory.mktemp("in vain")
    with _start(folder, sky_folder, PHOTOZ_TAP_URL="http://127.0.0.1:9/tap") as process:
        yield process
        process.kill()


def _former(folder: Path, sky: Path) -> str:
    """Leave what a former run leaves, on the same instance and lake; return its id."""
    (folder / "home").mkdir()
    with (
        ArchiveServer(sky, density=THIN) as archive,
        dg.DagsterInstance.local_temp(str(folder / "home")) as instance,
    ):
        run = Runs(archive.url, folder / "lake", instance)("tap_tables")
        assert run.success
        return run.result.run_id


def test_demos_make_everything_whatever_is_there_and_say_where(tmp_path: Path, sky_folder: Path) -> None:
    former = _former(tmp_path, sky_folder)
    # A proxy of the shell's is not asked for what is on this machine.
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    # In the soak two at once, which must not get in each other's way.
    demos = [_start(tmp_path, sky_folder, **proxies) for _ in range(effort(1, 2))]
    for demo in demos:
        said, complained = _end(demo)
        assert demo.returncode == 0, said[-2000:] + complained[-2000:]
        assert "was not made" not in complained
    lake = tmp_path / "lake"
    assert Lake(lake).provenance("tap_tables").run_id != former
    exports = {str(path.relative_to(lake / "exports")) for path in (lake / "exports").glob("*/*.*")}
    assert {"rail/training.hdf5", "txpipe/photometry_catalog.hdf5", "pz_server/training_set.parquet"} < exports
    assert "qp/test_estimates.hdf5" in exports
    assert re.search(r"^photoz_exports +rail ", said, re.MULTILINE)
    tables = sorted(str(path.relative_to(lake)) for path in lake.rglob("*.parquet") if "exports" not in path.parts)
    unpartitioned = (
        "field_diagnostics",
        "field_galaxies",
        "patches",
        "photoz_estimates",
        "photoz_model",
        "photoz_quality",
        "photoz_sample",
        "skyinfo",
        "survey_diagnostics",
        "tap_columns",
        "tap_tables",
        "tracts",
    )
    assert tables == sorted(
        [f"{asset}/{asset}.parquet" for asset in unpartitioned]
        + [
            f"{asset}/tract={tract}/{asset}.parquet"
            for asset in ("matched_galaxies", "diagnostics", "photoz_galaxies", "photoz_catalog")
            for tract in (3637, 3638, 3831)
        ]
    )
    figures = sorted(str(path.relative_to(lake / "figures")) for path in (lake / "figures").rglob("*.png"))
    assert len([figure for figure in figures if figure.startswith("diagnostics/tract=")]) == 21
    assert "sky_map/sky_map.png" in figures
    assert "field_diagnostics/redshifts.png" in figures
    assert len([figure for figure in figures if figure.startswith("photoz_quality/photoz_")]) == 6
    assert "tract" not in pq.read_schema(lake / "skyinfo" / "skyinfo.parquet").names[9:]
    assert f"{pq.read_metadata(lake / 'field_galaxies' / 'field_galaxies.parquet').num_rows:,}" in said
    assert re.search(r"^diagnostics +3637 +6 +6 ", said, re.MULTILINE), "six rows, six figures"
    assert "embedded archive, simulated" in (lake / "atlas" / "index.html").read_text()
    assert re.search(r"^atlas .*/atlas$", said, re.MULTILINE)
    assert "simulated" in said
    assert "Traceback" not in said + complained


def test_demo_against_an_archive_that_is_not_there_ends_with_one_line_and_a_failure(
    in_vain: "subprocess.Popen[str]",
) -> None:
    _, complained = _end(in_vain)
    assert in_vain.returncode != 0
    assert "127.0.0.1:9" in complained
