"""Locks on a real Postgres server: who gets them, whom they outlive, and what is said where there are none."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from unittest.mock import Mock

import dagster as dg
import pytest

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import FileLocks
from photoz_assets.lake.postgres_locks import LockDatabaseError, PostgresLocks, lake_identity
from photoz_assets.lake.slots import slot
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets_tests.postgres import Database, database_url, needs_postgres

_POOLER: Final = Path("/usr/sbin/pgbouncer")
_AT_MOST_SECONDS: Final = 60.0
# How ss writes up to five seconds, which it calls ms with or without a point; it has minutes for longer ones.
_SOON: Final = re.compile(r"timer:\(keepalive,(\d+ms|[0-5](\.\d+)?(sec|ms))")
_MACHINE: Final = socket.gethostname().partition(".")[0]


@pytest.fixture
def sessions(database: Database) -> Iterator[list[PostgresLocks]]:
    """Sessions of one lake, as processes on several machines have them."""
    made = [PostgresLocks(database.url, "a lake") for _ in range(3)]
    yield made
    for locks in made:
        locks.close()


@needs_postgres
def test_lock_is_held_once_until_it_is_released(sessions: list[PostgresLocks]) -> None:
    one, other, _ = sessions
    lock = one.acquire("a", "run A")
    assert lock is not None
    # Not in its own session either.
    assert [locks.acquire("a", "run B") for locks in (one, other)] == [None, None]
    lock.release()
    taken = other.acquire("a", "run B")
    assert taken is not None
    # What is released twice takes nothing from others.
    lock.release()
    assert one.acquire("a", "run A") is None


@needs_postgres
def test_locks_of_other_names_and_other_lakes_are_free(sessions: list[PostgresLocks], database: Database) -> None:
    assert sessions[0].acquire("a", "run A") is not None
    assert sessions[1].acquire("b", "run B") is not None
    elsewhere = PostgresLocks(database.url, "another lake")
    assert elsewhere.acquire("a", "run C") is not None
    elsewhere.close()


@needs_postgres
def test_slots_bound_all_machines_and_those_who_wait_are_told_for_whom(sessions: list[PostgresLocks]) -> None:
    one, other, third = sessions
    now = 0.0
    reported: list[str] = []
    held = ExitStack()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if reported:
            held.close()

    held.enter_context(slot(one, count=2, holder="run A for matched_galaxies-3637"))
    with (
        slot(other, count=2, holder="run B"),
        slot(third, count=2, holder="run C", log=reported.append, clock=lambda: now, sleep=sleep),
    ):
        pass
    holders = f"{_MACHINE}: run A for matched_galaxies-3637; {_MACHINE}: run B"
    assert reported == [f"run C waits for one of 2 archive slots, held by: {holders}"]


@needs_postgres
def test_killed_process_frees_its_lock(sessions: list[PostgresLocks], database: Database) -> None:
    code = (
        "import sys, time; from photoz_assets.lake.postgres_locks import PostgresLocks\n"
        "lock = PostgresLocks(sys.argv[1], 'a lake').acquire('a', 'the other process')\n"
        "print('in', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, database.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "in\n"
            assert sessions[0].acquire("a", "this one") is None
        finally:
            other.kill()
    assert sessions[0].acquire("a", "this one", wait=True) is not None


@needs_postgres
def test_broken_session_frees_its_locks_and_the_next_is_taken_in_a_new_one(
    sessions: list[PostgresLocks], database: Database
) -> None:
    one, other, _ = sessions
    lost = one.acquire("a", "run A")
    assert lost is not None
    database.ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '%run A'"
    )
    taken = other.acquire("a", "run B", wait=True)
    assert taken is not None
    assert one.acquire("b", "run A") is not None
    lost.release()
    assert one.acquire("a", "run A") is None


@needs_postgres
@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss, of iproute2")
def test_server_looks_for_the_machine_of_a_session_that_is_silent(
    sessions: list[PostgresLocks], database: Database
) -> None:
    """Whoever was cut off is missed 5 + 3 x 2 seconds after; by default, after two hours."""
    assert sessions[0].acquire("a", "run A") is not None
    deadline = time.monotonic() + _AT_MOST_SECONDS
    # At first its timer is that of an answer which is under way.
    while _SOON.search(timers := _server_timers(database.port)) is None:
        assert time.monotonic() < deadline, timers
        time.sleep(0.05)


def _server_timers(port: int) -> str:
    """Return the server's ends of the connections to it, with their timers."""
    command = ["ss", "-Htno", "state", "established", f"( sport = :{port} )"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@needs_postgres
def test_database_that_does_not_answer_is_told_in_one_line_without_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(LockDatabaseError) as told:
        PostgresLocks(database_url(port), "a lake").acquire("a", "run A")
    assert f"the database postgres at 127.0.0.1:{port} does not answer" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


@needs_postgres
@pytest.mark.skipif(not _POOLER.exists(), reason="needs PgBouncer: apt-get install pgbouncer")
def test_pooler_is_refused(database: Database, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={database.port} user=photoz\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n"
        "pool_mode=transaction\n"
    )
    # It refuses to run as root.
    as_user = ["--user=postgres"] if os.getuid() == 0 else []
    with subprocess.Popen([str(_POOLER), *as_user, "--quiet", str(config)]) as pooler:
        try:
            _await_listener(port)
            with pytest.raises(LockDatabaseError, match="is behind a pooler"):
                PostgresLocks(database_url(port), "a lake").acquire("a", "run A")
        finally:
            pooler.terminate()


def _await_listener(port: int) -> None:
    deadline = time.monotonic() + _AT_MOST_SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@needs_postgres
def test_lake_of_an_instance_on_postgres_has_its_locks_there(database: Database, tmp_path: Path) -> None:
    instance = Mock(spec=dg.DagsterInstance)
    instance.run_storage.postgres_url = database.url
    with dg.build_resources({"lake": LakeResource(data_dir=str(tmp_path))}, instance=instance) as resources:
        lake = resources.lake.open()
        other = PostgresLocks(database.url, lake_identity(lake.work))
        assert lake.locks.acquire("a", "run A") is not None
        assert other.acquire("a", "run B") is None
    # They end with the run.
    assert other.acquire("a", "run B", wait=True) is not None
    other.close()


def test_lake_of_another_instance_has_files(tmp_path: Path) -> None:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_resources({"lake": LakeResource(data_dir=str(tmp_path))}, instance=instance) as resources,
    ):
        assert resources.lake.open().locks == FileLocks(Lake(tmp_path).work)


def test_identity_of_a_lake_is_its_own_wherever_it_lies(tmp_path: Path) -> None:
    first = lake_identity(tmp_path / "lake")
    assert lake_identity(tmp_path / "other") != first
    (tmp_path / "lake").rename(tmp_path / "moved")
    assert lake_identity(tmp_path / "moved") == first
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["identity"]
