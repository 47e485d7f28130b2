"""A stored asset is handed on as what the input is annotated with."""

from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.orchestration.column_metadata import column_lineage
from photoz_assets.orchestration.io_manager import LakeIOManager, LakeResource
from photoz_assets.orchestration.partitions import tract_partitions
from photoz_assets_tests.dp02 import DP02, MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies, store

KEY = dg.AssetKey("matched_galaxies")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    for tract in (3637, 3638):
        provenance = Provenance(table="matched_galaxies", code_version="1", tract=tract)
        store(lake, galaxies(20, tract=tract), provenance)
    return lake


def _loaded(lake: Lake, annotation: type[Any], keys: list[str]) -> Any:
    manager = LakeIOManager(lake=LakeResource(data_dir=str(lake.root)))
    context = dg.build_input_context(
        name="matched_galaxies",
        asset_key=KEY,
        dagster_type=dg.PythonObjectDagsterType(annotation),
        partition_key=keys[0] if len(keys) == 1 else None,
        asset_partition_key_range=dg.PartitionKeyRange(keys[0], keys[-1]),
        asset_partitions_def=tract_partitions(DP02),
    )
    return manager.load_input(context)


@pytest.mark.parametrize(
    "annotation", [duckdb.DuckDBPyRelation, pa.Table, pd.DataFrame], ids=lambda kind: kind.__name__
)
def test_input_gets_the_type_of_its_annotation(lake: Lake, annotation: type[Any]) -> None:
    loaded = _loaded(lake, annotation, ["3638"])
    assert isinstance(loaded, annotation)
    names = getattr(loaded, "column_names", None) or loaded.columns
    assert tuple(names) == MATCHED_GALAXIES.names


def test_several_tracts_come_as_one_table_with_their_tract(lake: Lake) -> None:
    loaded = _loaded(lake, pa.Table, ["3637", "3638"])
    assert loaded.num_rows == 40
    assert set(loaded.column("tract").to_pylist()) == {3637, 3638}


def test_missing_tract_is_named(lake: Lake) -> None:
    with pytest.raises(dg.Failure, match=r"tract=3639.*Materialize matched_galaxies first"):
        _loaded(lake, pa.Table, ["3639"])


def test_other_annotation_is_refused_with_the_choice(lake: Lake) -> None:
    with pytest.raises(dg.DagsterInvariantViolationError, match=r"pandas\.DataFrame"):
        _loaded(lake, dict, ["3638"])


def test_lineage_leads_to_the_archives_columns() -> None:
    lineage = column_lineage(MATCHED_GALAXIES, dg.AssetKey("matched_galaxies")).deps_by_column
    [origin] = lineage["obj_g_cModelMag"]
    assert origin.asset_key == dg.AssetKey(["dp02_dc2_catalogs", "Object"])
    assert origin.column_name == "g_cModelFlux"
    assert set(lineage) == set(MATCHED_GALAXIES.names)
