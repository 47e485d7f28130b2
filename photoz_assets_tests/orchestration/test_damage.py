"""A damaged file in the lake: what reads it fails in one line that says which file, and what to do."""

import shutil
from collections.abc import Callable
from io import BytesIO

import pyarrow.parquet as pq
import pytest

from photoz_assets_tests.runs import Published, Runs

TRACT = 3638


def _cut(whole: bytes) -> bytes:
    return whole[:-100]


def _spoiled(whole: bytes) -> bytes:
    """Overwrite some of the first column's values; the footer stays."""
    column = pq.read_metadata(BytesIO(whole)).row_group(0).column(0)
    middle = column.data_page_offset + column.total_compressed_size // 2
    return whole[:middle] + b"\xff" * 20 + whole[middle + 20 :]


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
        (("matched_galaxies", TRACT), "diagnostics", _cut),
        (("matched_galaxies", TRACT), "field_galaxies", _cut),
        (("matched_galaxies", TRACT), "field_galaxies", _spoiled),
        (("matched_galaxies", TRACT), "survey_diagnostics", _cut),
        (("diagnostics", TRACT), "survey_diagnostics", _cut),
        (("field_galaxies",), "field_diagnostics", _cut),
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
