"""The field and what is drawn of it: the same galaxies as one query of the archive for the cone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import pyvo
from numpy.typing import NDArray

from photoz_archive_tests.seed import SEED_QUERY
from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets.science.figures import GALAXY_FIGURES
from photoz_assets_tests.runs import Runs


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
    narrow = SelectionResource(bright_limit_mag=20)
    filled("matched_galaxies", tract=3638, selection=narrow)
    run = filled("field_galaxies")
    assert not run.success
    assert "20 < g, r, i < 26 (AB, cModel): tract 3638" in run.failure


def test_field_diagnostics_draw_the_seeds_six_figures(filled: Runs) -> None:
    run = filled("field_galaxies", "field_diagnostics")
    assert run.success
    assert set(GALAXY_FIGURES) == {
        "coordinate_offsets",
        "r_magnitudes",
        "fluxes",
        "color_magnitude_gr",
        "color_magnitude_iz",
        "redshifts",
    }
    for name in GALAXY_FIGURES:
        assert filled.lake.figure("field_diagnostics", name).read_bytes().startswith(b"\x89PNG")
    assert filled.lake.figure("field_diagnostics", "contact_sheet").exists()
    assert "data:image/avif;base64," in run.metadata("field_diagnostics")["figures"]
    statistics = pq.read_table(filled.lake.table("field_diagnostics"))
    assert statistics.column("band").to_pylist() == list("ugrizy")


def test_moved_lake_is_read_as_before(filled: Runs, tmp_path: Path) -> None:
    filled.lake.root.rename(tmp_path / "moved")
    moved = Runs(filled.url, tmp_path / "moved")
    assert moved("field_galaxies").success
