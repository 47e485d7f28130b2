"""Records of archive jobs on a real Postgres server: taken over from the dead alone, whatever their machine."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

import pytest

from photoz_assets.lake.job_records import Question
from photoz_assets.lake.postgres_locks import LockDatabaseError, PostgresLocks
from photoz_assets.lake.postgres_records import PostgresJobRecords
from photoz_assets_tests.postgres import Database, database_url, needs_postgres

JOB = "http://archive/tap/async/1"
QUESTION = Question(name="galaxies-3638", adql="SELECT 1", archive_url="http://archive/tap", listing="one")

pytestmark = needs_postgres


@pytest.fixture
def machines(database: Database) -> Iterator[list[PostgresJobRecords]]:
    """The records of one lake, as two machines have them; what a former test left is gone."""
    sessions = [PostgresLocks(database.url, "a lake") for _ in range(2)]
    database.ask("DROP TABLE IF EXISTS photoz_job_records")
    yield [PostgresJobRecords(locks) for locks in sessions]
    for locks in sessions:
        locks.close()


def _count(database: Database) -> int:
    return int(database.ask("SELECT count(*) FROM photoz_job_records"))


def _left(records: PostgresJobRecords, question: Question = QUESTION) -> None:
    """Leave a job with the archive, as a run does that is interrupted."""
    with suppress(KeyboardInterrupt), records.own(question, "first") as record:
        record.note(JOB)
        raise KeyboardInterrupt


def test_record_goes_with_its_block(machines: list[PostgresJobRecords], database: Database) -> None:
    with machines[0].own(QUESTION, "run") as record:
        assert record.job_url is None
        record.note(JOB)
        assert _count(database) == 1
    assert _count(database) == 0


def test_record_of_a_job_that_was_left_is_gone_on_with_elsewhere(
    machines: list[PostgresJobRecords], database: Database
) -> None:
    _left(machines[0])
    with machines[1].own(QUESTION, "second") as record:
        assert record.job_url == JOB
    assert _count(database) == 0


def test_record_of_another_question_is_left_alone(machines: list[PostgresJobRecords], database: Database) -> None:
    other = Question(name="galaxies-3638", adql="SELECT 1", archive_url="http://archive/tap", listing="another")
    _left(machines[0], other)
    elsewhere = PostgresLocks(database.url, "another lake")
    for records, question in ((machines[1], QUESTION), (PostgresJobRecords(elsewhere), other)):
        with records.own(question, "second") as record:
            assert record.job_url is None
    elsewhere.close()
    assert _count(database) == 1


def test_record_of_a_living_run_is_left_alone(machines: list[PostgresJobRecords], database: Database) -> None:
    with machines[0].own(QUESTION, "first") as first:
        first.note(JOB)
        for records in machines:
            with records.own(QUESTION, "second") as second:
                assert second.job_url is None
        assert _count(database) == 1
    assert _count(database) == 0


def test_record_without_a_job_is_removed(machines: list[PostgresJobRecords], database: Database) -> None:
    with suppress(KeyboardInterrupt), machines[0].own(QUESTION, "first"):
        raise KeyboardInterrupt
    assert _count(database) == 0


def test_job_of_a_killed_process_is_taken_over(machines: list[PostgresJobRecords], database: Database) -> None:
    code = (
        "import json, sys, time\n"
        "from photoz_assets.lake.job_records import Question\n"
        "from photoz_assets.lake.postgres_locks import PostgresLocks\n"
        "from photoz_assets.lake.postgres_records import PostgresJobRecords\n"
        "question = Question(**json.loads(sys.argv[2]))\n"
        "with PostgresJobRecords(PostgresLocks(sys.argv[1], 'a lake')).own(question, 'killed') as record:\n"
        f"    record.note({JOB!r})\n"
        "    print('noted', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, database.url, json.dumps(asdict(QUESTION))],
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "noted\n"
            with machines[0].own(QUESTION, "second") as record:
                assert record.job_url is None
        finally:
            other.kill()
    # The server sees the end of the session by itself.
    assert machines[0].locks.acquire(_name(database), "third", wait=True) is not None
    machines[0].locks.close()
    with machines[1].own(QUESTION, "third") as record:
        assert record.job_url == JOB
    assert _count(database) == 0


def _name(database: Database) -> str:
    return database.ask("SELECT name FROM photoz_job_records")


def test_account_that_may_make_no_table_is_told_so(database: Database, machines: list[PostgresJobRecords]) -> None:
    del machines
    database.ask("CREATE ROLE reader LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    locks = PostgresLocks(database_url(database.port, "reader"), "a lake")
    with (
        pytest.raises(
            LockDatabaseError, match=r"refuses what the lake keeps there \(permission denied.*\)\. Let its"
        ),
        PostgresJobRecords(locks).own(QUESTION, "run"),
    ):
        pass
    locks.close()
