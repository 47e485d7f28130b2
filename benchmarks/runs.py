"""The archive and Dagster: what a query costs, how fast definitions load, what a run adds to its work."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.measurement import Measured


def query(url: str, tract: int) -> Measured:
    """Run the triple join of a tract at the archive."""
    from benchmarks.results import ask

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        with ask(url, tract):
            return {"query_seconds": time.perf_counter() - started}

    run()
    return run


def yardstick() -> Measured:
    """Add ten million numbers in Python: how fast the machine is at the moment."""

    def run() -> dict[str, Any]:
        total = 0
        for number in range(10_000_000):
            total += number
        return {"total": total}

    return run


def definitions() -> Measured:
    """Start Python and load the definitions."""

    def run() -> dict[str, Any]:
        subprocess.run([sys.executable, "-c", "import photoz_assets.definitions"], check=True)
        return {}

    run()
    return run


def work(url: str, lake: str, tracts: list[int]) -> Measured:
    """Do a refresh's work without Dagster, tract by tract."""
    refresh = _without_dagster(url, lake)

    def run() -> dict[str, Any]:
        rows = [refresh(tract) for tract in tracts[1:]]
        return {"rows": rows[-1]}

    # The first loads what is loaded once in a process.
    refresh(tracts[0])
    return run


def shares(url: str, lake: str, home: str, tracts: list[int]) -> Measured:
    """Refresh each tract twice in one process: without Dagster, and by a run of the job on an instance on disk.

    The two take turns, so that a machine that changes its speed changes both.
    """
    import dagster as dg

    from photoz_assets.definitions import build_definitions
    from photoz_assets.orchestration.io_manager import LakeResource
    from photoz_assets.orchestration.resources import ArchiveResource

    Path(home).mkdir(parents=True, exist_ok=True)
    refresh = _without_dagster(url, f"{lake}-without")
    resources = {"archive": ArchiveResource(url=url), "lake": LakeResource(data_dir=lake)}
    job = build_definitions(resources=resources).resolve_job_def("refresh_tracts")
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

    def run() -> dict[str, Any]:
        seconds: dict[str, list[float]] = {"work": [], "runs": []}
        with dg.DagsterInstance.local_temp(home) as instance:

            def launch(tract: int) -> None:
                key = str(tract)
                if not job.execute_in_process(instance=instance, partition_key=key, run_config=quiet).success:
                    raise RuntimeError(f"the run of tract {tract} failed")

            for number, tract in enumerate(tracts):
                turns: list[tuple[str, Callable[[int], object]]] = [("work", refresh), ("runs", launch)]
                # Who is second finds the archive's rows in memory.
                for name, way in reversed(turns) if number % 2 else turns:
                    started = time.perf_counter()
                    way(tract)
                    seconds[name].append(time.perf_counter() - started)
        return seconds

    return run


def _without_dagster(url: str, lake: str) -> Callable[[int], int]:
    """Make what does the work of a tract, asks, streams, audits, publishes and draws, and gives its rows."""
    import duckdb

    from photoz_assets.ingest import fetch_tract
    from photoz_assets.lake.layout import Lake
    from photoz_assets.science.figures import Caption, contact_sheet, galaxy_figures, save, thumbnail_markdown
    from photoz_assets.science.statistics import band_statistics, sample_summary
    from photoz_assets.survey.contracts.diagnostics import diagnostics_spec
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.survey.selection import Selection
    from photoz_assets.tap.client import TapClient

    store = Lake(Path(lake))

    def refresh(tract: int) -> int:
        table = fetch_tract(TapClient(url), store, RELEASE, Selection(), tract)
        galaxies = duckdb.connect().read_parquet(str(table.path))
        summary = sample_summary(galaxies, RELEASE.columns)
        caption = Caption(f"Tract {tract}", "embedded archive, simulated", table.rows, RELEASE)
        paths = []
        for name, figure in galaxy_figures(galaxies, summary, caption):
            paths.append(store.figure("diagnostics", name, tract))
            save(figure, paths[-1])
        sheet = store.figure("diagnostics", "contact_sheet", tract)
        contact_sheet(paths, sheet)
        thumbnail_markdown(sheet)
        band_statistics(galaxies, summary, diagnostics_spec(RELEASE), RELEASE.columns)
        return table.rows

    return refresh


def process_each(url: str, lake: str, home: str, tracts: list[int], at_once: int) -> Measured:
    """Run the job for each tract in a process of its own, so many at once, as launched runs have it."""
    environment = os.environ | {"PHOTOZ_TAP_URL": url, "PHOTOZ_DATA_DIR": lake, "DAGSTER_HOME": home}
    Path(home).mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("dagster")), "asset", "materialize"]
    command += ["-m", "photoz_assets.definitions", "--select", "matched_galaxies,diagnostics", "--partition"]

    def materialize(tract: int) -> None:
        subprocess.run([*command, str(tract)], check=True, capture_output=True, env=environment)

    # The first sets the instance's databases up.
    materialize(tracts[0])

    def run() -> dict[str, Any]:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(materialize, tracts))
        return {}

    return run


def made(url: str, tracts: list[int]) -> Measured:
    """Let the embedded archive make the rows of tracts, so that no measurement waits for it."""
    import pyvo

    def run() -> dict[str, Any]:
        service = pyvo.dal.TAPService(url)
        for tract in tracts:
            service.search(f"SELECT TOP 1 objectId FROM dp02_dc2_catalogs.Object WHERE tract = {tract}")
        return {}

    return run


RUNS = {
    function.__name__: function for function in (query, yardstick, definitions, work, shares, process_each, made)
}
