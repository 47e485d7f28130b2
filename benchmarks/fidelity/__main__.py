"""Compare the archive's galaxies, true and observed, with real ones; write numbers and figure into the docs."""

import tempfile
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq

from benchmarks.fidelity import objects
from benchmarks.fidelity.figure import draw
from benchmarks.fidelity.measures import PhotoZ, classifier_auc, ks_distances, photo_z
from benchmarks.fidelity.sample import LIMIT_MAG, PER_DEG2, Sample, Samples, observe, read_samples
from photoz_archive.sky.population import Population, packaged_population
from photoz_archive.sky.store import SkyStore
from photoz_assets.survey.bands import AB_ZERO_POINT_MAG, BANDS
from photoz_assets.survey.skymap import DC2_RINGS

TRACT, DENSITY = 3637, 0.15
KINDS = {"forest": "random forest", "neighbours": "nearest neighbours"}
_FOLD = "<details>\n<summary>Distributions one by one, and what estimators make of objects</summary>"


@dataclass(frozen=True)
class Findings:
    """All that is measured; ``ours`` and ``real`` are pairs of estimators trained on either."""

    num_ours: int
    num_real: int
    ks: dict[str, float]
    floor_ks: dict[str, float]
    auc: float
    floor_auc: float
    ours: dict[str, PhotoZ]
    real: dict[str, PhotoZ]
    unseen_u: float
    real_unseen_u: float
    per_deg2: float
    drawn_per_second: float
    num_bytes: int


@dataclass(frozen=True)
class Estimates:
    """How well redshifts of the archive's objects are estimated, by forests of three kinds."""

    first_experiment: PhotoZ
    with_errors: PhotoZ
    without_errors: PhotoZ


def served_truths(sky: SkyStore) -> tuple[Sample, float]:
    """Give a tract's galaxies as TruthSummary has them, and the area that holds as many."""
    [file] = sky.files("TruthSummary", (TRACT,))
    columns = ["redshift", *(f"flux_{band}_noMW" for band in BANDS)]
    rows = pq.read_table(file, columns=columns, filters=[("truth_type", "=", 1)])
    flux = np.stack([rows[name].to_numpy() for name in columns[1:]], axis=1).astype(float)
    sample = Sample(rows["redshift"].to_numpy().astype(float), AB_ZERO_POINT_MAG - 2.5 * np.log10(flux))
    return sample, DC2_RINGS.inner_box(TRACT).area_deg2 * DENSITY


def drawn_truths(population: Population) -> tuple[Sample, float]:
    """Draw galaxies from a population; give the area that holds as many."""
    rng = np.random.default_rng(2)
    drawn = population.draw(300_000, rng)
    # What is drawn is sorted by component.
    shuffled = Sample(drawn.redshift, drawn.magnitudes).take(rng.permutation(300_000))
    return shuffled, 300_000 / population.per_deg2()


def compare(samples: Samples, true: Sample, area_deg2: float) -> tuple[Findings, Sample]:
    """Observe true galaxies as the real ones were, and measure how they differ from those held out."""
    real = samples.held_out
    seen = observe(true, np.random.default_rng(3))
    # A tract's rows are sorted by patch, not by anything that matters; any part of them is a fair one.
    equal, other = seen.take(slice(len(real))), seen.take(slice(len(real), len(real) + len(samples.training)))
    half = len(real) // 2
    first, second = real.take(slice(half)), real.take(slice(half, None))
    population = packaged_population()
    began = time.process_time()
    population.draw(300_000, np.random.default_rng(1))
    seconds = time.process_time() - began
    findings = Findings(
        num_ours=len(seen),
        num_real=len(real),
        ks=ks_distances(seen, real),
        floor_ks=ks_distances(samples.fitted, real),
        auc=classifier_auc(equal, real),
        floor_auc=classifier_auc(first, second),
        ours={kind: photo_z(other, real, kind) for kind in KINDS},
        real={kind: photo_z(samples.training, real, kind) for kind in KINDS},
        unseen_u=float(np.isnan(seen.magnitudes[:, 0]).mean()),
        real_unseen_u=float(np.isnan(real.magnitudes[:, 0]).mean()),
        per_deg2=len(seen) / area_deg2,
        drawn_per_second=300_000 / seconds,
        num_bytes=len((resources.files("photoz_archive.data") / "dc2_population.npz").read_bytes()),
    )
    return findings, seen


def estimates(sky: SkyStore) -> Estimates:
    """Estimate redshifts of the archive's objects."""
    served = objects.matched_galaxies(sky)
    with_errors, without_errors = objects.with_and_without_errors(served)
    return Estimates(objects.first_experiment(served), with_errors, without_errors)


def report_distances(found: Findings) -> str:
    """Write how far the distributions of true galaxies lie from the real ones, as a Markdown table."""
    lines = ["| KS distance of | ours and real | real and other real | asked |", "|---|---|---|---|"]
    lines += [f"| {name} | {ks:.3f} | {found.floor_ks[name]:.3f} | < 0.025 |" for name, ks in found.ks.items()]
    return "\n".join(lines)


def report_truths(found: Findings) -> str:
    """Write what else was found of true galaxies as a Markdown table."""
    lines = ["| measure | found | asked |", "|---|---|---|"]
    lines.append(f"| AUC of a classifier, {found.num_real:,} a side | {found.auc:.3f} | < 0.56 |")
    lines.append(f"| the same, real galaxies against real ones | {found.floor_auc:.3f} | |")
    for kind, name in KINDS.items():
        ours, real = found.ours[kind], found.real[kind]
        spread = f"{ours.sigma_nmad:.4f} / {real.sigma_nmad:.4f} = {ours.sigma_nmad / real.sigma_nmad:.2f}"
        outliers = f"{ours.outliers:.2%} / {real.outliers:.2%} = {ours.outliers / real.outliers:.2f}"
        lines += [
            f"| photo-z, {name}: sigma_NMAD, trained on ours / on real | {spread} | 0.90 - 1.10 |",
            f"| photo-z, {name}: outliers | {outliers} | 0.75 - 1.25 |",
            f"| photo-z, {name}: median bias | {ours.bias:+.4f} | < 0.003 |",
        ]
    counts = f"{found.per_deg2:,.0f} (real {PER_DEG2:,})"
    lines += [
        f"| not seen in u | {found.unseen_u:.1%} (real {found.real_unseen_u:.1%}) | within 0.8 % |",
        f"| galaxies with i < {LIMIT_MAG} per square degree | {counts} | within 1 % |",
        f"| galaxies drawn per second of one core | {found.drawn_per_second:,.0f} | > 200,000 |",
        f"| size of the parameters | {found.num_bytes:,} bytes | < 64,000 |",
    ]
    return "\n".join(lines)


def report_estimates(found: Estimates) -> str:
    """Write what was found of objects as Markdown tables."""
    first, real = found.first_experiment, objects.REAL
    errors, plain = found.with_errors, found.without_errors
    lines = ["| the first experiment, with objects | ours / DP0.2's | asked |", "|---|---|---|"]
    for name, mine, theirs, asked in (
        ("sigma_NMAD", first.sigma_nmad, real.sigma_nmad, "0.90 - 1.10"),
        ("outliers", first.outliers, real.outliers, "0.60 - 1.30"),
        ("standard deviation", first.deviation, real.deviation, ""),
    ):
        lines.append(f"| {name} | {mine:.4f} / {theirs:.4f} = {mine / theirs:.2f} | {asked} |")
    lines += ["", "| a random forest that knows the errors of fluxes | with / without | asked |", "|---|---|---|"]
    for name, knowing, ignorant in (
        ("sigma_NMAD", errors.sigma_nmad, plain.sigma_nmad),
        ("outliers", errors.outliers, plain.outliers),
    ):
        lines.append(f"| {name} | {knowing:.4f} / {ignorant:.4f}: {knowing / ignorant - 1:+.1%} | within 3 % |")
    return "\n".join(lines)


@click.command()
@click.argument("wheel", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--arrays", type=click.Path(exists=True, path_type=Path), help="Judge another fit, and write nothing."
)
def main(wheel: Path, arrays: Path | None) -> None:
    """Compare the archive's galaxies with the real sample in WHEEL, that of pz-rail-base 2.0.11."""
    samples = read_samples(wheel)
    if arrays is not None:
        with np.load(arrays) as file:
            population = Population.from_arrays({name: file[name].astype(float) for name in file.files})
        findings, _ = compare(samples, *drawn_truths(population))
        click.echo(f"{report_truths(findings)}\n\n{report_distances(findings)}")
        return
    with tempfile.TemporaryDirectory(prefix="photoz-fidelity-") as folder:
        sky = SkyStore(Path(folder), density=DENSITY, tracts=objects.FIELD_TRACTS)
        sky.ensure(sky.tracts)
        findings, seen = compare(samples, *served_truths(sky))
        folded = [report_distances(findings), report_estimates(estimates(sky))]
    measured = "\n\n".join([report_truths(findings), _FOLD, *folded, "</details>"])
    click.echo(measured)
    docs = Path(__file__).parents[2] / "docs"
    draw(seen, samples.held_out, docs / "images" / "fidelity.png")
    page = docs / "fidelity.md"
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition("<!-- measured -->\n")
    tail = rest.partition("<!-- end -->\n")[2]
    page.write_text(f"{head}<!-- measured -->\n{measured}\n<!-- end -->\n{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
