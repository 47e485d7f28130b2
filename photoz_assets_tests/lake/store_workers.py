"""What tests of a lake in an object store have other processes do: publish, and read in each documented way.

A publication has a number, which stands in each of its rows and says how many there are.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from types import FrameType
from typing import Final

import deltalake
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoz_assets import connect
from photoz_assets.environment import StoreUrl
from photoz_assets.lake import delta_publisher, staging, writing
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.object_store import ObjectStore
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.lake.writing import write_rows
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.reliability.stages import Timeline
from photoz_assets_tests.samples import galaxies

TRACT: Final = 3638
# Two row groups and more, between which a reader can be overtaken.
ROWS: Final = 50_000
STAGES: Final = ("start", "stage", "audit", "PUT", "commit", "end")
_ENTRANCES: Final = (
    ("stage", writing, "stage"),
    ("audit", writing, "audit"),
    ("PUT", ObjectStore, "put"),
    ("commit", delta_publisher.DeltaPublisher, "_commit"),
)
_NUMBER, _KEY = "mt_match_chisq", "mt_match_objectId"
_IDENTITY: Final = ArchiveIdentity.declared("dp02_dc2_catalogs", "Embedded archive, simulated: density 0.01", {})


class Interrupted(BaseException):
    """A signal came, as Dagster raises it in a run that is terminated."""


def forking() -> ForkServerContext:
    """Return what starts such processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@cache
def _galaxies(rows: int, tract: int) -> pa.Table:
    return galaxies(rows, tract=tract)


def publish(lake: Lake, number: int, *, tract: int = TRACT, rows: int = ROWS) -> None:
    """Stage, audit and publish a table of so many rows and as many more as its number says."""
    made = _galaxies(rows + number, tract)
    index = made.schema.get_field_index(_NUMBER)
    numbers = pa.array([float(number)] * made.num_rows, made.schema.field(_NUMBER).type)
    provenance = Provenance(
        table=MATCHED_GALAXIES.table,
        code_version=MATCHED_GALAXIES.code_version,
        archive=_IDENTITY,
        selection=Selection(),
        tract=tract,
        created=datetime.now(UTC).isoformat(),
    )
    rows_of_it = [made.set_column(index, made.schema.field(_NUMBER), numbers)]
    write_rows(lake, MATCHED_GALAXIES, rows_of_it, provenance)


def publication(rows: pa.Table) -> int:
    """Return of which publication rows are, the whole of it and each row once; -1 for anything else."""
    numbers, keys = pc.unique(rows.column(_NUMBER)).to_pylist(), pc.count_distinct(rows.column(_KEY)).as_py()
    if len(numbers) != 1 or not keys == rows.num_rows == ROWS + numbers[0]:
        return -1
    return int(numbers[0])


def _by_pyarrow(url: str) -> pa.Table:
    dataset = deltalake.DeltaTable(f"{url}/matched_galaxies").to_pyarrow_dataset()
    batches: Iterator[pa.RecordBatch] = dataset.to_batches(columns=[_NUMBER, _KEY], batch_size=8_192)
    return pa.Table.from_batches(list(batches))


def _by_polars(url: str) -> pa.Table:
    return pl.scan_delta(f"{url}/matched_galaxies").select(_NUMBER, _KEY).collect().to_arrow()


def _by_duckdb(url: str) -> pa.Table:
    log = deltalake.DeltaTable(f"{url}/matched_galaxies").to_pyarrow_dataset()
    with duckdb.connect() as connection:
        return connection.from_arrow(log).project(f"{_NUMBER}, {_KEY}").to_arrow_table()


def _by_connect(url: str) -> pa.Table:
    with connect(url) as connection:
        return connection.sql(f"SELECT {_NUMBER}, {_KEY} FROM matched_galaxies").to_arrow_table()


def _by_copy(url: str) -> pa.Table:
    del url
    return pq.read_table(open_lake(_place()).table("matched_galaxies", TRACT), columns=[_NUMBER, _KEY])


READERS: Final[Mapping[str, Callable[[str], pa.Table]]] = {
    "pyarrow": _by_pyarrow,
    "Polars": _by_polars,
    "DuckDB": _by_duckdb,
    "connect": _by_connect,
    "a copy": _by_copy,
}


def reading(reader: str, variables: Mapping[str, str], counts: "SynchronizedArray[int]") -> ForkServerProcess:
    """Start a process that reads until the first count is not 0; whole reads and others are counted behind it."""
    process = forking().Process(target=_read, args=(reader, dict(variables), counts))
    process.start()
    return process


def _read(reader: str, variables: dict[str, str], counts: "SynchronizedArray[int]") -> None:
    os.environ.update(variables)
    latest = 0
    while not counts[0]:
        found = publication(READERS[reader](variables["PHOTOZ_DATA_DIR"]))
        # Nor does anything come back that was replaced.
        whole = found >= latest
        latest = max(found, latest)
        counts[1 if whole else 2] += 1


def publishing(variables: Mapping[str, str], number: int, timeline: Timeline) -> ForkServerProcess:
    """Start a process that publishes once, and notes how far it has come; SIGTERM is an exception there."""
    process = forking().Process(target=_publish, args=(dict(variables), number, timeline))
    process.start()
    return process


def _publish(variables: dict[str, str], number: int, timeline: Timeline) -> None:
    os.environ.update(variables)
    signal.signal(signal.SIGTERM, _interrupt)
    timeline.watch(_ENTRANCES)
    try:
        publish(open_lake(_place()), number)
    except Interrupted:
        # The stage that it was in is the last that it entered.
        sys.exit(3)
    timeline.enter("end")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def filling(variables: Mapping[str, str], tracts: list[int]) -> ForkServerProcess:
    """Start a process that publishes small tables of some tracts."""
    process = forking().Process(target=_fill, args=(dict(variables), tracts))
    process.start()
    return process


def _fill(variables: dict[str, str], tracts: list[int]) -> None:
    os.environ.update(variables)
    lake = open_lake(_place())
    for tract in tracts:
        provenance = Provenance(
            table=MATCHED_GALAXIES.table,
            code_version="1",
            archive=_IDENTITY,
            selection=Selection(),
            tract=tract,
            created=datetime.now(UTC).isoformat(),
        )
        rows = galaxies(50, tract=tract)
        staging.publish(lake, staging.stage(lake, MATCHED_GALAXIES, [rows], partial(_same, provenance)))


def _same(provenance: Provenance) -> Provenance:
    return provenance


def _place() -> StoreUrl:
    bucket, _, prefix = os.environ["PHOTOZ_DATA_DIR"].removeprefix("s3://").partition("/")
    return StoreUrl(bucket, prefix)


def variables_of(store: Mapping[str, str], place: StoreUrl, work: Path) -> dict[str, str]:
    """Return the environment of a machine with a disk of its own."""
    return {**store, "PHOTOZ_DATA_DIR": str(place), "PHOTOZ_WORK_DIR": str(work)}
