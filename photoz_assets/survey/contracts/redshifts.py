"""The redshifts: the fitted models, the test set's estimates, every galaxy's, and how good they are."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check, KeyRule, RowRule, Scope, StatisticRule
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.contracts.photoz import ACCOUNTED, GROUP, photoz_galaxies_keys, photoz_sample_spec
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import SPLITS, Sampling
from photoz_assets.survey.splits import split_of
from photoz_assets.survey.table import Column, TableSpec, contract_check, not_empty_check

# What a model was fitted to: the whole training set, or what a redshift survey would have of it.
REPRESENTATIVE: Final = "representative"
DEGRADED: Final = "degraded"
# By this kind Dagster knows what is a model.
MODEL_KIND: Final = "scikitlearn"
NOT_OBSERVED: Final = "not observed in a band"

INFORMATIVE: Final = "informative"
SPLITS_DISJOINT: Final = "splits_disjoint"
QUALITY: Final = "quality"

# The metrics of a table of quality, each with the standard deviation that chance gives it.
METRICS: Final[Mapping[str, str]] = {
    "bias": "Median of e = (z_phot - z) / (1 + z)",
    "smad": "Scatter: 1.4826 times the median of |e - bias|",
    "sigma_iqr": "Interquartile range of e over 1.349",
    "outliers_fixed": "Share with |e| > 0.15",
    "outliers_adaptive": "Share with |e| > max(0.06, 3 sigma_iqr), as in the LSST Science Book, 3.8",
    "pit_ks": "Largest distance of the PIT's cumulative distribution from the uniform one",
    "cde_loss": "CDE loss of p(z), the lower the better",
}
# More test galaxies than these outside of what the training set covers are worth a warning.
MOST_UNCOVERED: Final = 0.05

_REDSHIFT: Final = (0.0, 20.0)
_MODEL: Final = "photoz_model.values"


def held_spec(release: Release) -> TableSpec:
    """Return the table of all galaxies that get a redshift, with a known one or without."""
    return objects_spec(release) if release.spectroscopic else matched_galaxies_spec(release)


def _photoz_model() -> TableSpec:
    """Return the fitted models: arrays and their facts, and no code."""
    of_sample = tuple(
        f"photoz_sample.{name}" for name in (*(f"mag_{band}" for band in BANDS), "redshift", "split")
    )
    columns = tuple(
        Column(name=name, type=kind, description=words, ucd=ucd, nullable=False, derived_from=of_sample)
        for name, kind, ucd, words in (
            ("fit", pa.string(), "meta.code.class", f"What it was fitted to: {REPRESENTATIVE} or {DEGRADED}"),
            ("name", pa.string(), "meta.id", "Name of the array, or 'facts'"),
            ("type", pa.string(), "meta.code.class", "Type of its numbers as numpy writes it, or 'json'"),
            ("shape", pa.list_(pa.int64()), "meta.number", "Its shape"),
            ("values", pa.string(), "meta.dataset", "Its bytes in C order, in base64; or the JSON"),
        )
    )
    return TableSpec(
        table="photoz_model",
        columns=columns,
        version=1,
        group=GROUP,
        kinds=frozenset({MODEL_KIND, "parquet"}),
        checks=(
            contract_check(columns, ("fit", "name")),
            Check(
                name=INFORMATIVE,
                description="The model knows more of the validation set than the training set's n(z) does: its "
                "redshifts are those of its galaxies.",
                blocking=True,
            ),
            _accounted(),
        ),
    )


def _accounted() -> Check:
    return Check(
        name=ACCOUNTED,
        description="Every row that came in is kept, or left out for a reason that is counted.",
        blocking=True,
    )


def _estimated(inputs: tuple[str, ...]) -> Iterator[Column]:
    """Yield what is said of a galaxy's redshift."""
    said = {
        "z_median": "Redshift: the median of p(z)",
        "z_mode": "Redshift where p(z) is highest",
        **{f"z_q{level:02d}": f"Redshift below which p(z) has {level} %" for level in (5, 16, 84, 95)},
    }
    for name, words in said.items():
        yield Column(
            name=name,
            type=pa.float32(),
            description=f"{words}; NULL where there is no estimate",
            ucd="src.redshift.phot",
            derived_from=inputs,
            inside=_REDSHIFT,
        )


def _flags(inputs: tuple[str, ...]) -> Iterator[Column]:
    flags = {
        "has_bands": "True where all bands of the model have observed the galaxy; else there is no estimate",
        "is_covered": "True where the training set has galaxies of its colours and magnitude",
        "is_training": "True where the model was trained on it: its estimate is by what was learnt without it",
    }
    for name, words in flags.items():
        yield Column(
            name=name,
            type=pa.bool_(),
            description=words,
            ucd="meta.code",
            nullable=False,
            derived_from=inputs,
        )


def _estimates_columns(release: Release) -> tuple[Column, ...]:
    sample = {column.name: column for column in photoz_sample_spec(release)}
    kept = ("object_id", "source_key", "ra", "dec", "tract", "patch", "mag_i", "color_gr", "color_ri", "redshift")
    inputs = (*(f"photoz_sample.mag_{band}" for band in BANDS), _MODEL)
    against = ("photoz_sample.redshift", *inputs)

    def judged(name: str, words: str, ucd: str, inside: tuple[float, float] | None = None) -> Column:
        return Column(
            name=name, type=pa.float32(), description=words, ucd=ucd, derived_from=against, inside=inside
        )

    pit, loss = (
        "Probability integral transform: the integral of p(z) up to the known redshift",
        "Part in the CDE loss: the integral of p(z)^2 less twice p at the known redshift",
    )
    of_degraded = [column for column in _estimated(inputs) if column.name in {"z_median", "z_mode"}]
    return (
        *(replace(sample[name], derived_from=(f"photoz_sample.{name}",)) for name in kept),
        *_estimated(inputs),
        Column(
            name="z_quantiles",
            type=pa.list_(pa.float32()),
            description="Redshifts below which p(z) has 0.1, 1, 5, 10, 16, 22, 28, 34, 40, 45, 50, 55, 60, 66, "
            "72, 78, 84, 90, 95, 99, 99.9 %",
            ucd="src.redshift.phot",
            derived_from=inputs,
        ),
        judged("pit", pit, "stat.probability", (0.0, 1.0)),
        judged("cde_loss", loss, "stat.fit.goodness"),
        *(
            replace(
                column,
                name=f"degraded_{column.name}",
                description=f"{column.description}; by the {DEGRADED} model",
            )
            for column in of_degraded
        ),
        judged("degraded_pit", f"{pit}; by the {DEGRADED} model", "stat.probability", (0.0, 1.0)),
        judged("degraded_cde_loss", f"{loss}; by the {DEGRADED} model", "stat.fit.goodness"),
        Column(
            name="weight",
            type=pa.float64(),
            description="How many objects it stands for in colours and magnitude, 1 on average; NULL where "
            "redshifts are the truth, and galaxies stand for themselves",
            ucd="stat.weight",
            derived_from=inputs,
        ),
        *_flags(inputs),
    )


def never_trained_on(sampling: Sampling) -> str:
    """Return, in SQL over ``photoz_estimates``, that a galaxy is of the test set and was not trained on."""
    return f"({split_of(sampling, photoz_galaxies_keys(None))}) = '{SPLITS[-1]}' AND NOT is_training"


def _splits_disjoint(scope: Scope) -> RowRule:
    sampling = scope.sampling or Sampling()
    return RowRule(
        check=SPLITS_DISJOINT,
        condition=never_trained_on(sampling),
        shown=("object_id", "source_key", "tract", "patch", "is_training"),
        limits={"sampling": sampling.text},
    )


@cache
def photoz_estimates_spec(release: Release) -> TableSpec:
    """Return the redshifts of the test set, by p(z) held against the known ones."""
    columns, keys = _estimates_columns(release), ("object_id", "source_key")
    return TableSpec(
        table="photoz_estimates",
        columns=columns,
        version=1,
        group=GROUP,
        kinds=frozenset({"parquet", "hdf5"}),
        checks=(
            contract_check(columns, keys),
            Check(
                name=SPLITS_DISJOINT,
                description="Every galaxy is of the test set, its split computed anew of its key, and none was "
                "trained on.",
                blocking=True,
                rule=_splits_disjoint,
            ),
            Check(
                name="unique_galaxies",
                description="No object and no redshift stands in two rows.",
                blocking=True,
                rule=lambda _: KeyRule(check="unique_galaxies", columns=keys),
            ),
            _accounted(),
            Check(
                name="coverage",
                description=f"At most {MOST_UNCOVERED:.0%} of the test set have a magnitude and colours unlike "
                "all of the training set.",
                blocking=False,
                rule=lambda _: StatisticRule(
                    check="coverage",
                    expressions={"uncovered": "avg((NOT is_covered)::INTEGER) FILTER (WHERE has_bands)"},
                    inside={"uncovered": (0.0, MOST_UNCOVERED)},
                ),
            ),
        ),
    )


@cache
def photoz_catalog_spec(release: Release) -> TableSpec:
    """Return the redshifts of all galaxies of a tract, with a known one or without."""
    held, galaxies = held_spec(release), release.columns
    described = {column.name: column for column in held}
    fluxes = [name for band in BANDS for name in (galaxies.flux(band), galaxies.flux_error(band))]
    inputs = (*(f"{held.table}.{name}" for name in fluxes), _MODEL)
    ra, dec = galaxies.position
    known = {"object_id": galaxies.object_id, "ra": ra, "dec": dec}
    columns = (
        *(
            replace(described[name], name=new, source=None, nullable=False, derived_from=(f"{held.table}.{name}",))
            for new, name in known.items()
        ),
        *_estimated(inputs),
        *_flags(inputs),
    )
    return TableSpec(
        table="photoz_catalog",
        columns=(replace(columns[0], ucd="meta.id;meta.main"), *columns[1:]),
        version=1,
        group=GROUP,
        kinds=frozenset({"parquet"}),
        by_tract=True,
        checks=(
            contract_check(columns, ("object_id",)),
            Check(
                name="unique_galaxies",
                description="No object stands in two rows.",
                blocking=True,
                rule=lambda _: KeyRule(check="unique_galaxies", columns=("object_id",)),
            ),
            _accounted(),
            not_empty_check("galaxies", blocking=False),
        ),
    )


def _quality_columns() -> Iterator[Column]:
    def of_estimates(
        name: str, kind: pa.DataType, words: str, *inputs: str, ucd: str, nullable: bool = True
    ) -> Column:
        origins = tuple(f"photoz_estimates.{column}" for column in inputs)
        return Column(name=name, type=kind, description=words, ucd=ucd, nullable=nullable, derived_from=origins)

    text, count, real = pa.string(), pa.int64(), pa.float64()
    binned = ("mag_i", "z_median")
    yield of_estimates(
        "fit",
        text,
        f"What the model was fitted to: {REPRESENTATIVE} or {DEGRADED}",
        "z_median",
        "degraded_z_median",
        ucd="meta.code.class",
        nullable=False,
    )
    yield of_estimates(
        "stands_for",
        text,
        "Whom the galaxies stand for: 'themselves', or all 'objects', by weights in colours and magnitude",
        *binned,
        ucd="meta.code.class",
        nullable=False,
    )
    yield of_estimates(
        "bins_of",
        text,
        "What they are binned by: 'all', 'gold' (i < 25.3), 'mag_i', 'z_median', or 'tomography', bins of "
        "z_median that hold equally many",
        *binned,
        ucd="meta.code.class",
        nullable=False,
    )
    yield of_estimates("low", real, "Lower edge of the bin, inside", *binned, ucd="meta.number;stat.min")
    yield of_estimates("high", real, "Upper edge of the bin, outside", *binned, ucd="meta.number;stat.max")
    yield of_estimates(
        "num_galaxies", count, "Galaxies that were judged", "redshift", ucd="meta.number", nullable=False
    )
    yield of_estimates(
        "effective_number",
        real,
        "As many of equal weights would have the same chance errors; NULL, as all that follows, where there are "
        "too few galaxies",
        "redshift",
        ucd="meta.number",
    )
    inputs = {"pit_ks": ("pit", "degraded_pit"), "cde_loss": ("cde_loss", "degraded_cde_loss")}
    for name, words in METRICS.items():
        of = inputs.get(name, ("z_median", "degraded_z_median", "redshift"))
        yield of_estimates(name, real, words, *of, ucd="stat.value")
        yield of_estimates(
            f"{name}_error", real, f"Standard deviation that chance gives {name}", *of, ucd="stat.error"
        )


def _photoz_quality() -> TableSpec:
    """Return how good the test set's redshifts are."""
    columns = tuple(_quality_columns())
    return TableSpec(
        table="photoz_quality",
        columns=columns,
        version=1,
        group=GROUP,
        kinds=frozenset({"matplotlib", "parquet"}),
        checks=(
            contract_check(columns),
            Check(
                name=SPLITS_DISJOINT,
                description="No galaxy is judged that the model was trained on, or that is not of the test set.",
                blocking=True,
                rows="trained_on",
            ),
            _accounted(),
            Check(
                name=QUALITY,
                description="Bias, scatter, outliers and the PIT's distance are inside the configured limits, and "
                "none is worse than the last time, each by three chance errors at most.",
                blocking=False,
                rows="worse",
            ),
        ),
    )


PHOTOZ_MODEL: Final = _photoz_model()
PHOTOZ_QUALITY: Final = _photoz_quality()
