"""Statistics of galaxies: how well a sample is measured, per band, and where on the sky per tract.

A sample's are computed from a DuckDB relation with the columns of ``matched_galaxies``, the survey's from those
of its tracts; all come as small tables in the columns of their contracts. Limits that a statistic must keep stand
with the checks; counts for drawing, with the figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from photoz_assets.bands import AB_ZERO_POINT_MAG, BANDS
from photoz_assets.contracts import (
    MAGNITUDE_BINS,
    REDSHIFT_BINS,
    SURVEY_DIAGNOSTICS,
    Contract,
    flag_column,
    flux_column,
    flux_error_column,
    magnitude_column,
    true_flux_column,
)
from photoz_assets.science.bins import Axis, Counts, counts

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


def median_flux_ratio(band: str) -> str:
    """Give in SQL the median of a band's measured to true flux, of galaxies whose noise does not dominate."""
    return f"median({_ratio(band)}) FILTER (WHERE {_comparable(band)})"


REDSHIFT: Final = Axis(
    sql="ts_redshift",
    label="true redshift",
    low=REDSHIFT_BINS.low,
    high=REDSHIFT_BINS.high,
    bins=REDSHIFT_BINS.number,
)

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
    # One by one: an exact median holds all of its values, and those of one at a time are enough.
    statistics = {"num_galaxies": "count(*)", **_SAMPLE}
    return SampleSummary(**{name: _aggregate(galaxies, {name: sql})[name] for name, sql in statistics.items()})


def band_statistics(galaxies: duckdb.DuckDBPyRelation, contract: Contract) -> pa.Table:
    """Compute the statistics and histograms of each band of a sample.

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
    redshift_counts = counts(galaxies, REDSHIFT).tolist()
    for band in BANDS:
        found[f"{band}:magnitude_counts"] = counts(galaxies, magnitude_axis(band)).tolist()
        found[f"{band}:redshift_counts"] = redshift_counts
    return pa.Table.from_pylist(
        [{name: found[f"{band}:{name}"] for name in contract.names} for band in BANDS], schema=contract.schema
    )


def magnitude_axis(band: str) -> Axis:
    """Give the bins of a band's measured AB magnitudes, as stored histograms have them."""
    return Axis(
        sql=magnitude_column(band),
        label="measured cModel magnitude [AB mag]",
        low=MAGNITUDE_BINS.low,
        high=MAGNITUDE_BINS.high,
        bins=MAGNITUDE_BINS.number,
    )


def survey_statistics(measured: Mapping[int, pa.Table], tracts: pa.Table) -> pa.Table:
    """Put the statistics of the survey's tracts together.

    Parameters
    ----------
    measured
        For each tract that the lake holds, its statistics in the columns of the contract ``DIAGNOSTICS``.
    tracts
        The survey, in the columns of the contract ``TRACTS``; other tracts are left out.

    Returns
    -------
    pyarrow.Table
        In the columns of the contract ``SURVEY_DIAGNOSTICS``, a row a tract of ``tracts``, ascending. A tract
        that is not held counts zero galaxies; its statistics are NULL.
    """
    rows = []
    for tract, area_deg2 in sorted(
        zip(tracts.column("tract").to_pylist(), tracts.column("area_deg2").to_pylist(), strict=True)
    ):
        found = _of_tract(measured[tract], area_deg2) if tract in measured else {"num_galaxies": 0}
        rows.append({"tract": tract, "held": tract in measured, **found})
    return pa.Table.from_pylist(rows, schema=SURVEY_DIAGNOSTICS.schema)


def _of_tract(measured: pa.Table, area_deg2: float) -> dict[str, Any]:
    """Give a held tract's columns of ``SURVEY_DIAGNOSTICS``."""
    in_r = measured.to_pylist()[BANDS.index("r")]
    return {
        "num_galaxies": in_r["num_galaxies"],
        "density_per_deg2": in_r["num_galaxies"] / area_deg2,
        **{name: in_r[name] for name in _SAMPLE},
        "r_depth_5sigma_mag": in_r["depth_5sigma_mag"],
        "r_median_flux_ratio": in_r["median_flux_ratio"],
    }


def summed_counts(measured: Mapping[int, pa.Table], column: str, band: str = "r") -> Counts:
    """Add up a stored histogram of tracts, at least one, in one band; shape (bins,)."""
    row = BANDS.index(band)
    histograms = [table.column(column)[row].as_py() for table in measured.values()]
    summed: Counts = np.sum(histograms, axis=0, dtype=np.int64)
    return summed


def _ratio(band: str) -> str:
    return f"{flux_column(band)} / {true_flux_column(band)}"


def _comparable(band: str) -> str:
    """Say in SQL that the measured flux of a band can be held against the truth."""
    return f"{_bright(band)} AND {true_flux_column(band)} > 0"


def _bright(band: str) -> str:
    return f"{flux_column(band)} > {MIN_SN} * {flux_error_column(band)}"


def _of_band(band: str) -> dict[str, str]:
    """Give the aggregates of one band in SQL, named as the contract ``DIAGNOSTICS`` names them."""
    flux, ratio, comparable = flux_column(band), _ratio(band), _comparable(band)
    limiting_flux = f"5 * median({flux_error_column(band)})"
    return {
        "num_galaxies": "count(*)",
        "num_null": f"count(*) FILTER (WHERE {flux} IS NULL)",
        "num_not_positive": f"count(*) FILTER (WHERE {flux} <= 0)",
        "num_flagged": f"count(*) FILTER (WHERE {flag_column(band)})",
        "num_sn10": f"count(*) FILTER (WHERE {_bright(band)})",
        "median_mag": f"median({magnitude_column(band)})",
        # log10 of zero is an error in DuckDB.
        "depth_5sigma_mag": (
            f"{AB_ZERO_POINT_MAG} - 2.5 * log10(CASE WHEN {limiting_flux} > 0 THEN {limiting_flux} END)"
        ),
        "median_flux_ratio": median_flux_ratio(band),
        "flux_ratio_p16": f"quantile_cont({ratio}, 0.16) FILTER (WHERE {comparable})",
        "flux_ratio_p84": f"quantile_cont({ratio}, 0.84) FILTER (WHERE {comparable})",
    }


def _aggregate(galaxies: duckdb.DuckDBPyRelation, statistics: dict[str, str]) -> dict[str, Any]:
    """Compute aggregates in one pass; give each by its name."""
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in statistics.items())
    row = galaxies.aggregate(listed).to_arrow_table().to_pylist()[0]
    return {name: row[name] for name in statistics}
