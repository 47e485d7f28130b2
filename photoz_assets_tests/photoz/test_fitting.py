"""Fits of a sample: by what configuration says, to what it says, and what of them is kept."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import duckdb
import numpy as np
import pytest

from photoz_assets.photoz.estimates import features_of_objects, judged_estimates
from photoz_assets.photoz.estimators import configured, estimator_names
from photoz_assets.photoz.estimators.estimator import EstimatorError
from photoz_assets.photoz.estimators.forest import Forest
from photoz_assets.photoz.estimators.neighbours import Neighbours
from photoz_assets.photoz.features import coverage_columns, feature_names, features_sql
from photoz_assets.photoz.fitting import Estimation, Fits, fit_sample, joined, separated
from photoz_assets.photoz.model import FittedModel
from photoz_assets.photoz.quality import (
    QualityLimits,
    judge_quality,
    judge_test_set,
    markdown,
    overall,
    trained_on,
)
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.redshifts import DEGRADED, PHOTOZ_QUALITY, REPRESENTATIVE
from photoz_assets.survey.sampling import Sampling
from photoz_assets_tests.dp02 import COLUMNS, PHOTOZ_ESTIMATES
from photoz_assets_tests.photoz.mock_sample import mock_sample
from photoz_assets_tests.samples import galaxies

SAMPLE: Final = mock_sample(3_000)
WANTED: Final = Estimation(estimator=Forest(trees=10))


def _fit(
    sample: duckdb.DuckDBPyRelation = SAMPLE,
    wanted: Estimation = WANTED,
    *,
    completeness: bool = False,
    former: Mapping[str, FittedModel] | None = None,
) -> Fits:
    return fit_sample(sample, wanted, photometry="cModel", completeness=completeness, former=former)


@pytest.fixture(scope="module")
def fits() -> Fits:
    return _fit(completeness=True)


def test_a_band_without_a_detection_gives_its_limit_and_one_that_saw_nothing_no_feature() -> None:
    seen = "VALUES (24.0, 27.0), (NULL, 27.0), (28.5, 27.0), (NULL, NULL)"
    values = "a::FLOAT AS mag_g, b::FLOAT AS mag_1sigma_g, 23::FLOAT AS mag_r, 28::FLOAT AS mag_1sigma_r"
    photometry = duckdb.connect().sql(f"SELECT {values} FROM ({seen}) seen(a, b)")
    names = feature_names(("g", "r"), errors=True)
    assert names == ("mag_g", "mag_r", "color_gr", "mag_1sigma_g", "mag_1sigma_r")
    columns = features_sql(("g", "r"), names)
    found = photometry.project(
        ", ".join(columns[name] for name in ("mag_g", "color_gr", "mag_1sigma_g"))
    ).fetchall()
    assert found == [(24.0, 1.0, 27.0), (27.0, 4.0, 27.0), (27.0, 4.0, 27.0), (None, None, None)]


def test_coverage_looks_at_magnitude_and_three_colours() -> None:
    names = feature_names(("u", "g", "r", "i", "z", "y"))
    assert [names[column] for column in coverage_columns(names)] == ["mag_i", "color_gr", "color_ri", "color_iz"]
    assert coverage_columns(feature_names(("u", "g"))) == (0,)


@pytest.mark.parametrize("bands", [("g",), ("r", "g"), ("g", "g"), ("g", "x")])
def test_bands_that_no_estimator_takes_are_refused(bands: tuple[str, ...]) -> None:
    with pytest.raises(EstimatorError, match="two or more bands of ugrizy in this order"):
        feature_names(bands)


def test_estimators_are_named_as_their_files_and_set_by_their_own_settings() -> None:
    assert estimator_names() == ("forest", "neighbours")
    assert configured("forest", {"trees": 7.0, "max_features": 1}) == Forest(trees=7, max_features=1.0)
    assert configured("neighbours", {}) == Neighbours()
    for name, settings, message in (
        ("bpz", {}, "there is no estimator 'bpz': it is one of forest, neighbours"),
        ("estimator", {}, "there is no estimator 'estimator'"),
        ("neighbours", {"trees": 7}, "neighbours has no setting trees: its settings are none"),
        ("forest", {"trees": "many"}, "a setting of the estimator forest is no number"),
        ("forest", {"trees": 0}, "a forest has a tree or more"),
    ):
        with pytest.raises(EstimatorError, match=message):
            configured(name, settings)


def test_every_galaxy_of_the_training_sets_is_used_or_counted(fits: Fits) -> None:
    assert fits.came == 2_000
    assert fits.left_out == {"not observed in a band": 40, "beyond z = 3.2": 0}
    assert fits.kept == fits.came - sum(fits.left_out.values())
    beyond = SAMPLE.project("* REPLACE (CASE WHEN object_id < 70 THEN 5 ELSE redshift END AS redshift)")
    assert 0 < _fit(beyond).left_out["beyond z = 3.2"] <= 10
    model = fits.models[REPRESENTATIVE]
    training = SAMPLE.filter("split = 'training' AND mag_1sigma_u IS NOT NULL").order("draw").project("object_id")
    assert model.trained_on.tolist() == [number for (number,) in training.fetchall()]
    assert model.training_rows(np.array([model.trained_on[5], -3, model.trained_on[0]])).tolist() == [5, -1, 0]


def test_a_second_model_learns_from_what_a_survey_would_have(fits: Fits) -> None:
    degraded = fits.models[DEGRADED]
    assert 0.4 < degraded.facts.num_training / fits.models[REPRESENTATIVE].facts.num_training < 0.6
    judged = judge_test_set(
        duckdb.from_arrow(judged_estimates(SAMPLE, fits.models, PHOTOZ_ESTIMATES)), PHOTOZ_QUALITY
    )
    assert judged.degraded is not None
    assert judged.degraded.cde_loss.value > judged.quality.cde_loss.value
    assert judged.came == 1_000
    assert judged.left_out == {"without an estimate": 20}
    beside = overall(judged.rows, DEGRADED)
    assert beside is not None
    assert beside["smad"] == judged.degraded.smad.value
    assert "all; degraded training set" in markdown(judged.rows)
    known = [each for each in judged.degraded_by_magnitude if each.quality is not None]
    assert sum(each.num_galaxies for each in known) > 900


def test_without_a_galaxy_that_a_survey_would_have_there_is_no_second_model() -> None:
    faint = SAMPLE.project("* REPLACE (followed_up AND split = 'training' AS followed_up)")
    fits = _fit(faint, completeness=True)
    assert fits.models.keys() == {REPRESENTATIVE}
    judged = judge_test_set(
        duckdb.from_arrow(judged_estimates(SAMPLE, fits.models, PHOTOZ_ESTIMATES)), PHOTOZ_QUALITY
    )
    assert judged.degraded is None
    assert not judged.degraded_by_magnitude


def test_stored_models_are_the_fitted_ones_and_are_taken_again_for_the_same(fits: Fits) -> None:
    stored = separated(joined(fits.models))
    assert {kind: model.digest for kind, model in stored.items()} == {
        kind: model.digest for kind, model in fits.models.items()
    }
    again = _fit(completeness=True, former=stored)
    assert again.reused
    assert again.models[REPRESENTATIVE] is stored[REPRESENTATIVE]
    assert again.version == fits.version
    for other in (
        _fit(wanted=replace(WANTED, errors=True), former=stored),
        _fit(wanted=Estimation(estimator=Forest(trees=11)), former=stored),
        _fit(SAMPLE.filter("object_id <> 7"), former=stored),
    ):
        assert not other.reused
        assert other.version != fits.version


def test_redshifts_that_are_not_those_of_the_galaxies_teach_nothing(fits: Fits) -> None:
    assert fits.informative.passed
    rows = SAMPLE.to_arrow_table()
    place = rows.schema.get_field_index("redshift")
    shuffled = rows.column("redshift").take(np.random.default_rng(1).permutation(len(rows)))
    found = _fit(duckdb.from_arrow(rows.set_column(place, "redshift", shuffled))).informative
    assert not found.passed
    assert "the redshifts are not those of the galaxies" in found.summary


def test_what_was_trained_on_is_not_judged(fits: Fits) -> None:
    swapped = SAMPLE.project("* REPLACE (CASE split WHEN 'test' THEN 'training' ELSE 'test' END AS split)")
    estimates = duckdb.from_arrow(judged_estimates(swapped, fits.models, PHOTOZ_ESTIMATES))
    verdict = trained_on(estimates, Sampling())
    assert not verdict.passed
    # All that were trained on, and those whose keys give them another split.
    assert 980 < int(verdict.numbers["trained_on"] or 0) < 2_000
    assert sum(row["is_training"] for row in verdict.rows) > 0


def test_quality_is_held_against_limits_and_the_last_time(fits: Fits) -> None:
    rows = judge_test_set(
        duckdb.from_arrow(judged_estimates(SAMPLE, fits.models, PHOTOZ_ESTIMATES)), PHOTOZ_QUALITY
    ).rows
    now = overall(rows)
    assert now is not None
    wide = QualityLimits(bias=1, smad=1, outliers_fixed=1, pit_ks=1)
    assert judge_quality(rows, wide, None).passed
    assert judge_quality(rows, wide, rows).passed
    # Three chance errors are no fault, more are.
    for chances, passed in ((2.9, True), (3.1, False)):
        limit = now["smad"] - chances * now["smad_error"]
        verdict = judge_quality(rows, replace(wide, smad=limit), None)
        assert verdict.passed is passed
        better = rows.set_column(
            rows.schema.get_field_index("smad"),
            "smad",
            [
                [
                    value and value - chances * 2**0.5 * now["smad_error"]
                    for value in rows.column("smad").to_pylist()
                ]
            ],
        )
        assert judge_quality(rows, wide, better).passed is passed
    assert "was" in verdict.summary or "is above" in verdict.summary


def test_galaxies_with_a_spectrum_stand_for_all_objects(fits: Fits) -> None:
    """As where redshifts are measured: the objects are fainter than the galaxies that have one."""
    objects = duckdb.from_arrow(galaxies(600))
    features = features_of_objects(objects, COLUMNS, fits.models[REPRESENTATIVE], most=300)
    assert 200 < len(features) < 400
    assert np.isfinite(features).all()
    faint = mock_sample(2_000, seed=4).filter("mag_i > 24 AND mag_u IS NOT NULL")
    selected = features_sql(BANDS, fits.models[REPRESENTATIVE].facts.features)
    columns = faint.project(", ".join(f"{sql} AS {name}" for name, sql in selected.items())).fetchnumpy()
    fainter = np.stack(list(columns.values()), axis=1)
    weighted = duckdb.from_arrow(judged_estimates(SAMPLE, fits.models, PHOTOZ_ESTIMATES, fainter))
    judged = judge_test_set(weighted, PHOTOZ_QUALITY)
    stands_for = overall(judged.rows, stands_for="objects")
    assert stands_for is not None
    assert stands_for["effective_number"] < judged.quality.num_galaxies
    [(faint_weight, bright_weight)] = weighted.aggregate(
        "avg(weight) FILTER (WHERE mag_i > 24), avg(weight) FILTER (WHERE mag_i < 23)"
    ).fetchall()
    assert faint_weight > 1 > bright_weight
    assert "all, weighted to all objects" in markdown(judged.rows)
