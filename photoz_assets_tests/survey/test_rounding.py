"""Limits are held as the archive rounds: a row that it rightly selects is never refused for its six digits."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from photoz_assets.survey.releases.release import GAAP
from photoz_assets.survey.rounding import relative_step, rounded
from photoz_assets.survey.selection import Selection


@pytest.mark.parametrize("limit", [25.8, 25.9, 25.0, 26.2, 26.0, 24.5])
def test_no_row_that_the_archive_selects_is_lost_or_gained_by_six_digits(limit: float) -> None:
    """Fluxes of single precision around the limit, as the archive has them and as they come."""
    selection = Selection(faint_limit_mag=limit, bright_limit_mag=17.0, bands=("i",))
    faint, _ = selection.flux_bounds_njy
    held = (faint * (1 + np.linspace(-2e-5, 2e-5, 4001))).astype(np.float32)
    sent = np.array([rounded(float(flux), 6) for flux in held], np.float32)
    chosen = held.astype(float) > faint
    condition = " AND ".join(cut.sql for cut in selection.stored_flux_cuts(GAAP, 6))
    for came in (sent, held):
        with duckdb.connect() as connection:
            connection.register("came", pa.table({"obj_i_gaap1p0Flux": came[chosen]}))
            [passed] = connection.sql(f"SELECT count(*) FROM came WHERE {condition}").fetchall()[0]
        assert passed == chosen.sum()
    with duckdb.connect() as connection:
        connection.register("far", pa.table({"obj_i_gaap1p0Flux": held[held < faint * (1 - 6e-6)]}))
        assert connection.sql(f"SELECT count(*) FROM far WHERE {condition}").fetchall() == [(0,)]


def test_a_value_is_changed_by_no_more_than_the_step() -> None:
    values = np.geomspace(1e-3, 1e7, 2000)
    changes = [abs(rounded(value, 6) / value - 1) for value in values]
    assert max(changes) <= relative_step(6) + 1e-7
    assert max(changes) > 0.5 * relative_step(6)
