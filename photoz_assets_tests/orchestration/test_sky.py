"""The sky: skyinfo against the notebook's printed values, patches against the tutorials' points."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.path import Path as Outline

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.coadds import coadd_patches
from photoz_assets.orchestration.checks.geometry import compare_outlines
from photoz_assets.science.figures import Caption, sky_map
from photoz_assets_tests.conftest import THIN
from photoz_assets_tests.dp02 import DP02, SKYINFO
from photoz_assets_tests.runs import Run, Runs

# Means over the patches of each tract, as the notebook prints them.
PRINTED = {
    2897: (50.847278, -43.882198),
    2898: (52.881212, -43.881946),
    2899: (54.915204, -43.881658),
    2900: (56.949101, -43.881727),
    2901: (58.982980, -43.881880),
}


@pytest.fixture(scope="module")
def whole_sky(sky_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Run]:
    """A lake with the whole sky of a thin archive."""
    with ArchiveServer(sky_folder, density=THIN) as server:
        runs = Runs(server.url, tmp_path_factory.mktemp("whole") / "lake")
        return runs, runs("tap_tables", "tap_columns", "skyinfo", "tracts", "patches", "sky_map")


def test_skyinfo_lists_the_notebooks_tracts_with_49_patches_each(whole_sky: tuple[Runs, Run]) -> None:
    runs, run = whole_sky
    assert run.success
    table = pq.read_table(runs.lake.table("skyinfo")).to_pandas()
    assert tuple(table.columns) == SKYINFO.names
    assert sorted(table["tract"].unique()) == list(DP02.tracts)
    assert (table.groupby("tract")["patch"].nunique() == 49).all()
    assert run.checks["known_tracts"].passed


def test_mean_positions_are_the_notebooks(whole_sky: tuple[Runs, Run]) -> None:
    runs, _ = whole_sky
    tracts = pq.read_table(runs.lake.table("tracts")).to_pandas().set_index("tract")
    for tract, (ra, dec) in PRINTED.items():
        assert tracts.loc[tract, "mean_ra"] == pytest.approx(ra, abs=0.03)
        assert tracts.loc[tract, "mean_dec"] == pytest.approx(dec, abs=0.03)


@pytest.mark.parametrize(
    ("tract", "patch", "point"),
    [(4431, 17, (55.745834, -32.269167)), (3442, 13, (50.5265, -39.7589))],
)
def test_patches_hold_the_tutorials_points(
    whole_sky: tuple[Runs, Run], tract: int, patch: int, point: tuple[float, float]
) -> None:
    runs, _ = whole_sky
    patches = pq.read_table(runs.lake.table("patches")).to_pylist()
    holding = [
        (row["tract"], row["patch"])
        for row in patches
        if Outline(np.column_stack([row["ra"], row["dec"]])).contains_point(point)
    ]
    assert (tract, patch) in holding
    assert len(patches) == 7693
    assert patches[0]["s_region"].startswith("POLYGON ICRS ")


def test_patches_of_the_archive_lie_where_the_skymap_has_them(whole_sky: tuple[Runs, Run]) -> None:
    _, run = whole_sky
    check = run.checks["agrees_with_coadd_patches"]
    assert check.passed
    assert check.metadata["listed"] == 7693
    assert check.metadata["elsewhere"] == check.metadata["not_listed"] == 0
    # The archive writes microdegrees.
    assert 0.001 < check.metadata["largest_distance_arcsec"] < 0.003


def test_patches_that_lie_elsewhere_or_are_not_listed_are_found_with_their_numbers(
    whole_sky: tuple[Runs, Run],
) -> None:
    runs, _ = whole_sky
    published = pa.table([*coadd_patches().values()], names=["tract", "patch", "ra", "dec", "s_region"])
    regions = published.column("s_region").to_pylist()
    ra, rest = regions[3].removeprefix("POLYGON ICRS ").split(" ", 1)
    regions[3] = f"POLYGON ICRS {float(ra) + 0.001:.6f} {rest}"
    regions[5] = "CIRCLE ICRS 51.0 -44.0 1.0"
    # Corners in another order are the same polygon.
    corners = regions[6].removeprefix("POLYGON ICRS ").split()
    regions[6] = f"POLYGON ICRS {' '.join([*corners[4:], *corners[:4]])}"
    changed = published.set_column(4, "s_region", [regions]).slice(0, published.num_rows - 2)
    verdict = compare_outlines(DP02.skymap, changed, pq.read_table(runs.lake.table("patches")))
    assert not verdict.passed
    assert (verdict.numbers["elsewhere"], verdict.numbers["not_listed"]) == (2, 2)
    assert [(row["tract"], row["patch"]) for row in verdict.rows] == [(2897, 3), (2897, 5), (5074, 47), (5074, 48)]
    # A milli-degree of right ascension at the patch's declination.
    assert verdict.rows[0]["distance_arcsec"] == pytest.approx(3.6 * np.cos(np.radians(44.66)), abs=0.01)


def test_archive_that_cannot_give_its_patches_warns(archive: ArchiveServer, filled: Runs) -> None:
    archive.faults = Faults(html=True)
    try:
        check = filled("patches").checks["agrees_with_coadd_patches"]
    finally:
        archive.faults = Faults()
    assert not check.passed
    assert check.severity.value == "WARN"


def test_sky_map_is_a_figure_and_no_table(whole_sky: tuple[Runs, Run]) -> None:
    runs, run = whole_sky
    assert runs.lake.figure("sky_map", "sky_map").exists()
    assert not runs.lake.table("sky_map").exists()
    assert "data:image/avif;base64," in run.metadata("sky_map")["figures"]


def test_sky_map_shows_all_tracts_and_patches_inside_the_notebooks_window(whole_sky: tuple[Runs, Run]) -> None:
    runs, _ = whole_sky
    tracts, patches = (pq.read_table(runs.lake.table(name)) for name in ("tracts", "patches"))
    axes = sky_map(tracts, patches, Caption("all", "simulated", 0, DP02)).axes[0]
    drawn = {
        len(regions.get_paths()): regions for regions in axes.collections if isinstance(regions, PolyCollection)
    }
    assert set(drawn) == {tracts.num_rows, patches.num_rows}
    regions = drawn[patches.num_rows]
    np.testing.assert_array_equal(regions.get_array(), patches.column("num_objects"))
    corners = np.concatenate([path.vertices for path in regions.get_paths()])
    assert (axes.get_xlim(), axes.get_ylim()) == ((47, 77), (-47, -25))
    assert ((corners > (47, -47)) & (corners < (77, -25))).all()


def test_tables_that_are_listed_are_the_notebooks(whole_sky: tuple[Runs, Run]) -> None:
    runs, _ = whole_sky
    names = pq.read_table(runs.lake.table("tap_tables")).column("table_name").to_pylist()
    assert len(names) == 51
    assert {"dp02_dc2_catalogs.Object", "ivoa.ObsCore", "tap_schema.tables", "uws.Job"} <= set(names)
    columns = pq.read_table(runs.lake.table("tap_columns")).to_pylist()
    redshift = next(column for column in columns if column["column_name"] == "coord_ra")
    assert redshift["unit"] == "deg"


def _without_counts(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.drop_columns(["num"]) if "num" in batch.schema.names else batch


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        pytest.param(Faults(rewrite=_without_counts), "contract", "num", id="missing column"),
        pytest.param(Faults(overflow=True), "complete", "OVERFLOW", id="overflow"),
        pytest.param(Faults(report_rows=7), "complete", "the archive counted 7", id="another row count"),
    ],
)
def test_listing_that_is_not_whole_is_refused_and_the_last_good_one_stays(
    archive: ArchiveServer, filled: Runs, fault: Faults, check: str, words: str
) -> None:
    before = filled.lake.table("skyinfo").read_bytes()
    archive.faults = fault
    try:
        run = filled("skyinfo")
    finally:
        archive.faults = Faults()
    assert not run.success
    assert not run.checks[check].passed
    assert run.checks[check].severity.value == "ERROR"
    assert words in run.checks[check].description
    assert words in run.failure
    assert run.materialized == set()
    assert filled.lake.table("skyinfo").read_bytes() == before
    assert list(filled.lake.staging.iterdir()) == []


def test_missing_tracts_warn_by_name(runs: Runs) -> None:
    run = runs("skyinfo")
    assert run.success
    assert not run.checks["known_tracts"].passed
    assert run.checks["known_tracts"].severity.value == "WARN"
    assert "2897" in run.checks["known_tracts"].description
    assert {"tract": "2897", "is": "missing"} in run.checks["known_tracts"].table("differing_tracts")
