"""The ways from a TAP result to a table on disk that are compared, each run in a process of its own.

``python -m benchmarks.ways WAY URL TRACT FOLDER`` runs one and prints its seconds, its peak memory above the
process with its imports done, and its rows, as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from photoz_assets.queries import Dialect, matched_galaxies_query
from photoz_assets.selection import Selection

MAXREC = 10_000_000


def floor(url: str, tract: int, folder: Path) -> Callable[[], int]:
    """Download the result's bytes to disk, and write as many rows to Parquet from memory: nothing can be less."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import requests

    from photoz_assets.contracts import MATCHED_GALAXIES
    from photoz_assets.tap.service import Archive

    job = Archive(url).submit(_query(tract), maxrec=MAXREC)
    job.run()
    job.wait(600)
    table = pa.Table.from_batches(job.fetch(MATCHED_GALAXIES.selected_schema))
    result_url = job.summary().result_url or f"{job.url}/results/result"

    def run() -> int:
        with requests.get(result_url, stream=True, timeout=60) as response, (folder / "raw").open("wb") as file:
            for chunk in response.iter_content(1 << 20):
                file.write(chunk)
        pq.write_table(
            table, folder / "floor.parquet", compression="zstd", compression_level=1, use_dictionary=False
        )
        job.close()
        return int(table.num_rows)

    return run


def ours(url: str, tract: int, folder: Path) -> Callable[[], int]:
    """Materialize the tract as the asset does, Dagster left out: ask, stream, stage, audit, publish."""
    from photoz_assets.checks import key_rules, row_rules, statistic_rules
    from photoz_assets.contracts import MATCHED_GALAXIES
    from photoz_assets.ingest import Inquirer, Question
    from photoz_assets.science.photometry import with_magnitudes
    from photoz_assets.storage.audit import audit
    from photoz_assets.storage.lake import Lake
    from photoz_assets.storage.staging import publish, spill_folder
    from photoz_assets.tap.service import Archive

    lake = Lake(folder)
    question = Question(
        contract=MATCHED_GALAXIES,
        adql=_query(tract),
        count_adql="",
        complete=with_magnitudes,
        code_version="benchmark",
        tract=tract,
        selection=Selection(),
    )

    def run() -> int:
        inquirer = Inquirer(archive=Archive(url), lake=lake, run_id="benchmark")
        with inquirer.ask(question) as staged:
            verdicts = audit(
                staged.path,
                spill=spill_folder(staged.path),
                rows=row_rules(Selection(), tract),
                keys=key_rules(),
                statistics=statistic_rules(),
            )
            if not all(verdict.passed for verdict in verdicts):
                raise RuntimeError([verdict.summary for verdict in verdicts if not verdict.passed])
            publish(lake, staged)
            return staged.rows

    return run


def notebook(url: str, tract: int, folder: Path) -> Callable[[], int]:
    """Do as the notebook does: pyvo, astropy Table, pandas, pickle. Nothing is checked."""
    import pyvo

    def run() -> int:
        job = pyvo.dal.TAPService(url).submit_job(_query(tract), maxrec=MAXREC)
        job.run()
        job.wait(phases=["COMPLETED", "ERROR"])
        job.raise_if_error()
        frame = job.fetch_result().to_table().to_pandas()
        frame.to_pickle(folder / "notebook.pkl")
        job.delete()
        return len(frame)

    return run


WAYS = {"floor": floor, "ours": ours, "notebook": notebook}


def _query(tract: int) -> str:
    return matched_galaxies_query(tract, Selection(), Dialect())


def _peak_bytes() -> int:
    """Read the process's own peak; getrusage's may be that of the process which started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    way, url, tract, folder = sys.argv[1:]
    run = WAYS[way](url, int(tract), Path(folder))
    before = _peak_bytes()
    started = time.perf_counter()
    rows = run()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "bytes": _peak_bytes() - before, "rows": rows}))


if __name__ == "__main__":
    main()
