import math

import numpy as np
import pyarrow as pa
import pytest
from astropy import units

from photoz_assets.science.photometry import ab_magnitude, with_magnitudes
from photoz_assets.survey.bands import flux_of_magnitude
from photoz_assets_tests.dp02 import COLUMNS, DP02, MATCHED_GALAXIES


def test_ab_magnitude_of_positive_fluxes_follows_the_archives_formula() -> None:
    flux = np.logspace(-3, 7, 1001)
    expected = [31.4 - 2.5 * math.log10(value) for value in flux]
    np.testing.assert_allclose(ab_magnitude(pa.array(flux)).to_numpy(), expected, rtol=0, atol=1e-12)


def test_ab_magnitude_agrees_with_astropys_ab_system_to_its_rounded_zero_point() -> None:
    flux = np.array([1.0, 250.0, 5e5])
    expected = (flux * units.nJy).to_value(units.ABmag)
    np.testing.assert_allclose(ab_magnitude(pa.array(flux)).to_numpy(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("flux", [None, math.nan, 0.0, -0.0, -12.5, math.inf, -math.inf])
def test_ab_magnitude_of_what_is_no_positive_flux_is_null(flux: float | None) -> None:
    magnitude = ab_magnitude(pa.array([flux, 1.0], pa.float64(), from_pandas=False))
    assert magnitude.to_pylist() == [None, 31.4]


def test_ab_magnitude_of_single_precision_is_computed_in_double() -> None:
    magnitude = ab_magnitude(pa.array([100.0], pa.float32()))
    assert magnitude.type == pa.float64()
    assert magnitude.to_pylist() == [31.4 - 2.5 * 2.0]


def test_ab_magnitude_of_no_rows_is_empty() -> None:
    assert ab_magnitude(pa.array([], pa.float64())).to_pylist() == []


@pytest.mark.parametrize(("mag", "flux_njy"), [(17.0, 575439.9373371566), (26.0, 144.5439770745925)])
def test_flux_of_magnitude_gives_all_digits_and_inverts_the_magnitude(mag: float, flux_njy: float) -> None:
    assert flux_of_magnitude(mag) == flux_njy
    assert ab_magnitude(pa.array([flux_njy])).to_pylist() == [pytest.approx(mag, abs=1e-12)]


def _answer(fluxes: dict[str, list[float | None]]) -> pa.RecordBatch:
    rows = len(next(iter(fluxes.values())))
    schema = MATCHED_GALAXIES.selected_schema
    columns = [pa.array(fluxes.get(field.name, [None] * rows), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def test_with_magnitudes_puts_each_bands_magnitude_into_its_contract_column() -> None:
    fluxes: dict[str, list[float | None]] = {
        COLUMNS.flux(band): [10.0**power, -1.0, None] for power, band in enumerate("ugrizy")
    }
    batch = with_magnitudes(_answer(fluxes), MATCHED_GALAXIES, DP02)
    assert batch.schema.equals(MATCHED_GALAXIES.schema, check_metadata=True)
    for power, band in enumerate("ugrizy"):
        expected = [pytest.approx(31.4 - 2.5 * power, abs=1e-12), None, None]
        assert batch.column(COLUMNS.magnitude(band)).to_pylist() == expected
        assert batch.column(COLUMNS.flux(band)).to_pylist() == fluxes[COLUMNS.flux(band)]
