"""Statistics of galaxies: how well a sample is measured, per band, and where on the sky per tract.

The statistics of a sample come from a DuckDB relation with the columns of ``matched_galaxies``, those of the
survey from the statistics of its tracts; all are small tables in the columns of their contracts. The limits of
checks are not here, nor are the counts that figures draw.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from photoz_assets.science.bins import Axis, Counts, counts
from photoz_assets.science.quantiles import quantiles
from photoz_assets.survey.bands import BANDS, magnitude_of_flux
from photoz_assets.survey.contracts.diagnostics import MAGNITUDE_BINS, REDSHIFT_BINS
from photoz_assets.survey.expressions import flux_ratio, is_bright, is_comparable, position_offsets_arcsec
from photoz_assets.survey.galaxy_columns import GalaxyColumns
from photoz_assets.survey.table import Contract

# Of which quantities a sample as a whole has medians, as the contracts name these.
_MEDIANS: Final = ("median_redshift", "median_ra_offset_arcsec", "median_dec_offset_arcsec")


@dataclass(frozen=True, kw_only=True)
class SampleSummary:
    """A sample in a few numbers; the medians are None for a sample without galaxies.

    Offsets are true, or reference, minus measured; that of right ascension times cos(Dec).
    """

    num_galaxies: int
    median_redshift: float | None
    median_ra_offset_arcsec: float | None
    median_dec_offset_arcsec: float | None


def sample_summary(galaxies: duckdb.DuckDBPyRelation, columns: GalaxyColumns) -> SampleSummary:
    """Return the summary of a sample.

    Parameters
    ----------
    galaxies
        In the columns of the asset ``matched_galaxies``.
    columns
        Their roles.
    """
    quantities = (columns.redshift, *position_offsets_arcsec(columns))
    medians = {name: quantiles(galaxies, sql, 0.5)[0] for name, sql in zip(_MEDIANS, quantities, strict=True)}
    return SampleSummary(num_galaxies=galaxies.count("*").fetchall()[0][0], **medians)


def band_statistics(
    galaxies: duckdb.DuckDBPyRelation, summary: SampleSummary, contract: Contract, columns: GalaxyColumns
) -> pa.Table:
    """Return the statistics and histograms of each band of a sample.

    Parameters
    ----------
    galaxies
        In the columns of the asset ``matched_galaxies``.
    summary
        Theirs, whose medians stand in every row.
    contract
        Of ``diagnostics`` or ``field_diagnostics``, whose columns are the same.
    columns
        The roles of the galaxies' columns.

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
    redshift_counts = counts(galaxies, redshift_axis(columns)).tolist()
    rows = [
        {
            "band": band,
            **asdict(summary),
            **_of_band(galaxies, columns, band),
            "magnitude_counts": counts(galaxies, magnitude_axis(columns, band)).tolist(),
            "redshift_counts": redshift_counts,
        }
        for band in BANDS
    ]
    return pa.Table.from_pylist(rows, schema=contract.schema)


def redshift_axis(columns: GalaxyColumns) -> Axis:
    """Return the bins of the redshifts, as in the stored histograms."""
    return Axis(
        sql=columns.redshift,
        label=columns.redshift_words,
        low=REDSHIFT_BINS.low,
        high=REDSHIFT_BINS.high,
        bins=REDSHIFT_BINS.number,
    )


def magnitude_axis(columns: GalaxyColumns, band: str) -> Axis:
    """Return the bins of a band's measured AB magnitudes, as in the stored histograms."""
    return Axis(
        sql=columns.magnitude(band),
        label=f"measured {columns.photometry.kind} magnitude [AB mag]",
        low=MAGNITUDE_BINS.low,
        high=MAGNITUDE_BINS.high,
        bins=MAGNITUDE_BINS.number,
    )


def survey_statistics(measured: Mapping[int, pa.Table], tracts: pa.Table, contract: Contract) -> pa.Table:
    """Return the statistics of the survey, from those of its tracts.

    Parameters
    ----------
    measured
        For each tract that the lake holds, its statistics in the columns of the asset ``diagnostics``.
    tracts
        The survey, in the columns of the asset ``tracts``; other tracts are left out.
    contract
        Of ``survey_diagnostics``.

    Returns
    -------
    pyarrow.Table
        In the columns of the contract, a row a tract of ``tracts``, ascending. A tract
        that is not held counts zero galaxies; its statistics are NULL.
    """
    rows = []
    for tract, area_deg2 in sorted(
        zip(tracts.column("tract").to_pylist(), tracts.column("area_deg2").to_pylist(), strict=True)
    ):
        found = _of_tract(measured[tract], area_deg2) if tract in measured else {"num_galaxies": 0}
        rows.append({"tract": tract, "held": tract in measured, **found})
    return pa.Table.from_pylist(rows, schema=contract.schema)


def _of_tract(measured: pa.Table, area_deg2: float) -> dict[str, Any]:
    """Return a stored tract's columns of ``survey_diagnostics``."""
    in_r = measured.to_pylist()[BANDS.index("r")]
    return {
        "num_galaxies": in_r["num_galaxies"],
        "density_per_deg2": in_r["num_galaxies"] / area_deg2,
        **{name: in_r[name] for name in _MEDIANS},
        "r_depth_5sigma_mag": in_r["depth_5sigma_mag"],
        **({"r_median_flux_ratio": in_r["median_flux_ratio"]} if "median_flux_ratio" in in_r else {}),
    }


def summed_counts(measured: Mapping[int, pa.Table], column: str, band: str = "r") -> Counts:
    """Return the sum of a stored histogram over tracts, at least one, in one band; shape (bins,)."""
    row = BANDS.index(band)
    histograms = [table.column(column)[row].as_py() for table in measured.values()]
    summed: Counts = np.sum(histograms, axis=0, dtype=np.int64)
    return summed


def _of_band(galaxies: duckdb.DuckDBPyRelation, columns: GalaxyColumns, band: str) -> dict[str, Any]:
    """Return the statistics of one band, by their names in the contract."""
    flux = columns.flux(band)
    conditions = {
        "num_null": f"{flux} IS NULL",
        "num_not_positive": f"{flux} <= 0",
        "num_flagged": columns.flag(band),
        "num_sn10": is_bright(columns, band),
    }
    numbers = galaxies.aggregate(", ".join(f"count(*) FILTER (WHERE {sql})" for sql in conditions.values()))
    (median_mag,) = quantiles(galaxies, columns.magnitude(band), 0.5)
    (median_error_njy,) = quantiles(galaxies, columns.flux_error(band), 0.5)
    return {
        **dict(zip(conditions, numbers.fetchall()[0], strict=True)),
        "median_mag": median_mag,
        "depth_5sigma_mag": magnitude_of_flux(5 * median_error_njy) if median_error_njy else None,
        **(_flux_ratios(galaxies, columns, band) if columns.true_fluxes else {}),
    }


def _flux_ratios(galaxies: duckdb.DuckDBPyRelation, columns: GalaxyColumns, band: str) -> dict[str, float | None]:
    ratios = quantiles(galaxies, flux_ratio(columns, band), 0.16, 0.5, 0.84, where=is_comparable(columns, band))
    return dict(zip(("flux_ratio_p16", "median_flux_ratio", "flux_ratio_p84"), ratios, strict=True))
