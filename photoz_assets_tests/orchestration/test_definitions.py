"""The code location: it loads with nothing set and nothing reachable, and is what the README says."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from photoz_assets.definitions import build_definitions
from photoz_assets.orchestration.column_metadata import column_lineage
from photoz_assets_tests.dp02 import TABLES

ROOT = Path(__file__).parents[2]

GRAPH = {
    "tap_tables": "archive",
    "tap_columns": "archive",
    "skyinfo": "sky",
    "tracts": "sky",
    "patches": "sky",
    "sky_map": "sky",
    "matched_galaxies": "galaxies",
    "field_galaxies": "galaxies",
    "diagnostics": "diagnostics",
    "field_diagnostics": "diagnostics",
    "survey_diagnostics": "diagnostics",
    "photoz_galaxies": "photoz",
    "photoz_sample": "photoz",
    "photoz_exports": "photoz",
    "photoz_model": "photoz",
    "photoz_estimates": "photoz",
    "photoz_catalog": "photoz",
    "photoz_quality": "photoz",
    "galaxies_hats": "photoz",
    "butler_collections": "butler",
    "butler_dataset_types": "butler",
    "object_table": "butler",
    "matched_truth": "butler",
    "deep_coadd": "butler",
    "atlas": "atlas",
    "stamps": "images",
    "field_image": "images",
}
PARTITIONED = {
    "matched_galaxies",
    "photoz_galaxies",
    "photoz_catalog",
    "photoz_exports",
    "object_table",
    "matched_truth",
    "stamps",
}

# Prints what a code location holds, with every socket refused and nothing in the environment.
LISTING = """
import socket
def refused(*arguments, **keywords):
    raise OSError("no network at load")
socket.socket.connect = refused
from dagster._core.workspace.context import WorkspaceProcessContext  # noqa: F401
from photoz_assets.definitions import defs
print(*sorted(key.to_user_string() for key in defs().resolve_asset_graph().materializable_asset_keys))
"""


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions()


def _specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {
        spec.key.to_user_string(): spec
        for asset in definitions.assets or []
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable
        for spec in asset.specs
    }


def test_graph_has_the_designed_assets_in_their_groups(definitions: dg.Definitions) -> None:
    assert {name: spec.group_name for name, spec in _specs(definitions).items()} == GRAPH


def test_every_asset_is_described_owned_versioned_and_of_a_kind(definitions: dg.Definitions) -> None:
    for spec in _specs(definitions).values():
        assert spec.description
        assert spec.owners
        assert spec.code_version
        assert spec.kinds


def test_every_table_shows_its_columns_with_units_before_any_run(definitions: dg.Definitions) -> None:
    for name, spec in _specs(definitions).items():
        if name in TABLES:
            schema = spec.metadata["dagster/column_schema"]
            assert [column.name for column in schema.columns] == list(TABLES[name].names)
    columns = _specs(definitions)["matched_galaxies"].metadata["dagster/column_schema"].columns
    assert next(column for column in columns if column.name == "ts_ra").description.endswith("[deg]")


def test_archives_tables_stand_in_the_graph_with_their_columns(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    table = graph.get(dg.AssetKey(["dp02_dc2_catalogs", "Object"]))
    assert table.is_external
    columns = {column.name: column for column in table.metadata["dagster/column_schema"].columns}
    assert {"objectId", "coord_ra", "tract", "g_cModelFlux", "y_cModel_flag"} <= set(columns)
    assert columns["g_cModelFlux"].tags == {"unit": "nJy", "ucd": "phot.flux.density"}


def test_lineage_of_every_column_ends_at_the_archive(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for name, contract in TABLES.items():
        upstream = graph.get(dg.AssetKey(name)).parent_keys
        for column, origins in column_lineage(contract, dg.AssetKey(contract.table)).deps_by_column.items():
            assert origins, f"{name}.{column}"
            for origin in origins:
                # A magnitude comes of the flux beside it.
                within = origin.asset_key == dg.AssetKey(name)
                assert within or origin.asset_key in upstream, f"{name}.{column} comes from {origin}"
                schema = graph.get(origin.asset_key).metadata["dagster/column_schema"]
                assert origin.column_name in {found.name for found in schema.columns}, f"{name}.{column}"


def test_every_asset_names_the_lines_that_make_it(definitions: dg.Definitions) -> None:
    for name, spec in _specs(definitions).items():
        [reference] = spec.metadata["dagster/code_references"].code_references
        assert Path(reference.file_path).is_relative_to(ROOT / "photoz_assets" / "orchestration" / "assets"), name
        assert reference.line_number > 1


def test_tracts_are_partitions_ascending(definitions: dg.Definitions) -> None:
    partitions = _specs(definitions)["matched_galaxies"].partitions_def
    assert partitions is not None
    keys = partitions.get_partition_keys()
    assert len(keys) == 157
    assert [keys[0], keys[-1]] == ["2897", "5074"]
    assert keys == sorted(keys, key=int)


def test_checks_are_declared_with_their_partitions_and_block(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    declared = {
        (key.asset_key.to_user_string(), key.name): graph.get_check_spec(key) for key in graph.asset_check_keys
    }
    blocking = {name for (asset, name), spec in declared.items() if asset == "matched_galaxies" and spec.blocking}
    assert blocking == {
        "magnitude_cuts",
        "true_primary_galaxies",
        "complete",
        "unique_matches",
        "finite_values",
        "contract",
    }
    assert declared["field_galaxies", "field_complete"].blocking
    assert not declared["skyinfo", "known_tracts"].blocking
    for (asset, _), spec in declared.items():
        assert (spec.partitions_def is not None) == (asset in PARTITIONED)


def test_schedules_and_sensors_are_off_until_turned_on(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "refresh_archive_weekly",
        "refresh_tracts_daily",
        "forget_runs_weekly",
    }
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    for sensor in repository.sensor_defs:
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert {"refresh_archive", "refresh_tracts", "refresh_butler", "export_photoz", "demo", "forget_runs"} <= {
        job.name for job in repository.get_all_jobs()
    }


def test_definitions_load_without_network_and_environment(tmp_path: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-c", LISTING],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert listed.stdout.split() == sorted(GRAPH)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["-w", "workspace.yaml"], []], ids=["workspace", "pyproject"])
def test_both_routes_into_the_code_location_validate(arguments: list[str], tmp_path: Path) -> None:
    dagster = Path(sys.executable).with_name("dagster")
    validated = subprocess.run(
        [dagster, "definitions", "validate", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert validated.returncode == 0, validated.stderr[-2000:]
    assert "All code locations passed validation" in validated.stdout + validated.stderr


def test_page_describes_every_resource_and_each_of_its_settings(definitions: dg.Definitions) -> None:
    for name, resource in (definitions.resources or {}).items():
        fixed = isinstance(resource, dg.ResourceDefinition)
        declared = resource if fixed else resource.get_resource_definition()
        # Markdown takes an indented line for code.
        assert declared.description, name
        assert "\n    " not in declared.description, name
        fields = getattr(declared.config_schema.config_type, "fields", {})
        assert [setting for setting, field in fields.items() if not field.description] == [], name
