"""The galaxies of a release without truth: objects with the redshift of another survey, matched by position."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import pyarrow as pa

from photoz_assets.survey.checks import Check, KeyRule, RowRule, Scope
from photoz_assets.survey.contracts.object_columns import measured_columns
from photoz_assets.survey.contracts.objects import (
    bands_observed_check,
    flux_cuts_check,
    of_release_check,
    patch_geometry_check,
)
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.expressions import separation_arcsec
from photoz_assets.survey.releases.release import Release, Spectroscopic
from photoz_assets.survey.table import Column, TableSpec, complete_check, contract_check, not_empty_check

# Of a survey's galaxies: an offset of half the usual scatter is another epoch, or another frame.
SURVEY_OFFSET_LIMIT_ARCSEC: Final = 0.1
# A median of fewer is their scatter.
FEWEST_OF_A_SURVEY: Final = 20
FALSE_SHARE_LIMIT: Final = 0.05
# Numbers that are computed twice differ by less.
_DISTANCE_STEP_ARCSEC: Final = 1e-3


def _match_columns(redshifts: Spectroscopic) -> Iterator[Column]:
    rule = f"unless told otherwise {redshifts.matching.radius_arcsec:g} arcsec"
    yield Column(
        name="sz_distance_arcsec",
        type=pa.float64(),
        description="Distance of the object from the redshift's position",
        unit="arcsec",
        ucd="pos.angDistance",
        nullable=False,
        derived_from=("specz.sz_ra", "specz.sz_dec"),
    )
    yield Column(
        name="sz_neighbours",
        type=pa.int32(),
        description=f"Objects within the radius of the match ({rule}), the matched one among them: of more than "
        "one, another may be the true one",
        ucd="meta.number",
        nullable=False,
        derived_from=("specz.sz_ra", "specz.sz_dec"),
    )
    yield Column(
        name="sz_is_nearest_both_ways",
        type=pa.bool_(),
        description="True where no redshift that counts lies nearer to the object, and no object to the redshift",
        ucd="meta.code",
        nullable=False,
        derived_from=("specz.sz_ra", "specz.sz_dec"),
    )


def _match_distance(release: Release, redshifts: Spectroscopic, scope: Scope) -> RowRule:
    matching, columns = scope.matching or redshifts.matching, release.columns
    recomputed = separation_arcsec(columns.reference_position, columns.position)
    return RowRule(
        check="match_distance",
        condition=f"sz_distance_arcsec BETWEEN 0 AND {matching.radius_arcsec!r} "
        f"AND abs({recomputed} - sz_distance_arcsec) < {_DISTANCE_STEP_ARCSEC!r}",
        shown=(*columns.keys, *columns.reference_position, *columns.position, "sz_distance_arcsec"),
        limits={"within_arcsec": matching.radius_arcsec},
    )


def _redshift_grade(release: Release, redshifts: Spectroscopic, scope: Scope) -> RowRule:
    matching = scope.matching or redshifts.matching
    return RowRule(
        check="redshift_grade",
        condition=matching.counts,
        shown=(*release.columns.keys, "sz_redshift", "sz_type", "sz_grade", "sz_class"),
        limits={
            "types": matching.types,
            "least_grade": matching.least_grade,
            "redshift_above": matching.least_redshift,
        },
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


def _of_stored_objects(column: Column) -> Column:
    """Describe a column as it comes of the asset ``objects``, or is computed of its columns."""
    origins = (f"obj_{origin.rpartition('.')[2]}" for origin in column.derived_from)
    return replace(column, source=None, derived_from=tuple(f"objects.{origin}" for origin in origins))


def matches_spec(release: Release, redshifts: Spectroscopic) -> TableSpec:
    """Return the objects of a tract that have a redshift, with the redshift and how it was matched."""
    keys = release.columns.keys
    of_specz = (replace(column, derived_from=(f"specz.{column.name}",)) for column in SPECZ)
    of_objects: Iterator[Column] = measured_columns(release)
    kinds = {"parquet", "duckdb"}
    if redshifts.by_upload:
        kinds.add("tap")
    else:
        of_objects = (_of_stored_objects(column) for column in of_objects)
    columns = (*of_specz, *_match_columns(redshifts), *of_objects)
    return TableSpec(
        table="matched_galaxies",
        columns=columns,
        version=1,
        group="galaxies",
        kinds=frozenset(kinds),
        by_tract=True,
        checks=(
            contract_check(columns, keys),
            *((complete_check(),) if redshifts.by_upload else ()),
            flux_cuts_check(release),
            of_release_check(release),
            Check(
                name="finite_values",
                description="Positions and redshifts are finite numbers.",
                blocking=True,
                rule=lambda _: _finite_values(release),
            ),
            Check(
                name="unique_matches",
                description="No object has two redshifts, and no redshift two objects.",
                blocking=True,
                rule=lambda _: KeyRule(check="unique_matches", columns=keys),
            ),
            Check(
                name="match_distance",
                description="Every object lies within the radius of the match, and as far from its redshift's "
                "position as is stored.",
                blocking=True,
                rule=partial(_match_distance, release, redshifts),
            ),
            Check(
                name="redshift_grade",
                description="Every redshift is of a type and a grade that count, above the least, and of no star "
                "or QSO.",
                blocking=True,
                rule=partial(_redshift_grade, release, redshifts),
            ),
            Check(
                name="coordinate_offsets",
                description="The positions of each survey agree with the objects': the median on each axis within "
                f"{SURVEY_OFFSET_LIMIT_ARCSEC} arcsec, where {FEWEST_OF_A_SURVEY} of a survey's redshifts or more "
                "have an object within almost twice the radius of the match.",
                blocking=False,
                rows="surveys",
            ),
            Check(
                name="chance_matches",
                description=f"No more than {FALSE_SHARE_LIMIT:.0%} of the matches are expected to be another "
                "galaxy's: of one that was not detected, or that images show as one with a brighter neighbour (a "
                "blend). By what the same match finds with the redshifts moved by 10 to 30 arcsec.",
                blocking=False,
                rows="magnitudes",
            ),
            bands_observed_check(),
            patch_geometry_check(),
            not_empty_check("galaxies", blocking=False),
        ),
    )
