"""Processes that are killed, stopped or many at a time: the lake is whole, and the next run completes."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from PIL import Image

from photoz_assets.data.dp02 import TRACTS
from photoz_assets.embedded_archive.service.server import ArchiveServer
from photoz_assets.storage.lake import Lake, connect
from photoz_assets_tests.conftest import FIELD_TRACTS
from photoz_assets_tests.effort import effort
from photoz_assets_tests.reliability.proxy import POLL, Fault, rewritten
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.workers import publishing, refreshing, running
from photoz_assets_tests.reliability.world import TRACT, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SEED = 20261124
LIMITS = (25.0, 25.5)
_DRAWING = 8  # times as long does a run take that draws
KILLED = FaultRecord(
    "Process", "kill -9 at any moment of ingest, audit, publication and drawing",
    "200 random moments (10 in `make test`)", "the lake is readable, each table the old or the new one; the next run completes",
)  # fmt: skip
REATTACHED = FaultRecord(
    "Process", "kill -9 while the archive runs the query", "the process is killed between two polls",
    "the next run goes on with the archive's job", retries=0, jobs=1,
)  # fmt: skip
MANY = FaultRecord(
    "Process", "many writers on many tracts, and readers", "16 processes publish the same 10 tracts (4 and 3 in `make test`) while others read",
    "all are published, readers find whole tables, nothing is left",
)  # fmt: skip
RUNS = FaultRecord(
    "Process", "many Dagster runs on the same tracts", "4 processes run the same 3 tracts (2 and 2 in `make test`)",
    "all succeed, each table is whole, nothing is left",
)  # fmt: skip
FAULTS = [KILLED.fault, REATTACHED.fault, MANY.fault, RUNS.fault]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def check_lake(lake: Lake, rows: dict[float, int]) -> None:
    """Read all that a reader can find: every table whole and of one of the selections, every figure complete."""
    for path in lake.root.rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        asset = path.name.removesuffix(".parquet")
        provenance = lake.provenance(asset, TRACT)
        assert provenance.selection is not None
        assert provenance.rows_stored == table.num_rows
        if asset == "matched_galaxies":
            assert table.num_rows == rows[provenance.selection.faint_limit_mag]
    for path in lake.root.rglob("*.png"):
        with Image.open(path) as image:
            image.load()
    with connect(lake.root) as connection:
        for (view,) in connection.execute("SHOW TABLES").fetchall():
            connection.view(view).fetchall()


def leftovers(lake: Lake) -> list[str]:
    return [path.name for folder in (lake.staging, lake.jobs) for path in folder.glob("*")]


def test_run_that_is_killed_at_a_random_moment_harms_nothing(one_tract: ArchiveServer, lake: Lake) -> None:
    rows: dict[float, int] = {}
    seconds = 0.0
    for limit in LIMITS:
        started = time.monotonic()
        whole = refreshing(one_tract.url, lake.root, limit)
        whole.join(120)
        seconds = time.monotonic() - started
        assert whole.exitcode == 0
        rows[limit] = pq.read_metadata(lake.table("matched_galaxies", TRACT)).num_rows
    assert rows[LIMITS[0]] < rows[LIMITS[1]]
    moments = random.Random(SEED)
    for number in range(effort(10, 200)):
        # Drawing takes most of the time, so it is not always done.
        limit, drawing = LIMITS[number % 2], number % 8 == 7
        killed = refreshing(one_tract.url, lake.root, limit, drawing=drawing)
        killed.join(moments.uniform(0, seconds * (_DRAWING if drawing else 1)))
        killed.kill()
        killed.join()
        check_lake(lake, rows)
        following = refreshing(one_tract.url, lake.root, limit, drawing=drawing)
        following.join(120)
        assert following.exitcode == 0, f"after kill {number} of seed {SEED}"
        check_lake(lake, rows)
        assert lake.provenance("matched_galaxies", TRACT).selection.faint_limit_mag == limit  # type: ignore[union-attr]  # it has one
        assert leftovers(lake) == []
    note(KILLED)


def test_run_that_was_killed_while_it_waited_is_gone_on_with(world: World) -> None:
    world.proxy.faults = [Fault(POLL, rewritten(b"COMPLETED", b"EXECUTING"))]
    url = f"{world.proxy.base}/tap"
    killed = refreshing(url, world.lake.root, 26.0)
    wait_until(lambda: len(world.proxy.asked_for(POLL)) > 5)
    killed.kill()
    killed.join()
    assert [name for name in leftovers(world.lake) if name.endswith(".json")]
    world.proxy.faults = []
    following = refreshing(url, world.lake.root, 26.0)
    following.join(120)
    assert following.exitcode == 0
    assert world.proxy.jobs == 1
    assert leftovers(world.lake) == []
    note(REATTACHED)


def test_many_runs_on_the_same_tracts_all_succeed(archive: ArchiveServer, lake: Lake) -> None:
    count, tracts = effort(2, 4), FIELD_TRACTS[: effort(2, 3)]
    # Each begins with another tract, so that they meet in all orders.
    orders = [tracts[number % len(tracts) :] + tracts[: number % len(tracts)] for number in range(count)]
    processes = [running(archive.url, lake.root, order) for order in orders]
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0] * count
    assert lake.tracts("matched_galaxies") == tracts
    for tract in tracts:
        table = pq.ParquetFile(lake.table("matched_galaxies", tract)).read()
        assert table.num_rows == lake.provenance("matched_galaxies", tract).rows_declared
        assert set(table["obj_tract"].to_pylist()) == {tract}
    assert leftovers(lake) == []
    note(RUNS)


def test_many_processes_on_the_same_tracts_all_publish(lake: Lake) -> None:
    count, tracts = effort(4, 16), effort(3, 10)
    writers = [publishing(lake.root, seed, tracts) for seed in range(count)]
    reads = 0
    while any(writer.is_alive() for writer in writers):
        for tract in lake.tracts("matched_galaxies"):
            table = pq.ParquetFile(lake.table("matched_galaxies", tract)).read()
            assert 200 <= table.num_rows < 200 + count
            reads += 1
    assert [writer.exitcode for writer in writers] == [0] * count
    assert reads > 0
    assert lake.tracts("matched_galaxies") == tuple(sorted(TRACTS[:tracts]))
    sql = f"SELECT tract, count(*), count(DISTINCT obj_tract) FROM '{lake.every_tract('matched_galaxies')}' GROUP BY 1"
    for _, rows, sources in duckdb.execute(sql).fetchall():
        assert 200 <= rows < 200 + count
        assert sources == 1
    assert leftovers(lake) == []
    note(MANY)
