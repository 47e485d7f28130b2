"""The formulas behind the functions, run by DuckDB and held against astropy and numpy."""

from collections.abc import Iterator
from typing import Any

import astropy.units as u
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from photoz_archive.adql.macros import MACROS

CENTRES = [(62.0, -37.0), (0.0, 0.0), (359.9, 45.0), (0.1, -80.0), (180.0, 90.0), (10.0, -90.0), (300.0, 89.5)]
RADII = [0.001, 0.5, 30.0, 89.0, 91.0, 179.0, 180.0]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for macro in MACROS:
            connection.execute(macro)
        yield connection


def positions(lon: float, lat: float, radius: float) -> SkyCoord:
    """Return positions at many angles: some near the edge of a circle, some anywhere."""
    rng = np.random.default_rng(7)
    centre = SkyCoord(lon, lat, unit="deg")
    turns, steps = rng.uniform(0, 360, 300), radius * rng.uniform(0.95, 1.05, 300)
    near = centre.directional_offset_by(turns * u.deg, np.minimum(steps, 180) * u.deg)
    z, longitudes = rng.uniform(-1, 1, 300), rng.uniform(0, 360, 300)
    lons = np.concatenate([near.ra.deg, longitudes])
    return SkyCoord(lons, np.concatenate([near.dec.deg, np.degrees(np.arcsin(z))]), unit="deg")


def evaluate(database: duckdb.DuckDBPyConnection, expression: str, points: SkyCoord) -> NDArray[Any]:
    """Evaluate an expression of ``lon`` and ``lat`` at each position."""
    table = pa.table({"lon": points.ra.deg, "lat": points.dec.deg})
    database.register("points", table)
    return np.asarray(database.execute(f"SELECT {expression} AS value FROM points").fetchnumpy()["value"])


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize(("lon", "lat"), CENTRES)
def test_circle_holds_what_astropy_finds_within_its_radius(
    database: duckdb.DuckDBPyConnection, lon: float, lat: float, radius: float
) -> None:
    points = positions(lon, lat, radius)
    separation = points.separation(SkyCoord(lon, lat, unit="deg")).deg
    inside = evaluate(database, f"adql_in_circle(lon, lat, {lon}, {lat}, {radius})", points)
    clear = np.abs(separation - radius) > 1e-7
    np.testing.assert_array_equal(inside[clear], (separation <= radius)[clear])


@pytest.mark.parametrize(("lon", "lat"), CENTRES)
def test_separation_is_astropys(database: duckdb.DuckDBPyConnection, lon: float, lat: float) -> None:
    points = positions(lon, lat, 0.5)
    expected = points.separation(SkyCoord(lon, lat, unit="deg")).deg
    found = evaluate(database, f"adql_separation(lon, lat, {lon}, {lat})", points)
    np.testing.assert_allclose(found, expected, atol=1e-12, rtol=1e-12)


def test_separation_of_antipodes_is_half_a_turn(database: duckdb.DuckDBPyConnection) -> None:
    assert database.execute("SELECT adql_separation(10, 20, 190, -20)").fetchone() == pytest.approx(
        (180,), abs=1e-7
    )


@pytest.mark.parametrize(
    ("box", "lon", "inside"),
    [
        ((350, -10, 10, 10), 0.0, True),
        ((350, -10, 10, 10), 355.0, True),
        ((350, -10, 10, 10), 20.0, False),
        ((-10, -10, 10, 10), 355.0, True),
        ((-10, -10, 10, 10), -5.0, True),
        ((50, -10, 60, 10), 55.0, True),
        ((50, -10, 60, 10), 415.0, True),
        ((50, -10, 60, 10), 61.0, False),
        ((0, -10, 360, 10), 123.0, True),
        ((350, -10, 360, 10), 359.0, True),
        ((350, -10, 360, 10), 5.0, False),
        ((0, 5, 360, 10), 123.0, False),
    ],
)
def test_box_goes_around_the_sky(
    database: duckdb.DuckDBPyConnection,
    box: tuple[float, float, float, float],
    lon: float,
    inside: bool,  # noqa: FBT001 (parametrized)
) -> None:
    limits = ", ".join(map(str, box))
    assert database.execute(f"SELECT adql_in_box({lon}, 0.0, {limits})").fetchone() == (inside,)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("adql_ab_mag(1e0)", 31.4),
        ("adql_ab_mag(3630780547701.0)", 31.4 - 2.5 * np.log10(3630780547701.0)),
        ("adql_ab_mag(0)", None),
        ("adql_ab_mag(-1)", None),
        ("adql_ab_mag('nan'::DOUBLE)", None),
        ("adql_ab_mag(NULL::DOUBLE)", None),
        ("adql_ab_mag_sigma(100e0, 5e0)", 2.5 / np.log(10) * 0.05),
        ("adql_ab_mag_sigma(-100e0, 5e0)", None),
        ("adql_flux(31.4)", 1.0),
        ("adql_flux(26)", 10 ** (5.4 / 2.5)),
        ("adql_flux_sigma(31.4, 0.1)", 0.1 * np.log(10) / 2.5),
        ("adql_ln(0)", None),
        ("adql_log10(-1)", None),
        ("adql_sqrt(-1)", None),
        ("adql_acos(1.1)", None),
        ("adql_asin(-1.1)", None),
        ("adql_cot(0)", None),
        ("adql_cot(1)", 1 / np.tan(1)),
        ("adql_truncate(-2.567, 1)", -2.5),
    ],
)
def test_function_outside_its_domain_is_null(
    database: duckdb.DuckDBPyConnection, expression: str, value: float | None
) -> None:
    row = database.execute(f"SELECT {expression}").fetchone()
    assert row is not None
    assert row[0] == (value if value is None else pytest.approx(float(value), rel=1e-13))
