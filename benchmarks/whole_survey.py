"""The whole survey, once: every tract at its real density, from the archive's sky to the redshifts' catalogue.

Each stage of a tract is a process of its own, as a run of a deployment is. What a stage took is a line of
``stages.jsonl`` as soon as it has ended, so that a killed survey goes on with the stage at which it was. The
archive's rows of a tract are removed once the tract is published.

Tracts are gone through side by side in lanes. Each lane has an archive of its own, so that what the archive took
for a stage can be told; all of them share one lake and one Dagster instance.
"""

import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from benchmarks.archive import RunningArchive, running_archive
from benchmarks.measurement import Measured, whole_process
from benchmarks.report import machine, write_between
from photoz_archive.sky.store import SkyStore
from photoz_assets.survey.releases import dp02

_SKY: Final = "sky"
_REDSHIFTS: Final = ("photoz_sample", "photoz_model", "photoz_estimates", "photoz_quality")
_BEGIN, _END = "<!-- survey: begin -->", "<!-- survey: end -->"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some assets of a tract, or of the survey where there is none, and what making them took.

    Attributes
    ----------
    name, tract
        Which stage it is, and whose.
    seconds, processor
        Of a clock, and of the processor in the stage's own process.
    archive
        The processor's seconds that the archive took meanwhile.
    peak_mib, archive_peak_mib
        The largest memory of the stage's process and of the archive's.
    rows, bytes
        Of the tables that were made.
    """

    name: str
    tract: int | None
    seconds: float
    processor: float
    archive: float
    peak_mib: float
    archive_peak_mib: float
    rows: int
    bytes: int


def sky_made(url: str, tract: int) -> Measured:
    """Have the archive make the rows of a tract, by asking for one of them."""
    from photoz_assets.tap.client import TapClient

    adql = f"SELECT TOP 1 objectId FROM dp02_dc2_catalogs.Object WHERE tract = {tract}"

    def run() -> dict[str, Any]:
        with TapClient(url).submit(adql, maxrec=1) as job:
            job.run()
            job.wait(3_600)
        return {"rows": 0, "bytes": 0, **whole_process()}

    return run


def assets_made(url: str, folder: str, assets: Sequence[str], tract: int | None) -> Measured:
    """Make some assets by a run of Dagster in this process, on the survey's instance and lake."""
    import dagster as dg
    import pyarrow.parquet as pq

    from photoz_assets.definitions import build_definitions, tables_of
    from photoz_assets.lake.layout import Lake
    from photoz_assets.orchestration.asset_keys import asset_key
    from photoz_assets.orchestration.io_manager import LakeResource
    from photoz_assets.orchestration.resources import ArchiveResource

    release, home, lake = dp02.RELEASE, Path(folder) / "home", Path(folder) / "lake"
    resources = {"archive": ArchiveResource(url=url), "lake": LakeResource(data_dir=str(lake))}
    job = build_definitions(release=release, resources=resources).resolve_job_def("demo")
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    home.mkdir(parents=True, exist_ok=True)

    def run() -> dict[str, Any]:
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            job.execute_in_process(
                instance=instance,
                partition_key=None if tract is None else str(tract),
                asset_selection=[asset_key(release, asset) for asset in assets],
                run_config=quiet,
            )
        made = [Lake(lake).table(asset, tract) for asset in assets if asset in tables_of(release)]
        return {
            "rows": sum(pq.read_metadata(path).num_rows for path in made),
            "bytes": sum(path.stat().st_size for path in made),
            **whole_process(),
        }

    return run


WHOLE_SURVEY: dict[str, Callable[..., Measured]] = {
    function.__name__: function for function in (sky_made, assets_made)
}


class Record:
    """What a survey has gone through: a file of a line a stage, which its lanes share."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self.stages = read_stages(path)
        # Without the line that a kill cut short.
        path.write_text("".join(map(_line, self.stages)))

    def has(self, name: str, tract: int | None) -> bool:
        """Say whether a stage is behind us."""
        return any(stage.name == name and stage.tract == tract for stage in tuple(self.stages))

    def add(self, stage: Stage) -> None:
        """Write down what a stage took."""
        with self._turn:
            with self._path.open("a") as record:
                record.write(_line(stage))
            self.stages.append(stage)


@dataclass(frozen=True, kw_only=True)
class Lane:
    """An archive, and what goes through a survey's stages with it, one after another.

    Attributes
    ----------
    folder
        The survey's.
    archive
        The lane's own.
    record
        The survey's.
    """

    folder: Path
    archive: RunningArchive
    record: Record

    def go_through(self, name: str, measurement: str, tract: int | None = None, **arguments: Any) -> None:
        """Go through a stage, unless that has been done, and write down what it took.

        Raises
        ------
        subprocess.CalledProcessError
            It failed; its words stand above.
        """
        if self.record.has(name, tract):
            return
        arguments |= {"url": self.archive.url, "tract": tract}
        self.archive.take_peak_mib()
        before, started = self.archive.processor_seconds(), time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.measure", measurement, json.dumps(arguments)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        seconds = time.perf_counter() - started
        found = json.loads(next(line for line in reversed(answer.splitlines()) if line.startswith("{")))
        stage = Stage(
            name=name,
            tract=tract,
            seconds=seconds,
            processor=found["whole_processor"],
            archive=self.archive.processor_seconds() - before,
            peak_mib=found["whole_mib"],
            archive_peak_mib=self.archive.take_peak_mib(),
            rows=found["rows"],
            bytes=found["bytes"],
        )
        self.record.add(stage)
        at = "" if tract is None else f" {tract}"
        click.echo(
            f"{name}{at}: {seconds:.1f} s, processor {stage.processor:.1f} s, {stage.peak_mib:.0f} MiB; "
            f"the archive {stage.archive:.1f} s, {stage.archive_peak_mib:.0f} MiB",
            err=True,
        )

    def publish(self, tract: int) -> None:
        """Make a tract's sky, fetch, audit and publish its galaxies, and take the sky's rows away."""
        self.go_through(_SKY, "sky_made", tract)
        for name in ("matched_galaxies", "diagnostics", "photoz_galaxies"):
            self.make(name, tract)
        SkyStore(self.folder / "archive" / "sky", release=dp02.RELEASE, density=1.0).forget(tract)

    def estimate(self, tract: int) -> None:
        """Estimate the redshift of each galaxy of a tract."""
        self.make("photoz_catalog", tract)

    def make(self, asset: str, tract: int | None = None) -> None:
        """Make an asset."""
        self.go_through(asset, "assets_made", tract, folder=str(self.folder), assets=[asset])


def side_by_side(lanes: Sequence[Lane], work: Callable[[Lane, int], None], tracts: Sequence[int]) -> None:
    """Do some work for each tract, in the lane that is free first.

    Where the work for one tract fails, or the survey is told to stop, no lane begins another tract.
    """
    stop, turn, left = threading.Event(), threading.Lock(), iter(enumerate(tracts, start=1))

    def go(lane: Lane) -> None:
        try:
            while not stop.is_set():
                with turn:
                    number, tract = next(left, (0, 0))
                if not number:
                    return
                click.echo(f"[{number}/{len(tracts)}] tract {tract}", err=True)
                work(lane, tract)
        finally:
            stop.set()

    with ThreadPoolExecutor(len(lanes)) as pool:
        try:
            for gone in [pool.submit(go, lane) for lane in lanes]:
                gone.result()
        finally:
            stop.set()


def read_stages(record: Path) -> list[Stage]:
    """Read what a survey has gone through; a line that was cut by a kill is not a stage."""
    lines = record.read_text().splitlines(keepends=True) if record.exists() else []
    return [Stage(**json.loads(line)) for line in lines if line.endswith("\n")]


def _line(stage: Stage) -> str:
    return json.dumps(asdict(stage)) + "\n"


def report(stages: Sequence[Stage]) -> list[str]:
    """Write what a survey took as lines of a page."""
    tracts = {stage.tract for stage in stages if stage.name == "matched_galaxies"}
    galaxies = sum(stage.rows for stage in stages if stage.name == "matched_galaxies")
    whole = sum(stage.seconds for stage in stages)
    processor = sum(stage.processor + stage.archive for stage in stages)
    return [
        "",
        (
            f"{machine()} {len(tracts)} of {len(dp02.RELEASE.tracts)} tracts of the embedded archive at density "
            f"1, simulated: {galaxies:,} galaxies. Hours of all stages together, which ran side by side in lanes: "
            f"{whole / 3600:.1f} by the clock, {processor / 3600:.1f} of the processor."
        ),
        "",
        "| stage | times | clock, s | processor, s | archive's, s | peak, MiB | archive's, MiB | rows | GB |",
        "|---|---|---|---|---|---|---|---|---|",
        *_rows(stages),
        "",
        *_judged(stages),
        "",
    ]


def _rows(stages: Sequence[Stage]) -> Iterator[str]:
    for name in dict.fromkeys(stage.name for stage in stages):
        some = [stage for stage in stages if stage.name == name]
        sums = (sum(getattr(stage, field) for stage in some) for field in ("seconds", "processor", "archive"))
        peaks = (max(getattr(stage, field) for stage in some) for field in ("peak_mib", "archive_peak_mib"))
        cells = [*(f"{value:,.0f}" for value in sums), *(f"{value:,.0f}" for value in peaks)]
        rows, size = sum(stage.rows for stage in some), sum(stage.bytes for stage in some) / 1e9
        yield f"| {name} | {len(some)} | {' | '.join(cells)} | {rows:,} | {size:.2f} |"


def _judged(stages: Sequence[Stage]) -> Iterator[str]:
    """Say of each stage of tracts what it took early and late: the same, unless it grows with the survey."""
    for name in dict.fromkeys(stage.name for stage in stages if stage.tract is not None):
        some = [stage for stage in stages if stage.name == name]
        quarter = max(1, len(some) // 4)
        parts = (some[:quarter], some[-quarter:])
        first, last = (statistics.median(stage.processor + stage.archive for stage in part) for part in parts)
        early, late = (statistics.median(stage.peak_mib for stage in part) for part in parts)
        yield (
            f"- {name}, the median of the first quarter of the tracts and of the last: processor {first:.1f} and "
            f"{last:.1f} s, peak {early:.0f} and {late:.0f} MiB."
        )


@click.command()
@click.option("--tracts", default=len(dp02.RELEASE.tracts), show_default=True, help="How many, the lowest first.")
@click.option("--lanes", default=2, show_default=True, help="How many tracts at once; each takes some 3 GB.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/survey"), show_default=True)
@click.option("--into", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to.")
def main(*, tracts: int, lanes: int, folder: Path, into: Path) -> None:
    """Go through the survey, or go on with it, and write what it took into performance.md."""
    # So that the archives end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [int(tract) for tract in dp02.RELEASE.tracts[:tracts]]
    record = Record(folder / "stages.jsonl")
    with ExitStack() as stack:
        archives = [stack.enter_context(running_archive(folder / "archive", 1.0)) for _ in range(lanes)]
        used = [Lane(folder=folder, archive=archive, record=record) for archive in archives]
        side_by_side(used, Lane.publish, chosen)
        for name in _REDSHIFTS:
            used[0].make(name)
        side_by_side(used, Lane.estimate, chosen)
    write_between(into / "performance.md", _BEGIN, _END, report(record.stages))


if __name__ == "__main__":
    main()
