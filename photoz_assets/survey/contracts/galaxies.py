"""The galaxies: the join that is asked of the archive per tract, and the field cut out of it.

Checks follow from the columns and the selection; the limits of the match stand here.
The notebook is the one that this project grew from: what it stored keeps its names and its order.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check, KeyRule, RowRule, Scope, StatisticRule
from photoz_assets.survey.contracts.matches import matches_spec
from photoz_assets.survey.contracts.object_columns import DEC_DEG, MAG, RA_DEG, REDSHIFT, archive_column
from photoz_assets.survey.contracts.objects import flux_cuts_check
from photoz_assets.survey.expressions import MIN_SN, median_flux_ratio, position_offsets_arcsec
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.table import Column, TableSpec, complete_check, contract_check, not_empty_check


def _notebook_columns(release: Release) -> Iterator[Column]:
    """Yield the notebook's 28 columns in its order."""
    text, count, real, double = pa.string(), pa.int64(), pa.float32(), pa.float64()
    columns, photometry = release.columns, release.objects.photometry
    described = partial(archive_column, release)
    yield described(
        "mt.id_truth_type",
        text,
        "Truth entry of the match: TruthSummary id and truth type",
        ucd="meta.id.assoc",
        nullable=False,
    )
    yield described(
        "mt.match_objectId",
        count,
        "objectId of the matched Object entry",
        ucd="meta.id.assoc",
        nullable=False,
    )
    yield described(
        "ts.ra", double, "True right ascension, ICRS", unit="deg", ucd="pos.eq.ra", nullable=False, inside=RA_DEG
    )
    yield described(
        "ts.dec", double, "True declination, ICRS", unit="deg", ucd="pos.eq.dec", nullable=False, inside=DEC_DEG
    )
    yield described("ts.truth_type", count, "1 for galaxies, 2 for stars, 3 for supernovae", ucd="src.class")
    yield described("ts.mag_r", real, "True r-band AB magnitude", unit="mag", ucd="phot.mag;em.opt.R", inside=MAG)
    yield described("ts.is_pointsource", pa.int32(), "1 for a point source", ucd="src.class.starGalaxy")
    yield described("ts.redshift", real, "True redshift", ucd="src.redshift", nullable=False, inside=REDSHIFT)
    for band in BANDS:
        yield described(
            f"ts.flux_{band}", real, f"True static flux in {band}", unit="nJy", ucd="phot.flux.density"
        )
    yield described(
        "obj.coord_ra",
        double,
        "Measured right ascension, ICRS",
        unit="deg",
        ucd="pos.eq.ra;meta.main",
        nullable=False,
        inside=RA_DEG,
    )
    yield described(
        "obj.coord_dec",
        double,
        "Measured declination, ICRS",
        unit="deg",
        ucd="pos.eq.dec;meta.main",
        nullable=False,
        inside=DEC_DEG,
    )
    for band in BANDS:
        yield described(
            f"obj.{photometry.flux(band)}",
            release.objects.real,
            f"Measured {photometry.kind} flux in {band}",
            unit="nJy",
            ucd="phot.flux.density",
        )
    for band in BANDS:
        yield Column(
            name=columns.magnitude(band),
            type=double,
            description=f"Measured {photometry.kind} AB magnitude in {band}: 31.4 - 2.5 log10(flux/nJy), "
            "NULL where the flux is NULL or not positive",
            unit="mag",
            ucd="phot.mag",
            derived_from=(f"{release.tables['obj']}.{photometry.flux(band)}",),
            inside=MAG,
        )


def _audit_columns(release: Release) -> Iterator[Column]:
    """Yield what an audit, a judgement of the match and a photo-z estimator need besides the notebook's."""
    double, boolean, photometry = pa.float64(), pa.bool_(), release.objects.photometry
    described = partial(archive_column, release)
    yield described(
        "mt.match_candidate", boolean, "True for truth entries that were selected for matching", ucd="meta.code"
    )
    yield described(
        "mt.match_count", pa.int32(), "Number of candidate objects within the match radius", ucd="meta.number"
    )
    yield described("mt.match_chisq", double, "Chi-squared of the best match", ucd="stat.fit.chi2")
    yield described("obj.tract", pa.int64(), "Skymap tract", ucd="meta.id;obs.field")
    yield described(
        "obj.patch", pa.int64(), "Skymap patch within the tract, sequential", ucd="meta.id.part;obs.field"
    )
    if release.objects.primary:
        yield described(
            f"obj.{release.objects.primary}",
            boolean,
            "True without children, inside its patch's and its tract's inner region, and no sky object",
            ucd="meta.code",
        )
    yield described(
        "obj.refExtendedness",
        release.objects.real,
        "1 for an extended object, 0 for a point-like one, in the reference band",
        ucd="src.class.starGalaxy",
    )
    for band in BANDS:
        yield described(
            f"obj.{photometry.flux_error(band)}",
            release.objects.real,
            f"Error of the {photometry.kind} flux in {band}",
            unit="nJy",
            ucd="stat.error;phot.flux.density",
        )
        yield described(
            f"obj.{photometry.flag(band)}",
            boolean,
            f"True where the {photometry.kind} fit in {band} failed",
            ucd="meta.code.error",
        )


OFFSET_MEDIAN_LIMIT_ARCSEC: Final = 0.05
OFFSET_P99_LIMIT_ARCSEC: Final = 0.5
FLUX_RATIO_LIMITS: Final = (0.9, 1.1)


def _cuts_check(release: Release) -> Check:
    """Return the check of the cuts: fluxes of single precision are rounded on their way, doubles are not."""
    if release.objects.real == pa.float32():
        return flux_cuts_check(release)
    return Check(
        name="magnitude_cuts",
        description="Every magnitude that is cut on lies strictly inside the selection's limits.",
        blocking=True,
        rule=partial(_magnitude_cuts, release),
    )


def _magnitude_cuts(release: Release, scope: Scope) -> RowRule:
    selection = scope.selection or Selection()
    columns = release.columns
    return RowRule(
        check="magnitude_cuts",
        condition=" AND ".join(condition.sql for condition in selection.magnitude_cuts(columns.photometry)),
        shown=(*columns.keys, *(columns.magnitude(band) for band in selection.bands)),
        limits={
            "above": selection.bright_limit_mag,
            "below": selection.faint_limit_mag,
            "bands": selection.bands,
        },
    )


def _true_primary_galaxies(release: Release, scope: Scope) -> RowRule:
    sample = release.sample
    return RowRule(
        check="true_primary_galaxies",
        condition=" AND ".join([*(condition.sql for condition in sample), f'"obj_tract" = {scope.tract}']),
        shown=(*release.columns.keys, *(condition.stored_column for condition in sample), "obj_tract"),
        limits={condition.column: condition.comparison for condition in sample}
        | {"obj.tract": f"= {scope.tract}"},
    )


def _finite_values(release: Release) -> RowRule:
    columns = release.columns
    finite = (*columns.reference_position, *columns.position, columns.redshift)
    return RowRule(
        check="finite_values",
        condition=" AND ".join(f'isfinite("{name}")' for name in finite),
        shown=(*columns.keys, *finite),
        limits={"finite": finite},
    )


def _coordinate_offsets(release: Release) -> StatisticRule:
    offsets = dict(zip(("ra", "dec"), position_offsets_arcsec(release.columns), strict=True))
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


def _flux_agreement(release: Release) -> StatisticRule:
    ratios = {f"median_{band}_flux_ratio": median_flux_ratio(release.columns, band) for band in BANDS}
    return StatisticRule(
        check="flux_agreement", expressions=ratios, inside=dict.fromkeys(ratios, FLUX_RATIO_LIMITS)
    )


@cache
def matched_galaxies_spec(release: Release) -> TableSpec:
    """Return the galaxies of a tract with a known redshift: of the truth, or of other surveys."""
    if release.spectroscopic:
        return matches_spec(release, release.spectroscopic)
    columns, keys = (*_notebook_columns(release), *_audit_columns(release)), release.columns.keys
    return TableSpec(
        table="matched_galaxies",
        columns=columns,
        version=1,
        group="galaxies",
        kinds=frozenset({"tap", "parquet", "duckdb"}),
        by_tract=True,
        checks=(
            contract_check(columns, keys),
            complete_check(),
            _cuts_check(release),
            Check(
                name="true_primary_galaxies",
                description="Every row is a true galaxy and a primary object of the tract, extendedness known.",
                blocking=True,
                rule=partial(_true_primary_galaxies, release),
            ),
            Check(
                name="finite_values",
                description="Positions and redshifts are finite numbers.",
                blocking=True,
                rule=lambda _: _finite_values(release),
            ),
            Check(
                name="unique_matches",
                description="No object and no truth entry is matched twice.",
                blocking=True,
                rule=lambda _: KeyRule(check="unique_matches", columns=keys),
            ),
            Check(
                name="coordinate_offsets",
                description="True and measured positions agree: the median on each axis within "
                f"{OFFSET_MEDIAN_LIMIT_ARCSEC} arcsec, 99 % of the galaxies within "
                f"{OFFSET_P99_LIMIT_ARCSEC} arcsec.",
                blocking=False,
                rule=lambda _: _coordinate_offsets(release),
            ),
            Check(
                name="flux_agreement",
                description=f"The median of measured to true flux at S/N > {MIN_SN} lies within "
                f"{FLUX_RATIO_LIMITS[0]} and {FLUX_RATIO_LIMITS[1]} in each band.",
                blocking=False,
                rule=lambda _: _flux_agreement(release),
            ),
            not_empty_check("galaxies", blocking=False),
        ),
    )


@cache
def field_galaxies_spec(release: Release) -> TableSpec:
    """Return the galaxies of one cone: those of its tracts, column by column."""
    galaxies = matched_galaxies_spec(release)
    return TableSpec(
        table="field_galaxies",
        columns=tuple(
            replace(column, source=None, derived_from=(f"matched_galaxies.{column.name}",)) for column in galaxies
        ),
        version=galaxies.version,
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
