"""The galaxies of a field, cut out of tables of tracts."""

import math
from typing import Final

import duckdb

from photoz_assets.survey.field import Field
from photoz_assets.survey.galaxy_columns import GalaxyColumns

# So that rounding takes nothing from the cone that the box is drawn around.
_BOX_MARGIN_DEG: Final = 1e-6


def cut(field: Field, galaxies: duckdb.DuckDBPyRelation, columns: GalaxyColumns) -> duckdb.DuckDBPyRelation:
    """Return the galaxies whose reference position lies in the cone.

    The separation is that of the haversine formula (Sinnott 1984, Sky and Telescope 68, 158).
    """
    ra, dec = columns.reference_position
    half_dec = f"radians({dec} - {field.dec_deg!r}) / 2"
    half_ra = f"radians({ra} - {field.ra_deg!r}) / 2"
    cosines = f"cos(radians({dec})) * cos(radians({field.dec_deg!r}))"
    haversine = f"pow(sin({half_dec}), 2) + {cosines} * pow(sin({half_ra}), 2)"
    inside = f"{haversine} < pow(sin(radians({field.radius_deg!r}) / 2), 2)"
    return galaxies.filter(f"{_box(field, ra, dec)} AND {inside}")


def _box(field: Field, ra: str, dec: str) -> str:
    """Return the SQL condition of a box around the cone, by which DuckDB skips the row groups outside.

    Its half width in right ascension is asin(sin(radius) / cos(Dec)).
    """
    reach_deg = field.radius_deg + _BOX_MARGIN_DEG
    south, north = field.dec_deg - reach_deg, field.dec_deg + reach_deg
    box = f"{dec} BETWEEN {south!r} AND {north!r}"
    if max(-south, north) >= 90:  # noqa: PLR2004 - a pole lies inside
        return box
    sine = math.sin(math.radians(reach_deg)) / math.cos(math.radians(field.dec_deg))
    half_ra_deg = math.degrees(math.asin(sine)) + _BOX_MARGIN_DEG
    west, east = field.ra_deg - half_ra_deg, field.ra_deg + half_ra_deg
    if west < 0 or east > 360:  # noqa: PLR2004 - it reaches over the zero of right ascension
        return box
    return f"{box} AND {ra} BETWEEN {west!r} AND {east!r}"
