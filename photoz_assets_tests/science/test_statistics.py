import math
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from photoz_assets.science.quantiles import quantiles
from photoz_assets.science.statistics import band_statistics, sample_summary, summed_counts, survey_statistics
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.skymap import DC2_RINGS
from photoz_assets.survey.table import Contract
from photoz_assets_tests.dp02 import COLUMNS, DIAGNOSTICS, FIELD_DIAGNOSTICS, SURVEY_DIAGNOSTICS
from photoz_assets_tests.samples import galaxies

NUMBERS = [name for name in DIAGNOSTICS.names if name.startswith("num_")]
HISTOGRAMS = ["magnitude_counts", "redshift_counts"]
QUANTITIES = [name for name in DIAGNOSTICS.names if name not in {"band", *NUMBERS, *HISTOGRAMS}]


def _noisy(rows: int) -> pa.Table:
    """Make galaxies with NULL, negative, flagged and faint fluxes, and offsets on both axes."""
    rng = np.random.default_rng(7)
    table = galaxies(rows, seed=5).to_pandas()
    for band in BANDS:
        flux, error = f"obj_{band}_cModelFlux", f"obj_{band}_cModelFluxErr"
        table[error] = table[flux] * rng.uniform(0.01, 0.3, rows)
        table[flux] *= rng.normal(1.02, 0.1, rows)
        table.loc[rng.random(rows) < 0.05, flux] *= -1
        table.loc[rng.random(rows) < 0.03, [flux, error]] = np.nan
        table[f"obj_{band}_cModelMag"] = 31.4 - 2.5 * np.log10(table[flux].where(table[flux] > 0))
        table.loc[rng.random(rows) < 0.04, f"obj_{band}_cModel_flag"] = True
    table["ts_ra"] = table["obj_coord_ra"] + rng.normal(1e-5, 1e-5, rows)
    table["ts_dec"] = table["obj_coord_dec"] + rng.normal(-2e-5, 1e-5, rows)
    return pa.Table.from_pandas(table, schema=galaxies(0).schema, preserve_index=False)


def _statistics(table: pa.Table, contract: Contract) -> pa.Table:
    relation = duckdb.connect().from_arrow(table)
    return band_statistics(relation, sample_summary(relation, COLUMNS), contract, COLUMNS)


def _survey(*tracts: int) -> pa.Table:
    boxes = [DC2_RINGS.inner_box(tract) for tract in tracts]
    return pa.table({"tract": tracts, "area_deg2": [box.area_deg2 for box in boxes]})


def _expected(frame: pd.DataFrame, band: str) -> dict[str, float]:
    """Compute a band's statistics with pandas and numpy."""
    flux, error = frame[f"obj_{band}_cModelFlux"], frame[f"obj_{band}_cModelFluxErr"]
    bright = flux / error > 10
    ratio = (flux / frame[f"ts_flux_{band}"].astype(float))[bright]
    shrink = np.cos(np.radians(frame["obj_coord_dec"]))
    return {
        "num_galaxies": len(frame),
        "num_null": flux.isna().sum(),
        "num_not_positive": (flux <= 0).sum(),
        "num_flagged": frame[f"obj_{band}_cModel_flag"].astype(bool).sum(),
        "num_sn10": bright.sum(),
        "median_mag": (31.4 - 2.5 * np.log10(flux[flux > 0])).median(),
        "depth_5sigma_mag": 31.4 - 2.5 * np.log10(5 * np.nanmedian(error)),
        "median_flux_ratio": ratio.median(),
        "flux_ratio_p16": ratio.quantile(0.16),
        "flux_ratio_p84": ratio.quantile(0.84),
        "median_ra_offset_arcsec": ((frame["ts_ra"] - frame["obj_coord_ra"]) * shrink * 3600).median(),
        "median_dec_offset_arcsec": ((frame["ts_dec"] - frame["obj_coord_dec"]) * 3600).median(),
        "median_redshift": np.median(frame["ts_redshift"].astype(float)),
    }


@pytest.mark.parametrize("rows", [1, 2, 3001])
def test_band_statistics_agree_with_pandas(rows: int) -> None:
    # Noise might leave a short sample without any flux to take a median of.
    table = _noisy(rows) if rows > 2 else galaxies(rows)
    found = _statistics(table, DIAGNOSTICS)
    frame = table.to_pandas()
    for row, band in zip(found.to_pylist(), BANDS, strict=True):
        assert row.pop("band") == band
        assert {len(row.pop("magnitude_counts")), len(row.pop("redshift_counts"))} == {48, 50}
        assert row == pytest.approx(_expected(frame, band), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("contract", [DIAGNOSTICS, FIELD_DIAGNOSTICS], ids=lambda contract: contract.table)
@pytest.mark.parametrize("rows", [0, 10])
def test_band_statistics_are_as_the_contract_has_them(contract: Contract, rows: int) -> None:
    found = _statistics(galaxies(rows), contract)
    assert found.schema.equals(contract.schema, check_metadata=True)
    assert found.column("band").to_pylist() == list(BANDS)


def test_band_statistics_of_no_galaxies_count_zero_and_are_null() -> None:
    for row in _statistics(galaxies(0), DIAGNOSTICS).to_pylist():
        assert {row[name] for name in NUMBERS} == {0}
        assert {row[name] for name in QUANTITIES} == {None}
        assert {sum(row[name]) for name in HISTOGRAMS} == {0}


def test_band_statistics_of_a_band_without_fluxes_are_null_and_leave_the_others() -> None:
    unknown: dict[str, Any] = {f"obj_u_cModel{what}": [None] * 20 for what in ("Flux", "FluxErr", "Mag", "_flag")}
    table = galaxies(20, **unknown)
    u, g, *_ = _statistics(table, DIAGNOSTICS).to_pylist()
    assert (u["num_galaxies"], u["num_null"], u["num_flagged"], u["num_sn10"]) == (20, 20, 0, 0)
    assert u["median_mag"] is u["depth_5sigma_mag"] is u["median_flux_ratio"] is None
    assert g["num_sn10"] == 20
    assert g["depth_5sigma_mag"] is not None


def test_band_statistics_of_errors_of_zero_have_no_depth() -> None:
    table = galaxies(5, obj_r_cModelFluxErr=[0.0] * 5)
    found = _statistics(table, DIAGNOSTICS).to_pylist()[BANDS.index("r")]
    assert found["depth_5sigma_mag"] is None


def test_offsets_are_true_minus_measured_with_right_ascension_on_the_sky() -> None:
    table = galaxies(1, ts_ra=[62.001], obj_coord_ra=[62.0], ts_dec=[-60.002], obj_coord_dec=[-60.0])
    summary = sample_summary(duckdb.connect().from_arrow(table), COLUMNS)
    # cos(-60 deg) halves the 3.6 arcsec of right ascension.
    assert summary.median_ra_offset_arcsec == pytest.approx(1.8)
    assert summary.median_dec_offset_arcsec == pytest.approx(-7.2)


@pytest.mark.parametrize(("true", "measured"), [(0.0002, 359.9997), (359.9997, 0.0002)])
def test_offsets_take_the_short_way_across_the_meridian_0(true: float, measured: float) -> None:
    table = galaxies(1, ts_ra=[true], ts_dec=[60.0], obj_coord_ra=[measured], obj_coord_dec=[60.0])
    summary = sample_summary(duckdb.connect().from_arrow(table), COLUMNS)
    assert summary.median_ra_offset_arcsec == pytest.approx(0.9 if true < measured else -0.9)


def test_sample_summary_of_no_galaxies_has_no_medians() -> None:
    summary = sample_summary(duckdb.connect().from_arrow(galaxies(0)), COLUMNS)
    assert summary.num_galaxies == 0
    assert summary.median_redshift is summary.median_ra_offset_arcsec is summary.median_dec_offset_arcsec is None


def _measured(rows: dict[int, int]) -> dict[int, pa.Table]:
    """Measure tracts with so many galaxies each."""
    return {
        tract: _statistics(galaxies(count, tract=tract, seed=tract), DIAGNOSTICS) for tract, count in rows.items()
    }


def test_survey_statistics_of_held_tracts_agree_with_pandas() -> None:
    found = survey_statistics(_measured({3638: 300, 3637: 101}), _survey(3637, 3638), SURVEY_DIAGNOSTICS)
    assert found.schema.equals(SURVEY_DIAGNOSTICS.schema, check_metadata=True)
    for row, (tract, count) in zip(found.to_pylist(), [(3637, 101), (3638, 300)], strict=True):
        in_r = _expected(galaxies(count, tract=tract, seed=tract).to_pandas(), "r")
        expected = {
            "tract": tract,
            "held": True,
            "num_galaxies": count,
            "density_per_deg2": count / DC2_RINGS.inner_box(tract).area_deg2,
            "median_redshift": in_r["median_redshift"],
            "median_ra_offset_arcsec": in_r["median_ra_offset_arcsec"],
            "median_dec_offset_arcsec": in_r["median_dec_offset_arcsec"],
            "r_depth_5sigma_mag": in_r["depth_5sigma_mag"],
            "r_median_flux_ratio": in_r["median_flux_ratio"],
        }
        assert row == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_survey_statistics_of_a_missing_tract_say_so_and_are_null() -> None:
    held, missing = survey_statistics(_measured({3637: 5}), _survey(3638, 3637), SURVEY_DIAGNOSTICS).to_pylist()
    assert held["tract"] == 3637
    assert held["held"]
    nothing = dict.fromkeys(SURVEY_DIAGNOSTICS.names[3:])
    assert missing == {"tract": 3638, "held": False, "num_galaxies": 0, **nothing}


def test_survey_statistics_of_a_held_tract_without_galaxies_have_density_zero() -> None:
    _, empty = survey_statistics(
        _measured({3637: 5, 3638: 0}), _survey(3637, 3638), SURVEY_DIAGNOSTICS
    ).to_pylist()
    assert (empty["held"], empty["num_galaxies"], empty["density_per_deg2"]) == (True, 0, 0.0)
    assert empty["median_redshift"] is None


def test_survey_statistics_leave_out_tracts_beyond_the_survey() -> None:
    found = survey_statistics(_measured({3637: 5, 3638: 7}), _survey(3638), SURVEY_DIAGNOSTICS)
    assert found.column("tract").to_pylist() == [3638]
    assert found.column("num_galaxies").to_pylist() == [7]


@pytest.mark.parametrize("band", BANDS)
def test_summed_histograms_of_tracts_are_those_of_all_their_galaxies(band: str) -> None:
    tracts = {3637: _noisy(400), 3638: _noisy(900)}
    measured = {tract: _statistics(table, DIAGNOSTICS) for tract, table in tracts.items()}
    together = pa.concat_tables(tracts.values()).to_pandas()
    magnitudes = together[f"obj_{band}_cModelMag"].dropna()
    expected, _ = np.histogram(magnitudes, bins=np.linspace(17, 29, 49))
    np.testing.assert_array_equal(summed_counts(measured, "magnitude_counts", band), expected)
    expected, _ = np.histogram(together["ts_redshift"].astype(float), bins=np.linspace(0, 3.5, 51))
    np.testing.assert_array_equal(summed_counts(measured, "redshift_counts", band), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, None, 1.0, 2.0, 5.0, 4.0], (1.64, 3.0, 4.36)),
        ([7.0], (7.0, 7.0, 7.0)),
        ([1.0, 2.0, math.inf, math.inf], (1.48, math.inf, math.inf)),
        ([math.inf, math.inf], (math.inf, math.inf, math.inf)),
        ([None], (None, None, None)),
    ],
)
def test_quantiles_are_linear_between_values_and_never_nan(
    values: list[float | None], expected: tuple[float | None, ...]
) -> None:
    relation = duckdb.connect().from_arrow(pa.table({"x": pa.array(values, pa.float64())}))
    assert quantiles(relation, "x", 0.16, 0.5, 0.84) == pytest.approx(expected)
