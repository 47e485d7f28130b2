"""Each rule finds the row that breaks it, and only that."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets.lake.audit import audit
from photoz_assets.survey.checks import Scope, Verdict
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies, with_value


def verdicts(table: pa.Table, folder: Path, selection: Selection | None = None) -> dict[str, Verdict]:
    path = folder / "table.staged"
    pq.write_table(table, path)
    rules = MATCHED_GALAXIES.rules(Scope(selection or Selection(), 3638))
    found = audit(path, rules, spill=folder / "spill")
    return {verdict.check: verdict for verdict in found}


def test_good_table_passes_every_check(tmp_path: Path) -> None:
    assert [verdict for verdict in verdicts(galaxies(500), tmp_path).values() if not verdict.passed] == []


@pytest.mark.parametrize(
    ("check", "column", "value"),
    [
        ("magnitude_cuts", "obj_g_cModelMag", 26.0),
        ("magnitude_cuts", "obj_r_cModelMag", 17.0),
        ("magnitude_cuts", "obj_i_cModelMag", None),
        ("true_primary_galaxies", "ts_truth_type", 2),
        ("true_primary_galaxies", "obj_detect_isPrimary", False),
        ("true_primary_galaxies", "obj_refExtendedness", None),
        ("true_primary_galaxies", "obj_tract", 3637),
        ("finite_values", "ts_redshift", float("nan")),
        ("finite_values", "obj_coord_ra", float("inf")),
        ("contract", "mt_match_objectId", None),
        ("contract", "ts_redshift", -999.0),
        ("contract", "ts_redshift", -0.1),
        ("contract", "ts_mag_r", 99.0),
        ("contract", "obj_u_cModelMag", 99.0),
        ("contract", "ts_ra", -0.5),
        ("contract", "obj_coord_dec", 91.0),
    ],
)
def test_one_bad_row_fails_its_check_and_is_shown(tmp_path: Path, check: str, column: str, value: Any) -> None:
    found = verdicts(with_value(galaxies(50), column, 7, value), tmp_path)
    assert not found[check].passed
    assert found[check].numbers["bad_rows"] == 1
    assert [row["mt_id_truth_type"] for row in found[check].rows] == ["7_1"]


@pytest.mark.parametrize("column", ["mt_match_objectId", "mt_id_truth_type"])
def test_repeated_key_fails_unique_matches(tmp_path: Path, column: str) -> None:
    table = galaxies(50)
    repeated = table.column(column)[3].as_py()
    found = verdicts(with_value(table, column, 7, repeated), tmp_path)
    assert not found["unique_matches"].passed
    assert found["unique_matches"].rows == [{column: repeated, "num_rows": 2}]


def test_summaries_of_a_good_table_say_what_was_found(tmp_path: Path) -> None:
    said = {check: verdict.summary for check, verdict in verdicts(galaxies(2000), tmp_path).items()}
    assert said["contract"] == said["finite_values"] == "all 2,000 rows pass"
    assert said["unique_matches"] == "repeated values in 2,000 rows: none"
    assert said["not_empty"] == "inside the limits: galaxies = 2,000"
    assert re.fullmatch(r"inside the limits: 6 values, [\d.]+ \.\. [\d.]+", said["flux_agreement"])
    offsets = ("median_ra_offset_arcsec", "median_dec_offset_arcsec", "p99_offset_arcsec")
    listed = ", ".join(rf"{name} = -?[\d.e-]+" for name in offsets)
    assert re.fullmatch(f"inside the limits: {listed}", said["coordinate_offsets"])


def test_summaries_of_a_bad_table_say_what_was_found(tmp_path: Path) -> None:
    bad = galaxies(
        2000,
        ts_redshift=[float("inf")] * 2000,
        mt_match_objectId=[1, 1, *range(2, 2000)],
        obj_z_cModelFlux=[1e9] * 2000,
    )
    said = {check: verdict.summary for check, verdict in verdicts(bad, tmp_path).items()}
    assert said["finite_values"] == "2,000 of 2,000 rows fail"
    assert said["unique_matches"] == "repeated values in 2,000 rows: 1 of mt_match_objectId"
    assert re.fullmatch(r"outside the limits: median_z_flux_ratio = [\d.e+]+", said["flux_agreement"])


def test_summaries_of_an_empty_table_say_that_there_was_nothing_to_find(tmp_path: Path) -> None:
    found = verdicts(galaxies(50).slice(0, 0), tmp_path)
    assert found["coordinate_offsets"].summary == "inside the limits: nothing to measure"
    assert found["not_empty"].summary == "outside the limits: galaxies = 0"


def test_at_most_five_bad_rows_are_shown(tmp_path: Path) -> None:
    found = verdicts(galaxies(50, ts_truth_type=[3] * 50), tmp_path)
    assert found["true_primary_galaxies"].numbers["bad_rows"] == 50
    assert len(found["true_primary_galaxies"].rows) == 5


def test_shifted_positions_fail_coordinate_offsets_only(tmp_path: Path) -> None:
    table = galaxies(500)
    shifted = [dec + 0.1 / 3600 for dec in table.column("ts_dec").to_pylist()]
    found = verdicts(galaxies(500, ts_dec=shifted), tmp_path)
    assert not found["coordinate_offsets"].passed
    assert found["coordinate_offsets"].numbers["median_dec_offset_arcsec"] == pytest.approx(0.1, abs=0.01)
    assert [check for check, verdict in found.items() if not verdict.passed] == ["coordinate_offsets"]


def test_positions_on_both_sides_of_the_meridian_0_agree(tmp_path: Path) -> None:
    around = [360.0 - 1e-6, 1e-6] * 50
    table = galaxies(100, ts_ra=around, obj_coord_ra=around[::-1])
    assert verdicts(table, tmp_path)["coordinate_offsets"].passed


def test_faint_fluxes_fail_flux_agreement(tmp_path: Path) -> None:
    table = galaxies(500)
    doubled = [flux * 2 for flux in table.column("ts_flux_z").to_pylist()]
    found = verdicts(galaxies(500, ts_flux_z=doubled), tmp_path)
    assert found["flux_agreement"].numbers["median_z_flux_ratio"] == pytest.approx(0.5, abs=0.02)
    assert not found["flux_agreement"].passed


def test_empty_table_passes_all_but_the_warning_that_it_is_empty(tmp_path: Path) -> None:
    found = verdicts(galaxies(50).slice(0, 0), tmp_path)
    assert [check for check, verdict in found.items() if not verdict.passed] == ["not_empty"]


def test_other_selection_gives_other_limits(tmp_path: Path) -> None:
    narrow = Selection(bright_limit_mag=22, faint_limit_mag=24, bands=("z",))
    found = verdicts(galaxies(200), tmp_path, narrow)
    outside = sum(not 22 < mag < 24 for mag in galaxies(200).column("obj_z_cModelMag").to_pylist())
    assert found["magnitude_cuts"].numbers["bad_rows"] == outside
    assert outside > 0
