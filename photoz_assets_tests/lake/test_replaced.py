"""Readers of many tracts while these are published again: whole versions alone, and no errors."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pytest

import photoz_assets
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.lake.tables import read_tables
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.effort import effort
from photoz_assets_tests.samples import galaxies

TRACTS: Final = tuple(range(3001, 3041))
# Of the two versions that every tract has by turns: how many rows, and the redshift of all of them.
VERSIONS: Final = ((2_400, 1.0), (2_000, 2.0))
QUERIES: Final = effort(30, 2_000)

_WHOLE: Final = "SELECT tract, count(*), min(ts_redshift), max(ts_redshift) FROM {} GROUP BY tract"


def _version(folder: Path, rows: int, redshift: float) -> Path:
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=1)
    table = galaxies(rows, ts_redshift=[redshift] * rows)
    lake = Lake(folder / str(rows))
    return publish(lake, stage(lake, MATCHED_GALAXIES, [table], lambda: provenance))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [_version(tmp_path_factory.mktemp("versions"), *version) for version in VERSIONS]


@pytest.fixture
def lake(tmp_path: Path, versions: list[Path]) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.staging.mkdir(parents=True)
    for tract in TRACTS:
        _put(lake, versions[0], tract)
    return lake


def _put(lake: Lake, version: Path, tract: int) -> None:
    """Publish a tract as ``publish`` does, by one rename, and as fast as can be."""
    place = lake.table("matched_galaxies", tract)
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = lake.staging / f"{tract}.staged"
    os.link(version, aside)
    aside.replace(place)
    # Of two names of one file, a rename leaves both.
    aside.unlink(missing_ok=True)


@contextmanager
def republished(lake: Lake, versions: list[Path]) -> Iterator[None]:
    """Publish all tracts again and again, by turns as one and as the other version, for the time of a block."""
    done = threading.Event()

    def work() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            for tract in TRACTS:
                _put(lake, versions[turn % 2], tract)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            done.set()
        working.result()


def mixed(rows: list[tuple[int, int, float, float]]) -> list[tuple[int, int, float, float]]:
    """Return the tracts that are neither wholly of one version nor wholly of the other."""
    whole = {(count, redshift, redshift) for count, redshift in VERSIONS}
    return [row for row in rows if row[1:] not in whole]


@pytest.mark.slow
def test_views_show_whole_versions_of_tracts_that_are_published_again(lake: Lake, versions: list[Path]) -> None:
    """As many queries as a reader asks, of a new connection now and then, each while all tracts are replaced."""
    with republished(lake, versions):
        for number in range(QUERIES):
            if number % 10 == 0:
                connection = photoz_assets.connect(lake.root)
            rows = connection.execute(_WHOLE.format("matched_galaxies")).fetchall()
            assert len(rows) == len(TRACTS)
            assert mixed(rows) == []


def test_all_columns_of_a_relation_are_of_one_version(lake: Lake, versions: list[Path]) -> None:
    files = lake.files("matched_galaxies")
    with republished(lake, versions):
        for _ in range(effort(2, 50)):
            table = read_tables(lake, files, tract_column=True).rows.to_arrow_table()
            rows = duckdb.from_arrow(table).aggregate(
                "tract, count(*), min(ts_redshift), max(ts_redshift)", "tract"
            )
            assert mixed(rows.fetchall()) == []
            assert table.column_names == [*MATCHED_GALAXIES.names, "tract"]


def test_connection_shows_the_lake_as_it_was_when_it_was_opened(lake: Lake) -> None:
    """A tract that gains a column is united by name with the others, in connections that are opened then."""
    added = replace(MATCHED_GALAXIES.columns[2], name="obj_ebv")
    spec = replace(MATCHED_GALAXIES, columns=(*MATCHED_GALAXIES, added))
    table = galaxies(10, tract=3001).append_column(added.field, pa.array([0.5] * 10))
    provenance = Provenance(table="matched_galaxies", code_version="2", tract=3001)
    before = photoz_assets.connect(lake.root)
    publish(lake, stage(lake, spec, [table], lambda: provenance))
    after = photoz_assets.connect(lake.root)
    num_rows = 40 * VERSIONS[0][0]
    assert before.execute("SELECT count(*) FROM matched_galaxies").fetchall() == [(num_rows,)]
    assert "obj_ebv" not in before.view("matched_galaxies").columns
    assert after.view("matched_galaxies").columns == [*spec.names, "tract"]
    with_it = "SELECT count(*), count(obj_ebv), count(obj_ebv) FILTER (tract = 3001) FROM matched_galaxies"
    assert after.execute(with_it).fetchall() == [(num_rows - VERSIONS[0][0] + 10, 10, 10)]
