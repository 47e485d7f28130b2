"""Statistics of galaxies: how well a sample is measured, per band, and where on the sky per tract.

Input are DuckDB relations with the columns of ``matched_galaxies``, output small tables in the columns of their
contracts. Limits that a statistic must keep stand with the checks; counts for drawing, with the figures.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from photoz_assets.bands import AB_ZERO_POINT_MAG, BANDS
from photoz_assets.contracts import (
    SURVEY_DIAGNOSTICS,
    Contract,
    flag_column,
    flux_column,
    flux_error_column,
    magnitude_column,
    true_flux_column,
)

# Fluxes are compared with the truth where noise does not dominate them.
MIN_SN: Final = 10


def ra_offset_arcsec(ra: str, from_ra: str, dec: str) -> str:
    """Give in SQL how far a right ascension lies east of another on the sky: degrees in, arcsec out.

    The motion of right ascension shrinks towards the pole; ``dec`` is the place. Across the meridian 0 the shorter
    way counts: 0.1 lies 0.2 deg east of 359.9.
    """
    apart = f"({ra} - {from_ra})"
    return f"({apart} - 360 * round({apart} / 360)) * cos(radians({dec})) * 3600"


def dec_offset_arcsec(dec: str, from_dec: str) -> str:
    """Give in SQL how far a declination lies north of another: degrees in, arcsec out."""
    return f"({dec} - {from_dec}) * 3600"


# True minus measured; the measured position serves as the place.
RA_OFFSET_ARCSEC: Final = ra_offset_arcsec("ts_ra", "obj_coord_ra", "obj_coord_dec")
DEC_OFFSET_ARCSEC: Final = dec_offset_arcsec("ts_dec", "obj_coord_dec")

# Statistics of a sample as a whole, in SQL, named as the contracts name them.
_SAMPLE: Final = {
    "median_redshift": "median(ts_redshift::DOUBLE)",
    "median_ra_offset_arcsec": f"median({RA_OFFSET_ARCSEC})",
    "median_dec_offset_arcsec": f"median({DEC_OFFSET_ARCSEC})",
}


@dataclass(frozen=True, kw_only=True)
class SampleSummary:
    """A sample in a few numbers; the medians are None for a sample without galaxies.

    Offsets are true minus measured, that of right ascension times cos(Dec).
    """

    num_galaxies: int
    median_redshift: float | None
    median_ra_offset_arcsec: float | None
    median_dec_offset_arcsec: float | None


def sample_summary(galaxies: duckdb.DuckDBPyRelation) -> SampleSummary:
    """Sum up a sample.

    Parameters
    ----------
    galaxies
        In the columns of the contract ``MATCHED_GALAXIES``.
    """
    return SampleSummary(**_aggregate(galaxies, {"num_galaxies": "count(*)", **_SAMPLE}))


def band_statistics(galaxies: duckdb.DuckDBPyRelation, contract: Contract) -> pa.Table:
    """Compute the statistics of each band of a sample, in one pass over it.

    Parameters
    ----------
    galaxies
        In the columns of the contract ``MATCHED_GALAXIES``.
    contract
        ``DIAGNOSTICS`` or ``FIELD_DIAGNOSTICS``, whose columns are the same.

    Returns
    -------
    pyarrow.Table
        In the columns of the contract, a row a band in the order of ``BANDS``. A sample without galaxies counts
        zero and has NULL for every other statistic.

    Notes
    -----
    Magnitudes of NULL and of fluxes that are not positive are NULL and leave their median; the depth is
    31.4 - 2.5 log10(5 x the median flux error), in nJy. Quantiles interpolate linearly.
    """
    rows = {band: {"band": f"'{band}'", **_of_band(band), **_SAMPLE} for band in BANDS}
    found = _aggregate(
        galaxies,
        {f"{band}:{name}": sql for band, statistics in rows.items() for name, sql in statistics.items()},
    )
    return pa.Table.from_pylist(
        [{name: found[f"{band}:{name}"] for name in contract.names} for band in BANDS], schema=contract.schema
    )


def survey_statistics(
    galaxies: duckdb.DuckDBPyRelation, tracts: pa.Table, held: Collection[int] | None = None
) -> pa.Table:
    """Compute the statistics of each tract of the survey.

    Parameters
    ----------
    galaxies
        In the columns of the contract ``MATCHED_GALAXIES`` and the key ``tract``.
    tracts
        The survey, in the columns of the contract ``TRACTS``; galaxies of other tracts are left out.
    held
        The tracts that the lake holds, those with an empty table included; by default those with galaxies.

    Returns
    -------
    pyarrow.Table
        In the columns of the contract ``SURVEY_DIAGNOSTICS``, a row a tract of ``tracts``, ascending. A tract
        that is not held counts zero galaxies; its statistics are NULL.

    Notes
    -----
    Tracts are read one by one: exact medians keep all their values, so that memory is that of one tract.
    """
    if held is None:
        held = {tract for (tract,) in galaxies.project("tract").distinct().fetchall()}
    rows = []
    for tract, area_deg2 in sorted(
        zip(tracts.column("tract").to_pylist(), tracts.column("area_deg2").to_pylist(), strict=True)
    ):
        found = _of_tract(galaxies, tract, area_deg2) if tract in held else {"num_galaxies": 0}
        rows.append({"tract": tract, "held": tract in held, **found})
    return pa.Table.from_pylist(rows, schema=SURVEY_DIAGNOSTICS.schema)


def _of_tract(galaxies: duckdb.DuckDBPyRelation, tract: int, area_deg2: float) -> dict[str, Any]:
    """Compute a held tract's columns of ``SURVEY_DIAGNOSTICS``."""
    in_r = _of_band("r")
    statistics = {
        "num_galaxies": "count(*)",
        "density_per_deg2": f"count(*) / {area_deg2!r}",
        **_SAMPLE,
        "r_depth_5sigma_mag": in_r["depth_5sigma_mag"],
        "r_median_flux_ratio": in_r["median_flux_ratio"],
    }
    return _aggregate(galaxies.filter(f"tract = {tract:d}"), statistics)


def _of_band(band: str) -> dict[str, str]:
    """Give the aggregates of one band in SQL, named as the contract ``DIAGNOSTICS`` names them."""
    flux, error, truth = flux_column(band), flux_error_column(band), true_flux_column(band)
    bright = f"{flux} > {MIN_SN} * {error}"
    ratio, comparable = f"{flux} / {truth}", f"{bright} AND {truth} > 0"
    limiting_flux = f"5 * median({error})"
    return {
        "num_galaxies": "count(*)",
        "num_null": f"count(*) FILTER (WHERE {flux} IS NULL)",
        "num_not_positive": f"count(*) FILTER (WHERE {flux} <= 0)",
        "num_flagged": f"count(*) FILTER (WHERE {flag_column(band)})",
        "num_sn10": f"count(*) FILTER (WHERE {bright})",
        "median_mag": f"median({magnitude_column(band)})",
        # log10 of zero is an error in DuckDB.
        "depth_5sigma_mag": (
            f"{AB_ZERO_POINT_MAG} - 2.5 * log10(CASE WHEN {limiting_flux} > 0 THEN {limiting_flux} END)"
        ),
        "median_flux_ratio": f"median({ratio}) FILTER (WHERE {comparable})",
        "flux_ratio_p16": f"quantile_cont({ratio}, 0.16) FILTER (WHERE {comparable})",
        "flux_ratio_p84": f"quantile_cont({ratio}, 0.84) FILTER (WHERE {comparable})",
    }


def _aggregate(galaxies: duckdb.DuckDBPyRelation, statistics: dict[str, str]) -> dict[str, Any]:
    """Compute aggregates in one pass; give each by its name."""
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in statistics.items())
    row = galaxies.aggregate(listed).to_arrow_table().to_pylist()[0]
    return {name: row[name] for name in statistics}
