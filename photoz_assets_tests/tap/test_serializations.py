"""Services that offer one format alone: the pipeline gives the same tables, bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import pytest

from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets.lake.layout import Lake
from photoz_assets_tests.runs import Runs

TRACT: Final = 3638
ASSETS: Final = ("tap_tables", "tap_columns", "skyinfo", "matched_galaxies")
ORDER: Final = {
    "matched_galaxies": ["mt_match_objectId"],
    "skyinfo": ["tract", "patch"],
    "tap_tables": ["table_name"],
    "tap_columns": ["table_name", "column_name"],
}
# Of what TAP_SCHEMA describes, an empty text and none are one in a format without a NULL of its own.
LABELS: Final = frozenset({"description", "unit", "ucd", "utype"})


def stored(lake: Lake, asset: str) -> dict[str, list[object]]:
    table = pq.ParquetFile(lake.table(asset, TRACT if asset == "matched_galaxies" else None)).read()
    columns = table.sort_by([(key, "ascending") for key in ORDER[asset]]).to_pydict()
    return {
        name: [value or None for value in values] if name in LABELS else values for name, values in columns.items()
    }


@pytest.mark.parametrize(("offered", "counts"), [("binary", True), ("tabledata", False), ("parquet", False)])
def test_service_that_offers_one_format_gives_the_same_tables(
    runs: Runs,
    sky_folder: Path,
    tmp_path: Path,
    offered: str,
    counts: bool,  # noqa: FBT001  (pytest's way)
) -> None:
    profile = replace(
        Profile.friendly(), default_format=offered, offered_formats=(offered,), row_count_in_job=counts
    )
    assert runs(*ASSETS, tract=TRACT).success
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile) as server:
        theirs = Runs(server.url, tmp_path / "other")
        run = theirs(*ASSETS, tract=TRACT)
    assert run.success, run.failure
    for asset in ASSETS:
        assert stored(theirs.lake, asset) == stored(runs.lake, asset), asset
