"""A run keeps to the lake and the repository that its location names, whatever its configuration says."""

from pathlib import Path

import dagster as dg
import pytest

from photoz_assets.definitions import build_definitions
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets_tests.runs import Run, Runs


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
