"""Every fault of the data, served by the archive itself: it is refused by name, and the last good table stays."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.reliability.proxy import RESULT, Fault, cut
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.world import KEY, World, lost_and_wrong
from photoz_assets_tests.tap.faulty_server import Answer, Request

Rewrite = Callable[[pa.RecordBatch], pa.RecordBatch]
RECOVERS = "^recovered"


def galaxies(change: Rewrite) -> Rewrite:
    """Change what is answered of the galaxies, and nothing else."""
    return lambda batch: change(batch) if KEY in batch.schema.names and batch.num_rows else batch


def first(column: str, value: Any) -> Rewrite:
    """Change a column's first value."""

    def rewrite(batch: pa.RecordBatch) -> pa.RecordBatch:
        index = batch.schema.get_field_index(column)
        old = batch.column(index)
        changed = pa.concat_arrays([pa.array([value], old.type), old.slice(1)])
        return batch.set_column(index, batch.schema.field(index), changed)

    return galaxies(rewrite)


def retyped(column: str, kind: pa.DataType) -> Rewrite:
    """Change a column's type."""

    def rewrite(batch: pa.RecordBatch) -> pa.RecordBatch:
        index = batch.schema.get_field_index(column)
        return batch.set_column(index, pa.field(column, kind), pc.cast(batch.column(index), kind))

    return galaxies(rewrite)


def _repeated(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = pa.array([0, 0, *range(2, batch.num_rows)])
    return batch.take(rows)


def _extra(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.append_column("surprise", batch.column(0))


@dataclass(frozen=True)
class Case:
    """A fault of the data, how it is injected and what must come of it."""

    fault: str
    injected: str
    rewrite: Rewrite
    outcome: str


# fmt: off
CASES = [
    Case("missing column", "ts_redshift is left out", galaxies(lambda batch: batch.drop_columns(["ts_redshift"])), "ts_redshift"),
    Case("extra column", "surprise is added", galaxies(_extra), "surprise"),
    Case("renamed column", "ts_redshift is called z", galaxies(lambda batch: batch.rename_columns(
        ["z" if name == "ts_redshift" else name for name in batch.schema.names])), "ts_redshift"),
    Case("retyped column", "ts_redshift is text", retyped("ts_redshift", pa.string()), "ts_redshift"),
    Case("reordered columns", "the last comes first", galaxies(lambda batch: batch.select(
        [batch.schema.names[-1], *batch.schema.names[:-1]])), RECOVERS),
    Case("NULL in a key", "the first mt_match_objectId", first(KEY, None), "contract: 1 of"),
    Case("NaN", "the first ts_redshift", first("ts_redshift", float("nan")), "contract: 1 of"),
    Case("infinity", "the first ts_redshift", first("ts_redshift", float("inf")), "finite_values"),
    Case("negative flux that is cut on", "the first obj_g_cModelFlux", first("obj_g_cModelFlux", -5.0), "magnitude_cuts"),
    Case("duplicate ids", "the first galaxy twice", galaxies(_repeated), "unique_matches"),
    Case("row of another tract", "the first obj_tract", first("obj_tract", 3637), "true_primary_galaxies"),
    Case("row outside the cuts", "the first obj_i_cModelFlux is of magnitude 26.4", first("obj_i_cModelFlux", 100.0),
         "magnitude_cuts"),
]
# fmt: on


def check(world: World, case: Case, truth: pa.Table) -> None:
    """Hold what comes of a refresh against a case."""
    before = world.digest()
    outcome = world.refresh()
    assert re.search(case.outcome, outcome.text), outcome
    assert "\n" not in outcome.text
    assert (world.digest() == before) == (outcome.error is not None)
    assert world.leftovers() == []
    assert world.proxy.jobs == 1
    lost, wrong = lost_and_wrong(world.rows(), truth)
    assert (lost, wrong) == (0, 0)
    note(
        FaultRecord(
            "Data", case.fault, case.injected, outcome.text, outcome.retries, world.proxy.jobs, lost, wrong
        )
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_fault_of_the_data_is_refused_by_name(
    case: Case, world: World, one_tract: ArchiveServer, truth: pa.Table
) -> None:
    one_tract.faults = Faults(rewrite=case.rewrite)
    check(world, case, truth)


@pytest.mark.parametrize("fault", ["missing column", "duplicate ids"])
def test_refused_result_is_not_used_again_though_its_job_cannot_be_deleted(
    fault: str, world: World, one_tract: ArchiveServer
) -> None:
    [case] = [each for each in CASES if each.fault == fault]
    world.proxy.faults = [Fault(("DELETE", "/tap/async/"), Answer(status=503))]
    one_tract.faults = Faults(rewrite=case.rewrite)
    assert world.refresh().error
    assert any("could not be removed" in line for line in world.refresh().said)
    assert world.leftovers() == []
    one_tract.faults = Faults()
    assert world.refresh().error is None
    assert world.proxy.jobs == 3


def test_zero_rows_are_what_the_archive_says_and_a_warning(world: World, one_tract: ArchiveServer) -> None:
    one_tract.faults = Faults(rewrite=galaxies(lambda batch: batch.slice(0, 0)))
    outcome = world.refresh()
    assert outcome.error is None
    assert world.rows().num_rows == 0
    injected, what = "the archive counts and gives none", "published as it is, with the warning not_empty"
    note(FaultRecord("Data", "zero rows", injected, what, outcome.retries, world.proxy.jobs))


def _endless_text(_: Request, forward: Callable[[], Answer]) -> Answer:
    header = forward().body.partition(b"<DATA>")[0]
    return Answer(body=header + b"<DATA><TABLEDATA><TR><TD>" + b"x" * 100_000_000)


def _announced_text(_: Request, forward: Callable[[], Answer]) -> Answer:
    return Answer(body=forward().body.replace(b'arraysize="18"', b'arraysize="100000000"', 1))


def _broken_parquet(_: Request, forward: Callable[[], Answer]) -> Answer:
    body = bytearray(forward().body)
    body[5000:5100] = b"\xff" * 100
    return Answer(body=bytes(body))


VOTABLES = [
    (Case("a text of 100 MB", "a TABLEDATA cell", galaxies(_extra), "refused"), Fault(RESULT, _endless_text)),
    (
        Case("a text of 100 MB in each row", "announced as arraysize", galaxies(_extra), "refused"),
        Fault(RESULT, _announced_text),
    ),
]


@pytest.mark.parametrize(("case", "fault"), VOTABLES, ids=lambda value: getattr(value, "fault", ""))
def test_fault_of_a_votable(case: Case, fault: Fault, world: World, truth: pa.Table) -> None:
    world.proxy.faults = [fault]
    check(world, case, truth)


PARQUET = [
    (
        Case("malformed Parquet", "100 bytes of a page", galaxies(_extra), "refused"),
        Fault(RESULT, _broken_parquet),
    ),
    (
        Case("Parquet without its end, once", "half the file", galaxies(_extra), RECOVERS),
        Fault(RESULT, cut(30_000, has_length=False), times=1),
    ),
]
FAULTS = [*(case.fault for case in CASES), *(case.fault for case, _ in (*VOTABLES, *PARQUET)), "zero rows"]


@pytest.mark.parametrize(("case", "fault"), PARQUET, ids=lambda value: getattr(value, "fault", ""))
def test_fault_of_a_parquet_file(case: Case, fault: Fault, world: World, truth: pa.Table) -> None:
    world.prefer_parquet = True
    world.proxy.faults = [fault]
    check(world, case, truth)
