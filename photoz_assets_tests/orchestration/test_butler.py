"""The Butler's assets against a real repository, and beside TAP's galaxies of the same sky."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from photoz_archive.butler.repository import COLLECTION
from photoz_archive.sky.store import SkyStore
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets.lake.provenance import read_provenance
from photoz_assets.orchestration.resources import ButlerResource
from photoz_assets_tests.dp02 import DP02, MATCHED_TRUTH, OBJECT_TABLE
from photoz_assets_tests.runs import Published, Run, Runs

Butler = pytest.importorskip("lsst.daf.butler", reason="the extra butler is not installed").Butler

HELD = FIELD_TRACTS[:2]
TRACT = 3638

# As the notebook prints them, sorted.
PRINTED_COLLECTIONS = ["2.2i/runs/DP0.1", "2.2i/runs/DP0.2"]
PRINTED_DATASET_TYPES = [
    "diaObjectTable_tract",
    "diaSourceTable_tract",
    "diff_matched_truth_summary_objectTable_tract",
    "forcedSourceOnDiaObjectTable_tract",
    "forcedSourceTable_tract",
    "match_ref_truth_summary_objectTable_tract",
    "match_target_truth_summary_objectTable_tract",
    "matched_truth_summary_objectTable_tract",
    "objectTable_tract",
]


@pytest.fixture
def butler(repository: Path) -> ButlerResource:
    return ButlerResource(repository=str(repository))


@pytest.fixture
def changed(repository: Path) -> Callable[..., ButlerResource]:
    """Put another table of the tract into a run of its own, and give the Butler that finds it first."""

    def put(name: str, dataset_type: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> ButlerResource:
        with Butler.from_config(str(repository), run=name, writeable=True) as writer:
            old = writer.get(dataset_type, skymap="DC2", tract=TRACT, collections=COLLECTION)
            writer.put(change(old), dataset_type, skymap="DC2", tract=TRACT)
        return ButlerResource(repository=str(repository), collections=[name, COLLECTION])

    return put


@pytest.fixture(scope="module")
def read(published: Published, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Run]:
    """A lake with the tract's tables of both doors, and the run of the Butler's; tests only read it."""
    runs = Runs(published.url, tmp_path_factory.mktemp("doors") / "lake")
    shutil.copytree(published.lake.root, runs.lake.root)
    resource = ButlerResource(repository=str(repository))
    return runs, _read(runs, "object_table", "matched_truth", butler=resource, tract=TRACT)


@pytest.fixture
def both(read: tuple[Runs, Run], runs: Runs) -> Runs:
    """Runs on a copy of that lake."""
    shutil.copytree(read[0].lake.root, runs.lake.root)
    return runs


def _read(runs: Runs, *assets: str, butler: ButlerResource, tract: int | None = None) -> Run:
    return runs(*assets, butler=butler, tract=tract, job="refresh_butler")


def _rows(runs: Runs, asset: str, tract: int | None = None) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(runs.lake.table(asset, tract), partitioning=None).to_pandas()
    return frame


def test_listing_is_the_notebooks(runs: Runs, butler: ButlerResource) -> None:
    assert _read(runs, "butler_collections", "butler_dataset_types", butler=butler).success
    collections = _rows(runs, "butler_collections")
    assert sorted(set(collections["collection"]) & set(PRINTED_COLLECTIONS)) == PRINTED_COLLECTIONS
    assert collections["documentation"].str.contains("simulated").all()
    kinds = _rows(runs, "butler_dataset_types")
    assert kinds["dataset_type"].to_list() == PRINTED_DATASET_TYPES
    assert set(kinds["dimensions"]) == {"skymap, tract"}
    assert set(kinds["storage_class"]) == {"DataFrame"}


@pytest.mark.parametrize("tract", HELD)
def test_object_table_is_the_archives_primary_objects(
    runs: Runs, butler: ButlerResource, sky_folder: Path, tract: int
) -> None:
    run = _read(runs, "object_table", butler=butler, tract=tract)
    assert run.success
    assert all(check.passed for check in run.checks.values())
    path = runs.lake.table("object_table", tract)
    assert pq.read_schema(path).names == list(OBJECT_TABLE.names)
    [objects] = SkyStore(sky_folder / "sky", density=DENSITY).files("Object", [tract])
    listed = ", ".join(f"{column.source} AS {column.name}" for column in OBJECT_TABLE.selected)
    names = ", ".join(column.name for column in OBJECT_TABLE.selected)
    expected = f"SELECT {listed} FROM read_parquet('{objects}') WHERE detect_isPrimary"
    found = f"SELECT {names} FROM read_parquet('{path}', hive_partitioning=false)"
    for one, other in ((expected, found), (found, expected)):
        assert duckdb.execute(f"{one} EXCEPT ALL {other}").fetchall() == []
    assert run.metadata("object_table")["dagster/partition_row_count"] > 1000


def test_magnitudes_and_missing_values_are_as_in_matched_galaxies(read: tuple[Runs, Run]) -> None:
    runs, _ = read
    path = runs.lake.table("object_table", TRACT)
    [(not_numbers, missing, wrong)] = duckdb.execute(
        "SELECT count(*) FILTER (WHERE isnan(obj_g_cModelFlux)), "
        "count(*) FILTER (WHERE obj_g_cModelFlux IS NULL), "
        "count(*) FILTER (WHERE obj_g_cModelFlux > 0 AND obj_g_cModelMag IS NULL) "
        f"FROM read_parquet('{path}', hive_partitioning=false)"
    ).fetchall()
    assert not_numbers == wrong == 0
    assert missing > 0


def test_matched_truth_is_the_matches_of_the_archive(read: tuple[Runs, Run], sky_folder: Path) -> None:
    runs, run = read
    assert run.success
    path = runs.lake.table("matched_truth", TRACT)
    assert pq.read_schema(path).names == list(MATCHED_TRUTH.names)
    store = SkyStore(sky_folder / "sky", density=DENSITY)
    matches, truths = (store.files(table, [TRACT])[0] for table in ("MatchesTruth", "TruthSummary"))
    expected = (
        f"SELECT match_objectId, ra, dec, flux_r FROM read_parquet('{matches}') AS m "
        f"JOIN read_parquet('{truths}') AS t USING (id_truth_type) WHERE match_objectId IS NOT NULL"
    )
    found = f"SELECT obj_objectId, ts_ra, ts_dec, ts_flux_r FROM read_parquet('{path}', hive_partitioning=false)"
    for one, other in ((expected, found), (found, expected)):
        assert duckdb.execute(f"{one} EXCEPT ALL {other}").fetchall() == []
    assert 0 < _rows(runs, "matched_truth", TRACT)["match_distance_pix"].max() < 2.5


def test_truths_columns_may_bear_the_pipelines_prefix(both: Runs, changed: Callable[..., ButlerResource]) -> None:
    truth = {name: f"refcat_{name}" for name in ("ra", "dec", *(f"flux_{band}" for band in "ugrizy"))}
    plain = _rows(both, "matched_truth", TRACT)
    prefixed = changed("prefixed", DP02.butler.matches, lambda frame: frame.rename(columns=truth))
    assert _read(both, "matched_truth", butler=prefixed, tract=TRACT).success
    pd.testing.assert_frame_equal(_rows(both, "matched_truth", TRACT), plain)


def test_both_doors_agree(read: tuple[Runs, Run]) -> None:
    runs, run = read
    check = run.checks["agrees_with_tap"]
    assert check.passed
    assert check.partition == str(TRACT)
    assert check.metadata["galaxies_of_tap"] == len(_rows(runs, "matched_galaxies", TRACT)) > 500
    assert check.metadata["objects_of_butler"] == len(_rows(runs, "object_table", TRACT))
    assert check.metadata["missing"] == check.metadata["differing"] == 0
    assert check.metadata["largest_flux_difference_njy"] == 0


def test_doors_of_which_one_gave_the_tract_are_not_compared(runs: Runs, butler: ButlerResource) -> None:
    check = _read(runs, "object_table", butler=butler, tract=TRACT).checks["agrees_with_tap"]
    assert check.passed
    assert "not compared" in check.description


def test_changed_flux_is_found_with_its_numbers(both: Runs, changed: Callable[..., ButlerResource]) -> None:
    galaxy = _rows(both, "matched_galaxies", TRACT).iloc[7]
    key, flux = int(galaxy["mt_match_objectId"]), float(galaxy["obj_r_cModelFlux"])

    def brighter(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[key, "r_cModelFlux"] = flux + 12.5
        return frame

    run = _read(both, "object_table", butler=changed("brighter", DP02.butler.objects, brighter), tract=TRACT)
    check = run.checks["agrees_with_tap"]
    assert not check.passed
    assert (check.metadata["missing"], check.metadata["differing"]) == (0, 1)
    assert check.metadata["differing_obj_r_cModelFlux"] == 1
    assert check.metadata["largest_flux_difference_njy"] == pytest.approx(12.5)
    assert {row["column"] for row in check.offending_rows} == {"obj_r_cModelFlux", "obj_r_cModelMag"}
    assert {row["objectId"] for row in check.offending_rows} == {str(key)}
    assert float(check.offending_rows[0]["butler"]) == pytest.approx(flux + 12.5)
    assert "1 differ in obj_r_cModelFlux, obj_r_cModelMag" in check.description


def test_moved_and_lost_objects_are_found_with_their_numbers(
    both: Runs, changed: Callable[..., ButlerResource]
) -> None:
    moved, lost = (int(key) for key in _rows(both, "matched_galaxies", TRACT)["mt_match_objectId"][:2])
    before = len(_rows(both, "object_table", TRACT))

    def disturb(frame: pd.DataFrame) -> pd.DataFrame:
        dec = frame["coord_dec"]
        return frame.assign(coord_dec=dec.where(frame.index != moved, dec + 0.1 / 3600)).drop(index=lost)

    run = _read(both, "object_table", butler=changed("disturbed", DP02.butler.objects, disturb), tract=TRACT)
    check = run.checks["agrees_with_tap"]
    assert not check.passed
    assert (check.metadata["missing"], check.metadata["differing"]) == (1, 1)
    assert check.metadata["objects_of_butler"] == before - 1
    assert check.metadata["largest_position_difference_arcsec"] == pytest.approx(0.1, rel=1e-4)
    shown = {row["objectId"]: row["column"] for row in check.offending_rows}
    assert shown == {str(lost): "the whole row", str(moved): "obj_coord_dec"}


@pytest.mark.parametrize(
    ("name", "check", "change"),
    [
        ("without flux", "contract", lambda frame: frame.drop(columns="g_cModelFlux")),
        ("as text", "contract", lambda frame: frame.assign(coord_ra="east")),
        (
            "no position",
            "contract",
            lambda frame: frame.assign(coord_ra=frame["coord_ra"].mask(frame["detect_isPrimary"])),
        ),
        ("elsewhere", "inside_tract", lambda frame: frame.assign(tract=3637)),
        ("twice", "unique_objects", lambda frame: pd.concat([frame, frame[frame["detect_isPrimary"]].head(1)])),
    ],
)
def test_table_that_breaks_the_contract_is_refused_and_the_last_good_one_stays(
    *,
    both: Runs,
    changed: Callable[..., ButlerResource],
    name: str,
    check: str,
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    good = both.lake.table("object_table", TRACT).read_bytes()
    run = _read(both, "object_table", butler=changed(name, DP02.butler.objects, change), tract=TRACT)
    assert not run.success
    assert not run.checks[check].passed
    assert "\n" not in run.failure
    assert both.lake.table("object_table", TRACT).read_bytes() == good
    assert list(both.lake.staging.iterdir()) == []


def test_table_says_that_it_is_simulated_and_names_no_tap_archive(read: tuple[Runs, Run]) -> None:
    runs, _ = read
    path = runs.lake.table("object_table", TRACT)
    provenance = read_provenance(path)
    assert provenance.archive is None
    assert "Embedded archive, simulated" in (provenance.repository or "")
    assert COLLECTION in (provenance.repository or "")
    assert b"simulated" in pq.read_metadata(path).metadata[b"IVOA.VOTable-Parquet.content"]


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        pytest.param(ButlerResource(), "set PHOTOZ_BUTLER_REPOSITORY", id="not configured"),
        pytest.param(ButlerResource(repository="/nowhere/at/all"), "cannot be opened", id="no repository"),
        pytest.param(
            ButlerResource(repository="http://127.0.0.1:9/api/butler"), "cannot be opened", id="no server"
        ),
    ],
)
def test_repository_that_is_not_there_ends_in_one_line(runs: Runs, resource: ButlerResource, words: str) -> None:
    run = _read(runs, "butler_collections", butler=resource)
    assert not run.success
    assert words in run.failure
    assert "\n" not in run.failure


def test_tract_and_collection_that_are_not_there_are_named(runs: Runs, repository: Path) -> None:
    missing = _read(runs, "object_table", butler=ButlerResource(repository=str(repository)), tract=DP02.tracts[0])
    assert str(DP02.tracts[0]) in missing.failure
    other = ButlerResource(repository=str(repository), collections=["2.2i/runs/DP9"])
    assert "2.2i/runs/DP9" in _read(runs, "butler_collections", butler=other).failure
