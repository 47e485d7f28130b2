"""Fit the population of the simulated sky to the real sample: the noise-free galaxies behind noisy magnitudes.

The model is a Gaussian mixture over ln z/(zmax - z), i and five colours of the noise-free magnitudes. As those are
not known, each round draws them: Metropolis steps of each galaxy between the mixture and the likelihood of its
fluxes (a negative one counts as "fainter than the noise"), then the mixture is refitted to what was drawn. Early
rounds widen the components, u-g most, and anneal: otherwise the band that is mostly noise stays too blue. Galaxies
beyond the sample's limit are stood for by its faintest, moved along half the drift of redshift and colours with i.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.fidelity.mixture import DIMENSIONS, FloatArray, Mixture, features, improved, log_density
from benchmarks.fidelity.sample import (
    GAMMA,
    M5_MAG,
    PER_DEG2,
    Sample,
    flux_error,
    magnitude_error,
    read_samples,
)

MAX_REDSHIFT = 3.1
_I, _UG = 1, 2
_OTHERS = [0, 2, 3, 4, 5, 6]
_NOT_UG = [0, 1, 3, 4, 5, 6]
# Beyond the sample: how many of its number, where they begin, and how far they reach.
_FAINT_SHARE, _FAINT_FROM_MAG, _FAINT_DEPTH_MAG = 0.3, 25.22, 2.6
_FAINT_DRIFT = 0.5
# What the components are widened by at first (variances in units of the sample's), and how long that lasts.
_WIDER, _WIDER_UG, _ANNEALED_AFTER = 0.01, 0.25, 0.7
# Counts: bins of i up to where the sample is complete, and the slope beyond (dex a magnitude).
_COUNTS_FROM_MAG, _COUNTS_TO_MAG, _COUNT_STEP_MAG, _FAINT_SLOPE = 15.0, 25.1, 0.1, 0.30


def to_dimensions(redshift: FloatArray, magnitudes: FloatArray) -> FloatArray:
    """Give galaxies as points of the mixture's space, shape (n, 7)."""
    transformed = np.log(redshift / (MAX_REDSHIFT - redshift))
    colours = magnitudes[:, :-1] - magnitudes[:, 1:]
    return np.concatenate([transformed[:, None], magnitudes[:, 3:4], colours], axis=1)


@dataclass
class Chain:
    """Noise-free magnitudes under way: each galaxy's current draw, and what it is held against."""

    sample: Sample
    rng: np.random.Generator
    magnitudes: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        observed = self.sample.magnitudes
        self._missing = np.isnan(observed)
        self._flux = np.where(self._missing, np.nan, 10 ** (-0.4 * (observed - M5_MAG)))
        self._step = np.clip(magnitude_error(np.minimum(np.where(self._missing, 99, observed), 27.5)), None, 0.5)
        self.magnitudes = self._start()

    def _start(self) -> FloatArray:
        """Take the observed magnitudes, and likely ones where the noise is all there is."""
        observed, missing = self.sample.magnitudes, self._missing
        start = np.where(missing, 99.0, observed)
        noisy = missing | (start > M5_MAG + 1.5)
        start[:, 1] = np.where(noisy[:, 1], start[:, 2] + 0.8, start[:, 1])
        colour = np.median((observed[:, 0] - observed[:, 1])[~noisy[:, 0]])
        lost = np.maximum(start[:, 1] + colour, 26.9 + 0.6 * self.rng.random(len(start)))
        faint = np.minimum(start[:, 0], 27.6)
        start[:, 0] = np.where(missing[:, 0], lost, np.where(noisy[:, 0], faint, start[:, 0]))
        return start

    def points(self) -> FloatArray:
        """Give the current draw in the mixture's space."""
        return to_dimensions(self.sample.redshift, self.magnitudes)

    def _log_likelihood(self, magnitudes: FloatArray) -> FloatArray:
        from scipy.special import log_ndtr

        flux = 10 ** (-0.4 * (magnitudes - M5_MAG))
        error = flux_error(flux)
        seen = -0.5 * ((self._flux - flux) / error) ** 2 - np.log(error)
        likelihood: FloatArray = np.where(self._missing, log_ndtr(-flux / error), seen)
        return likelihood

    def advance(self, mixture: Mixture, centre: FloatArray, scale: FloatArray, steps: int = 2) -> None:
        """Take Metropolis steps: in u-g by the mixture's own conditional, then in all bands by their noise."""

        def standard(magnitudes: FloatArray) -> FloatArray:
            return (to_dimensions(self.sample.redshift, magnitudes) - centre) / scale

        whole = mixture.coefficients(list(range(DIMENSIONS)))
        likelihood = self._log_likelihood(self.magnitudes)
        for _ in range(steps):
            proposed = self.magnitudes.copy()
            colour = _draw_ug(mixture, standard(self.magnitudes), self.rng)
            proposed[:, 0] = self.magnitudes[:, 1] + colour * scale[_UG] + centre[_UG]
            new = self._log_likelihood(proposed)
            taken = np.log(self.rng.random(len(new))) < (new - likelihood)[:, 0]
            self.magnitudes[taken], likelihood[taken] = proposed[taken], new[taken]
            density = log_density(standard(self.magnitudes), whole)
            for size in (0.9, 0.35):
                noise = self.rng.standard_normal(self.magnitudes.shape)
                proposed = self.magnitudes + size * self._step * noise
                new, new_density = self._log_likelihood(proposed), log_density(standard(proposed), whole)
                gain = new.sum(axis=1) + new_density - likelihood.sum(axis=1) - density
                taken = np.log(self.rng.random(len(gain))) < gain
                self.magnitudes[taken], likelihood[taken] = proposed[taken], new[taken]
                density[taken] = new_density[taken]


def _draw_ug(mixture: Mixture, points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw u-g given all other dimensions, in standard units."""
    others = mixture.covariance[:, _NOT_UG][:, :, _NOT_UG]
    across = mixture.covariance[:, _UG][:, _NOT_UG]
    slope = np.einsum("kj,kji->ki", across, np.linalg.inv(others))
    variance = np.maximum(mixture.covariance[:, _UG, _UG] - np.einsum("ki,ki->k", slope, across), 1e-8)
    parts = features(points) @ mixture.coefficients(_NOT_UG)
    cumulative = np.cumsum(np.exp(parts - parts.max(axis=1, keepdims=True)), axis=1)
    drawn = rng.random(len(points)) * cumulative[:, -1]
    k = np.minimum((cumulative < drawn[:, None]).sum(axis=1), len(mixture.weight) - 1)
    shift = np.einsum("ij,ij->i", slope[k], points[:, _NOT_UG] - mixture.mean[k][:, _NOT_UG])
    return np.asarray(mixture.mean[k, _UG] + shift + np.sqrt(variance[k]) * rng.standard_normal(len(k)))


def beyond_the_limit(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Stand in for galaxies that are too faint for the sample."""
    i_mag = points[:, _I]
    trend = (i_mag > 23.3) & (i_mag < 25.15)
    design = np.stack([np.ones(trend.sum()), i_mag[trend] - 24.5], axis=1)
    drift = np.linalg.lstsq(design, points[trend][:, _OTHERS], rcond=None)[0][1]
    donors = points[(i_mag > 24.5) & (i_mag < _FAINT_FROM_MAG)]
    chosen = donors[rng.integers(0, len(donors), int(_FAINT_SHARE * len(points)))].copy()
    faint = _FAINT_FROM_MAG + _FAINT_DEPTH_MAG * rng.random(len(chosen)) ** 1.3
    chosen[:, _OTHERS] += _FAINT_DRIFT * drift * (faint - chosen[:, _I])[:, None]
    chosen[:, _I] = faint
    return chosen


def first_mixture(x: FloatArray, components: int) -> Mixture:
    """Start from clusters of the points."""
    from sklearn.cluster import MiniBatchKMeans

    clusters = MiniBatchKMeans(components, random_state=0, n_init=1, batch_size=4096).fit(x)
    identity = np.eye(DIMENSIONS)
    covariance = []
    for number in range(components):
        members = x[clusters.labels_ == number]
        enough = len(members) > DIMENSIONS + 1
        covariance.append(np.cov(members.T) + 0.02 * identity if enough else 0.1 * identity)
    weight = np.bincount(clusters.labels_, minlength=components) + 1.0
    return Mixture(weight / weight.sum(), clusters.cluster_centers_.astype(float), np.stack(covariance))


def fit(sample: Sample, *, components: int, rounds: int, seed: int) -> dict[str, FloatArray]:
    """Fit the population and give the arrays that are packaged."""
    rng = np.random.default_rng(seed)
    chain = Chain(sample, rng)
    points = chain.points()
    everything = np.concatenate([points, beyond_the_limit(points, rng)])
    centre, scale = everything.mean(axis=0), everything.std(axis=0)
    mixture = first_mixture((everything - centre) / scale, components)
    for number in range(rounds):
        points = chain.points()
        x = (np.concatenate([points, beyond_the_limit(points, rng)]) - centre) / scale
        heat = max(0.0, 1 - number / (_ANNEALED_AFTER * rounds)) ** 2
        wider = np.full(DIMENSIONS, _WIDER * heat)
        wider[_UG] = _WIDER_UG * heat
        is_last = number == rounds - 1
        for _ in range(6 if is_last else 3):
            mixture = improved(mixture, x).widened(wider)
        if not is_last:
            chain.advance(mixture, centre, scale)
        click.echo(f"round {number + 1} of {rounds}", err=True)
    return _arrays(mixture, chain.points(), centre, scale)


def _arrays(mixture: Mixture, points: FloatArray, centre: FloatArray, scale: FloatArray) -> dict[str, FloatArray]:
    """Give the mixture in physical units and the counts in i, as ``photoz_archive/data/README.md`` has them."""
    covariance = mixture.covariance * scale[:, None] * scale
    rows, columns = np.tril_indices(DIMENSIONS)
    num_bins = round((_COUNTS_TO_MAG - _COUNTS_FROM_MAG) / _COUNT_STEP_MAG)
    edges = np.round(_COUNTS_FROM_MAG + _COUNT_STEP_MAG * np.arange(num_bins + 1), 2)
    counts = np.histogram(points[:, _I], edges)[0] * PER_DEG2 / len(points)
    # The power law goes on where the last half of a magnitude ends.
    faint_norm = counts[-5:].sum() / (1 - 10 ** (-0.5 * _FAINT_SLOPE))
    arrays = {
        "weight": mixture.weight,
        "mean": mixture.mean * scale + centre,
        "chol": np.linalg.cholesky(covariance)[:, rows, columns],
        "count_edges": edges,
        "count_per_deg2": counts,
        "faint_slope": np.array(_FAINT_SLOPE),
        "faint_norm": np.array(faint_norm),
        "zmax": np.array(MAX_REDSHIFT),
        "m5_sample": M5_MAG,
        "gamma_sample": GAMMA,
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@click.command()
@click.argument("wheel", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--components", default=256, show_default=True, help="Gaussians of the mixture.")
@click.option("--rounds", default=50, show_default=True, help="Draws of the noise-free galaxies.")
@click.option("--seed", default=0, show_default=True, help="Of all random numbers.")
def main(wheel: Path, out: Path, components: int, rounds: int, seed: int) -> None:
    """Fit the population to the sample in WHEEL, but for what is held out, and write the arrays to OUT."""
    sample = read_samples(wheel).fitted
    began = time.monotonic()
    arrays: dict[str, Any] = {**fit(sample, components=components, rounds=rounds, seed=seed)}
    np.savez_compressed(out, **arrays)
    click.echo(f"{len(sample):,} galaxies, {components} components, {time.monotonic() - began:.0f} s: {out}")


if __name__ == "__main__":
    main()
