"""The features of a tract's galaxies: names, values, what is missing and why."""

from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from photoz_assets.photoz.galaxies import TractGalaxies, tract_galaxies
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.photometry_states import PhotometryState
from photoz_assets.survey.sampling import Sampling, SamplingError
from photoz_assets_tests.dp02 import COLUMNS, PHOTOZ_GALAXIES
from photoz_assets_tests.samples import galaxies, with_value

TRACT = 3638
FLUX, ERROR = COLUMNS.flux("u"), COLUMNS.flux_error("u")


def _drawn(table: pa.Table, sampling: Sampling | None = None) -> TractGalaxies:
    rows = duckdb.connect().from_arrow(table)
    return tract_galaxies(rows, PHOTOZ_GALAXIES, COLUMNS, TRACT, sampling or Sampling())


def _features(table: pa.Table) -> dict[int, dict[str, Any]]:
    """Return the rows by their objects' ids."""
    drawn = _drawn(table).rows.to_arrow_table()
    assert PHOTOZ_GALAXIES.differences(drawn.schema) == ""
    return {row["object_id"]: row for row in drawn.to_pylist()}


def test_measured_galaxies_have_magnitudes_errors_and_colours() -> None:
    table = galaxies(50)
    features = _features(table)
    everywhere = _drawn(table, Sampling(completeness_limit_mag=None)).rows
    assert everywhere.filter("NOT followed_up").to_arrow_table().num_rows == 0
    for row in table.to_pylist():
        found = features[row["mt_match_objectId"]]
        for band in BANDS:
            flux, error = row[COLUMNS.flux(band)], row[COLUMNS.flux_error(band)]
            assert found[f"state_{band}"] == PhotometryState.MEASURED
            assert found[f"mag_{band}"] == pytest.approx(row[COLUMNS.magnitude(band)], abs=2e-6)
            assert found[f"mag_err_{band}"] == pytest.approx(2.5 / np.log(10) * error / flux, rel=1e-6)
            assert found[f"mag_1sigma_{band}"] == pytest.approx(31.4 - 2.5 * np.log10(error), abs=2e-6)
        assert found["color_gr"] == pytest.approx(
            row[COLUMNS.magnitude("g")] - row[COLUMNS.magnitude("r")], abs=2e-6
        )
        assert found["redshift"] == row["ts_redshift"]
        assert (found["ra"], found["dec"]) == (row["obj_coord_ra"], row["obj_coord_dec"])
        assert found["source_key"] == row["mt_id_truth_type"]


@pytest.mark.parametrize(
    ("column", "value", "state"),
    [
        (FLUX, -3.0, PhotometryState.NOT_DETECTED),
        (FLUX, 0.0, PhotometryState.NOT_DETECTED),
        (FLUX, None, PhotometryState.NOT_OBSERVED),
        (FLUX, float("nan"), PhotometryState.NOT_OBSERVED),
        (ERROR, None, PhotometryState.NOT_OBSERVED),
        (ERROR, 0.0, PhotometryState.NOT_OBSERVED),
    ],
)
def test_what_is_missing_is_null_and_its_state_says_why(
    column: str, value: float | None, state: PhotometryState
) -> None:
    table = with_value(galaxies(1), column, 0, value)
    [found] = _features(table).values()
    assert found["state_u"] == state
    assert (found["mag_u"], found["mag_err_u"], found["color_ug"]) == (None, None, None)
    assert (found["mag_1sigma_u"] is None) == (state is PhotometryState.NOT_OBSERVED)
    assert found["state_g"] == PhotometryState.MEASURED
    assert found["color_gr"] is not None


def test_rows_are_in_the_order_of_their_draws_whatever_order_they_came_in() -> None:
    table = galaxies(200)
    shuffled = table.take(pa.array(np.random.default_rng(3).permutation(200)))
    first, second = (_drawn(each).rows.to_arrow_table() for each in (table, shuffled))
    assert first.equals(second)
    draws = first.column("draw").to_pylist()
    assert draws == sorted(draws)


def test_each_galaxy_that_is_cut_counts_under_its_first_reason() -> None:
    table = galaxies(20)
    true, measured = COLUMNS.true_magnitudes["r"], COLUMNS.magnitude("r")
    for row, value in {0: 0.0, 1: 0.0}.items():
        table = with_value(table, COLUMNS.extendedness, row, value)
    for row in (1, 2, 3):
        table = with_value(table, true, row, table.column(measured)[row].as_py() + 0.5)
    table = with_value(table, true, 4, None)
    drawn = _drawn(table, Sampling(extended_only=True, max_true_offset_mag=0.3))
    assert drawn.came == 20
    assert drawn.left_out == {"point-like": 2, "off the true magnitude": 3}
    assert len(drawn.rows.fetchall()) == 15


def test_cut_on_a_truth_that_nobody_knows_is_refused() -> None:
    columns = replace(COLUMNS, true_magnitudes={})
    rows = duckdb.connect().from_arrow(galaxies(1))
    with pytest.raises(SamplingError, match="leave max_true_offset_mag out"):
        tract_galaxies(rows, PHOTOZ_GALAXIES, columns, TRACT, Sampling(max_true_offset_mag=0.3))
