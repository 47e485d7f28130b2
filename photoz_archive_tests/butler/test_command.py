"""The command that makes a Butler repository, and what the Butler itself finds in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from photoz_archive.butler.main import main
from photoz_archive_tests.shared import DENSITY, DiskEvent, assert_put_in_place, hiding, with_path

Butler = pytest.importorskip("lsst.daf.butler", reason="the extra butler is not installed").Butler
sphgeom = pytest.importorskip("lsst.sphgeom", reason="the extra butler is not installed")

PRINTED = [
    "DatasetType('diaObjectTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('diaSourceTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('diff_matched_truth_summary_objectTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('forcedSourceOnDiaObjectTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('forcedSourceTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('match_ref_truth_summary_objectTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('match_target_truth_summary_objectTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('matched_truth_summary_objectTable_tract', {skymap, tract}, DataFrame)",
    "DatasetType('objectTable_tract', {skymap, tract}, DataFrame)",
]


def _make(repository: Path, sky_folder: Path, *options: str) -> Result:
    common = ["--repository", str(repository), "--data-dir", str(sky_folder), "--density", str(DENSITY)]
    return CliRunner().invoke(main, [*common, *options])


def test_command_makes_a_repository_and_says_how_to_use_it(
    tmp_path: Path, sky_folder: Path, disk_events: list[DiskEvent]
) -> None:
    made = _make(tmp_path / "repository", sky_folder, "--tracts", "3637")
    assert made.exit_code == 0, made.output
    assert "simulated" in made.output
    assert f"PHOTOZ_BUTLER_REPOSITORY={tmp_path / 'repository'}" in made.output
    with Butler.from_config(str(tmp_path / "repository"), collections="2.2i/runs/DP0.2") as butler:
        objects = butler.get("objectTable_tract", skymap="DC2", tract=3637)
        assert objects.index.name == "objectId"
        assert set(objects["tract"]) == {3637}
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert_put_in_place(tmp_path / "repository", disk_events)
    tables = {("flush", path.stat().st_ino) for path in (tmp_path / "repository").rglob("*.parq")}
    assert tables
    assert tables <= set(disk_events)


def test_without_the_client_one_line_says_what_to_install(tmp_path: Path, sky_folder: Path) -> None:
    hidden = hiding(tmp_path / "hidden", "lsst.daf")
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "photoz_archive.butler.main",
            "--repository",
            "made",
            "--data-dir",
            str(sky_folder),
        ],
        env=os.environ | {"PYTHONPATH": with_path(hidden)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line == (
        "Error: the Butler's client is not installed (lsst.daf is missing): pip install 'photoz_assets[butler]'"
    )
    assert not (tmp_path / "made").exists()


def test_settings_of_the_archive_hold_for_the_command(
    tmp_path: Path, sky_folder: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DIR", str(sky_folder))
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DENSITY", str(DENSITY))
    made = CliRunner().invoke(main, ["--repository", str(tmp_path / "made"), "--tracts", "3638"])
    assert made.exit_code == 0, made.output
    counts = []
    for folder in (tmp_path / "made", repository):
        with Butler.from_config(str(folder), collections="2.2i/runs/DP0.2") as butler:
            counts.append(butler.get("objectTable_tract.rowcount", skymap="DC2", tract=3638))
    assert counts[0] == counts[1] > 1000


def test_notebooks_listing_prints_the_notebooks_lines(repository: Path) -> None:
    with Butler.from_config(str(repository), collections="2.2i/runs/DP0.2") as butler:
        wanted = ("2.2i/runs/DP0.1", "2.2i/runs/DP0.2")
        assert [name for name in sorted(butler.registry.queryCollections()) if name in wanted] == [*wanted]
        assert [str(kind) for kind in sorted(butler.registry.queryDatasetTypes("*_tract"))] == PRINTED


def test_dimensions_know_the_tutorials_way_from_a_point_to_its_patch(repository: Path) -> None:
    point = sphgeom.UnitVector3d(sphgeom.LonLat.fromDegrees(61.0, -37.9))
    with Butler.from_config(str(repository)) as butler:
        patches = butler.query_dimension_records("patch", skymap="DC2", tract=3637)
        assert len(patches) == 49
        assert 1 <= sum(patch.region.contains(point) for patch in patches) <= 4
        [tract] = butler.query_dimension_records("tract", skymap="DC2", tract=3637)
        assert tract.region.contains(point)
        assert all(tract.region.contains(patch.region.getCentroid()) for patch in patches)
        assert {record.name for record in butler.query_dimension_records("band")} == set("ugrizy")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--tracts", "3637,east"], "no list of tracts", id="no number"),
        pytest.param(["--tracts", "12"], "the sky has no tracts [12]", id="unknown tract"),
    ],
)
def test_tracts_that_cannot_be_are_refused_and_nothing_stays(
    tmp_path: Path, sky_folder: Path, options: list[str], words: str
) -> None:
    refused = _make(tmp_path / "repository", sky_folder, *options)
    assert refused.exit_code != 0
    assert words in refused.output
    assert list(tmp_path.iterdir()) == []


def test_repository_that_is_there_is_never_written_over(repository: Path, sky_folder: Path) -> None:
    before = (repository / "butler.yaml").read_bytes()
    refused = _make(repository, sky_folder)
    assert refused.exit_code == 1
    assert "is there already" in refused.output
    assert (repository / "butler.yaml").read_bytes() == before
