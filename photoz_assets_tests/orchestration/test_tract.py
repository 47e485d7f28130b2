"""One tract, from the archive into the lake: what is published, what is refused, what stays."""

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import requests
from dagster._core.errors import DagsterUnknownPartitionError

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.runs import Published, Run, Runs

TRACT = 3638
KEY = "mt_match_objectId"


@pytest.fixture
def faults(archive: ArchiveServer) -> Iterator[Callable[..., None]]:
    """Switch faults of the archive on, for one test."""

    def switch(**which: Any) -> None:
        archive.faults = replace(Faults(), **which)

    yield switch
    archive.faults = Faults()


def _changed(column: str, value: Any) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Change one column of the first row of the galaxies that the archive answers."""

    def rewrite(batch: pa.RecordBatch) -> pa.RecordBatch:
        if column not in batch.schema.names or KEY not in batch.schema.names or not batch.num_rows:
            return batch
        index = batch.schema.get_field_index(column)
        old = batch.column(index)
        first = pa.array([value(old[0].as_py()) if callable(value) else value], old.type)
        values = pa.concat_arrays([first, old.slice(1)])
        arrays = [values if number == index else batch.column(number) for number in range(batch.num_columns)]
        return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)

    return rewrite


def _repeated(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Answer the first galaxy's keys for the second one too."""
    if KEY not in batch.schema.names or batch.num_rows < 2:
        return batch
    rows = pa.concat_arrays([pa.array([0, 0]), pa.array(range(2, batch.num_rows))])
    return batch.take(rows.cast(pa.int64()))


def _without(column: str) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    def rewrite(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.drop_columns([column]) if column in batch.schema.names else batch

    return rewrite


def _retyped(column: str, to: pa.DataType) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    def rewrite(batch: pa.RecordBatch) -> pa.RecordBatch:
        if column not in batch.schema.names:
            return batch
        index = batch.schema.get_field_index(column)
        values = pc.cast(batch.column(index), to)
        return batch.set_column(index, pa.field(column, to), values)

    return rewrite


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def materialized(published: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Run]:
    """A lake in which the tract was published, and the run that did it; tests only look at them."""
    runs = Runs(published.url, tmp_path_factory.mktemp("materialized") / "lake")
    shutil.copytree(published.lake.root, runs.lake.root)
    return runs.lake, runs("matched_galaxies", tract=TRACT)


def test_tract_is_published_with_its_checks_on_its_partition(materialized: tuple[Lake, Run]) -> None:
    lake, run = materialized
    assert run.success
    path = lake.table("matched_galaxies", TRACT)
    assert pq.read_schema(path).names == list(MATCHED_GALAXIES.names)
    assert {check.name for check in run.checks.values() if check.passed} == {
        "contract",
        "complete",
        "magnitude_cuts",
        "true_primary_galaxies",
        "finite_values",
        "unique_matches",
        "coordinate_offsets",
        "flux_agreement",
        "not_empty",
    }
    assert {check.partition for check in run.checks.values()} == {str(TRACT)}
    assert run.materialized == {("matched_galaxies", str(TRACT))}


def test_materialization_tells_its_provenance(published: Published, materialized: tuple[Lake, Run]) -> None:
    lake, run = materialized
    metadata = run.metadata("matched_galaxies")
    rows = pq.read_metadata(lake.table("matched_galaxies", TRACT)).num_rows
    assert metadata["dagster/partition_row_count"] == rows
    assert metadata["rows_declared"] == metadata["rows_received"] == rows
    assert metadata["provenance"]["selection"]["faint_limit_mag"] == 26.0
    assert "simulated" in metadata["provenance"]["archive"]["description"]
    assert "obj.tract = 3638" in metadata["adql"]
    assert metadata["job_url"].startswith(published.url)


def test_magnitudes_are_the_archives_formula_and_null_where_there_is_none(published: Published) -> None:
    path = published.lake.table("matched_galaxies", TRACT)
    [(wrong, missing)] = duckdb.execute(
        "SELECT count(*) FILTER (WHERE abs(obj_u_cModelMag - (31.4 - 2.5 * log10(obj_u_cModelFlux))) > 1e-12), "
        "count(*) FILTER (WHERE (obj_u_cModelMag IS NULL) != (obj_u_cModelFlux IS NULL OR obj_u_cModelFlux <= 0)) "
        "FROM (SELECT * FROM read_parquet(?) WHERE obj_u_cModelFlux > 0 OR obj_u_cModelMag IS NULL)",
        [str(path)],
    ).fetchall()
    assert (wrong, missing) == (0, 0)


@pytest.mark.parametrize(
    ("check", "rewrite", "bad_rows"),
    [
        pytest.param("magnitude_cuts", _changed("obj_g_cModelFlux", 100.0), 1, id="magnitude_cuts"),
        pytest.param("magnitude_cuts", _changed("obj_i_cModelFlux", None), 1, id="null flux"),
        pytest.param("true_primary_galaxies", _changed("ts_truth_type", 2), 1, id="a star"),
        pytest.param("true_primary_galaxies", _changed("obj_detect_isPrimary", value=False), 1, id="not primary"),
        pytest.param("true_primary_galaxies", _changed("obj_tract", 3637), 1, id="another tract's"),
        pytest.param("finite_values", _changed("ts_redshift", float("inf")), 1, id="infinite redshift"),
        pytest.param("contract", _changed("mt_match_objectId", None), 1, id="null key"),
        pytest.param("unique_matches", _repeated, None, id="unique_matches"),
        pytest.param("contract", _without("ts_redshift"), None, id="missing column"),
        pytest.param("contract", _retyped("ts_redshift", pa.string()), None, id="retyped column"),
    ],
)
def test_one_bad_row_or_column_is_refused_and_never_seen(
    filled: Runs,
    faults: Callable[..., None],
    check: str,
    rewrite: Callable[[pa.RecordBatch], pa.RecordBatch],
    bad_rows: int | None,
) -> None:
    before = _tables(filled)
    faults(rewrite=rewrite)
    with _watching(filled) as seen:
        run = filled("matched_galaxies", tract=TRACT)
    assert not run.success
    assert not run.checks[check].passed
    assert run.checks[check].partition == str(TRACT)
    if bad_rows:
        assert run.checks[check].metadata["bad_rows"] == bad_rows
        assert len(run.checks[check].offending_rows) == bad_rows
    assert "\n" not in run.failure
    assert check in run.failure or check == "contract"
    assert _tables(filled) == before
    assert seen == before
    assert list(filled.lake.staging.iterdir()) == []


def _tables(runs: Runs) -> set[tuple[Path, str]]:
    """Read the lake as any reader might: each table that is found, with its digest."""
    return {(path, _sha256(path)) for path in runs.lake.root.rglob("*.parquet")}


@contextmanager
def _watching(runs: Runs) -> Iterator[set[tuple[Path, str]]]:
    """Read the lake every 10 ms; collect what is found."""
    seen: set[tuple[Path, str]] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.update(_tables(runs))
            done.wait(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        pytest.param({"overflow": True}, "complete", id="overflow"),
        pytest.param({"report_rows": 7}, "complete", id="another row count"),
        pytest.param({"truncate_after_bytes": 20_000}, None, id="a stream that ends early"),
    ],
)
def test_incomplete_answer_is_refused(
    filled: Runs, faults: Callable[..., None], fault: dict[str, Any], check: str | None
) -> None:
    before = _tables(filled)
    faults(**fault)
    run = filled("matched_galaxies", tract=TRACT)
    assert not run.success
    if check:
        assert not run.checks[check].passed
    assert _tables(filled) == before


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param({"error_text": "column zz not found"}, "column zz not found", id="adql error"),
        pytest.param({"html": True}, "a web page came", id="a web page"),
        pytest.param({"unauthorized": True}, "token", id="unauthorized"),
    ],
)
def test_archive_that_refuses_ends_in_one_clear_line(
    runs: Runs, faults: Callable[..., None], fault: dict[str, Any], words: str
) -> None:
    faults(**fault)
    run = runs("matched_galaxies", tract=TRACT)
    assert not run.success
    assert words.lower() in run.failure.lower()
    assert "\n" not in run.failure
    assert not runs.lake.table("matched_galaxies", TRACT).exists()


def test_tract_that_is_too_large_for_the_archive_is_asked_for_in_strips_and_joined(
    filled: Runs, faults: Callable[..., None]
) -> None:
    path = filled.lake.table("matched_galaxies", TRACT)
    whole = pq.ParquetFile(path).read().sort_by(KEY)
    faults(most_rows=whole.num_rows // 3)
    run = filled("matched_galaxies", tract=TRACT)
    assert run.success
    assert pq.ParquetFile(path).read().sort_by(KEY).equals(whole)
    provenance = filled.lake.provenance("matched_galaxies", TRACT)
    assert len(provenance.parts) > 2
    assert sum(part["rows_declared"] for part in provenance.parts) == whole.num_rows
    assert sum(part["rows_received"] for part in provenance.parts) == provenance.rows_stored == whole.num_rows
    assert len({part["job_url"] for part in provenance.parts}) == len(provenance.parts)
    assert all("obj.coord_dec" in part["adql"].partition("WHERE")[2] for part in provenance.parts)
    assert provenance.rows_declared == whole.num_rows
    assert list(filled.lake.staging.iterdir()) == list(filled.lake.jobs.iterdir()) == []


def test_tract_that_is_too_large_however_it_is_cut_is_refused_soon(
    runs: Runs, faults: Callable[..., None]
) -> None:
    faults(most_rows=0)
    run = runs("matched_galaxies", tract=TRACT)
    assert not run.success
    assert "results are too large" in run.failure
    assert list(runs.lake.jobs.iterdir()) == []


def test_empty_tract_is_a_valid_table_with_a_warning(runs: Runs) -> None:
    nothing = SelectionResource(bright_limit_mag=1.0, faint_limit_mag=2.0)
    run = runs("matched_galaxies", "diagnostics", tract=TRACT, selection=nothing)
    assert run.success
    assert pq.read_metadata(runs.lake.table("matched_galaxies", TRACT)).num_rows == 0
    assert [name for name, check in run.checks.items() if not check.passed] == ["not_empty"]
    assert run.checks["not_empty"].severity.value == "WARN"
    assert runs.lake.figure("diagnostics", "redshifts", TRACT).exists()


def test_selection_without_sense_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    nowhere = Runs("http://127.0.0.1:9/tap", tmp_path / "lake")
    run = nowhere("matched_galaxies", tract=TRACT, selection=SelectionResource(bands=["g", "w"]))
    assert "unknown band 'w'" in run.failure


def test_other_selection_cuts_the_query_and_the_checks_alike(runs: Runs) -> None:
    narrow = SelectionResource(bright_limit_mag=20, faint_limit_mag=23, bands=["z"])
    run = runs("matched_galaxies", tract=TRACT, selection=narrow)
    assert run.success
    magnitudes = pq.read_table(runs.lake.table("matched_galaxies", TRACT), partitioning=None)["obj_z_cModelMag"]
    assert 20 < pc.min(magnitudes).as_py() < pc.max(magnitudes).as_py() < 23


def test_unknown_tract_is_refused_by_name(runs: Runs) -> None:
    with pytest.raises(DagsterUnknownPartitionError, match="9999"):
        runs("matched_galaxies", tract=9999)


def test_no_job_record_or_staged_file_outlives_its_run(materialized: tuple[Lake, Run]) -> None:
    lake, _ = materialized
    assert list(lake.jobs.iterdir()) == []
    assert list(lake.staging.iterdir()) == []


def test_jobs_are_deleted_at_the_archive(materialized: tuple[Lake, Run]) -> None:
    _, run = materialized
    job = run.metadata("matched_galaxies")["job_url"]
    assert requests.get(job, timeout=10).status_code == 404
