from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from photoz_assets.photoz.estimators.estimator import Densities, RedshiftGrid
from photoz_assets.photoz.metrics import (
    JudgedGalaxies,
    MetricsError,
    neighbour_weights,
    quality,
    quality_in_bins,
)

GRID: Final = RedshiftGrid()


def _densities(redshift: np.ndarray[Any, np.dtype[np.float64]], rng: np.random.Generator) -> Densities:
    """Return p(z) around redshifts that scatter about the given ones, a tenth of them far off."""
    number = len(redshift)
    scatter = rng.normal(0, 0.05, number) * (1 + redshift) + 0.005
    scatter[rng.random(number) < 0.1] += 0.5
    seen = (redshift + scatter).clip(0, GRID.highest)
    weights = np.zeros((number, GRID.size), np.float32)
    weights[np.arange(number), GRID.nearest(seen)] = 1
    weights[np.arange(number), GRID.nearest((seen + 0.3).clip(max=GRID.highest))] += 0.3
    return Densities.of_weights(GRID, weights, smoothing=0.06, exponent=1.1)


def _judged(number: int, seed: int) -> tuple[JudgedGalaxies, Densities]:
    rng = np.random.default_rng(seed)
    redshift = rng.gamma(3, 0.3, number).clip(0.01, 3)
    densities = _densities(redshift, rng)
    judged = JudgedGalaxies(
        redshift=redshift,
        estimate=densities.quantiles((0.5,))[:, 0],
        pit=densities.pit(redshift),
        cde_losses=densities.cde_losses(redshift),
    )
    return judged, densities


@pytest.fixture(scope="module")
def judged() -> JudgedGalaxies:
    return _judged(4_000, 1)[0]


def test_the_numbers_are_those_of_their_definitions(judged: JudgedGalaxies) -> None:
    found = quality(judged)
    errors = (judged.estimate - judged.redshift) / (1 + judged.redshift)
    lower, upper = np.quantile(errors, (0.25, 0.75))
    sigma_iqr = (upper - lower) / 1.349
    expected = {
        "bias": np.median(errors),
        "smad": 1.4826 * np.median(np.abs(errors - np.median(errors))),
        "sigma_iqr": sigma_iqr,
        "outliers_fixed": np.mean(np.abs(errors) > 0.15),
        "outliers_adaptive": np.mean(np.abs(errors) > max(0.06, 3 * sigma_iqr)),
        "cde_loss": np.mean(judged.cde_losses, dtype=np.float64),
    }
    for name, value in expected.items():
        assert found.metrics[name].value == pytest.approx(value, abs=1e-9), name
    assert found.num_galaxies == found.effective_number == 4_000


def test_the_metrics_are_those_of_qp() -> None:
    qp = pytest.importorskip("qp")
    from qp.metrics.concrete_metric_classes import CDELossMetric  # noqa: PLC0415 - not everywhere installed
    from qp.metrics.pit import PIT  # noqa: PLC0415 - as above
    from qp.metrics.point_estimate_metric_classes import (  # noqa: PLC0415 - as above
        PointBias,
        PointOutlierRate,
        PointSigmaIQR,
        PointSigmaMAD,
    )

    judged, densities = _judged(2_000, 3)
    found = quality(judged)
    points = {
        "bias": PointBias(),
        "sigma_iqr": PointSigmaIQR(),
        "smad": PointSigmaMAD(),
        "outliers_adaptive": PointOutlierRate(),
    }
    for name, theirs in points.items():
        expected = theirs.evaluate(judged.estimate.astype(np.float64), judged.redshift)
        assert found.metrics[name].value == pytest.approx(expected, abs=1e-6), name
    ensemble = qp.Ensemble(qp.interp, data={"xvals": GRID.redshifts, "yvals": densities.values.astype(np.float64)})
    ks = PIT(ensemble, judged.redshift).evaluate_PIT_KS()
    assert found.pit_ks.value == pytest.approx(float(np.squeeze(ks.statistic)), abs=1e-3)
    loss = CDELossMetric(eval_grid=GRID.redshifts).evaluate(ensemble, judged.redshift)
    assert found.cde_loss.value == pytest.approx(loss, rel=0.02)


def test_quantiles_of_densities_are_read_by_qp() -> None:
    qp = pytest.importorskip("qp")
    levels = (0.001, 0.01, *np.linspace(0.05, 0.95, 17), 0.99, 0.999)
    judged, densities = _judged(200, 4)
    ensemble = qp.Ensemble(qp.quant, data={"quants": np.array(levels), "locs": densities.quantiles(levels)})
    np.testing.assert_allclose(ensemble.median()[:, 0], judged.estimate, atol=2e-3)


def test_chance_errors_are_the_scatter_of_many_samples() -> None:
    many = [quality(_judged(600, 100 + seed)[0]) for seed in range(120)]
    for name in many[0].metrics:
        scatter = np.std([each.metrics[name].value for each in many])
        said = np.mean([each.metrics[name].error for each in many])
        # A standard deviation of 120 numbers is known to 6 %.
        assert said == pytest.approx(scatter, rel=0.3), name


def test_integer_weights_count_galaxies_so_often(judged: JudgedGalaxies) -> None:
    times = np.random.default_rng(7).integers(0, 4, len(judged.redshift))
    weighted = quality(replace(judged, weight=times.astype(float)))
    repeated = quality(judged.where(np.repeat(np.arange(len(times)), times)))
    for name, value in repeated.metrics.items():
        assert weighted.metrics[name].value == pytest.approx(value.value, abs=3e-4), name
    assert weighted.effective_number < repeated.num_galaxies


def test_equal_weights_change_nothing(judged: JudgedGalaxies) -> None:
    weighted = quality(replace(judged, weight=np.full(len(judged.redshift), 2.5)))
    for name, value in quality(judged).metrics.items():
        assert weighted.metrics[name].value == pytest.approx(value.value, abs=1e-12), name
        assert weighted.metrics[name].error == pytest.approx(value.error, rel=1e-6), name


def test_the_ks_distance_of_too_narrow_densities_is_large() -> None:
    number = 2_000
    uniform = (np.arange(number) + 0.5) / number
    exact = JudgedGalaxies(redshift=uniform, estimate=uniform, pit=uniform, cde_losses=uniform)
    assert quality(exact).pit_ks.value == pytest.approx(0.5 / number)
    narrow = replace(exact, pit=np.where(uniform < 0.5, 0.0, 1.0))
    assert quality(narrow).pit_ks.value == pytest.approx(0.5)


def test_bins_are_half_open_and_say_nothing_of_a_few(judged: JudgedGalaxies) -> None:
    quantity = np.linspace(0, 3, len(judged.redshift), endpoint=False)
    quantity[:10] = np.nan
    found = quality_in_bins(judged, quantity, (0.0, 1.0, 1.01, 3.0), fewest=100)
    assert [each.num_galaxies for each in found] == [
        np.count_nonzero((quantity >= low) & (quantity < high)) for low, high in ((0, 1), (1, 1.01), (1.01, 3))
    ]
    assert [each.quality is None for each in found] == [False, True, False]
    assert found[0].quality == quality(judged.where(quantity < 1))


def test_one_galaxy_has_a_quality(judged: JudgedGalaxies) -> None:
    found = quality(judged.where(np.arange(len(judged.redshift)) == 0))
    assert found.num_galaxies == 1
    assert found.smad.value == 0
    assert all(np.isfinite([value.value, value.error]).all() for value in found.metrics.values())


@pytest.mark.parametrize("name", ["redshift", "estimate", "pit", "cde_losses"])
def test_galaxies_without_an_estimate_are_refused(judged: JudgedGalaxies, name: str) -> None:
    with pytest.raises(MetricsError, match="has no redshift, estimate or weight"):
        replace(judged, **{name: np.full(len(judged.redshift), np.nan)})


def test_no_galaxies_are_refused(judged: JudgedGalaxies) -> None:
    with pytest.raises(MetricsError, match="no galaxies to judge"):
        judged.where(np.zeros(len(judged.redshift), bool))


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_weights_that_weigh_nothing_are_refused(judged: JudgedGalaxies, weight: float) -> None:
    with pytest.raises(MetricsError, match="weights are negative, or all zero"):
        quality(replace(judged, weight=np.full(len(judged.redshift), weight)))


def test_weights_make_a_bright_sample_like_a_faint_one() -> None:
    rng = np.random.default_rng(8)
    photometric = np.column_stack([rng.normal(24, 1, 20_000), rng.normal(0.5, 0.3, 20_000)])
    mag = photometric[:, 0]
    spectroscopic = photometric[rng.random(20_000) < 0.5 / (1 + np.exp((mag - 23.5) / 0.5))]
    weight = neighbour_weights(spectroscopic, photometric)
    assert np.mean(weight) == pytest.approx(1)
    assert np.mean(spectroscopic[:, 0]) < 23.4
    assert np.average(spectroscopic[:, 0], weights=weight) == pytest.approx(mag.mean(), abs=0.15)


def test_weights_of_samples_far_apart_are_refused() -> None:
    rng = np.random.default_rng(9)
    with pytest.raises(MetricsError, match="of different surveys"):
        neighbour_weights(rng.normal(0, 1, (100, 2)), rng.normal(500, 1, (100, 2)))
    with pytest.raises(MetricsError, match="10 galaxies with a spectrum have no 10 neighbours"):
        neighbour_weights(rng.normal(0, 1, (10, 2)), rng.normal(0, 1, (100, 2)))
