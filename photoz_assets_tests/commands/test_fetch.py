"""``photoz fetch``: a tract into the lake by one command, with the checks of a run and without one."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets import connect, environment
from photoz_assets.commands.cli import main
from photoz_assets.lake import slots
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.postgres_locks import PostgresLocks, lake_identity
from photoz_assets.lake.slots import slot
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets_tests.postgres import Database, needs_postgres

TRACT = 3638


@pytest.fixture
def served(archive: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("PHOTOZ_TAP_URL", archive.url)
    yield archive
    archive.faults = Faults()


def _fetch(*tracts: int) -> Result:
    return CliRunner().invoke(main, ["fetch", *map(str, tracts)])


@pytest.mark.usefixtures("served")
def test_tract_is_fetched_checked_and_published() -> None:
    fetched = _fetch(TRACT)
    assert fetched.exit_code == 0, fetched.output
    lake = open_lake(environment.data_dir())
    provenance = lake.provenance("matched_galaxies", TRACT)
    assert f"{provenance.rows_stored:,} galaxies in {lake.table('matched_galaxies', TRACT)}" in fetched.output
    assert "9 checks passed" in fetched.output
    with connect() as connection:
        rows = connection.sql("SELECT count(*) FROM matched_galaxies").fetchall()
    assert rows == [(provenance.rows_stored,)]
    assert list(lake.staging.iterdir()) == list(lake.jobs.iterdir()) == []


def test_tract_that_fails_a_check_is_refused_in_one_line_and_the_last_good_one_stays(
    served: ArchiveServer,
) -> None:
    assert _fetch(TRACT).exit_code == 0
    path = open_lake(environment.data_dir()).table("matched_galaxies", TRACT)
    before = path.read_bytes()
    served.faults = replace(Faults(), report_rows=7)
    refused = _fetch(TRACT)
    assert refused.exit_code == 1
    # The archive is in this process, too: what it logs is not the command's.
    [line] = [line for line in refused.stderr.splitlines() if line.startswith("tract ")]
    assert "Traceback" not in refused.stderr
    assert line.startswith(f"tract {TRACT}: ")
    assert "the archive counted 7" in line
    assert path.read_bytes() == before


@needs_postgres
@pytest.mark.usefixtures("served")
def test_fetch_waits_for_the_queries_of_machines_that_share_a_database(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dagster_postgres")
    (tmp_path / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {database.url}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(slots, "PATIENCE_SECONDS", 0.0)
    lake = open_lake(environment.data_dir())
    elsewhere = PostgresLocks(database.url, lake_identity(lake.work))
    try:
        with ExitStack() as held:
            for _ in range(ArchiveResource().limits.queries):
                held.enter_context(slot(elsewhere, count=4, holder="a run elsewhere"))
            freed = threading.Timer(3.0, held.close)
            freed.start()
            fetched = _fetch(TRACT)
            freed.join()
    finally:
        elsewhere.close()
    assert fetched.exit_code == 0, fetched.output
    assert "archive slots, held by: " in fetched.output
    assert "a run elsewhere" in fetched.output
    assert lake.table("matched_galaxies", TRACT).exists()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "says",
    [
        "storage: [",
        "no_such_key: 1",
        "storage: {postgres: {postgres_url: 'postgresql+psycopg2://photoz:secret@127.0.0.1:1/postgres'}}",
    ],
    ids=["damaged", "unknown", "database-that-is-not-there"],
)
def test_instance_that_cannot_be_opened_is_told_in_one_line(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text(says)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    refused = _fetch(TRACT)
    assert refused.exit_code == 1
    assert isinstance(refused.exception, SystemExit)
    assert f"see to {tmp_path / 'dagster.yaml'}" in refused.stderr
    assert "secret" not in refused.stderr


def test_number_that_is_no_tract_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOZ_TAP_URL", "http://127.0.0.1:9/tap")
    refused = _fetch(TRACT, 9)
    assert refused.exit_code == 1
    assert "no tract of the survey: 9." in refused.output
