"""The command line as a person or a script uses it: words, JSON and exit codes."""

import json
import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from photoz_assets.commands.cli import main
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.orchestration.tract_status import SHOWN_TRACTS
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import DP02, MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies

PHOTOZ = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance of this test's own, and a current folder without ``.env``."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with two tracts, one of them of another selection."""
    lake = Lake(tmp_path / "lake")
    for tract, selection in ((3637, Selection()), (3638, Selection(faint_limit_mag=25))):
        provenance = Provenance(
            table="matched_galaxies",
            code_version=MATCHED_GALAXIES.code_version,
            tract=tract,
            selection=selection,
            created="2026-11-24T07:00:00.000+00:00",
        )
        publish(lake, stage(lake, MATCHED_GALAXIES, [galaxies(20, tract=tract)], partial(replace, provenance)))
    return lake


def _run(*arguments: str) -> Result:
    return PHOTOZ.invoke(main, arguments)


@pytest.mark.parametrize("command", ["demo", "status", "query", "ui"])
def test_each_command_explains_itself(command: str) -> None:
    [listed] = [line for line in _run("--help").output.splitlines() if line.split()[:1] == [command]]
    assert listed.endswith(".")
    assert not listed.endswith("...")
    helped = _run(command, "--help")
    assert helped.exit_code == 0
    assert "Usage:" in helped.output


def test_status_of_an_empty_lake_names_what_is_missing() -> None:
    shown = _run("status", "--check")
    assert shown.exit_code == 0, shown.output
    assert f"{len(DP02.tracts)} missing" in shown.output
    assert f"and {len(DP02.tracts) - SHOWN_TRACTS} more" in shown.output


@pytest.mark.usefixtures("lake")
def test_status_says_what_is_stale_and_why_and_exits_by_it() -> None:
    shown = _run("status")
    assert shown.exit_code == 0
    assert f"1 fresh, 1 stale, {len(DP02.tracts) - 2} missing" in shown.output
    assert "1 of another selection: 3638" in shown.output
    assert _run("status", "--check").exit_code == 1


@pytest.mark.usefixtures("lake")
def test_status_as_json_holds_the_same() -> None:
    reported = json.loads(_run("status", "--json").output)
    assert reported["tracts"] == {
        "fresh": 1,
        "stale": 1,
        "failed": 0,
        "missing": len(DP02.tracts) - 2,
        "running": 0,
    }
    assert reported["reasons"]["of another selection"] == [3638]
    [stored] = [asset for asset in reported["assets"] if asset["files"]]
    assert (stored["asset"], stored["files"], stored["rows"]) == ("matched_galaxies", 2, 40)
    assert not reported["well"]


def test_status_lists_the_butlers_assets_once_a_repository_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed() -> set[str]:
        return {asset["asset"] for asset in json.loads(_run("status", "--json").output)["assets"]}

    others = listed()
    monkeypatch.setenv("PHOTOZ_BUTLER_REPOSITORY", str(tmp_path / "repository"))
    assert listed() - others == {
        "butler_collections",
        "butler_dataset_types",
        "object_table",
        "matched_truth",
        "deep_coadd",
    }


def test_status_names_failed_checks(home: Path) -> None:
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        failed = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("skyinfo"), check_name="known_tracts", passed=False, metadata={}
        )
        instance.report_runless_asset_event(failed)
    shown = _run("status", "--check")
    assert "skyinfo: known_tracts" in shown.output
    assert shown.exit_code == 1


def _damage(path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(path.read_bytes()[:-100] if path.exists() else b"PAR1 no more")
    return str(path)


def test_status_names_damaged_files_and_shows_the_rest(lake: Lake) -> None:
    damaged = [_damage(lake.table(*table)) for table in (("skyinfo",), ("matched_galaxies", 3637))]
    shown = _run("status")
    assert shown.exit_code == 0, shown.output
    assert f"2 stale, {len(DP02.tracts) - 2} missing" in shown.output
    assert "1 damaged, or not ours: 3637" in shown.output
    assert "2 damaged" in shown.output
    lines = shown.output.splitlines()
    assert [
        path for line in lines for path in damaged if path in line and "materialize its asset again" in line
    ] == (damaged)
    assert ["matched_galaxies", "1", "20"] in [line.split()[:3] for line in lines]


def test_status_is_not_well_with_a_damaged_file_of_any_asset(lake: Lake) -> None:
    lake.table("matched_galaxies", 3638).unlink()
    assert _run("status", "--check").exit_code == 0
    damaged = _damage(lake.table("skyinfo"))
    assert _run("status", "--check").exit_code == 1
    [named] = json.loads(_run("status", "--json").output)["damaged"]
    assert damaged in named


def test_status_finds_damaged_rows_under_a_whole_footer_when_it_reads_them(lake: Lake) -> None:
    path = lake.table("matched_galaxies", 3638)
    first = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    content[first.data_page_offset + first.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(content)
    assert json.loads(_run("status", "--json").output)["damaged"] == []
    [named] = json.loads(_run("status", "--json", "--verify").output)["damaged"]
    assert str(path) in named


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        *((command, "DAGSTER_HOME") for command in ("demo", "status", "ui")),
        *((command, "PHOTOZ_DATA_DIR") for command in ("demo", "status", "ui", "query")),
        *((command, "PHOTOZ_ARCHIVE_DIR") for command in ("demo", "ui")),
    ],
)
@pytest.mark.parametrize("below", ["", "below/it"], ids=["a-file", "below-a-file"])
def test_folder_that_cannot_be_had_is_named_with_its_variable(
    command: str, variable: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(variable, str(tmp_path / "file" / below))
    refused = _run(*([command, "SELECT 1"] if command == "query" else [command]))
    assert refused.exit_code == 1
    assert str(tmp_path / "file" / below) in refused.output
    assert f"set {variable} to" in refused.output
    assert len(refused.output.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
@pytest.mark.parametrize("kept", ["matched_galaxies/tract=3637", ".work/slots/0", "figures"])
def test_lake_of_another_account_is_told_with_what_to_do(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import photoz_assets.commands.demo  # noqa: PLC0415 - the other account may not read the code
    import photoz_assets.lake.sharing  # noqa: F401, PLC0415 - as above

    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        lake = Lake(shared / "lake")
        for part in (lake.root / "matched_galaxies" / "tract=3637", lake.slots, lake.root / "figures"):
            part.mkdir(parents=True)
        (lake.slots / "0").touch()
        for path in (shared, *shared.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        (lake.root / kept).chmod(0o755 if (lake.root / kept).is_dir() else 0o644)
        monkeypatch.chdir(shared)
        for variable in ("DAGSTER_HOME", "PHOTOZ_DATA_DIR", "PHOTOZ_ARCHIVE_DIR"):
            monkeypatch.setenv(variable, str(shared / variable))
        monkeypatch.setenv("PHOTOZ_DATA_DIR", str(lake.root))
        os.seteuid(65534)
        try:
            refused = _run("demo")
        finally:
            os.seteuid(0)
    assert refused.exit_code == 1
    [line] = refused.output.strip().splitlines()
    assert f"{lake.root / kept} in the lake cannot be written by this account" in line
    assert "umask" in line


def test_setting_without_sense_ends_the_demo_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DENSITY", "2")
    ended = _run("demo")
    assert ended.exit_code == 1
    assert "PHOTOZ_ARCHIVE_DENSITY must be a number above 0 and at most 1" in ended.stderr
    assert "Traceback" not in ended.output


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("nobody's fault but ours")

    monkeypatch.setattr("photoz_assets.commands.status.status", broken)
    ended = _run("status")
    assert isinstance(ended.exception, ValueError)
    assert "Error:" not in ended.output


@pytest.mark.parametrize("host", ["nonsense.invalid", "192.0.2.1"], ids=["no host", "another machine's"])
def test_host_that_is_not_this_machines_is_named_and_no_port_advised(host: str) -> None:
    refused = _run("ui", "--host", host)
    assert refused.exit_code == 1
    assert f"Error: {host} is no IPv4 address or name of this machine" in refused.output
    assert "port" not in refused.output
    assert len(refused.output.strip().splitlines()) == 1


def test_wrong_use_exits_with_2() -> None:
    assert _run("ui", "--port", "99999").exit_code == 2
    assert _run("query").exit_code == 2
    assert _run("status", "--nonsense").exit_code == 2
