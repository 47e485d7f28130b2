"""Quantities of a galaxy in SQL, over the stored columns: checks, statistics and figures share them."""

from typing import Final

from photoz_assets.survey.galaxy_columns import GalaxyColumns

# Fluxes are compared with the truth where noise does not dominate them.
MIN_SN: Final = 10


def ra_offset_arcsec(ra: str, from_ra: str, dec: str) -> str:
    """Return how far a right ascension lies east of another on the sky, in SQL: degrees in, arcsec out.

    The motion of right ascension shrinks towards the pole; ``dec`` is the place. Across the meridian 0 the shorter
    way counts: 0.1 lies 0.2 deg east of 359.9.
    """
    apart = f"({ra} - {from_ra})"
    return f"({apart} - 360 * round({apart} / 360)) * cos(radians({dec})) * 3600"


def dec_offset_arcsec(dec: str, from_dec: str) -> str:
    """Return how far a declination lies north of another, in SQL: degrees in, arcsec out."""
    return f"({dec} - {from_dec}) * 3600"


def separation_arcsec(position: tuple[str, str], other: tuple[str, str]) -> str:
    """Return the angle between two positions in SQL, by the haversine formula: degrees in, arcsec out."""
    (ra, dec), (other_ra, other_dec) = position, other
    haversine = (
        f"pow(sin(radians({dec} - {other_dec}) / 2), 2) + cos(radians({dec})) * cos(radians({other_dec})) "
        f"* pow(sin(radians({ra} - {other_ra}) / 2), 2)"
    )
    return f"(2 * degrees(asin(least(1, sqrt({haversine})))) * 3600)"


def position_offsets_arcsec(columns: GalaxyColumns) -> tuple[str, str]:
    """Return how far reference positions lie east and north of the measured ones, which serve as the place."""
    (ra, dec), (from_ra, from_dec) = columns.reference_position, columns.position
    return ra_offset_arcsec(ra, from_ra, from_dec), dec_offset_arcsec(dec, from_dec)


def flux_ratio(columns: GalaxyColumns, band: str) -> str:
    """Return a band's measured over true flux, in SQL."""
    return f"{columns.flux(band)} / {columns.true_fluxes[band]}"


def is_bright(columns: GalaxyColumns, band: str) -> str:
    """Return the SQL condition that noise does not dominate a band's measured flux: S/N above ``MIN_SN``."""
    return f"{columns.flux(band)} > {MIN_SN} * {columns.flux_error(band)}"


def is_comparable(columns: GalaxyColumns, band: str) -> str:
    """Return the SQL condition that a band's measured flux can be held against the truth."""
    return f"{is_bright(columns, band)} AND {columns.true_fluxes[band]} > 0"


def median_flux_ratio(columns: GalaxyColumns, band: str) -> str:
    """Return the median of a band's measured over true flux, in SQL, of galaxies whose noise does not dominate."""
    return f"median({flux_ratio(columns, band)}) FILTER (WHERE {is_comparable(columns, band)})"
