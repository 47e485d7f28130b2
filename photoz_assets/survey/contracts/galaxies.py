"""The galaxies: the triple join that is asked of the archive per tract, and the field cut out of it.

Checks follow from the columns and the selection; the limits of the match stand here.
The notebook is the one that this project grew from: what it stored keeps its names and its order.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa

from photoz_assets.survey import dp02
from photoz_assets.survey.band_columns import (
    magnitude_column,
)
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check, KeyRule, RowRule, Scope, StatisticRule
from photoz_assets.survey.expressions import DEC_OFFSET_ARCSEC, MIN_SN, RA_OFFSET_ARCSEC, median_flux_ratio
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.table import Column, TableSpec, complete_check, contract_check, not_empty_check

ARCHIVE_SCHEMA: Final = dp02.SCHEMA

# The alias that the notebook's query gives each archive table; a selected column's name starts with it.
TABLE_ALIASES: Final = {
    "mt": f"{ARCHIVE_SCHEMA}.MatchesTruth",
    "ts": f"{ARCHIVE_SCHEMA}.TruthSummary",
    "obj": f"{ARCHIVE_SCHEMA}.Object",
}
# Where the values of a quantity can lie; marks for missing values, -99, 99 or -999, do not.
_RA_DEG: Final = (0.0, 360.0)
_DEC_DEG: Final = (-90.0, 90.0)
_REDSHIFT: Final = (0.0, 20.0)
_MAG: Final = (-10.0, 90.0)

USED_TABLES: Final = (*TABLE_ALIASES.values(), f"{ARCHIVE_SCHEMA}.CoaddPatches")


def _archive_column(
    source: str,
    column_type: pa.DataType,
    description: str,
    *,
    unit: str | None = None,
    ucd: str | None = None,
    nullable: bool = True,
    inside: tuple[float, float] | None = None,
) -> Column:
    """Describe a column of the triple join, named as the notebook names it: its alias, ``_``, its name."""
    alias, _, name = source.partition(".")
    return Column(
        name=f"{alias}_{name}",
        type=column_type,
        description=description,
        unit=unit,
        ucd=ucd,
        nullable=nullable,
        source=source,
        derived_from=(f"{TABLE_ALIASES[alias]}.{name}",),
        inside=inside,
    )


def _notebook_columns() -> Iterator[Column]:
    """Yield the notebook's 28 columns in its order."""
    text, count, real, double = pa.string(), pa.int64(), pa.float32(), pa.float64()
    yield _archive_column(
        "mt.id_truth_type",
        text,
        "Truth entry of the match: TruthSummary id and truth type",
        ucd="meta.id.assoc",
        nullable=False,
    )
    yield _archive_column(
        "mt.match_objectId",
        count,
        "objectId of the matched Object entry",
        ucd="meta.id.assoc",
        nullable=False,
    )
    yield _archive_column(
        "ts.ra", double, "True right ascension, ICRS", unit="deg", ucd="pos.eq.ra", nullable=False, inside=_RA_DEG
    )
    yield _archive_column(
        "ts.dec", double, "True declination, ICRS", unit="deg", ucd="pos.eq.dec", nullable=False, inside=_DEC_DEG
    )
    yield _archive_column("ts.truth_type", count, "1 for galaxies, 2 for stars, 3 for supernovae", ucd="src.class")
    yield _archive_column(
        "ts.mag_r", real, "True r-band AB magnitude", unit="mag", ucd="phot.mag;em.opt.R", inside=_MAG
    )
    yield _archive_column("ts.is_pointsource", pa.int32(), "1 for a point source", ucd="src.class.starGalaxy")
    yield _archive_column(
        "ts.redshift", real, "True redshift", ucd="src.redshift", nullable=False, inside=_REDSHIFT
    )
    for band in BANDS:
        yield _archive_column(
            f"ts.flux_{band}", real, f"True static flux in {band}", unit="nJy", ucd="phot.flux.density"
        )
    yield _archive_column(
        "obj.coord_ra",
        double,
        "Measured right ascension, ICRS",
        unit="deg",
        ucd="pos.eq.ra;meta.main",
        nullable=False,
        inside=_RA_DEG,
    )
    yield _archive_column(
        "obj.coord_dec",
        double,
        "Measured declination, ICRS",
        unit="deg",
        ucd="pos.eq.dec;meta.main",
        nullable=False,
        inside=_DEC_DEG,
    )
    for band in BANDS:
        yield _archive_column(
            f"obj.{band}_cModelFlux",
            double,
            f"Measured cModel flux in {band}",
            unit="nJy",
            ucd="phot.flux.density",
        )
    for band in BANDS:
        yield Column(
            name=magnitude_column(band),
            type=double,
            description=f"Measured cModel AB magnitude in {band}: 31.4 - 2.5 log10(flux/nJy), "
            "NULL where the flux is NULL or not positive",
            unit="mag",
            ucd="phot.mag",
            derived_from=(f"{TABLE_ALIASES['obj']}.{band}_cModelFlux",),
            inside=_MAG,
        )


def _audit_columns() -> Iterator[Column]:
    """Yield what an audit, a judgement of the match and a photo-z estimator need besides the notebook's."""
    double, boolean = pa.float64(), pa.bool_()
    yield _archive_column(
        "mt.match_candidate", boolean, "True for truth entries that were selected for matching", ucd="meta.code"
    )
    yield _archive_column(
        "mt.match_count", pa.int32(), "Number of candidate objects within the match radius", ucd="meta.number"
    )
    yield _archive_column("mt.match_chisq", double, "Chi-squared of the best match", ucd="stat.fit.chi2")
    yield _archive_column("obj.tract", pa.int64(), "Skymap tract", ucd="meta.id;obs.field")
    yield _archive_column(
        "obj.patch", pa.int64(), "Skymap patch within the tract, sequential", ucd="meta.id.part;obs.field"
    )
    yield _archive_column(
        "obj.detect_isPrimary",
        boolean,
        "True without children, inside its patch's and its tract's inner region, and no sky object",
        ucd="meta.code",
    )
    yield _archive_column(
        "obj.refExtendedness",
        double,
        "1 for an extended object, 0 for a point-like one, in the reference band",
        ucd="src.class.starGalaxy",
    )
    for band in BANDS:
        yield _archive_column(
            f"obj.{band}_cModelFluxErr",
            double,
            f"Error of the cModel flux in {band}",
            unit="nJy",
            ucd="stat.error;phot.flux.density",
        )
        yield _archive_column(
            f"obj.{band}_cModel_flag",
            boolean,
            f"True where the cModel fit in {band} failed",
            ucd="meta.code.error",
        )


OFFSET_MEDIAN_LIMIT_ARCSEC: Final = 0.05
OFFSET_P99_LIMIT_ARCSEC: Final = 0.5
FLUX_RATIO_LIMITS: Final = (0.9, 1.1)

_KEYS: Final = ("mt_match_objectId", "mt_id_truth_type")
_FINITE: Final = ("ts_ra", "ts_dec", "obj_coord_ra", "obj_coord_dec", "ts_redshift")


def _magnitude_cuts(scope: Scope) -> RowRule:
    selection = scope.selection or Selection()
    return RowRule(
        check="magnitude_cuts",
        condition=" AND ".join(condition.sql for condition in selection.magnitudes),
        shown=(*_KEYS, *(magnitude_column(band) for band in selection.bands)),
        limits={
            "above": selection.bright_limit_mag,
            "below": selection.faint_limit_mag,
            "bands": selection.bands,
        },
    )


def _true_primary_galaxies(scope: Scope) -> RowRule:
    sample = (scope.selection or Selection()).sample
    return RowRule(
        check="true_primary_galaxies",
        condition=" AND ".join([*(condition.sql for condition in sample), f'"obj_tract" = {scope.tract}']),
        shown=(*_KEYS, *(condition.stored_column for condition in sample), "obj_tract"),
        limits={condition.column: condition.comparison for condition in sample}
        | {"obj.tract": f"= {scope.tract}"},
    )


_FINITE_VALUES: Final = RowRule(
    check="finite_values",
    condition=" AND ".join(f'isfinite("{name}")' for name in _FINITE),
    shown=(*_KEYS, *_FINITE),
    limits={"finite": _FINITE},
)
_UNIQUE_MATCHES: Final = KeyRule(check="unique_matches", columns=_KEYS)


def _coordinate_offsets() -> StatisticRule:
    offsets = {"ra": RA_OFFSET_ARCSEC, "dec": DEC_OFFSET_ARCSEC}
    distance = f"sqrt(pow({offsets['ra']}, 2) + pow({offsets['dec']}, 2))"
    medians = {f"median_{axis}_offset_arcsec": f"median({sql})" for axis, sql in offsets.items()}
    return StatisticRule(
        check="coordinate_offsets",
        expressions={**medians, "p99_offset_arcsec": f"quantile_cont({distance}, 0.99)"},
        inside={
            **dict.fromkeys(medians, (-OFFSET_MEDIAN_LIMIT_ARCSEC, OFFSET_MEDIAN_LIMIT_ARCSEC)),
            "p99_offset_arcsec": (0.0, OFFSET_P99_LIMIT_ARCSEC),
        },
    )


def _flux_agreement() -> StatisticRule:
    return StatisticRule(
        check="flux_agreement",
        expressions={f"median_{band}_flux_ratio": median_flux_ratio(band) for band in BANDS},
        inside={f"median_{band}_flux_ratio": FLUX_RATIO_LIMITS for band in BANDS},
    )


_GALAXY_COLUMNS: Final = (*_notebook_columns(), *_audit_columns())

MATCHED_GALAXIES: Final = TableSpec(
    table="matched_galaxies",
    columns=_GALAXY_COLUMNS,
    version=1,
    group="galaxies",
    kinds=frozenset({"tap", "parquet", "duckdb"}),
    by_tract=True,
    checks=(
        contract_check(_GALAXY_COLUMNS, _KEYS),
        complete_check(),
        Check(
            name="magnitude_cuts",
            description="Every magnitude that is cut on lies strictly inside the selection's limits.",
            blocking=True,
            rule=_magnitude_cuts,
        ),
        Check(
            name="true_primary_galaxies",
            description="Every row is a true galaxy and a primary object of the tract, extendedness known.",
            blocking=True,
            rule=_true_primary_galaxies,
        ),
        Check(
            name="finite_values",
            description="Positions and redshifts are finite numbers.",
            blocking=True,
            rule=lambda _: _FINITE_VALUES,
        ),
        Check(
            name="unique_matches",
            description="No object and no truth entry is matched twice.",
            blocking=True,
            rule=lambda _: _UNIQUE_MATCHES,
        ),
        Check(
            name="coordinate_offsets",
            description="True and measured positions agree: the median on each axis within "
            f"{OFFSET_MEDIAN_LIMIT_ARCSEC} arcsec, 99 % of the galaxies within {OFFSET_P99_LIMIT_ARCSEC} arcsec.",
            blocking=False,
            rule=lambda _: _coordinate_offsets(),
        ),
        Check(
            name="flux_agreement",
            description=f"The median of measured to true flux at S/N > {MIN_SN} lies within "
            f"{FLUX_RATIO_LIMITS[0]} and {FLUX_RATIO_LIMITS[1]} in each band.",
            blocking=False,
            rule=lambda _: _flux_agreement(),
        ),
        not_empty_check("galaxies", blocking=False),
    ),
)

FIELD_GALAXIES: Final = TableSpec(
    table="field_galaxies",
    columns=tuple(
        replace(column, source=None, derived_from=(f"matched_galaxies.{column.name}",))
        for column in MATCHED_GALAXIES
    ),
    version=MATCHED_GALAXIES.version,
    group="galaxies",
    kinds=frozenset({"parquet", "duckdb"}),
    checks=(
        Check(
            name="field_complete",
            description="The lake holds every tract that the field touches, all of one selection.",
            blocking=True,
            rows="missing_tracts",
        ),
    ),
)
