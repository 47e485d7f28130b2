"""What the server can be told to do wrong, it does."""

import io
from collections.abc import Callable, Iterator

import astropy.io.votable
import pyarrow as pa
import pytest
import requests
from astropy.io.votable.tree import VOTableFile

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.service.test_jobs import create, wait_for

QUERY = (
    "SELECT objectId, coord_ra, detect_isPrimary FROM dp02_dc2_catalogs.Object WHERE tract = 3637 AND patch = 0"
)


@pytest.fixture
def break_with(archive: ArchiveServer) -> Iterator[Callable[[Faults], None]]:
    def switch(faults: Faults) -> None:
        archive.faults = faults

    yield switch
    archive.faults = Faults()


def result(server: ArchiveServer, query: str = QUERY) -> bytes:
    """Run an async job and return its result."""
    job = create(server, query, PHASE="RUN")
    assert wait_for(job, "COMPLETED", "ERROR") == "COMPLETED"
    return requests.get(f"{job}/results/result", timeout=30).content


def read(body: bytes) -> VOTableFile:
    return astropy.io.votable.parse(io.BytesIO(body))


def test_changed_row_is_served(archive: ArchiveServer, break_with: Callable[[Faults], None]) -> None:
    def spoil(batch: pa.RecordBatch) -> pa.RecordBatch:
        positions = batch.column("coord_ra").to_pylist()
        return batch.set_column(1, batch.schema.field(1), pa.array([-1.0, *positions[1:]]))

    honest = read(result(archive)).get_first_table()
    break_with(Faults(rewrite=spoil))
    spoiled = read(result(archive)).get_first_table()
    assert spoiled.array["coord_ra"][0] == -1
    assert len(spoiled.array) == len(honest.array)
    assert [f.unit for f in spoiled.fields] == [f.unit for f in honest.fields]


@pytest.mark.parametrize(
    ("rewrite", "fields"),
    [
        (lambda b: b.drop_columns(["coord_ra"]), [("objectId", "long"), ("detect_isPrimary", "boolean")]),
        (
            lambda b: b.rename_columns(["id", "coord_ra", "detect_isPrimary"]),
            [("id", "long"), ("coord_ra", "double"), ("detect_isPrimary", "boolean")],
        ),
        (
            lambda b: b.set_column(1, "coord_ra", b.column(1).cast(pa.float32())),
            [("objectId", "long"), ("coord_ra", "float"), ("detect_isPrimary", "boolean")],
        ),
        (
            lambda b: b.set_column(0, "objectId", b.column(0).cast(pa.string())),
            [("objectId", "char"), ("coord_ra", "double"), ("detect_isPrimary", "boolean")],
        ),
    ],
    ids=["dropped", "renamed", "narrowed", "retyped"],
)
def test_changed_column_is_served(
    archive: ArchiveServer,
    break_with: Callable[[Faults], None],
    rewrite: Callable[[pa.RecordBatch], pa.RecordBatch],
    fields: list[tuple[str, str]],
) -> None:
    break_with(Faults(rewrite=rewrite))
    assert [(f.name, f.datatype) for f in read(result(archive)).get_first_table().fields] == fields


def test_complete_result_is_marked_as_cut_off(
    archive: ArchiveServer, break_with: Callable[[Faults], None]
) -> None:
    break_with(Faults(overflow=True))
    assert b'value="OVERFLOW"' in result(archive)


def test_row_count_of_the_job_differs(archive: ArchiveServer, break_with: Callable[[Faults], None]) -> None:
    break_with(Faults(report_rows=7))
    job = create(archive, QUERY, PHASE="RUN")
    wait_for(job, "COMPLETED")
    assert "final:7" in requests.get(job, timeout=30).text


def test_result_ends_early_as_if_it_were_whole(
    archive: ArchiveServer, break_with: Callable[[Faults], None]
) -> None:
    whole = result(archive)
    break_with(Faults(truncate_after_bytes=500))
    assert result(archive) == whole[:500]


def test_query_ends_in_error(archive: ArchiveServer, break_with: Callable[[Faults], None]) -> None:
    break_with(Faults(error_text="down for maintenance"))
    job = create(archive, QUERY, PHASE="RUN")
    assert wait_for(job, "COMPLETED", "ERROR") == "ERROR"
    assert "down for maintenance" in requests.get(job, timeout=30).text


def test_query_of_too_many_rows_ends_in_error(
    archive: ArchiveServer, break_with: Callable[[Faults], None]
) -> None:
    break_with(Faults(most_rows=3))
    job = create(archive, QUERY, PHASE="RUN")
    assert wait_for(job, "COMPLETED", "ERROR") == "ERROR"
    assert "results are too large" in requests.get(job, timeout=30).text
    job = create(archive, f"{QUERY} AND objectId < 0", PHASE="RUN")
    assert wait_for(job, "COMPLETED", "ERROR") == "COMPLETED"


@pytest.mark.parametrize(
    ("faults", "status"), [(Faults(html=True), 200), (Faults(unauthorized=True), 401)], ids=["html", "401"]
)
def test_service_is_hidden(
    archive: ArchiveServer, break_with: Callable[[Faults], None], faults: Faults, status: int
) -> None:
    break_with(faults)
    for path in ("/capabilities", "/sync", "/async", "/nowhere"):
        response = requests.get(archive.url + path, timeout=30)
        assert response.status_code == status
        assert ("<html" in response.text) == faults.html
        assert ("<VOTABLE" in response.text) == faults.unauthorized
        assert "Authentication is required" in response.text or faults.html


def test_tap_schema_is_served_well_while_results_are_not(
    archive: ArchiveServer, break_with: Callable[[Faults], None]
) -> None:
    query = "SELECT table_name FROM tap_schema.tables"
    honest = result(archive, query)
    break_with(Faults(error_text="no", overflow=True, truncate_after_bytes=10, rewrite=lambda b: b.slice(0, 0)))
    archive_says = requests.get(f"{archive.url}/sync", params={"LANG": "ADQL", "QUERY": query}, timeout=30).content
    assert archive_says == honest
