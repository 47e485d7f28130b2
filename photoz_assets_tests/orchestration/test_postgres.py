"""The deployment on Postgres, tried for real by ``make postgres``; needs the server and ``dagster-postgres``."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.page import ROOT, serving, settings

AT_A_TIME = 4
REFRESHED = DP02.tracts[:12]
# Debian keeps a server's commands off the path, for several versions to stand beside each other.
COMMANDS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
LAUNCH = """mutation ($tracts: [String!]) {
    launchPartitionBackfill(backfillParams: {
        assetSelection: [{path: ["matched_galaxies"]}, {path: ["diagnostics"]}], partitionNames: $tracts
    }) { __typename ... on LaunchBackfillSuccess { backfillId } }
}"""
STATE = """query ($backfill: String!) {
    partitionBackfillOrError(backfillId: $backfill) { ... on PartitionBackfill { status } }
    runsOrError { ... on Runs { results { status startTime endTime } } }
}"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMMANDS, reason="needs Postgres: apt-get install postgresql"),
    pytest.mark.skipif(importlib.util.find_spec("dagster_postgres") is None, reason="needs dagster-postgres"),
]


class Database:
    """A Postgres server on loopback, with its files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._data = folder / "data"
        # Postgres refuses to run as root.
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self._as_user:
            shutil.chown(folder, "postgres")

    def run(self, command: str, *arguments: str) -> str:
        """Run one of Postgres's own commands."""
        line = [*self._as_user, str(COMMANDS[-1] / command), *arguments]
        done = subprocess.run(
            line, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    def start(self) -> None:
        """Make the server's files and start it."""
        self.run("initdb", "-D", str(self._data), "-U", "photoz", "--auth=trust")
        options = f"-p {self.port} -k {self._data.parent} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self._data.parent / "log")
        self.run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stop it."""
        self.run("pg_ctl", "-D", str(self._data), "-m", "fast", "stop")

    def ask(self, sql: str) -> str:
        """Return the one value that a query has."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "photoz", "-d", "postgres"]
        return self.run("psql", *where, "-Atc", sql).strip()


@pytest.fixture
def database() -> Iterator[Database]:
    # Not below pytest's folder: that is its user's alone.
    with tempfile.TemporaryDirectory(prefix="photoz-postgres-") as folder:
        database = Database(Path(folder))
        database.start()
        yield database
        database.stop()


@pytest.fixture
def address(database: Database, tmp_path: Path) -> Iterator[str]:
    """The page of an instance on Postgres, as the deployment's file has it but for the port and the bound."""
    with ArchiveServer(tmp_path / "archive", density=0.002, tracts=REFRESHED) as archive:
        environment = settings(
            tmp_path,
            PHOTOZ_TAP_URL=archive.url,
            DAGSTER_POSTGRES_USER="photoz",
            DAGSTER_POSTGRES_PASSWORD="none",  # noqa: S106 - the server trusts its own machine
            DAGSTER_POSTGRES_HOST="127.0.0.1",
            DAGSTER_POSTGRES_DB="postgres",
        )
        deployed = (ROOT / "deploy" / "dagster.postgres.yaml").read_text()
        for old, new in (
            ("port: 5432", f"port: {database.port}"),
            ("max_concurrent_runs: 8", f"max_concurrent_runs: {AT_A_TIME}"),
        ):
            assert old in deployed
            deployed = deployed.replace(old, new)
        (tmp_path / "home" / "dagster.yaml").write_text(deployed)
        with serving(environment) as address:
            yield address


def _asked(address: str, query: str, **variables: Any) -> Any:
    answer = requests.post(f"{address}/graphql", json={"query": query, "variables": variables}, timeout=60)
    return answer.json()["data"]


def test_refresh_of_twelve_tracts_four_at_a_time(address: str, database: Database, tmp_path: Path) -> None:
    launched = _asked(address, LAUNCH, tracts=[str(tract) for tract in REFRESHED])["launchPartitionBackfill"]
    deadline = time.monotonic() + 600
    while (state := _asked(address, STATE, backfill=launched["backfillId"]))["partitionBackfillOrError"][
        "status"
    ] == "REQUESTED":
        assert time.monotonic() < deadline, state
        time.sleep(1)
    runs = state["runsOrError"]["results"]
    assert Counter(run["status"] for run in runs) == {"SUCCESS": len(REFRESHED)}
    at_a_time = [sum(run["startTime"] <= other["startTime"] < run["endTime"] for run in runs) for other in runs]
    assert 1 < max(at_a_time) <= AT_A_TIME
    for asset in ("matched_galaxies", "diagnostics"):
        assert len(list((tmp_path / "lake" / asset).glob("tract=*/*.parquet"))) == len(REFRESHED)
    assert int(database.ask("SELECT count(*) FROM runs")) == len(REFRESHED)
    assert not list((tmp_path / "home").rglob("*.db"))
