"""Fitting estimators to a sample: one model of all of its training set, one of what a redshift survey would have.

The first speaks for the catalogue. The second, there unless the sampling has no completeness, shows beside it what
is lost with a training set that ends earlier than the galaxies.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from photoz_assets.photoz.coverage import Coverage
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.estimators.estimator import (
    Densities,
    Estimator,
    EstimatorError,
    KnownGalaxies,
    Model,
    Numbers,
    RedshiftGrid,
    Rows,
    estimate,
)
from photoz_assets.photoz.features import coverage_columns, feature_names, features_of, features_sql, have_all
from photoz_assets.photoz.model import MODEL_SCHEMA, FittedModel, ModelFacts
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.redshifts import DEGRADED, INFORMATIVE, NOT_OBSERVED, REPRESENTATIVE
from photoz_assets.survey.sampling import SPLITS

# The standard deviation of the Gaussian by which a distribution of redshifts is made smooth.
_NZ_SMOOTHING: Final = 0.05
# Of the validation set, the first so many: they are drawn at random.
_MOST_TO_JUDGE: Final = 5_000


@dataclass(frozen=True, kw_only=True)
class Estimation:
    """What is to be fitted: an estimator with its settings, the bands that it sees, and whether errors too."""

    estimator: Estimator
    bands: tuple[str, ...] = BANDS
    errors: bool = False


@dataclass(frozen=True, kw_only=True)
class Fits:
    """The models of a sample by the words for what they were fitted to; ``reused`` tells that nothing was fitted.

    ``came`` is the number of galaxies of the training and validation sets, ``left_out`` that of those which cannot
    be used, by the first reason; ``informative`` is that check's verdict. All are of the representative model.
    """

    models: Mapping[str, FittedModel]
    came: int
    left_out: Mapping[str, int]
    informative: Verdict
    reused: bool

    @property
    def kept(self) -> int:
        """How many galaxies of the training and validation sets were used."""
        facts = self.models[REPRESENTATIVE].facts
        return facts.num_training + facts.num_validation

    @property
    def version(self) -> str:
        """What tells fits apart that estimate otherwise."""
        return "-".join(model.digest for _, model in sorted(self.models.items(), reverse=True))


def fit_sample(
    sample: duckdb.DuckDBPyRelation,
    wanted: Estimation,
    *,
    photometry: str,
    completeness: bool,
    jobs: int = 1,
    former: Mapping[str, FittedModel] | None = None,
) -> Fits:
    """Fit an estimator to the training set of a sample, its width chosen on the validation set.

    Parameters
    ----------
    sample
        Rows of ``photoz_sample``.
    wanted
        What to fit.
    photometry
        The kind of the fluxes.
    completeness
        Whether to fit a second model to the galaxies that are ``followed_up``, if there are any in both sets.
    jobs
        How many processors may work on it; the models are the same to the bit.
    former
        Models that were fitted before: one that was fitted to the same with the same is taken as it is.

    Raises
    ------
    EstimatorError
        There is nothing to learn.
    """
    digest = rows_digest(sample.to_arrow_table())
    sets = {REPRESENTATIVE: _TrainingSets.of(sample, wanted)}
    if completeness:
        # All else that is wrong with the galaxies is wrong with the whole sample, too.
        with suppress(EstimatorError):
            sets[DEGRADED] = _TrainingSets.of(sample.filter("followed_up"), wanted)
    known = former or {}
    models = {}
    for kind, each in sets.items():
        facts = _facts(wanted, each, photometry, digest)
        stored = known.get(kind)
        same = stored is not None and stored.facts == facts
        models[kind] = stored if stored is not None and same else _fitted(wanted, each, facts, jobs)
    used = sets[REPRESENTATIVE]
    return Fits(
        models=models,
        came=used.came,
        left_out=used.left_out,
        informative=informative(models[REPRESENTATIVE].model, used.training.known.redshift, used.validation.known),
        reused=all(models[kind] is known.get(kind) for kind in models),
    )


def informative(model: Model, redshift: Numbers, validation: KnownGalaxies) -> Verdict:
    """Judge whether a model knows more of galaxies than how redshifts are distributed.

    Redshifts that do not belong to their galaxies teach nothing, and no other number of a fit tells.

    Parameters
    ----------
    model
        The model.
    redshift
        The redshifts of its training set, whose distribution is what it must beat.
    validation
        Galaxies that it did not grow by.
    """
    judged = KnownGalaxies(validation.features[:_MOST_TO_JUDGE], validation.redshift[:_MOST_TO_JUDGE])
    found = estimate(model, judged.features, redshift=judged.redshift)
    loss = _mean(found.cde_losses)
    without = _mean(_distribution(model.grid, redshift, len(judged)).cde_losses(judged.redshift))
    passed = loss < without
    words = f"CDE loss {loss:.3f} on {len(judged):,} galaxies of the validation set, by n(z) alone {without:.3f}"
    return Verdict(
        check=INFORMATIVE,
        passed=passed,
        summary=words if passed else f"{words}: the redshifts are not those of the galaxies",
        numbers={"cde_loss": loss, "cde_loss_of_nz": without},
    )


def joined(models: Mapping[str, FittedModel]) -> pa.Table:
    """Return models as one table: the rows of each, with the word for what it was fitted to in ``fit``."""
    tables = []
    for kind, model in models.items():
        rows = model.to_table()
        tables.append(rows.add_column(0, "fit", pa.repeat(kind, rows.num_rows)))
    return pa.concat_tables(tables)


def separated(table: pa.Table) -> Mapping[str, FittedModel]:
    """Return the models that ``joined`` put together.

    Raises
    ------
    ModelFileError
        One of them is none.
    """
    kinds = dict.fromkeys(table.column("fit").to_pylist())
    plain = pa.table(
        [table.column(name) for name in ("fit", *MODEL_SCHEMA.names)], names=["fit", *MODEL_SCHEMA.names]
    )
    models = {}
    for kind in kinds:
        rows = plain.filter(pc.field("fit") == kind)
        models[kind] = FittedModel.from_table(pa.table(rows.drop_columns("fit").columns, schema=MODEL_SCHEMA))
    return models


@dataclass(frozen=True, kw_only=True)
class _SplitGalaxies:
    """Galaxies of one split that have all features and a redshift that p(z) reaches."""

    known: KnownGalaxies
    object_ids: Rows
    came: int
    left_out: Mapping[str, int]

    @classmethod
    def of(cls, sample: duckdb.DuckDBPyRelation, split: str, wanted: Estimation) -> Self:
        """Read them from a sample, in the order of their draws."""
        names = feature_names(wanted.bands, errors=wanted.errors)
        selected = [f"{sql} AS {name}" for name, sql in features_sql(wanted.bands, names).items()]
        ordered = sample.filter(f"split = '{split}'").order("draw, object_id")
        rows = ordered.project(", ".join(["object_id", "redshift", *selected])).to_arrow_table()
        columns = {name: rows.column(name).combine_chunks() for name in rows.column_names}
        features, redshift = features_of(columns, names), columns["redshift"].to_numpy(zero_copy_only=False)
        observed, highest = have_all(features), wanted.estimator.grid.highest
        within = (redshift >= 0) & (redshift <= highest)
        kept = observed & within
        return cls(
            known=KnownGalaxies(features[kept], redshift[kept].astype(np.float64)),
            object_ids=columns["object_id"].to_numpy()[kept],
            came=len(kept),
            left_out={
                NOT_OBSERVED: int(np.count_nonzero(~observed)),
                f"beyond z = {highest:g}": int(np.count_nonzero(observed & ~within)),
            },
        )


@dataclass(frozen=True, kw_only=True)
class _TrainingSets:
    """What one model is fitted to."""

    training: _SplitGalaxies
    validation: _SplitGalaxies

    @classmethod
    def of(cls, sample: duckdb.DuckDBPyRelation, wanted: Estimation) -> Self:
        """Read both sets from a sample."""
        training, validation, _ = SPLITS
        return cls(
            training=_SplitGalaxies.of(sample, training, wanted),
            validation=_SplitGalaxies.of(sample, validation, wanted),
        )

    @property
    def came(self) -> int:
        """How many galaxies both sets have."""
        return self.training.came + self.validation.came

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many of them cannot be used, by the first reason."""
        both = self.training.left_out, self.validation.left_out
        return {reason: sum(each[reason] for each in both) for reason in both[0]}


def _facts(wanted: Estimation, sets: _TrainingSets, photometry: str, digest: str) -> ModelFacts:
    return ModelFacts(
        kind=wanted.estimator.kind,
        features=feature_names(wanted.bands, errors=wanted.errors),
        bands=wanted.bands,
        photometry=photometry,
        # No release has E(B-V) beside its fluxes yet.
        dereddened=False,
        sample_digest=digest,
        num_training=len(sets.training.known),
        num_validation=len(sets.validation.known),
        settings=asdict(wanted.estimator),
    )


def _fitted(wanted: Estimation, sets: _TrainingSets, facts: ModelFacts, jobs: int) -> FittedModel:
    training = sets.training
    return FittedModel(
        model=wanted.estimator.fit(training.known, sets.validation.known, jobs=jobs),
        coverage=Coverage.of(training.known.features, coverage_columns(facts.features)),
        facts=facts,
        trained_on=training.object_ids,
    )


def _distribution(grid: RedshiftGrid, redshift: Numbers, number: int) -> Densities:
    """Return the distribution of redshifts as the p(z) of so many galaxies."""
    counted = np.bincount(grid.nearest(redshift), minlength=grid.size).astype(np.float32)
    density = Densities.of_weights(grid, counted[None, :], smoothing=_NZ_SMOOTHING, exponent=1.0)
    return Densities(grid, np.broadcast_to(density.values, (number, grid.size)))


def _mean(losses: NDArray[np.float32] | None) -> float:
    return float("nan") if losses is None else float(losses.mean(dtype=np.float64))
