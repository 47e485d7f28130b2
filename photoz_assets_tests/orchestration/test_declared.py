"""A run keeps to what its location names, and shows no token, whatever its configuration says."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from photoz_assets.definitions import build_definitions
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets_tests.runs import Run, Runs

CANARY = "gt-canary-0123456789.secret"


@pytest.mark.parametrize("asset", ["skyinfo", "tracts", "sky_map"])
def test_run_configured_for_another_lake_is_refused_and_leaves_it_alone(
    filled: Runs, tmp_path: Path, asset: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    run = filled(asset, resources={"lake": {"data_dir": str(elsewhere)}})
    assert not run.success
    assert f"asks for the lake {elsewhere}" in run.failure
    assert str(filled.lake.root) in run.failure
    assert f"set PHOTOZ_DATA_DIR={elsewhere}" in run.failure
    assert "\n" not in run.failure
    assert not elsewhere.exists()


def test_run_whose_configuration_names_the_lake_that_it_has_goes_on(filled: Runs) -> None:
    assert filled("tracts", resources={"lake": {"data_dir": f"{filled.lake.root}/"}}).success


def test_lake_that_the_definitions_take_of_a_variable_is_the_locations_own(
    filled: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_OF_THIS_LOCATION", str(filled.lake.root))
    definitions = build_definitions(resources={"lake": LakeResource(data_dir=dg.EnvVar("LAKE_OF_THIS_LOCATION"))})

    def run(**lake: str) -> Run:
        result = definitions.resolve_job_def("demo").execute_in_process(
            run_config={"resources": {"lake": {"config": lake}}},
            asset_selection=[dg.AssetKey("tracts")],
            raise_on_error=False,
        )
        return Run(result)

    assert run().success
    assert "asks for the lake" in run(data_dir=str(tmp_path / "elsewhere")).failure


@pytest.mark.parametrize("repository", ["/srv/another", "file:///srv/another", "http://127.0.0.1:9/butler"])
def test_run_configured_for_another_repository_is_refused(runs: Runs, repository: str) -> None:
    run = runs("butler_collections", resources={"butler": {"repository": repository}}, job="refresh_butler")
    assert not run.success
    assert f"asks for the repository {repository}" in run.failure
    assert f"set PHOTOZ_BUTLER_REPOSITORY={repository}" in run.failure
    assert "\n" not in run.failure


def test_no_configuration_reaches_the_lake_of_the_io_manager(filled: Runs, tmp_path: Path) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        filled("tracts", resources={"io_manager": {"lake": {"data_dir": str(tmp_path)}}})


@pytest.mark.parametrize(
    ("asset", "resources"),
    [
        ("skyinfo", {"archive": {"url": {"env": "PHOTOZ_TAP_TOKEN"}}}),
        ("skyinfo", {"lake": {"data_dir": {"env": "ACCESS_TOKEN"}}}),
        ("matched_galaxies", {"selection": {"bands": ["g", {"env": "PHOTOZ_TAP_TOKEN"}]}}),
        ("butler_collections", {"butler": {"repository": {"env": "BUTLER_RUBIN_ACCESS_TOKEN"}}}),
        ("butler_collections", {"butler": {"skymap": {"env": "ACCESS_TOKEN"}}}),
    ],
    ids=str,
)
def test_run_whose_configuration_names_the_variable_of_a_token_shows_it_nowhere(
    runs: Runs, asset: str, resources: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PHOTOZ_TAP_TOKEN", "ACCESS_TOKEN", "BUTLER_RUBIN_ACCESS_TOKEN"):
        monkeypatch.setenv(variable, CANARY)
    tract = 3638 if asset == "matched_galaxies" else None
    job = "refresh_butler" if "butler" in resources else "demo"
    run = runs(asset, tract=tract, resources=resources, job=job)
    assert not run.success
    assert "takes a setting from the variable of a token" in run.failure
    assert [entry for entry in runs.instance.all_logs(run.result.run_id) if CANARY in str(entry)] == []
