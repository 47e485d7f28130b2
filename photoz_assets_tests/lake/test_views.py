"""The lake's tables as views: all of them at once, and cheap to import."""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import photoz_assets
from photoz_assets.lake.audit import audit
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import InvalidTableFileError, Provenance
from photoz_assets.lake.staging import publish, spill_folder, stage
from photoz_assets.lake.tables import OtherColumnsError, UnreadablePathError, open_tables, read_source, read_tables
from photoz_assets.lake.views import UnreadableTableWarning
from photoz_assets.storage import lake as old_path
from photoz_assets.survey.checks import KeyRule
from photoz_assets_tests.dp02 import MATCHED_GALAXIES, SKYINFO
from photoz_assets_tests.samples import galaxies

HEAVY = ("dagster", "duckdb", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "requests")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, photoz_assets; print(*(name for name in sys.argv[1:] if name in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code, *HEAVY], check=True, capture_output=True, text=True, timeout=60
    )
    assert loaded.stdout.split() == []


def test_old_import_path_of_connect_is_the_same_function() -> None:
    assert old_path.connect is photoz_assets.connect


TRACTS = (3637, 3638)
COUNTED = "SELECT tract, count(*), count(DISTINCT obj_tract) FROM {} GROUP BY tract ORDER BY tract"
EXPECTED = [(3637, 7, 1), (3638, 7, 1)]


def filled(root: Path, rows: int = 7) -> Lake:
    """Fill a lake with two tracts and a table that has no tracts."""
    lake = Lake(root)
    for tract in TRACTS:
        provenance = Provenance(table="matched_galaxies", code_version="1", tract=tract)
        publish(lake, stage(lake, MATCHED_GALAXIES, [galaxies(rows, tract=tract)], lambda: provenance))  # noqa: B023
    provenance = Provenance(table="skyinfo", code_version="1")
    publish(lake, stage(lake, SKYINFO, [SKYINFO.schema.empty_table()], lambda: provenance))
    return lake


@pytest.mark.parametrize(
    "folders",
    ["release=dp02", "tract=9", "tract=9/tract=8", "matched_galaxies=1/skyinfo=2", "obj_tract=5", "a=b/c=d=e"],
)
def test_only_the_last_folder_says_the_tract(tmp_path: Path, folders: str) -> None:
    lake = filled(tmp_path / folders / "lake")
    with photoz_assets.connect(lake.root) as connection:
        assert connection.execute(COUNTED.format("matched_galaxies")).fetchall() == EXPECTED
        assert connection.view("matched_galaxies").columns == [*MATCHED_GALAXIES.names, "tract"]
        assert connection.view("skyinfo").columns == list(SKYINFO.names)
    several = read_tables(lake, lake.files("matched_galaxies"), tract_column=True)
    assert sorted(several.rows.aggregate("tract, count(*)").fetchall()) == [(3637, 7), (3638, 7)]
    one = read_tables(lake, lake.files("matched_galaxies")[:1])
    assert one.rows.columns == list(MATCHED_GALAXIES.names)


ODD_NAMES = (
    "a[b]",
    "[",
    "]",
    "a*",
    "**",
    "a?b",
    "a\\b",
    "\\",
    "it's",
    '"quoted"',
    "a{b,c}",
    "a b",
    "ü",
    "%41",
    "#",
)


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lakes of more rows whose folders' names match odd ones, taken as patterns."""
    folder = tmp_path_factory.mktemp("lakes")
    for name in ("ab", "axb", "b"):
        filled(folder / name, rows=9)
    return folder


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_folders_are_no_patterns(neighbours: Path, name: str) -> None:
    lake = filled(neighbours / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with photoz_assets.connect(lake.root) as connection:
            assert connection.execute(COUNTED.format("matched_galaxies")).fetchall() == EXPECTED
            assert connection.execute("SELECT count(*) FROM skyinfo").fetchall() == [(0,)]
    shutil.rmtree(lake.root)


def test_name_that_duckdb_cannot_be_told_leaves_out_the_views_and_says_so(tmp_path: Path) -> None:
    lake = filled(tmp_path / "a\\b[c]")
    with pytest.warns(
        UnreadableTableWarning, match=r"has no view: DuckDB cannot read .*rename a folder above it"
    ) as told:
        connection = photoz_assets.connect(lake.root)
    assert len(told) == 2
    assert connection.execute("SHOW TABLES").fetchall() == []
    with pytest.raises(UnreadablePathError):
        read_tables(lake, lake.files("skyinfo"))


def test_audit_reads_the_staged_file_alone(tmp_path: Path) -> None:
    Lake(tmp_path / "ab").staging.mkdir(parents=True)
    lake = Lake(tmp_path / "tract=9" / "a[b]")
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=3638)
    staged = stage(lake, MATCHED_GALAXIES, [galaxies(7)], lambda: provenance)
    [verdict] = audit(
        staged.path,
        [KeyRule(check="unique_matches", columns=("mt_match_objectId",))],
        spill=spill_folder(staged.path),
    )
    assert verdict.numbers["rows"] == 7


def _cut(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:-100])


def _pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def _folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def _empty(place: Path) -> None:
    place.write_bytes(b"")


def _dangling(place: Path) -> None:
    place.unlink()
    place.symlink_to(place.with_name("nothing"))


@pytest.mark.parametrize("damage", [_cut, _pipe, _folder, _empty, _dangling])
@pytest.mark.timeout(60)
def test_bad_file_costs_its_own_view_alone_and_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    lake = filled(tmp_path / "lake")
    bad = lake.table("matched_galaxies", 3637)
    damage(bad)
    with pytest.warns(UnreadableTableWarning, match="^matched_galaxies has no view: ") as told:
        connection = photoz_assets.connect(lake.root)
    [warning] = told
    assert str(bad) in str(warning.message)
    assert warning.filename == __file__
    assert connection.execute("SHOW TABLES").fetchall() == [("skyinfo",)]
    with pytest.raises(InvalidTableFileError, match="tract=3637"):
        lake.provenance("matched_galaxies", 3637)


def test_source_of_another_contract_says_which_columns_differ(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    [path] = lake.files("skyinfo")
    assert read_source(path, SKYINFO).table == "skyinfo"
    with pytest.raises(OtherColumnsError, match=r"skyinfo.parquet: columns differ from the contract's: \+ mt_id"):
        read_source(path, MATCHED_GALAXIES)


def test_relation_keeps_its_connection(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    connection = duckdb.connect(config={"threads": 1})
    rows = open_tables(connection, lake.files("matched_galaxies"))
    del connection
    assert rows.count("*").fetchall() == [(14,)]
