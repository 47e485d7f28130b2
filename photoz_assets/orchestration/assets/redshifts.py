"""The redshifts: a model of the sample, the test set's estimates, their quality, and every galaxy's redshift."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final

import dagster as dg
import duckdb
import pyarrow as pa
from pydantic import Field as Setting

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    PROVENANCE_KEY,
    Provenance,
    carried_provenance,
    derived_provenance,
)
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.staging import atomic_write
from photoz_assets.lake.tables import StoredTable, open_tables
from photoz_assets.lake.writing import require_passed, write_rows
from photoz_assets.orchestration.assets.support import caption, former_rows, show_figures
from photoz_assets.orchestration.automation_policies import FOLLOW_CHANGED, FOLLOW_TRACT_AND_MODEL
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import TableResult, lake_table
from photoz_assets.orchestration.resources import EstimatorResource, ReleaseParam
from photoz_assets.photoz.accounting import account
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.estimates import catalog_rows, features_of_objects, judged_estimates
from photoz_assets.photoz.estimators.estimator import Features
from photoz_assets.photoz.fitting import fit_sample, joined, separated
from photoz_assets.photoz.metrics import Quality
from photoz_assets.photoz.model import FittedModel, ModelFileError
from photoz_assets.photoz.qp_file import QP_FILE, QP_PROFILE, write_qp
from photoz_assets.photoz.quality import (
    TARGETS,
    QualityLimits,
    judge_quality,
    judge_test_set,
    markdown,
    trained_on,
)
from photoz_assets.survey.contracts.redshifts import (
    DEGRADED,
    PHOTOZ_MODEL,
    PHOTOZ_QUALITY,
    REPRESENTATIVE,
    held_spec,
    photoz_catalog_spec,
    photoz_estimates_spec,
)
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import Sampling

# Objects that a test set is weighted to, and the tracts that they are taken from: more tell the same.
_WEIGHTED_TO: Final = 50_000
_WEIGHTED_TRACTS: Final = 20
_JUDGED_ON: Final = "Judged on galaxies with a spectroscopic redshift"


@lake_table(PHOTOZ_MODEL, automation_condition=FOLLOW_CHANGED)
def photoz_model(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    lake: LakeResource,
    estimator: EstimatorResource,
    photoz_sample: StoredTable,
) -> TableResult:
    """The estimator, fitted to the training set, tuned on the validation set, as arrays: reading it runs no code.

    Nothing is fitted if the stored model is of the same rows, settings and versions. A second model is fitted to
    the galaxies that a redshift survey of the sampling's completeness would have; it shows how much worse they
    tell of all the others. The data version is a digest of what is estimated by.
    """
    wanted, store, spec = estimator.estimation(), lake.open(), PHOTOZ_MODEL
    [source] = photoz_sample.sources
    fits = fit_sample(
        photoz_sample.rows,
        wanted,
        photometry=release.columns.photometry.kind,
        completeness=source.sampling is not None and source.sampling.completeness_limit_mag is not None,
        jobs=estimator.jobs,
        former=_former_models(store),
    )
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        region=source.region,
        inputs=[source],
        sampling=source.sampling,
        estimator=fits.models[REPRESENTATIVE].facts.text,
    )
    verdicts = [account(fits.came, fits.kept, fits.left_out), fits.informative]
    table = write_rows(store, spec, [joined(fits.models).cast(spec.schema)], provenance, verdicts)
    return TableResult(
        table, metadata=_model_facts(fits.models, fitted=not fits.reused), data_version=fits.version
    )


def _former_models(store: Lake) -> Mapping[str, FittedModel]:
    """Return the models that the lake holds, if they were made by this code."""
    # What cannot be read is fitted again.
    with suppress(ModelFileError):
        rows = former_rows(store, PHOTOZ_MODEL)
        return {} if rows is None else separated(rows)
    return {}


def _model_facts(models: Mapping[str, FittedModel], *, fitted: bool) -> dict[str, Any]:
    model = models[REPRESENTATIVE]
    facts: dict[str, Any] = {
        "fitted": fitted,
        "estimator": model.facts.kind,
        "training": model.facts.num_training,
        "validation": model.facts.num_validation,
        "parameters": dg.MetadataValue.json(dict(model.model.parameters)),
        "model": dg.MetadataValue.json(asdict(model.facts)),
    }
    if DEGRADED in models:
        facts["degraded_training"] = models[DEGRADED].facts.num_training
    return facts


@lake_table(photoz_estimates_spec, automation_condition=FOLLOW_CHANGED)
def photoz_estimates(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    lake: LakeResource,
    photoz_model: pa.Table,
    photoz_sample: StoredTable,
) -> TableResult:
    """The test set's redshifts: p(z) as quantiles, median and mode, and how the known redshift stands in it.

    The p(z) are written as a file of qp, too. Refused if one of the galaxies is not of the test set, or was
    trained on.
    """
    store, spec, models = lake.open(), photoz_estimates_spec(release), separated(photoz_model)
    [source], rows = photoz_sample.sources, photoz_sample.rows
    objects = _objects(store, release, models[REPRESENTATIVE])
    estimates = judged_estimates(rows, models, spec, objects)
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        region=source.region,
        inputs=[source, carried_provenance(photoz_model)],
        sampling=source.sampling,
        estimator=models[REPRESENTATIVE].facts.text,
    )
    [(came,)] = rows.filter("split = 'test'").aggregate("count(*)").fetchall()
    table = write_rows(store, spec, [estimates], provenance, count=partial(account, came, left_out={}))
    file = store.export(QP_PROFILE, QP_FILE)
    with atomic_write(store, file) as path:
        written = write_qp(path, duckdb.from_arrow(estimates), _said(table.provenance))
    return TableResult(
        table,
        metadata={"estimated": written, "qp_file": dg.MetadataValue.path(file)},
        data_version=rows_digest(estimates),
    )


def _said(provenance: Provenance) -> dict[str, str]:
    """Return what a file for others says of itself."""
    told = {"rights": provenance.rights, "citation": provenance.citation}
    return {PROVENANCE_KEY.decode(): provenance.to_json()} | {name: text for name, text in told.items() if text}


def _objects(store: Lake, release: Release, model: FittedModel) -> Features | None:
    """Return features of objects that a test set with measured redshifts is to stand for; None for the truth."""
    if release.columns.knows_truth:
        return None
    held = held_spec(release).table
    tracts = store.tracts(held)
    chosen = tracts[:: -(-len(tracts) // _WEIGHTED_TRACTS)]
    files = snapshot(store, [store.table(held, tract) for tract in chosen])
    objects = open_tables(duckdb.connect(), files)
    return features_of_objects(objects, release.columns, model, most=_WEIGHTED_TO)


@lake_table(photoz_catalog_spec, inputs={"galaxies": held_spec}, automation_condition=FOLLOW_TRACT_AND_MODEL)
def photoz_catalog(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    lake: LakeResource,
    galaxies: StoredTable,
    photoz_model: pa.Table,
) -> TableResult:
    """A redshift with its 68 and 90 % for every galaxy that the lake holds of a tract, with a known one or not.

    Galaxies that the model was trained on are estimated by what was learnt without them, and marked. So are those
    that are unlike all that was trained on, and those that a band has not observed, which get no redshift.
    """
    spec, model = photoz_catalog_spec(release), separated(photoz_model)[REPRESENTATIVE]
    [source] = galaxies.sources
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        tract=source.tract,
        inputs=[source, carried_provenance(photoz_model)],
        estimator=model.facts.text,
    )
    rows = catalog_rows(galaxies.rows, release.columns, model, spec)
    came = source.rows_stored or 0
    table = write_rows(lake.open(), spec, rows, provenance, count=partial(account, came, left_out={}))
    return TableResult(table, metadata={"model": model.digest})


class QualityConfig(dg.Config):
    """What the quality of all galaxies is held against; each limit may be exceeded by three chance errors."""

    bias: float = Setting(default=QualityLimits.bias, gt=0, description="The most of |median e|")
    smad: float = Setting(default=QualityLimits.smad, gt=0, description="The most scatter of e")
    outliers_fixed: float = Setting(default=QualityLimits.outliers_fixed, gt=0, description="The most outliers")
    pit_ks: float = Setting(default=QualityLimits.pit_ks, gt=0, description="The most distance of the PIT")

    def limits(self) -> QualityLimits:
        """Return the limits."""
        return QualityLimits(
            bias=self.bias, smad=self.smad, outliers_fixed=self.outliers_fixed, pit_ks=self.pit_ks
        )


@lake_table(PHOTOZ_QUALITY, automation_condition=FOLLOW_CHANGED)
def photoz_quality(
    context: dg.AssetExecutionContext,
    config: QualityConfig,
    release: ReleaseParam,
    lake: LakeResource,
    photoz_estimates: StoredTable,
) -> TableResult:
    """How good the redshifts are: bias, scatter, outliers, the calibration of p(z), with their chance errors.

    Of all galaxies of the test set, in bins of i and of the redshift, and in tomographic bins; six figures.
    Nothing is judged that the model was trained on.
    """
    from photoz_assets.photoz.judged_figures import judged_figures  # noqa: PLC0415 - matplotlib is slow

    store, spec, [source] = lake.open(), PHOTOZ_QUALITY, photoz_estimates.sources
    disjoint = trained_on(photoz_estimates.rows, source.sampling or Sampling())
    require_passed(spec, spec.table, [disjoint])
    judged = judge_test_set(photoz_estimates.rows, spec)
    columns = release.columns
    judged_on = "" if columns.knows_truth else _JUDGED_ON
    split = f"split by {source.sampling.split_by}" if source.sampling else ""
    followed_up = source.sampling.completeness_text if source.sampling else ""
    made = " \N{MIDDLE DOT} ".join(filter(None, (source.estimator, split)))
    words = replace(
        caption("Test set", source, release, judged.quality.num_galaxies),
        method="\n".join(filter(None, (judged_on, made))),
    )
    verdicts = [
        disjoint,
        account(judged.came, judged.quality.num_galaxies, judged.left_out),
        judge_quality(judged.rows, config.limits(), former_rows(store, spec)),
    ]
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        region=source.region,
        inputs=[source],
        sampling=source.sampling,
        estimator=source.estimator,
    )
    table = write_rows(store, spec, [judged.rows], provenance, verdicts)
    show_figures(
        context,
        store,
        judged_figures(photoz_estimates.rows, judged, columns.redshift_words, followed_up, words),
    )
    numbers, said = _numbers(judged.quality), [f"{judged_on or 'Test set'}.", markdown(judged.rows), TARGETS]
    if judged.degraded is not None:
        said.append(f"The degraded training set is of the galaxies {followed_up}.")
        numbers |= {f"{DEGRADED}_{name}": value for name, value in _numbers(judged.degraded).items()}
    return TableResult(
        table,
        metadata={
            "quality": dg.MetadataValue.md("\n\n".join(said)),
            "estimator": source.estimator or "unknown",
            "test": judged.quality.num_galaxies,
            **numbers,
        },
    )


def _numbers(quality: Quality) -> dict[str, float]:
    """Return what Dagster plots over refreshes."""
    return {name: measured.value for name, measured in quality.metrics.items()}
