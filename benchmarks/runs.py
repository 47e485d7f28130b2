"""The archive and Dagster: what a query costs, how fast definitions load, what a run adds to its work."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured


def query(url: str, tract: int) -> Measured:
    """Run the triple join of a tract at the archive."""
    from benchmarks.results import ask

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        with ask(url, tract):
            return {"query_seconds": time.perf_counter() - started}

    run()
    return run


def definitions() -> Measured:
    """Start Python and load the definitions."""

    def run() -> dict[str, Any]:
        subprocess.run([sys.executable, "-c", "import photoz_assets.definitions"], check=True)
        return {}

    run()
    return run


def work(url: str, lake: str, tracts: list[int]) -> Measured:
    """Do a refresh's work without Dagster: ask, stream, audit and publish tracts, draw their diagnostics."""
    import duckdb

    from photoz_assets.assets.galaxies import _audited, _question
    from photoz_assets.contracts import DIAGNOSTICS
    from photoz_assets.ingest import Inquirer
    from photoz_assets.science.figures import Caption, contact_sheet, galaxy_figures, save, thumbnail_markdown
    from photoz_assets.science.statistics import band_statistics, sample_summary
    from photoz_assets.selection import Selection
    from photoz_assets.storage.lake import Lake
    from photoz_assets.storage.staging import publish
    from photoz_assets.tap.service import Archive

    store = Lake(Path(lake))

    def run() -> dict[str, Any]:
        started, ends = time.perf_counter(), []
        for tract in tracts:
            archive = Archive(url)
            inquirer = Inquirer(archive=archive, lake=store, run_id="benchmark")
            with inquirer.ask(_question(archive, tract, Selection())) as staged:
                _audited(staged, Selection(), tract)
                publish(store, staged)
            galaxies = duckdb.connect().read_parquet(str(store.table("matched_galaxies", tract)))
            summary = sample_summary(galaxies)
            caption = Caption(f"Tract {tract}", "embedded archive, simulated", staged.rows)
            paths = []
            for name, figure in galaxy_figures(galaxies, summary, caption):
                paths.append(store.figure("diagnostics", name, tract))
                save(figure, paths[-1])
            sheet = store.figure("diagnostics", "contact_sheet", tract)
            contact_sheet(paths, sheet)
            thumbnail_markdown(sheet)
            band_statistics(galaxies, summary, DIAGNOSTICS)
            ends.append(time.perf_counter() - started)
        return {"ends": ends, "rows": staged.rows}

    return run


def one_process(url: str, lake: str, home: str, tracts: list[int]) -> Measured:
    """Run the job for each tract in one process, a run each, on an instance on disk."""
    import dagster as dg

    from photoz_assets.definitions import build_definitions
    from photoz_assets.resources import ArchiveResource
    from photoz_assets.storage.io_manager import LakeResource

    Path(home).mkdir(parents=True, exist_ok=True)
    resources = {"archive": ArchiveResource(url=url), "lake": LakeResource(data_dir=lake)}
    job = build_definitions(resources=resources).resolve_job_def("refresh_tracts")
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

    def run() -> dict[str, Any]:
        started, ends = time.perf_counter(), []
        with dg.DagsterInstance.local_temp(home) as instance:
            for tract in tracts:
                key = str(tract)
                if not job.execute_in_process(instance=instance, partition_key=key, run_config=quiet).success:
                    raise RuntimeError(f"the run of tract {tract} failed")
                ends.append(time.perf_counter() - started)
        return {"ends": ends}

    return run


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


RUNS = {function.__name__: function for function in (query, definitions, work, one_process, process_each, made)}
