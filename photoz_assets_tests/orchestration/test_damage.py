"""A damaged file in the lake: what reads it fails in one line that says which file, and what to do.

Also where the damage can be decoded: nothing is made of values that were changed on the disk.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeIOManager, Stored
from photoz_assets_tests.runs import Published, Runs
from photoz_assets_tests.samples import galaxies, store

TRACT = 3638


def _cut(whole: bytes) -> bytes:
    return whole[:-100]


def _spoiled(whole: bytes) -> bytes:
    """Overwrite some of the first column's values; the footer stays."""
    column = pq.read_metadata(BytesIO(whole)).row_group(0).column(0)
    middle = column.data_page_offset + column.total_compressed_size // 2
    return whole[:middle] + b"\xff" * 20 + whole[middle + 20 :]


def _flipped(whole: bytes) -> bytes:
    """Change a bit of the last column's values, which for floats is no damage that can be seen in itself."""
    group = pq.read_metadata(BytesIO(whole)).row_group(0)
    floats = [group.column(number) for number in range(group.num_columns)]
    column = [each for each in floats if each.physical_type == "DOUBLE"][-1]
    at = column.data_page_offset + column.total_compressed_size - 9
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


@pytest.fixture(scope="module")
def whole(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A lake with every table that another asset is made of."""
    runs = Runs(published.url, tmp_path_factory.mktemp("damage") / "lake")
    shutil.copytree(published.lake.root, runs.lake.root)
    assert runs("diagnostics", "field_galaxies", tract=TRACT).success
    return runs


@pytest.mark.parametrize(
    ("table", "asset", "damage"),
    [
        (("skyinfo",), "skyinfo", _cut),
        (("skyinfo",), "tracts", _cut),
        (("tracts",), "sky_map", _cut),
        (("patches",), "sky_map", _spoiled),
        (("skyinfo",), "tracts", _spoiled),
        (("skyinfo",), "patches", _flipped),
        (("tracts",), "sky_map", _flipped),
        (("matched_galaxies", TRACT), "diagnostics", _cut),
        (("matched_galaxies", TRACT), "diagnostics", _spoiled),
        (("matched_galaxies", TRACT), "diagnostics", _flipped),
        (("matched_galaxies", TRACT), "field_galaxies", _cut),
        (("matched_galaxies", TRACT), "field_galaxies", _spoiled),
        (("matched_galaxies", TRACT), "field_galaxies", _flipped),
        (("matched_galaxies", TRACT), "survey_diagnostics", _cut),
        (("diagnostics", TRACT), "survey_diagnostics", _cut),
        (("diagnostics", TRACT), "survey_diagnostics", _flipped),
        (("field_galaxies",), "field_diagnostics", _cut),
        (("field_galaxies",), "field_diagnostics", _flipped),
    ],
)
def test_what_reads_a_damaged_file_fails_in_one_line(
    whole: Runs, table: tuple[str] | tuple[str, int], asset: str, damage: Callable[[bytes], bytes]
) -> None:
    path = whole.lake.table(*table)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    try:
        run = whole(asset, tract=TRACT if asset == "diagnostics" else None)
    finally:
        path.write_bytes(good)
    assert not run.success
    assert str(path) in run.failure
    assert "materialize its asset again" in run.failure
    assert "\n" not in run.failure


@pytest.mark.parametrize("kind", [duckdb.Error, duckdb.BinderException, duckdb.ConversionException])
def test_whatever_duckdb_cannot_read_ends_in_one_line(kind: type[duckdb.Error]) -> None:
    with pytest.raises(dg.Failure) as failure, as_dagster_failure():
        raise kind("Serialization Error: no such thing\n\nLINE 1: SELECT\n")
    assert failure.value.allow_retries is False
    told = str(failure.value.description)
    assert "Serialization Error: no such thing: `photoz status --verify` names damaged files" in told
    assert "\n" not in told


def test_diagnostics_say_of_which_version_they_are_that_was_read(
    whole: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tract is published again between the reading of its rows and the drawing of its figures."""
    path = whole.lake.table("matched_galaxies", TRACT)
    good = path.read_bytes()
    read = whole.lake.provenance("matched_galaxies", TRACT)
    handed_on = LakeIOManager.load_input

    def published_again_after(manager: LakeIOManager, context: dg.InputContext) -> Stored:
        stored = handed_on(manager, context)
        store(whole.lake, galaxies(20, tract=TRACT), replace(read, run_id="another run"))
        return stored

    monkeypatch.setattr(LakeIOManager, "load_input", published_again_after)
    run = whole("diagnostics", tract=TRACT)
    assert whole.lake.provenance("matched_galaxies", TRACT).run_id == "another run"
    path.write_bytes(good)
    assert whole.lake.provenance("diagnostics", TRACT).inputs == (read.identity,)
    assert run.metadata("diagnostics")["num_galaxies"] == read.rows_stored
