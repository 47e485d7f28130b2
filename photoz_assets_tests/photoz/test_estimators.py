from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from scipy.stats import kstest, norm
from sklearn.ensemble import RandomForestRegressor

from photoz_assets.photoz.estimators.estimator import (
    FINE_QUANTILE_LEVELS,
    QUANTILE_LEVELS,
    Densities,
    Estimator,
    EstimatorError,
    KnownGalaxies,
    Model,
    RedshiftGrid,
    estimate,
)
from photoz_assets.photoz.estimators.forest import Forest, ForestModel
from photoz_assets.photoz.estimators.neighbours import Neighbours
from photoz_assets_tests.photoz.mock_galaxies import mock_galaxies

GRID: Final = RedshiftGrid()
FOREST: Final = Forest(trees=20)
ESTIMATORS: Final[Mapping[str, Estimator]] = {"forest": FOREST, "neighbours": Neighbours()}
TRAINING: Final = mock_galaxies(2_000, seed=1)
VALIDATION: Final = mock_galaxies(1_000, seed=2)
TEST: Final = mock_galaxies(3_000, seed=3)


@pytest.fixture(scope="module", params=ESTIMATORS)
def model(request: pytest.FixtureRequest) -> Model:
    return ESTIMATORS[request.param].fit(TRAINING, VALIDATION)


def _weights(*redshifts: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return one galaxy's weights: 1 at each redshift of the grid that is named."""
    weights = np.zeros((1, GRID.size), np.float32)
    weights[0, GRID.nearest(np.array(redshifts))] = 1
    return weights


def test_smoothed_weights_are_normal_distributions() -> None:
    densities = Densities.of_weights(GRID, _weights(1.0), smoothing=0.05, exponent=1)
    levels = np.array(FINE_QUANTILE_LEVELS)
    np.testing.assert_allclose(
        densities.quantiles(FINE_QUANTILE_LEVELS)[0], norm.ppf(levels, 1.0, 0.05), atol=2e-3
    )
    np.testing.assert_allclose(densities.pit(np.array([1.03])), norm.cdf(1.03, 1.0, 0.05), atol=1e-3)
    assert densities.modes() == pytest.approx([1.0])
    # The integral of the square of a normal distribution is 1 / (2 sigma sqrt(pi)).
    expected = 1 / (2 * 0.05 * np.sqrt(np.pi)) - 2 * norm.pdf(1.03, 1.0, 0.05)
    np.testing.assert_allclose(densities.cde_losses(np.array([1.03])), expected, rtol=1e-3)


def test_an_exponent_narrows() -> None:
    densities = Densities.of_weights(GRID, _weights(1.0), smoothing=0.06, exponent=2)
    quantiles = densities.quantiles((0.16, 0.84))[0]
    assert (quantiles[1] - quantiles[0]) / 2 == pytest.approx(0.06 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("redshifts", [(0.0,), (3.2,), (0.0, 1.0, 3.2)])
def test_densities_have_an_integral_of_one_at_the_ends_too(redshifts: tuple[float, ...]) -> None:
    densities = Densities.of_weights(GRID, _weights(*redshifts), smoothing=0.03, exponent=1.4)
    assert np.trapezoid(densities.values, dx=GRID.step, axis=1) == pytest.approx([1], abs=1e-5)
    assert densities.pit(np.array([0.0])) == pytest.approx([0], abs=1e-6)
    assert densities.pit(np.array([5.0])) == pytest.approx([1], abs=1e-5)
    quantiles = densities.quantiles(FINE_QUANTILE_LEVELS)[0]
    assert (np.diff(quantiles) > 0).all()
    assert quantiles[0] >= 0
    assert quantiles[-1] <= 3.2


def test_a_density_is_zero_beyond_the_grid() -> None:
    densities = Densities.of_weights(GRID, _weights(3.2), smoothing=0.03, exponent=1)
    inside, outside = (densities.cde_losses(np.array([redshift]))[0] for redshift in (3.2, 3.3))
    assert inside < 0 < outside


def test_a_galaxy_without_weights_has_no_redshift() -> None:
    weights = np.concatenate([_weights(), _weights(1.0)])
    densities = Densities.of_weights(GRID, weights, smoothing=0.03, exponent=1)
    known = np.array([1.0, 1.0])
    for found in (
        densities.quantiles((0.5,))[:, 0],
        densities.modes(),
        densities.pit(known),
        densities.cde_losses(known),
    ):
        assert np.isnan(found).tolist() == [True, False]


def test_estimates_are_near_and_calibrated(model: Model) -> None:
    found = estimate(model, TEST.features, levels=FINE_QUANTILE_LEVELS, redshift=TEST.redshift)
    errors = (found.quantile(0.5) - TEST.redshift) / (1 + TEST.redshift)
    assert np.median(np.abs(errors)) < 0.015
    assert np.mean(np.abs(errors) > 0.15) < 0.02
    assert found.pit is not None
    assert kstest(found.pit, "uniform").statistic < 0.15
    assert (np.diff(found.quantiles, axis=1) >= 0).all()
    assert np.mean(np.abs(found.mode - found.quantile(0.5)) < 0.05) > 0.9


def test_what_is_known_of_a_galaxy_does_not_hang_on_others(model: Model) -> None:
    # More than a batch, in another order.
    features = np.concatenate([TEST.features, TRAINING.features])
    order = np.random.default_rng(5).permutation(len(features))
    together, shuffled = estimate(model, features), estimate(model, features[order])
    alone = estimate(model, features[:1])
    np.testing.assert_array_equal(shuffled.quantiles, together.quantiles[order])
    np.testing.assert_array_equal(shuffled.mode, together.mode[order])
    np.testing.assert_array_equal(alone.quantiles, together.quantiles[:1])
    assert together.pit is None


def test_galaxies_that_were_not_trained_on_are_marked_so(model: Model) -> None:
    found = estimate(model, TEST.features, training_rows=np.full(len(TEST), -1))
    np.testing.assert_array_equal(found.quantiles, estimate(model, TEST.features).quantiles)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_galaxy_that_was_trained_on_is_estimated_without_its_own_redshift(kind: str) -> None:
    redshift = np.full(len(TRAINING), 0.5)
    redshift[7] = 3.0
    model = ESTIMATORS[kind].fit(
        KnownGalaxies(TRAINING.features, redshift), replace(VALIDATION, redshift=np.full(1_000, 0.5))
    )
    known, features = redshift[[7]], TRAINING.features[[7]]
    by_heart = estimate(model, features, redshift=known).pit
    honest = estimate(model, features, redshift=known, training_rows=np.array([7])).pit
    assert by_heart is not None
    assert honest is not None
    assert by_heart[0] < 0.999
    assert honest[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_estimates_of_what_was_trained_on_are_as_good_as_of_others(kind: str) -> None:
    # Without any information, only a galaxy's own redshift could help.
    rng = np.random.default_rng(9)
    noise = KnownGalaxies(TRAINING.features, rng.permutation(TRAINING.redshift))
    model = ESTIMATORS[kind].fit(noise, KnownGalaxies(VALIDATION.features, rng.permutation(VALIDATION.redshift)))
    found = estimate(model, noise.features, redshift=noise.redshift, training_rows=np.arange(len(noise)))
    others = estimate(model, TEST.features, redshift=rng.permutation(TEST.redshift))
    assert found.cde_losses is not None
    assert others.cde_losses is not None
    assert np.mean(found.cde_losses) > np.mean(others.cde_losses) - 0.1


def test_a_galaxy_that_all_trees_have_seen_has_no_redshift() -> None:
    model = Forest(trees=1).fit(TRAINING, VALIDATION)
    found = estimate(model, TRAINING.features, training_rows=np.arange(len(TRAINING)))
    unknown = np.isnan(found.quantile(0.5))
    # Of 1,400 drawn out of 2,000 with replacement, exp(-0.7) are never drawn.
    assert np.mean(unknown) == pytest.approx(1 - np.exp(-0.7), abs=0.05)
    assert np.isnan(found.mode[unknown]).all()


def test_the_forest_is_the_same_for_any_number_of_jobs() -> None:
    one, two = (FOREST.fit(TRAINING, VALIDATION, jobs=jobs) for jobs in (1, 2))
    assert one.parameters == two.parameters
    assert one.arrays.keys() == two.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, two.arrays[name])


def test_the_forest_is_the_one_of_scikit_learn() -> None:
    fitted = FOREST.fit(TRAINING, VALIDATION)
    sharp = {**fitted.parameters, "smoothing": 0.002, "exponent": 1.0}
    weights = ForestModel(fitted.grid, sharp, fitted.arrays).densities(TEST.features).values
    theirs = RandomForestRegressor(20, min_samples_leaf=3, max_features=0.5, max_samples=0.7, random_state=1).fit(
        TRAINING.features, TRAINING.redshift
    )
    ours = weights @ GRID.redshifts * GRID.step
    # Redshifts are rounded to the grid.
    np.testing.assert_allclose(ours, theirs.predict(TEST.features), atol=GRID.step / 2)


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize(
    ("redshift", "message"),
    [
        (3.3, "0 to 3.2: leave galaxies outside out"),
        (-0.1, "run from -0.100"),
        (np.nan, "a redshift is not finite"),
    ],
)
def test_redshifts_outside_the_grid_are_refused(kind: str, redshift: float, message: str) -> None:
    with pytest.raises(EstimatorError, match=message):
        ESTIMATORS[kind].fit(
            KnownGalaxies(TRAINING.features, np.where(np.arange(len(TRAINING)) == 3, redshift, TRAINING.redshift)),
            VALIDATION,
        )


def test_features_that_are_missing_are_refused(model: Model) -> None:
    features = TEST.features.copy()
    features[5, 2] = np.nan
    with pytest.raises(EstimatorError, match="a feature is not finite"):
        estimate(model, features)


def test_features_of_another_number_are_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="5"):
        estimate(model, TEST.features[:, :5])


def test_a_training_set_without_galaxies_is_refused() -> None:
    with pytest.raises(EstimatorError, match="no galaxies of known redshift: fetch more tracts"):
        KnownGalaxies(np.empty((0, 6), np.float32), np.empty(0))


def test_the_usual_levels_are_among_the_fine_ones() -> None:
    assert set(QUANTILE_LEVELS) < set(FINE_QUANTILE_LEVELS)
    assert len(FINE_QUANTILE_LEVELS) == 21
    assert list(FINE_QUANTILE_LEVELS) == sorted(FINE_QUANTILE_LEVELS)
