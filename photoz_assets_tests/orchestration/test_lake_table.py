"""One way to make a table: what a spec says holds, for tables that exist nowhere else."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.writing import write_rows
from photoz_assets.orchestration.io_manager import LakeIOManager, LakeResource
from photoz_assets.orchestration.lake_table import LakeTable, TableResult, lake_table
from photoz_assets.survey.checks import Check, RowRule
from photoz_assets.survey.table import Column, TableSpec, not_empty_check
from photoz_assets_tests.dp02 import DP02

COLUMNS = (
    Column(
        name="redshift",
        type=pa.float64(),
        description="A redshift",
        ucd="src.redshift",
        derived_from=("matched_galaxies.ts_redshift",),
    ),
)


def _below_six(*, blocking: bool) -> Check:
    rule = RowRule(check="below_six", condition="redshift < 6", shown=("redshift",), limits={"below": 6})
    return Check(name="below_six", description="No redshift is 6 or more.", blocking=blocking, rule=lambda _: rule)


def _table(name: str, rows: list[float], *checks: Check) -> LakeTable:
    spec = TableSpec(
        table=name, columns=COLUMNS, version=7, group="tests", kinds=frozenset({"parquet"}), checks=checks
    )

    @lake_table(spec)
    def written(lake: LakeResource) -> TableResult:
        """A table that tests write."""
        provenance = Provenance(table=name, code_version=spec.code_version)
        table = pa.table({"redshift": pa.array(rows, pa.float64())}, schema=spec.schema)
        return TableResult(write_rows(lake.open(), spec, [table], provenance), metadata={"told": len(rows)})

    return written


def _materialize(table: LakeTable, folder: Path) -> dg.ExecuteInProcessResult:
    lake = LakeResource(data_dir=str(folder))
    resources: dict[str, Any] = {"lake": lake, "io_manager": LakeIOManager(lake=lake)}
    return dg.materialize([table.asset(DP02)], resources=resources, raise_on_error=False)


def _evaluations(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {
        found.check_name: (found.passed, found.severity.value) for found in result.get_asset_check_evaluations()
    }


def test_check_that_its_spec_says_blocks_keeps_the_table_out(tmp_path: Path) -> None:
    good = _table("only_here", [0.5, 1.5], _below_six(blocking=True))
    bad = _table("only_here", [0.5, 7.5], _below_six(blocking=True))
    assert _materialize(good, tmp_path).success
    refused = _materialize(bad, tmp_path)
    assert not refused.success
    assert _evaluations(refused) == {"below_six": (False, "ERROR")}
    [failure] = refused.filter_events(lambda event: event.is_step_failure)
    told = failure.step_failure_data.user_failure_data
    assert told is not None
    assert told.description == (
        "only_here is refused by its checks. below_six: 1 of 2 rows fail. The last good table stays as it was."
    )
    assert pq.read_table(Lake(tmp_path).table("only_here"))["redshift"].to_pylist() == [0.5, 1.5]


def test_check_of_the_same_name_warns_where_its_spec_says_so(tmp_path: Path) -> None:
    warned = _materialize(_table("warned", [7.5], _below_six(blocking=False)), tmp_path)
    assert warned.success
    assert _evaluations(warned) == {"below_six": (False, "WARN")}
    assert Lake(tmp_path).table("warned").exists()


@pytest.mark.parametrize("blocking", [True, False])
def test_not_empty_blocks_one_table_and_warns_of_another(tmp_path: Path, blocking: bool) -> None:  # noqa: FBT001
    table = _table("empty", [], not_empty_check("galaxies", blocking=blocking))
    assert _materialize(table, tmp_path).success is not blocking
    assert Lake(tmp_path).table("empty").exists() is not blocking


def test_spec_gives_the_page_its_columns_version_checks_and_lines() -> None:
    asset = _table("only_here", [], _below_six(blocking=True)).asset(DP02)
    [spec] = asset.specs
    assert (spec.group_name, spec.code_version, spec.kinds) == ("tests", "7", {"parquet"})
    assert [column.name for column in spec.metadata["dagster/column_schema"].columns] == ["redshift"]
    assert [(check.name, check.blocking) for check in asset.check_specs] == [("below_six", True)]
    assert spec.description == "A table that tests write."
    [lines] = spec.metadata["dagster/code_references"].code_references
    assert lines.file_path == __file__
