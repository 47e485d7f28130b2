"""Quantities of a matched galaxy in SQL, over the stored columns: checks, statistics and figures share them."""

from typing import Final

from photoz_assets.survey.band_columns import flux_column, flux_error_column, true_flux_column

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


# True minus measured; the measured position serves as the place.
RA_OFFSET_ARCSEC: Final = ra_offset_arcsec("ts_ra", "obj_coord_ra", "obj_coord_dec")
DEC_OFFSET_ARCSEC: Final = dec_offset_arcsec("ts_dec", "obj_coord_dec")


def flux_ratio(band: str) -> str:
    """Return a band's measured over true flux, in SQL."""
    return f"{flux_column(band)} / {true_flux_column(band)}"


def is_bright(band: str) -> str:
    """Return the SQL condition that noise does not dominate a band's measured flux: S/N above ``MIN_SN``."""
    return f"{flux_column(band)} > {MIN_SN} * {flux_error_column(band)}"


def is_comparable(band: str) -> str:
    """Return the SQL condition that a band's measured flux can be held against the truth."""
    return f"{is_bright(band)} AND {true_flux_column(band)} > 0"


def median_flux_ratio(band: str) -> str:
    """Return the median of a band's measured over true flux, in SQL, of galaxies whose noise does not dominate."""
    return f"median({flux_ratio(band)}) FILTER (WHERE {is_comparable(band)})"
