"""Run all measurements, interleaved and repeated, and write what was found into ``docs/performance.md``."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from benchmarks.archive import running_archive
from benchmarks.report import write_numbers, write_report
from photoz_assets.survey.releases import dp02

TRACT = 3638
# Of a tract's galaxies half, at most, are trained on.
MOST_TO_TRAIN = 100_000
# The seed's field and its neighbours.
LAKE_TRACTS = (3637, 3638, 3639, 3830, 3831)
COPIES = 10
# Where `make rail` installs RAIL.
RAIL = Path(__file__).parents[1] / "build" / "rail" / "bin" / "python"
RADII_DEG = {"field": 0.5, "arcmin": 1 / 60}
_YARDSTICK: tuple[str, str, dict[str, Any]] = ("yardstick", "yardstick", {})

Found = dict[str, list[dict[str, Any]]]


class Bench:
    """Runs measurements, each in a process of its own, and keeps what they found by label."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.found: Found = {}

    def interleaved(self, *measurements: tuple[str, str, dict[str, Any]], repeats: int | None = None) -> None:
        """Run each measurement, by label, name and arguments, once; then each again."""
        for repeat in range(repeats or self.repeats):
            for label, name, arguments in measurements:
                command = [sys.executable, "-m", "benchmarks.measure", name, json.dumps(arguments)]
                answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                # Processes that it starts, a code server say, may speak after it.
                run = json.loads(next(line for line in reversed(answer.splitlines()) if line.startswith("{")))
                self.found.setdefault(label, []).append(run)
                click.echo(
                    f"{repeat + 1}: {label}: {run['seconds']:.2f} s, processor {run['processor']:.2f} s, "
                    f"{run['peak_mib']:.0f} MiB",
                    err=True,
                )


def measure_tract(bench: Bench, url: str, work: Path) -> None:
    """Measure the way from a result to a table, and what is made of it."""
    here = {"url": url, "tract": TRACT, "folder": str(work)}
    bench.interleaved(("query", "query", {"url": url, "tract": TRACT}))
    bench.interleaved(("download Parquet", "download", {**here, "parquet": True}), repeats=1)
    ways = [
        ("download", "download", here),
        ("write", "write", here),
        ("ours", "ours", here),
        ("ours, Parquet", "ours", {**here, "parquet": True}),
    ]
    bench.interleaved(*ways)
    slow = [("notebook", "notebook", here)]
    if shutil.which("stilts"):
        slow.append(("STILTS", "stilts", {"folder": str(work)}))
    bench.interleaved(*slow, repeats=max(1, bench.repeats - 2))

    stored = work / "matched_galaxies" / f"tract={TRACT}" / "matched_galaxies.parquet"
    copied, pandas = work / "copies.parquet", work / "pandas.parquet"
    bench.interleaved(
        ("copies", "copies", {"path": str(stored), "number": COPIES, "copy": str(copied)}),
        ("pandas", "pandas_default", {"path": str(stored), "folder": str(work)}),
        repeats=1,
    )
    rows = bench.found["ours"][0]["rows"]
    staged = [
        (f"{label} {number}", "stage_rows", {"folder": str(work), "rows": number, "parquet": label != "stage"})
        for label in ("stage", "stage Parquet")
        for number in (10_000, rows, COPIES * rows)
    ]
    bench.interleaved(*staged, repeats=max(1, bench.repeats - 2))
    bench.interleaved(
        ("scan", "scan", {"path": str(stored)}),
        ("scan pandas", "scan", {"path": str(pandas)}),
        ("audit, blocking", "audit", {"path": str(stored), "tract": TRACT, "folder": str(work), "warn": False}),
        ("audit", "audit", {"path": str(stored), "tract": TRACT, "folder": str(work)}),
        ("figures", "figures", {"path": str(stored), "folder": str(work)}),
        ("scatter", "scatter", {"path": str(stored), "folder": str(work)}),
        ("sheet", "sheet", {"folder": str(work)}),
    )
    bench.interleaved(
        ("scan copies", "scan", {"path": str(copied)}),
        ("audit copies", "audit", {"path": str(copied), "tract": TRACT, "folder": str(work)}),
        ("figures copies", "figures", {"path": str(copied), "folder": str(work)}),
        ("scatter copies", "scatter", {"path": str(copied), "folder": str(work)}),
        repeats=1,
    )


def measure_photoz(bench: Bench, work: Path) -> None:
    """Measure redshifts: learning them, and estimating all galaxies of the tract."""
    path = str(work / "matched_galaxies" / f"tract={TRACT}" / "matched_galaxies.parquet")
    number = min(MOST_TO_TRAIN, bench.found["ours"][0]["rows"] // 2)
    bench.interleaved(
        ("forest", "forest", {"path": path, "number": number, "folder": str(work)}),
        ("author's forest", "author", {"path": path, "number": number}),
        repeats=1,
    )
    bench.interleaved(
        ("estimates", "estimates", {"path": path, "folder": str(work)}),
        ("estimates twice", "estimates", {"path": path, "folder": str(work), "copies": 2}),
        repeats=1,
    )


def measure_match(bench: Bench) -> None:
    """Measure the match of redshifts with objects, as many as a tract of DP1 has."""
    rows = {"objects": 80_000, "redshifts": 5_000}
    bench.interleaved(("match", "match_here", rows), ("match by astropy", "match_astropy", rows))


def measure_lake(bench: Bench, url: str, work: Path) -> None:
    """Measure cones cut out of a lake of five tracts."""
    lake = work / "lake"
    for tract in LAKE_TRACTS:
        bench.interleaved(
            ("lake", "ours", {"url": url, "tract": tract, "folder": str(lake)}),
            repeats=1,
        )
    for name, radius_deg in RADII_DEG.items():
        cone = {"lake": str(lake), "radius_deg": radius_deg}
        bench.interleaved((f"cone {name}", "cone", cone), (f"cone floor {name}", "cone_floor", cone))


def measure_training_sets(bench: Bench, work: Path) -> None:
    """Measure training sets out of two tracts of the lake, and what RAIL's neighbours take to learn from them."""
    lake, tracts = work / "lake", list(LAKE_TRACTS[:2])
    for tract in tracts:
        path = lake / "matched_galaxies" / f"tract={tract}" / "matched_galaxies.parquet"
        published = {"path": str(path), "lake": str(lake), "tract": tract}
        bench.interleaved(("features", "features", published), repeats=1)
    drawn = {
        "lake": str(lake),
        "tracts": tracts,
        "number": min(MOST_TO_TRAIN, min(run["rows"] for run in bench.found["features"]) // 2),
    }
    bench.interleaved(
        ("sample", "sample", drawn), ("sample pandas", "pandas_sample", {**drawn, "folder": str(work)})
    )
    if RAIL.exists():
        bench.interleaved(
            ("exports, ours", "rail_forest", {"lake": str(lake)}),
            ("exports, RAIL", "rail_neighbours", {"lake": str(lake), "folder": str(work), "python": str(RAIL)}),
            repeats=1,
        )


def measure_rows(bench: Bench, work: Path, sky: Path, density: float) -> None:
    """Measure one tract's whole chain at three densities."""
    for share in (0.01, 0.1, 1.0):
        with running_archive(sky, share * density) as archive:
            url = archive.url
            bench.interleaved(("made", "made", {"url": url, "tracts": [TRACT]}), repeats=1)
            named = {"url": url, "lake": str(work / f"rows-{share}"), "tracts": [TRACT, TRACT]}
            bench.interleaved((f"tract {share}", "work", named))


def measure_runs(bench: Bench, url: str, work: Path, tracts: int) -> None:
    """Measure what Dagster adds to a refresh, on tracts that the archive has made before."""
    # Spread over the survey, so that the first of them tell of all.
    some = [int(tract) for tract in dp02.RELEASE.tracts[:: max(1, len(dp02.RELEASE.tracts) // tracts)]][:tracts]
    bench.interleaved(("definitions", "definitions", {}))
    bench.interleaved(("made", "made", {"url": url, "tracts": some}), repeats=1)

    def measured(name: str, part: list[int], label: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
        return label, name, {"url": url, "tracts": part, "lake": str(work / label), **more}

    bench.interleaved(measured("shares", some, "shares", home=str(work / "home-all")), repeats=1)
    for at_once in (1, 4):
        part = some[: 3 * at_once]
        bench.interleaved(
            measured("work", [some[0], *part], f"work {at_once}"),
            measured("process_each", part, f"each {at_once}", home=str(work / f"home-{at_once}"), at_once=at_once),
            repeats=1,
        )


def measure_survey(bench: Bench, url: str, work: Path, number: int) -> None:
    """Measure what follows the number of tracts, on so many and on those of DP0.2."""
    for tracts in (len(dp02.RELEASE.tracts), number):
        lake, home = str(work / f"survey-{tracts}"), str(work / f"survey-home-{tracts}")
        here = {"number": tracts, "lake": lake}
        bench.interleaved(("survey made", "tracts_made", {**here, "home": home}), repeats=1)
        bench.interleaved(
            (f"survey state {tracts}", "survey_state", {**here, "home": home}),
            (f"survey views {tracts}", "survey_views", here),
        )
        page = {"number": tracts, "home": home, "folder": str(work)}
        tick = {"number": tracts, "lake": f"{lake}-empty", "home": f"{home}-empty"}
        some = [int(tract) for tract in dp02.RELEASE.tracts[:6]]
        run = {**here, "url": url, "home": f"{home}-runs", "tracts": some}
        bench.interleaved(
            (f"survey page {tracts}", "survey_page", page),
            (f"survey tick {tracts}", "survey_tick", tick),
            (f"survey run {tracts}", "survey_run", run),
            repeats=1,
        )


@click.command()
@click.option("--density", default=1.0, show_default=True, help="Share of the real source density of the tract.")
@click.option("--repeats", default=3, show_default=True, help="Interleaved repeats of what is quick.")
@click.option(
    "--tracts", default=len(dp02.RELEASE.tracts), show_default=True, help="Tracts of the refresh, at density 0.01."
)
@click.option("--survey", default=10_000, show_default=True, help="Tiny tracts of the large survey.")
@click.option(
    "--sky", type=click.Path(path_type=Path), help="Folder of the embedded archive's rows, kept between runs."
)
@click.option("--into", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to.")
def main(*, density: float, repeats: int, tracts: int, survey: int, sky: Path | None, into: Path) -> None:
    """Measure everything and write the table, the figure and the numbers.

    It takes about half an hour; --density 0.1 --tracts 6 gives a first look in a few minutes. What was measured
    before an interruption stands in performance.json.
    """
    bench = Bench(repeats)
    settings = {"density": density, "repeats": repeats, "tracts": tracts, "survey": survey}
    with tempfile.TemporaryDirectory(prefix="photoz-bench-") as temporary, keeping(bench, settings, into):
        work = Path(temporary)
        rows = sky or work / "archive"
        with running_archive(rows, density) as archive:
            url = archive.url
            bench.interleaved(_YARDSTICK)
            measure_tract(bench, url, work)
            measure_photoz(bench, work)
            measure_match(bench)
            bench.interleaved(_YARDSTICK)
            measure_lake(bench, url, work)
            measure_training_sets(bench, work)
        measure_rows(bench, work, rows, density)
        with running_archive(rows, 0.01) as archive:
            url = archive.url
            bench.interleaved(_YARDSTICK)
            measure_runs(bench, url, work, tracts)
            measure_survey(bench, url, work, survey)
            bench.interleaved(_YARDSTICK)
    write_report(bench.found, settings, into)


@contextmanager
def keeping(bench: Bench, settings: dict[str, Any], into: Path) -> Iterator[None]:
    """Write what was measured, and the machine's load meanwhile, even if the measurements end early."""
    try:
        yield
    finally:
        settings["load"] = os.getloadavg()[2]
        write_numbers(bench.found, settings, into)


if __name__ == "__main__":
    main()
