"""From a TAP result to a table on disk: ours, the notebook's, STILTS's, and the floor under all of them.

The query has run before: what is measured begins with the download of its result.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import Measured, status_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from photoz_assets.lake.provenance import Provenance
    from photoz_assets.tap.jobs import Job

_MAXREC = 10_000_000


def adql(tract: int) -> str:
    from photoz_assets.survey.queries import Dialect, matched_galaxies_query
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.survey.selection import Selection

    return matched_galaxies_query(RELEASE, tract, Selection(), Dialect())


def ask(url: str, tract: int, *, parquet: bool = False) -> "Job":
    """Run the query of a tract at the archive, to its end."""
    # What the first array would load is not the measurement's.
    import pandas as pd  # noqa: F401

    from photoz_assets.tap.client import TapClient

    job = TapClient(url, prefer_parquet=parquet).submit(adql(tract), maxrec=_MAXREC)
    job.run()
    job.wait(600)
    return job


def provenance(tract: int) -> "Provenance":
    from photoz_assets.lake.provenance import Provenance
    from photoz_assets.survey.selection import Selection

    return Provenance(table="matched_galaxies", code_version="benchmark", selection=Selection(), tract=tract)


def download(url: str, tract: int, folder: str, parquet: bool = False) -> Measured:  # noqa: FBT001, FBT002 - JSON's
    """Bring the result's bytes to the disk."""
    import requests

    job = ask(url, tract, parquet=parquet)
    result_url = job.summary().result_url or f"{job.url}/results/result"

    def run() -> dict[str, Any]:
        path = _result(folder, parquet=parquet)
        with requests.get(result_url, stream=True, timeout=60) as response, path.open("wb") as file:
            for chunk in response.iter_content(1 << 20):
                file.write(chunk)
        return {"bytes": path.stat().st_size}

    return run


def _result(folder: str, *, parquet: bool) -> Path:
    return Path(folder) / ("result.parquet" if parquet else "result.vot")


def write(url: str, tract: int, folder: str) -> Measured:
    """Write the result's rows to Parquet from memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE

    with ask(url, tract) as job:
        table = pa.Table.from_batches(
            [_with_magnitudes(batch) for batch in job.fetch(matched_galaxies_spec(RELEASE).selected_schema)]
        )

    def run() -> dict[str, Any]:
        path = Path(folder) / "floor.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=1, use_dictionary=False)
        return {"bytes": path.stat().st_size, "rows": table.num_rows}

    return run


def ours(url: str, tract: int, folder: str, parquet: bool = False) -> Measured:  # noqa: FBT001, FBT002 - JSON's
    """Stream the result into a staged table, audit and publish it, as the asset does."""
    from photoz_assets.lake.audit import audit
    from photoz_assets.lake.layout import Lake
    from photoz_assets.lake.staging import publish, spill_folder, stage, temp_file
    from photoz_assets.survey.checks import Scope
    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.survey.selection import Selection

    lake, spec = Lake(Path(folder)), matched_galaxies_spec(RELEASE)
    job = ask(url, tract, parquet=parquet)

    def run() -> dict[str, Any]:
        start = status_bytes("VmRSS")
        with temp_file(lake) as spooled:
            stream = job.fetch(spec.selected_schema, spool=spooled)
            staged = stage(
                lake, matched_galaxies_spec(RELEASE), map(_with_magnitudes, stream), lambda: provenance(tract)
            )
        ingest_mib = (status_bytes("VmHWM") - start) / 2**20
        rules = spec.rules(Scope(Selection(), tract))
        verdicts = audit(staged.path, rules, spill=spill_folder(staged.path))
        if failed := [verdict.summary for verdict in verdicts if not verdict.passed]:
            raise RuntimeError(failed)
        path = publish(lake, staged)
        return {"rows": staged.rows, "bytes": path.stat().st_size, "ingest_mib": ingest_mib}

    return run


def notebook(url: str, tract: int, folder: str) -> Measured:
    """Do as the notebook does: pyvo, astropy Table, pandas, pickle. Nothing is checked."""
    import astropy.table  # noqa: F401
    import pandas as pd  # noqa: F401
    import pyvo

    job = pyvo.dal.TAPService(url).submit_job(adql(tract), maxrec=_MAXREC)
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"], timeout=600)
    job.raise_if_error()

    def run() -> dict[str, Any]:
        frame = job.fetch_result().to_table().to_pandas()
        path = Path(folder) / "notebook.pkl"
        frame.to_pickle(path)
        return {"rows": len(frame), "bytes": path.stat().st_size}

    return run


def stilts(folder: str) -> Measured:
    """Convert the downloaded result to FITS: STILTS as Debian packs it writes no Parquet."""
    if not (command := shutil.which("stilts")):
        raise RuntimeError("STILTS is not installed")
    source, copied = _result(folder, parquet=False), Path(folder) / "stilts.fits"

    def run() -> dict[str, Any]:
        subprocess.run([command, "tcopy", str(source), "ifmt=votable", str(copied), "ofmt=fits"], check=True)
        return {"bytes": copied.stat().st_size}

    return run


def stage_rows(folder: str, rows: int, parquet: bool = False) -> Measured:  # noqa: FBT001, FBT002 - JSON's
    """Stage so many rows of the downloaded result, over and over if it has fewer."""
    import pandas as pd  # noqa: F401

    from photoz_assets.lake.layout import Lake
    from photoz_assets.lake.staging import stage
    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE

    read = _read_parquet if parquet else _read_votable
    batches = map(_with_magnitudes, _repeated(lambda: read(_result(folder, parquet=parquet)), rows))

    def run() -> dict[str, Any]:
        staged = stage(Lake(Path(folder)), matched_galaxies_spec(RELEASE), batches, lambda: provenance(0))
        staged.discard()
        return {"rows": staged.rows}

    return run


def _with_magnitudes(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    from photoz_assets.science.photometry import with_magnitudes
    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE

    return with_magnitudes(batch, matched_galaxies_spec(RELEASE), RELEASE)


def _repeated(read: "Callable[[], Iterator[pa.RecordBatch]]", rows: int) -> "Iterator[pa.RecordBatch]":
    for _ in count():
        for batch in read():
            yield batch.slice(0, rows)
            rows -= min(rows, batch.num_rows)
            if not rows:
                return


def _read_votable(path: Path) -> "Iterator[pa.RecordBatch]":
    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.tap import votable

    with path.open("rb") as file:
        yield from votable.decode(
            iter(lambda: file.read(1 << 20), b""), matched_galaxies_spec(RELEASE).selected_schema
        )


def _read_parquet(path: Path) -> "Iterator[pa.RecordBatch]":
    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.tap import parquet, votable

    return parquet.read(
        path, matched_galaxies_spec(RELEASE).selected_schema, batch_rows=votable.DEFAULT_BATCH_ROWS
    )


RESULTS = {function.__name__: function for function in (download, write, ours, notebook, stilts, stage_rows)}
