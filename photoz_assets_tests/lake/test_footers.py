"""The index of footers: it spares reading them, and is never believed against the files."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import photoz_assets
from photoz_assets.lake.footers import StoredFooter, read_footers
from photoz_assets.lake.freshness import stale_reasons
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies, store

TRACTS = (3637, 3638, 3639)
CURRENT = dict.fromkeys(TRACTS, "current")


def put(lake: Lake, tract: int, selection: Selection | None = None) -> None:
    provenance = Provenance(
        table="matched_galaxies", code_version="1", tract=tract, selection=selection or Selection()
    )
    store(lake, galaxies(2, tract=tract), provenance)


def judged(lake: Lake) -> dict[int, str]:
    found = stale_reasons(lake, TRACTS, Selection(), MATCHED_GALAXIES)
    return {tract: str(reason) for tract, reason in found.items()}


def spoil(path: Path, *, unnoticed: bool) -> None:
    """Make a file unreadable in its place; if unnoticed, with its size and its time of writing as they were."""
    facts = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(facts.st_size))
    # A file system's clock may stand still between two writings.
    written_ns = facts.st_mtime_ns + (0 if unnoticed else 1)
    os.utime(path, ns=(facts.st_atime_ns, written_ns))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for tract in TRACTS:
        put(lake, tract)
    assert judged(lake) == CURRENT
    return lake


def test_footer_of_a_known_version_is_not_read_again(lake: Lake) -> None:
    for tract in TRACTS:
        spoil(lake.table("matched_galaxies", tract), unnoticed=True)
    assert judged(lake) == CURRENT


def test_view_of_known_files_looks_into_one_of_each_kind(lake: Lake) -> None:
    photoz_assets.connect(lake.root)
    for tract in TRACTS[1:]:
        spoil(lake.table("matched_galaxies", tract), unnoticed=True)
    with photoz_assets.connect(lake.root) as connection:
        assert connection.view("matched_galaxies").columns == [*MATCHED_GALAXIES.names, "tract"]
        assert connection.sql("SELECT count(*) FROM matched_galaxies WHERE tract = 3637").fetchall() == [(2,)]


def test_view_unites_files_of_two_contracts_by_the_names_of_their_columns(lake: Lake) -> None:
    path = lake.table("matched_galaxies", 3638)
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.drop_columns("ts_mag_r").append_column("extra", pa.array(["a", "b"])), path)
    for _ in range(2):
        with photoz_assets.connect(lake.root) as connection:
            found = connection.sql(
                "SELECT tract, count(ts_mag_r), count(extra) FROM matched_galaxies GROUP BY ALL"
            )
            assert sorted(found.fetchall()) == [(3637, 2, 0), (3638, 0, 2), (3639, 2, 0)]


def test_version_that_differs_is_read(lake: Lake) -> None:
    put(lake, 3637, Selection(faint_limit_mag=25))
    spoil(lake.table("matched_galaxies", 3638), unnoticed=False)
    lake.table("matched_galaxies", 3639).unlink()
    assert judged(lake) == {3637: "of another selection", 3638: "damaged, or not ours", 3639: "missing"}


def _cut(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:-20])


def _flip(index: Path) -> None:
    content = bytearray(index.read_bytes())
    content[40:60] = bytes(byte ^ 255 for byte in content[40:60])
    index.write_bytes(content)


def _of_other_columns(index: Path) -> None:
    pq.write_table(pa.table({"place": ["nowhere"]}), index)


def _barred(index: Path) -> None:
    shutil.rmtree(index.parent)
    index.parent.write_text("no folder, as little as one that may not be written in")


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _flip, _of_other_columns, _barred])
def test_without_its_index_a_lake_is_read_as_with_it(lake: Lake, damage: Callable[[Path], None]) -> None:
    [index] = lake.footers.iterdir()
    put(lake, 3638, Selection(faint_limit_mag=25))
    damage(index)
    expected = CURRENT | {3638: "of another selection"}
    assert judged(lake) == expected
    assert judged(lake) == expected


def test_readers_at_the_same_time_all_see_what_is_there(lake: Lake) -> None:
    selections = [Selection(faint_limit_mag=20 + number / 10) for number in range(10)]

    def seen(_: int) -> list[Selection | None]:
        footers = read_footers(lake, "matched_galaxies", lake.files("matched_galaxies"))
        return [each.provenance.selection for each in footers if isinstance(each, StoredFooter)]

    with ThreadPoolExecutor(4) as pool:
        for selection in selections:
            for tract in TRACTS:
                put(lake, tract, selection)
            assert list(pool.map(seen, range(4))) == [[selection] * len(TRACTS)] * 4
    assert [path.name for path in lake.footers.iterdir()] == ["matched_galaxies.index"]


def test_provenance_without_sense_is_told_where_it_is_asked_for(lake: Lake) -> None:
    table = pq.read_table(lake.table("matched_galaxies", 3637), partitioning=None)
    pq.write_table(table.replace_schema_metadata(None), lake.table("matched_galaxies", 3637))
    assert judged(lake) == CURRENT | {3637: "damaged, or not ours"}
    with photoz_assets.connect(lake.root) as connection:
        assert connection.sql("SELECT count(*) FROM matched_galaxies").fetchall() == [(6,)]
