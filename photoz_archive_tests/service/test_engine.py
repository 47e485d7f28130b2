"""The database behind the service: locked, one cursor a query, and calm under many clients."""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
import requests

from photoz_archive.service.cancellation import Cancellation
from photoz_archive.service.engine import Engine, ServedSky
from photoz_archive.service.errors import QueryStoppedError
from photoz_archive.service.schema import ArchiveSchema
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.coadds import coadd_patches
from photoz_archive.sky.recipe import DP02
from photoz_archive.sky.store import SkyStore
from photoz_archive_tests.service.test_jobs import create, phase
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS


@pytest.fixture
def database(schema: ArchiveSchema, tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """The engine's own connection: what a query could do that got past the translation."""
    sky = SkyStore(tmp_path / "sky", density=DENSITY, tracts=FIELD_TRACTS)
    engine = Engine(
        schema,
        {DP02.release.schema: ServedSky(sky=sky, tables=DP02.tables, patches=coadd_patches())},
        sky_folder=tmp_path / "sky",
        scratch_folder=tmp_path / "scratch",
    )
    (tmp_path / "secret.parquet").write_bytes(b"PAR1")
    return engine.database


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '{folder}/secret.parquet'",
        "SELECT * FROM read_parquet('{folder}/sky/../secret.parquet')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "ATTACH '{folder}/new.db' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "PRAGMA threads = 64",
        "SELECT * FROM tmp_path",
    ],
)
def test_statement_that_reaches_out_is_refused_by_the_database_too(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, statement: str
) -> None:
    with database.cursor() as cursor, pytest.raises(duckdb.Error):
        cursor.execute(statement.format(folder=tmp_path)).fetchall()


def test_stop_before_the_query_starts_is_not_lost() -> None:
    with duckdb.connect() as connection:
        cancellation = Cancellation()
        cursor = connection.cursor()
        cancellation.attach(cursor, 60, "too long")
        cancellation.stop("no more")
        with pytest.raises(duckdb.InterruptException):
            cursor.execute("SELECT COUNT(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range < 0")
        cancellation.finish()
        with pytest.raises(QueryStoppedError, match="no more"):
            cancellation.check()


def test_stop_before_there_is_a_cursor_keeps_the_query_from_starting() -> None:
    cancellation = Cancellation()
    cancellation.stop("no more")
    with duckdb.connect() as connection, pytest.raises(QueryStoppedError, match="no more"):
        cancellation.attach(connection, 60, "too long")


def test_stop_after_the_end_says_nothing() -> None:
    cancellation = Cancellation()
    cancellation.finish()
    cancellation.stop("no more")
    cancellation.check()


def test_many_clients_at_once_all_get_their_rows(archive: ArchiveServer) -> None:
    sync = {"LANG": "ADQL", "FORMAT": "csv"}

    def client(number: int) -> tuple[int, str]:
        tract = FIELD_TRACTS[number % 3]
        query = f"SELECT tract, COUNT(*) AS n FROM dp02_dc2_catalogs.Object WHERE tract = {tract} GROUP BY tract"
        if number % 2:
            job = create(archive, query, FORMAT="csv", PHASE="RUN")
            while (now := phase(job)) not in {"COMPLETED", "ERROR"}:
                requests.get(job, params={"WAIT": "60", "PHASE": now}, timeout=90)
            response = requests.get(f"{job}/results/result", timeout=60)
        else:
            response = requests.get(f"{archive.url}/sync", params=sync | {"QUERY": query}, timeout=60)
        return response.status_code, response.text

    with ThreadPoolExecutor(50) as pool:
        answers = Counter(pool.map(client, range(90)))
    assert len(answers) == 3
    assert {status for status, _ in answers} == {200}
    assert set(answers.values()) == {30}


def test_client_that_goes_away_leaves_nothing_behind(archive: ArchiveServer) -> None:
    query = "SELECT a.objectId FROM dp02_dc2_catalogs.Object AS a, dp02_dc2_catalogs.Object AS b WHERE a.tract = b.tract"
    for _ in range(12):  # more than may run at once
        with requests.get(
            f"{archive.url}/sync", params={"LANG": "ADQL", "QUERY": query}, timeout=30, stream=True
        ) as response:
            next(response.iter_content(1000))
    small = {"LANG": "ADQL", "QUERY": "SELECT table_name FROM tap_schema.tables", "FORMAT": "csv"}
    assert requests.get(f"{archive.url}/sync", params=small, timeout=30).ok


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_large_result_is_streamed_in_little_memory(archive: ArchiveServer) -> None:
    query = (
        "SELECT TOP 3000000 a.objectId, a.coord_ra, a.refBand, b.coord_dec "
        "FROM dp02_dc2_catalogs.Object AS a, dp02_dc2_catalogs.Object AS b WHERE a.tract = 3637 AND b.tract = 3638"
    )
    before, highest, stop = resident_bytes(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            highest[0] = max(highest[0], resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    received = 0
    with requests.get(
        f"{archive.url}/sync", params={"LANG": "ADQL", "QUERY": query}, timeout=60, stream=True
    ) as response:
        for chunk in response.iter_content(1 << 20):
            received += len(chunk)
    stop.set()
    watcher.join()
    assert received > 100e6
    assert highest[0] - before < 250e6
