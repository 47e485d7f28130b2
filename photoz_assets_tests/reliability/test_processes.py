"""Processes that are killed while they wait, or many at a time: all is published, and nothing is left."""

import time
from collections.abc import Callable
from dataclasses import replace

import duckdb
import pyarrow.parquet as pq
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.staging import atomic_write, publish, temp_file
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.effort import effort
from photoz_assets_tests.reliability.proxy import CAPABILITIES, POLL, Fault, Forward, rewritten
from photoz_assets_tests.reliability.records import FaultRecord, SoakRecord, note, note_soak
from photoz_assets_tests.reliability.workers import (
    publishing,
    refreshing,
    running,
    seconds,
    staged_table,
    standing_still,
    taking_turns,
)
from photoz_assets_tests.reliability.world import TRACT, World, leftovers
from photoz_assets_tests.tap.faulty_server import Answer, Request

pytestmark = pytest.mark.timeout(1800)

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
STILL = FaultRecord(
    "Process", "a process that stands still with a staged table, and then is killed", "while others stage and publish the same tract",
    "nobody waits for it; its file is swept when it is dead, and none that is in use",
)  # fmt: skip
FAULTS = [REATTACHED.fault, MANY.fault, RUNS.fault, STILL.fault]


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


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


def test_archive_never_runs_more_queries_at_a_time_than_the_processes_are_allowed(world: World) -> None:
    allowed, askers = 2, 4
    ended: set[str] = set()
    at_a_time: list[int] = []
    released: list[float] = []

    def held(request: Request, forward: Forward) -> Answer:
        """Let jobs run until all processes have come, and for as long as one would take to ask out of its turn."""
        started = {each.path for each in world.proxy.requests if each.parameters.get("PHASE") == "RUN"}
        at_a_time.append(len(started) - len(ended))
        if not released and len(world.proxy.asked_for(CAPABILITIES)) == askers:
            released.append(time.monotonic() + 2)
        answer = forward()
        if not released or time.monotonic() < released[0]:
            return replace(answer, body=answer.body.replace(b"COMPLETED", b"EXECUTING"))
        if b"COMPLETED" in answer.body:
            ended.add(request.path)
        return answer

    world.proxy.faults = [Fault(POLL, held)]
    url = f"{world.proxy.base}/tap"
    processes = [taking_turns(url, world.lake.root, 25 + number / 10, allowed) for number in range(askers)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * askers
    assert len(ended) == world.proxy.jobs == askers
    assert max(at_a_time) == allowed
    assert leftovers(world.lake) == []


def test_staged_file_is_swept_when_its_process_is_dead_and_not_before(lake: Lake) -> None:
    process = standing_still(lake.root)
    wait_until(lambda: bool(list(lake.staging.glob("*.staged"))))
    [theirs] = lake.staging.glob("*.staged")
    publish(lake, staged_table(lake, 20))
    in_use = staged_table(lake, 10)
    assert process.is_alive()
    assert {path.name for path in lake.staging.glob("*.staged")} == {theirs.name, in_use.path.name}
    process.kill()
    process.join()
    with temp_file(lake) as spooled:
        assert not theirs.exists()
        spooled.write_bytes(b"PAR1")
        staged_table(lake, 10).discard()
        assert spooled.exists()
    assert not spooled.exists()
    figure = lake.figure("diagnostics", "redshifts", TRACT)
    with atomic_write(lake, figure) as drawn:
        drawn.write_bytes(b"PNG")
        staged_table(lake, 10).discard()
        assert not figure.exists()
    assert figure.read_bytes() == b"PNG"
    publish(lake, in_use)
    assert pq.read_metadata(lake.table("matched_galaxies", TRACT)).num_rows == 10
    assert leftovers(lake) == []
    note(STILL)


@pytest.mark.slow
def test_many_runs_on_the_same_tracts_all_succeed(archive: ArchiveServer, lake: Lake) -> None:
    started = time.monotonic()
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
    extent = f"{count} processes x {len(tracts)} tracts, each a Dagster run"
    note_soak(
        SoakRecord("runs at once", extent, f"{count * len(tracts)} of {count * len(tracts)} succeeded"), started
    )


def test_many_processes_on_the_same_tracts_all_publish(lake: Lake) -> None:
    started = time.monotonic()
    count, tracts = effort(4, 16), effort(3, 10)
    waited = seconds(count)
    writers = [publishing(lake.root, seed, tracts, waited) for seed in range(count)]
    reads = 0
    while any(writer.is_alive() for writer in writers):
        for tract in lake.tracts("matched_galaxies"):
            table = pq.ParquetFile(lake.table("matched_galaxies", tract)).read()
            assert 200 <= table.num_rows < 200 + count
            reads += 1
    assert [writer.exitcode for writer in writers] == [0] * count
    assert reads > 0
    assert lake.tracts("matched_galaxies") == tuple(sorted(DP02.tracts[:tracts]))
    sql = f"SELECT tract, count(*), count(DISTINCT obj_tract) FROM '{lake.root}/matched_galaxies/*/*.parquet' GROUP BY 1"
    for _, rows, sources in duckdb.execute(sql).fetchall():
        assert 200 <= rows < 200 + count
        assert sources == 1
    assert leftovers(lake) == []
    note(MANY)
    done = (
        f"{count * tracts} of {count * tracts} published, {reads} whole tables read meanwhile; the longest wait for the "
        f"lock of publication took {1000 * max(waited[:]):.0f} ms"
    )
    note_soak(SoakRecord("writers at once", f"{count} processes x {tracts} tracts", done), started)
