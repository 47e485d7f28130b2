"""The demo as its user runs it: it makes everything, says where it lies, and may be run again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def _demo(folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DAGSTER_HOME": str(folder / "home"),
        "PHOTOZ_DATA_DIR": str(folder / "lake"),
        "PHOTOZ_ARCHIVE_DIR": str(folder / "archive"),
        "PHOTOZ_ARCHIVE_DENSITY": "0.002",
    }
    (folder / "home").mkdir(exist_ok=True)
    return subprocess.run(
        [str(Path(sys.executable).with_name("photoz")), "demo"],
        cwd=ROOT,
        env=settings | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_demo_makes_everything_says_where_and_may_be_run_again(tmp_path: Path) -> None:
    first = _demo(tmp_path)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    lake = tmp_path / "lake"
    tables = sorted(str(path.relative_to(lake)) for path in lake.rglob("*.parquet"))
    unpartitioned = (
        "field_diagnostics",
        "field_galaxies",
        "patches",
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
            for asset in ("matched_galaxies", "diagnostics")
            for tract in (3637, 3638, 3831)
        ]
    )
    figures = sorted(str(path.relative_to(lake / "figures")) for path in lake.rglob("*.png"))
    assert len([figure for figure in figures if figure.startswith("diagnostics/tract=")]) == 21
    assert "sky_map/sky_map.png" in figures
    assert "field_diagnostics/redshifts.png" in figures
    assert "tract" not in pq.read_schema(lake / "skyinfo" / "skyinfo.parquet").names[9:]
    assert f"{pq.read_metadata(lake / 'field_galaxies' / 'field_galaxies.parquet').num_rows:,}" in first.stdout
    assert re.search(r"^diagnostics +3637 +6 +6 ", first.stdout, re.MULTILINE), "six rows, six figures"
    assert "simulated" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr
    assert _demo(tmp_path).returncode == 0


def test_demo_against_an_archive_that_is_not_there_ends_with_one_line_and_a_failure(tmp_path: Path) -> None:
    ended = _demo(tmp_path, PHOTOZ_TAP_URL="http://127.0.0.1:9/tap")
    assert ended.returncode != 0
    assert "127.0.0.1:9" in ended.stderr
