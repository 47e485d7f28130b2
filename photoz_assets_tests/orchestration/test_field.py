"""The field and what is drawn of it: the same galaxies as one query of the archive for the cone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import pyvo
from numpy.typing import NDArray

from photoz_archive_tests.seed import SEED_QUERY
from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.science.figures import figures_of
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.skymap import DC2_RINGS
from photoz_assets_tests.dp02 import COLUMNS
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.samples import galaxies, store


def test_field_holds_exactly_what_the_seeds_query_answers(filled: Runs) -> None:
    run = filled("field_galaxies")
    assert run.success
    ours = (
        pq.read_table(filled.lake.table("field_galaxies")).to_pandas().set_index("mt_match_objectId").sort_index()
    )
    answer = pyvo.dal.TAPService(filled.url).run_async(SEED_QUERY, maxrec=1_000_000).to_table()
    theirs = answer.to_pandas().set_index("mt_match_objectId").sort_index()
    assert len(theirs) > 100
    assert list(answer.colnames) == list(pq.read_schema(filled.lake.table("field_galaxies")).names[:28])
    assert list(ours.index) == list(theirs.index)
    for name in theirs.columns:
        if name == "mt_id_truth_type":
            assert [str(text) for text in theirs[name]] == list(ours[name])
        else:
            tolerance = 1e-12 if "Mag" in name else 0
            np.testing.assert_allclose(
                _floats(ours[name]), _floats(theirs[name]), rtol=0, atol=tolerance, err_msg=name
            )


def _floats(values: "pd.Series[float]") -> NDArray[np.float64]:
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan))


@pytest.fixture
def one_of_three(filled: Runs) -> Runs:
    """A lake with the first of the field's tracts alone."""
    for tract in FIELD_TRACTS[1:]:
        filled.lake.table("matched_galaxies", tract).unlink()
    return filled


def test_field_with_a_missing_tract_is_refused_by_its_name(one_of_three: Runs) -> None:
    run = one_of_three("field_galaxies")
    assert not run.success
    assert not run.checks["field_complete"].passed
    assert "3638, 3831" in run.failure
    assert not one_of_three.lake.table("field_galaxies").exists()


def test_field_with_a_missing_tract_is_published_if_allowed(one_of_three: Runs) -> None:
    run = one_of_three("field_galaxies", config={"field_galaxies": {"allow_missing": True}})
    assert run.success
    assert run.checks["field_complete"].metadata["missing"] == 2
    assert {row["tract"] for row in run.checks["field_complete"].table("missing_tracts")} == {"3638", "3831"}


def test_field_over_two_selections_is_refused_with_the_tracts_named(filled: Runs) -> None:
    narrow = replace(filled.lake.provenance("matched_galaxies", 3638), selection=Selection(bright_limit_mag=20))
    store(filled.lake, galaxies(3), narrow)
    run = filled("field_galaxies")
    assert not run.success
    assert "20 < g, r, i < 26 (AB, cModel): tract 3638" in run.failure


def test_field_holds_a_galaxy_that_is_measured_in_a_tract_beside_its_cone(filled: Runs) -> None:
    border_deg = DC2_RINGS.inner_box(3638).dec_max
    cone = {"ra_deg": 62.8, "dec_deg": border_deg + 0.1 + 1.0 / 3600, "radius_deg": 0.1}
    galaxy = galaxies(
        1,
        ts_ra=[62.8],
        ts_dec=[border_deg + 1.2 / 3600],
        obj_coord_ra=[62.8],
        obj_coord_dec=[border_deg - 0.3 / 3600],
    )
    store(filled.lake, galaxy, filled.lake.provenance("matched_galaxies", 3638))
    filled.lake.table("matched_galaxies", 3637).unlink()
    run = filled("field_galaxies", config={"field_galaxies": cone})
    assert run.success, run.failure
    assert run.metadata("field_galaxies")["tracts"] == [3638, 3831]
    stored = pq.read_table(filled.lake.table("field_galaxies"))
    assert galaxy["mt_match_objectId"][0] in stored["mt_match_objectId"].combine_chunks()


def test_field_diagnostics_draw_the_seeds_six_figures(filled: Runs) -> None:
    run = filled("field_galaxies", "field_diagnostics")
    assert run.success
    assert set(figures_of(COLUMNS)) == {
        "coordinate_offsets",
        "r_magnitudes",
        "fluxes",
        "color_magnitude_gr",
        "color_magnitude_iz",
        "redshifts",
    }
    for name in figures_of(COLUMNS):
        assert filled.lake.figure("field_diagnostics", name).read_bytes().startswith(b"\x89PNG")
    assert filled.lake.figure("field_diagnostics", "contact_sheet").exists()
    assert "data:image/avif;base64," in run.metadata("field_diagnostics")["figures"]
    statistics = pq.read_table(filled.lake.table("field_diagnostics"))
    assert statistics.column("band").to_pylist() == list("ugrizy")


def test_moved_lake_is_read_as_before(filled: Runs, tmp_path: Path) -> None:
    filled.lake.root.rename(tmp_path / "moved")
    moved = Runs(filled.url, tmp_path / "moved")
    assert moved("field_galaxies").success
