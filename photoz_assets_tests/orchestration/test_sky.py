"""The sky: skyinfo against the notebook's printed values, patches against the tutorials' points."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.path import Path as Outline

from photoz_assets.contracts import SKYINFO
from photoz_assets.data.dp02 import TRACTS
from photoz_assets.embedded_archive.service.server import ArchiveServer
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
def whole_sky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Run]:
    """A lake with the whole sky of a thin archive."""
    folder = tmp_path_factory.mktemp("whole")
    with ArchiveServer(folder / "archive", density=0.002) as server:
        runs = Runs(server.url, folder / "lake")
        return runs, runs("tap_tables", "tap_columns", "skyinfo", "tracts", "patches", "sky_map")


def test_skyinfo_lists_the_notebooks_tracts_with_49_patches_each(whole_sky: tuple[Runs, Run]) -> None:
    runs, run = whole_sky
    assert run.success
    table = pq.read_table(runs.lake.table("skyinfo")).to_pandas()
    assert tuple(table.columns) == SKYINFO.names
    assert sorted(table["tract"].unique()) == list(TRACTS)
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


def test_sky_map_is_a_figure_and_no_table(whole_sky: tuple[Runs, Run]) -> None:
    runs, run = whole_sky
    assert runs.lake.figure("sky_map", "sky_map").exists()
    assert not runs.lake.table("sky_map").exists()
    assert "data:image/png;base64," in run.metadata("sky_map")["sky_map"]


def test_tables_that_are_listed_are_the_notebooks(whole_sky: tuple[Runs, Run]) -> None:
    runs, _ = whole_sky
    names = pq.read_table(runs.lake.table("tap_tables")).column("table_name").to_pylist()
    assert len(names) == 23
    assert {"dp02_dc2_catalogs.Object", "ivoa.ObsCore", "tap_schema.tables", "uws.Job"} <= set(names)
    columns = pq.read_table(runs.lake.table("tap_columns")).to_pylist()
    redshift = next(column for column in columns if column["column_name"] == "coord_ra")
    assert redshift["unit"] == "deg"


def test_missing_tracts_warn_by_name(runs: Runs) -> None:
    run = runs("skyinfo")
    assert run.success
    assert not run.checks["known_tracts"].passed
    assert run.checks["known_tracts"].severity.value == "WARN"
    assert "2897" in run.checks["known_tracts"].description
