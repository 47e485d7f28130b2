"""Statistics of the galaxies: per band for a tract or the field, per tract for the survey."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Column, TableSpec

_KINDS: Final = frozenset({"duckdb", "parquet", "matplotlib"})

# By what a statistic's name ends in, its band left out.
_UCDS: Final = {
    "median_mag": "phot.mag;stat.median",
    "depth_5sigma_mag": "phot.mag;instr.sensitivity",
    "median_flux_ratio": "phot.flux.density;arith.ratio;stat.median",
    "flux_ratio_p16": "phot.flux.density;arith.ratio",
    "flux_ratio_p84": "phot.flux.density;arith.ratio",
    "median_ra_offset_arcsec": "pos.eq.ra;arith.diff;stat.median",
    "median_dec_offset_arcsec": "pos.eq.dec;arith.diff;stat.median",
    "median_redshift": "src.redshift;stat.median",
}


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Equal half-open bins [low, high), as a stored histogram has them."""

    low: float
    high: float
    number: int

    @property
    def width(self) -> float:
        """The width of a bin."""
        return (self.high - self.low) / self.number

    def __str__(self) -> str:
        return f"{self.number} bins of {self.width:g} from {self.low:g} to {self.high:g}"


# A tract's histograms are stored with its statistics: the survey's are their sums.
MAGNITUDE_BINS: Final = Bins(low=17.0, high=29.0, number=48)
REDSHIFT_BINS: Final = Bins(low=0.0, high=3.5, number=50)


def _statistic(name: str, description: str, *inputs: str, unit: str | None = None, source: str) -> Column:
    return Column(
        name=name,
        type=pa.float64(),
        description=description,
        unit=unit,
        ucd=_UCDS[name.removeprefix("r_")],
        derived_from=tuple(f"{source}.{column}" for column in inputs),
    )


def _count(name: str, description: str, *inputs: str, source: str) -> Column:
    return Column(
        name=name,
        type=pa.int64(),
        description=description,
        ucd="meta.id;obs.field" if name == "tract" else "meta.number",
        nullable=False,
        derived_from=tuple(f"{source}.{column}" for column in inputs),
    )


def _histogram(name: str, description: str, *inputs: str, source: str) -> Column:
    derived_from = tuple(f"{source}.{column}" for column in inputs)
    return Column(
        name=name,
        type=pa.list_(pa.int64()),
        description=description,
        ucd="meta.number",
        nullable=False,
        derived_from=derived_from,
    )


def _flux_ratios(*pairs: str, source: str) -> tuple[Column, ...]:
    """Describe how measured fluxes compare with true ones."""
    return (
        _statistic("median_flux_ratio", "Median of measured to true flux at S/N > 10", *pairs, source=source),
        _statistic("flux_ratio_p16", "16th percentile of that ratio", *pairs, source=source),
        _statistic("flux_ratio_p84", "84th percentile of that ratio", *pairs, source=source),
    )


def _band_statistics(release: Release, table: str, source: str, *, by_tract: bool) -> TableSpec:
    """Describe a row of statistics for each band over the galaxies of ``source``."""
    galaxies = release.columns

    def of_all_bands(column: Callable[[str], str]) -> tuple[str, ...]:
        return tuple(map(column, BANDS))

    flux, error, flag = map(of_all_bands, (galaxies.flux, galaxies.flux_error, galaxies.flag))
    truth = tuple(galaxies.true_fluxes.values())
    pairs = (*flux, *error, *truth)
    (true_ra, true_dec), (ra, dec) = galaxies.reference_position, galaxies.position
    positions = (true_ra, ra, dec), (true_dec, dec)
    return TableSpec(
        table=table,
        version=2,
        group="diagnostics",
        kinds=_KINDS,
        by_tract=by_tract,
        columns=(
            Column(
                name="band",
                type=pa.string(),
                description="LSST band",
                ucd="instr.bandpass",
                nullable=False,
                derived_from=tuple(f"{source}.{name}" for name in flux),
            ),
            _count("num_galaxies", "Galaxies", galaxies.object_id, source=source),
            _count("num_null", "Galaxies without a flux in the band", *flux, source=source),
            _count("num_not_positive", "Galaxies whose flux is zero or negative", *flux, source=source),
            _count("num_flagged", f"Galaxies whose {galaxies.photometry.kind} fit failed", *flag, source=source),
            _count("num_sn10", "Galaxies at a signal-to-noise ratio above 10", *flux, *error, source=source),
            _statistic("median_mag", "Median measured AB magnitude", *flux, unit="mag", source=source),
            _statistic(
                "depth_5sigma_mag",
                "AB magnitude at which the median flux error is a fifth of the flux",
                *error,
                unit="mag",
                source=source,
            ),
            *(_flux_ratios(*pairs, source=source) if truth else ()),
            _statistic(
                "median_ra_offset_arcsec",
                f"Median of {galaxies.reference_words} minus measured right ascension times cos(Dec), all bands "
                "together",
                *positions[0],
                unit="arcsec",
                source=source,
            ),
            _statistic(
                "median_dec_offset_arcsec",
                f"Median of {galaxies.reference_words} minus measured declination, all bands together",
                *positions[1],
                unit="arcsec",
                source=source,
            ),
            _statistic(
                "median_redshift",
                f"Median {galaxies.redshift_words}, all bands together",
                galaxies.redshift,
                source=source,
            ),
            _histogram(
                "magnitude_counts", f"Galaxies by measured AB magnitude, in {MAGNITUDE_BINS}", *flux, source=source
            ),
            _histogram(
                "redshift_counts",
                f"Galaxies by {galaxies.redshift_words}, in {REDSHIFT_BINS}, all bands together",
                galaxies.redshift,
                source=source,
            ),
        ),
    )


@cache
def diagnostics_spec(release: Release) -> TableSpec:
    """Return the statistics of a tract's galaxies."""
    return _band_statistics(release, "diagnostics", "matched_galaxies", by_tract=True)


@cache
def field_diagnostics_spec(release: Release) -> TableSpec:
    """Return the statistics of the field's galaxies."""
    return _band_statistics(release, "field_diagnostics", "field_galaxies", by_tract=False)


@cache
def survey_diagnostics_spec(release: Release) -> TableSpec:
    """Return the statistics of each tract of the survey."""
    reference = release.columns.reference_words
    return TableSpec(
        table="survey_diagnostics",
        version=2,
        group="diagnostics",
        kinds=_KINDS,
        columns=(
            _count("tract", "Skymap tract", "tract", source="tracts"),
            Column(
                name="held",
                type=pa.bool_(),
                description="True where the lake holds the tract's galaxies",
                ucd="meta.code",
                nullable=False,
                derived_from=("matched_galaxies.obj_tract",),
            ),
            _count("num_galaxies", "Galaxies held", "num_galaxies", source="diagnostics"),
            Column(
                name="density_per_deg2",
                type=pa.float64(),
                description="Galaxies per square degree of the inner region; NULL where the tract is not held",
                unit="deg-2",
                ucd="src.density",
                derived_from=("diagnostics.num_galaxies", "tracts.area_deg2"),
            ),
            _statistic(
                "median_redshift",
                f"Median {release.columns.redshift_words}",
                "median_redshift",
                source="diagnostics",
            ),
            _statistic(
                "median_ra_offset_arcsec",
                f"Median of {reference} minus measured right ascension times cos(Dec)",
                "median_ra_offset_arcsec",
                unit="arcsec",
                source="diagnostics",
            ),
            _statistic(
                "median_dec_offset_arcsec",
                f"Median of {reference} minus measured declination",
                "median_dec_offset_arcsec",
                unit="arcsec",
                source="diagnostics",
            ),
            _statistic(
                "r_depth_5sigma_mag",
                "AB magnitude at which the median r-band flux error is a fifth of the flux",
                "depth_5sigma_mag",
                unit="mag",
                source="diagnostics",
            ),
            *(
                (
                    _statistic(
                        "r_median_flux_ratio",
                        "Median of measured to true r-band flux at S/N > 10",
                        "median_flux_ratio",
                        source="diagnostics",
                    ),
                )
                if release.columns.true_fluxes
                else ()
            ),
        ),
    )
