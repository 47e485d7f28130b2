"""The deployment on Postgres, tried for real by ``make postgres``; needs the server and ``dagster-postgres``."""

import importlib.util
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from photoz_archive.service.server import ArchiveServer
from photoz_assets.lake.layout import Lake
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.page import ROOT, serving, settings
from photoz_assets_tests.postgres import COMMANDS, Database, running_database

AT_A_TIME = 4
REFRESHED = DP02.tracts[:12]
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


@pytest.fixture
def database() -> Iterator[Database]:
    with running_database() as database:
        yield database


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
    # The bound on queries hung on the database, not on this machine's files.
    assert not Lake(tmp_path / "lake").slots.exists()
