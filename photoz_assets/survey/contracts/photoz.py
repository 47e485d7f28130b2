"""The training sets: a tract's galaxies as a photo-z estimator wants them, and the sample drawn of all tracts."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check, KeyRule, RowRule, Scope, StatisticRule
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.photometry_states import PhotometryState
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import SPLITS, Sampling
from photoz_assets.survey.splits import SplitKeys, draw_of, split_of
from photoz_assets.survey.table import Column, TableSpec, contract_check, not_empty_check

GROUP: Final = "photoz"
ACCOUNTED: Final = "accounted"
TRACTS_ALIKE: Final = "tracts_alike"
SAME_POPULATION: Final = "same_population"
NZ_STABLE: Final = "nz_stable"

_MAG: Final = (-10.0, 90.0)
_COLOR: Final = (-100.0, 100.0)
_STATES: Final = ", ".join(f"{state:d} {state.name.lower().replace('_', ' ')}" for state in PhotometryState)


def photoz_galaxies_keys(tract: int | None) -> SplitKeys:
    """Return what decides a galaxy's split, over the columns of ``photoz_galaxies`` of a tract."""
    return SplitKeys(galaxy='"source_key"', patch='"patch"', tract="tract" if tract is None else f"{tract:d}")


def color_name(blue: str, red: str) -> str:
    """Return the column of the colour between two bands."""
    return f"color_{blue}{red}"


def _of_galaxies(release: Release, source: str, name: str) -> Column:
    """Describe a column that is one of ``matched_galaxies`` under the name that photo-z codes use."""
    columns = {column.name: column for column in matched_galaxies_spec(release)}
    return replace(columns[source], name=name, source=None, derived_from=(f"matched_galaxies.{source}",))


def _photometry(release: Release) -> Iterator[Column]:
    kind, galaxies = release.columns.photometry.kind, release.columns

    def origins(*names: str) -> tuple[str, ...]:
        return tuple(f"matched_galaxies.{name}" for name in names)

    for band in BANDS:
        yield Column(
            name=f"mag_{band}",
            type=pa.float32(),
            description=f"AB magnitude in {band} ({kind}); NULL unless measured",
            unit="mag",
            ucd="phot.mag",
            derived_from=origins(galaxies.flux(band)),
            inside=_MAG,
        )
    for band in BANDS:
        yield Column(
            name=f"mag_err_{band}",
            type=pa.float32(),
            description=f"Error of mag_{band}: 2.5 / ln 10 times the flux's relative error; NULL unless measured",
            unit="mag",
            ucd="stat.error;phot.mag",
            derived_from=origins(galaxies.flux(band), galaxies.flux_error(band)),
        )
    for band in BANDS:
        yield Column(
            name=f"mag_1sigma_{band}",
            type=pa.float32(),
            description=f"AB magnitude in {band} of the flux's error: the limit of a flux that is not detected; "
            "NULL where not observed",
            unit="mag",
            ucd="phot.mag;instr.sensitivity",
            derived_from=origins(galaxies.flux_error(band)),
            inside=_MAG,
        )
    for band in BANDS:
        yield Column(
            name=f"state_{band}",
            type=pa.int32(),
            description=f"How the galaxy stands in {band}: {_STATES}",
            ucd="meta.code",
            nullable=False,
            derived_from=origins(galaxies.flux(band), galaxies.flux_error(band)),
            inside=(float(min(PhotometryState)), float(max(PhotometryState))),
        )
    for blue, red in pairwise(BANDS):
        yield Column(
            name=color_name(blue, red),
            type=pa.float32(),
            description=f"Colour {blue} - {red}; NULL unless both are measured",
            unit="mag",
            ucd="phot.color",
            derived_from=origins(galaxies.flux(blue), galaxies.flux(red)),
            inside=_COLOR,
        )


def _columns(release: Release) -> Iterator[Column]:
    galaxies = release.columns
    of_galaxies = partial(_of_galaxies, release)
    ra, dec = galaxies.position
    yield replace(of_galaxies(galaxies.object_id, "object_id"), ucd="meta.id;meta.main")
    yield replace(
        of_galaxies(galaxies.source_key, "source_key"),
        type=pa.string(),
        description="Key of what the redshift is of; galaxies that share it are one",
    )
    yield of_galaxies(ra, "ra")
    yield of_galaxies(dec, "dec")
    yield replace(of_galaxies(galaxies.patch, "patch"), nullable=False)
    yield of_galaxies(galaxies.extendedness, "extendedness")
    yield from _photometry(release)
    yield replace(of_galaxies(galaxies.redshift, "redshift"), type=pa.float64())
    key = (f"matched_galaxies.{galaxies.source_key}",)
    yield Column(
        name="split",
        type=pa.string(),
        description=f"The set that the galaxy belongs to: {', '.join(SPLITS)}",
        ucd="meta.code.class",
        nullable=False,
        derived_from=(*key, f"matched_galaxies.{galaxies.patch}"),
    )
    yield Column(
        name="draw",
        type=pa.float64(),
        description="The galaxy's place in its split: a set of k is made of the k smallest",
        ucd="meta.number",
        nullable=False,
        derived_from=key,
        inside=(0.0, 1.0),
    )
    yield Column(
        name="followed_up",
        type=pa.bool_(),
        description="True where a redshift survey of the sampling's completeness has the redshift",
        ucd="meta.code",
        nullable=False,
        derived_from=(*key, f"matched_galaxies.{galaxies.flux('i')}"),
    )


def _splits_disjoint(scope: Scope) -> RowRule:
    sampling, keys = scope.sampling or Sampling(), photoz_galaxies_keys(scope.tract)
    return RowRule(
        check="splits_disjoint",
        condition=f"split = {split_of(sampling, keys)} AND draw = {draw_of(sampling, keys)}",
        shown=("object_id", "source_key", "patch", "split", "draw"),
        limits={"sampling": sampling.text},
    )


def _common_checks(columns: tuple[Column, ...]) -> tuple[Check, ...]:
    keys = ("object_id", "source_key")
    return (
        contract_check(columns, keys),
        Check(
            name="splits_disjoint",
            description="Every galaxy's split and draw are those that its key gives, recomputed: what is in one "
            "split is in no other.",
            blocking=True,
            rule=_splits_disjoint,
        ),
        Check(
            name="unique_galaxies",
            description="No object and no redshift stands in two rows.",
            blocking=True,
            rule=lambda _: KeyRule(check="unique_galaxies", columns=keys),
        ),
        Check(
            name=ACCOUNTED,
            description="Every row that came in is kept, or left out for a reason that is counted.",
            blocking=True,
        ),
    )


@cache
def photoz_galaxies_spec(release: Release) -> TableSpec:
    """Return a tract's galaxies with the features, the split and the draw of each."""
    columns = tuple(_columns(release))
    return TableSpec(
        table="photoz_galaxies",
        columns=columns,
        version=1,
        group=GROUP,
        kinds=frozenset({"duckdb", "parquet"}),
        by_tract=True,
        checks=(*_common_checks(columns), not_empty_check("galaxies", blocking=False)),
    )


@cache
def photoz_sample_spec(release: Release) -> TableSpec:
    """Return the training, validation and test sets: galaxies of all tracts, in the order of split and draw."""
    galaxies = [
        replace(column, derived_from=(f"photoz_galaxies.{column.name}",))
        for column in photoz_galaxies_spec(release)
    ]
    patch = next(number for number, column in enumerate(galaxies) if column.name == "patch")
    tract = Column(
        name="tract",
        type=pa.int64(),
        description="Skymap tract, which the patch is of",
        ucd="meta.id;obs.field",
        nullable=False,
        derived_from=("photoz_galaxies.patch",),
    )
    columns = (*galaxies[:patch], tract, *galaxies[patch:])
    return TableSpec(
        table="photoz_sample",
        columns=columns,
        version=1,
        group=GROUP,
        kinds=frozenset({"parquet"}),
        checks=(
            *_common_checks(columns),
            Check(
                name=TRACTS_ALIKE,
                description="All tracts are of one archive and release, one selection and this sampling.",
                blocking=True,
                rows="tracts",
            ),
            Check(
                name="size",
                description="No split is empty.",
                blocking=False,
                rule=lambda _: _sizes(),
            ),
            Check(
                name=SAME_POPULATION,
                description="Redshifts and i magnitudes of the training and the test set differ no more than one "
                "population's do by chance, but for one time in a hundred.",
                blocking=False,
            ),
            Check(
                name=NZ_STABLE,
                description="Redshifts of the training set differ from those of the last one no more than one "
                "population's do by chance, but for one time in a hundred.",
                blocking=False,
            ),
        ),
    )


def _sizes() -> StatisticRule:
    counts = {split: f"count(*) FILTER (WHERE split = '{split}')" for split in SPLITS}
    return StatisticRule(check="size", expressions=counts, inside=dict.fromkeys(counts, (1, float("inf"))))
