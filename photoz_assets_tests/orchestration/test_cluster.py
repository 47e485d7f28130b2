"""Two machines that share a database, a broker, a bucket and nothing else: ``make cluster``.

Each has a host name, processes and a disk of its own, in namespaces of this machine's kernel; of the other's disk
it sees an empty folder. The deployment is that of ``deploy/celery``.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.object_store import BUCKET, needs_object_store, running_object_store
from photoz_assets_tests.page import ROOT, command, serving, settings
from photoz_assets_tests.postgres import COMMANDS, Database, running_database
from photoz_assets_tests.reliability.proxy import PHASE, POLL, Fault, FaultyProxy, Forward
from photoz_assets_tests.tap.faulty_server import Answer, Request

REFRESHED: Final = DP02.tracts[:12]
MACHINES: Final = ("machine-a", "machine-b")
AT_ONCE: Final = 3
MOST_QUERIES: Final = 4
_MACHINE: Final = ("unshare", "-u", "-m", "-p", "-f", "--kill-child", "--mount-proc")
_BROKER: Final = shutil.which("redis-server")
_LAUNCH: Final = """mutation ($tracts: [String!]) {
    launchPartitionBackfill(backfillParams: {
        assetSelection: [{path: ["matched_galaxies"]}], partitionNames: $tracts
    }) { __typename ... on LaunchBackfillSuccess { backfillId } }
}"""
_RUNS: Final = "query { runsOrError { ... on Runs { results { status tags { key value } } } } }"
_TABLES: Final = """query { assetNodeOrError(assetKey: {path: ["matched_galaxies"]}) { ... on AssetNode {
    partitionStats { numMaterialized } } } }"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("PHOTOZ_CLUSTER"), reason="some minutes: make cluster"),
    pytest.mark.skipif(not COMMANDS, reason="needs Postgres: apt-get install postgresql"),
    pytest.mark.skipif(_BROKER is None, reason="needs Redis: apt-get install redis-server"),
    pytest.mark.skipif(importlib.util.find_spec("dagster_celery") is None, reason="needs dagster-celery[redis]"),
    needs_object_store,
]


@dataclass
class Queries:
    """What the archive is asked, seen from between: how many queries are under way, each for some seconds.

    A query counts from the moment at which it is told to run until whoever asked knows that it is completed.
    """

    seconds: float
    most: int = 0
    _begun: dict[str, float] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    def begin(self, request: Request, forward: Forward) -> Answer:
        """Take note of a query that is told to run."""
        job = request.path.removesuffix("/phase")
        if request.parameters.get("PHASE") == "RUN":
            with self._guard:
                self._begun[job] = time.monotonic()
                self._under_way.add(job)
                self.most = max(self.most, len(self._under_way))
        return forward()

    def look(self, request: Request, forward: Forward) -> Answer:
        """Answer who asks how a query goes: completed, once its time is over."""
        answer = forward()
        with self._guard:
            begun = self._begun.get(request.path)
            if b"COMPLETED" not in answer.body or begun is None:
                return answer
            if time.monotonic() < begun + self.seconds:
                body = answer.body.replace(b"COMPLETED", b"EXECUTING")
                return Answer(status=answer.status, body=body, headers=answer.headers)
            self._under_way.discard(request.path)
        return answer


@dataclass
class Cluster:
    """The page's address, the archive as it is asked, and the machines that work."""

    folder: Path
    variables: dict[str, str]
    address: str
    archive: FaultyProxy
    queries: Queries
    database: Database
    machines: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, machine: str) -> None:
        """Start a machine and the Celery worker on it."""
        own = self.folder / machine
        own.mkdir(exist_ok=True)
        others = [self.folder / each for each in ("page", *MACHINES) if each != machine]
        for each in others:
            each.mkdir(exist_ok=True)
        worker = [command("celery"), "-A", "dagster_celery.app", "worker", "-n", f"worker@{machine}"]
        worker += ["-Q", "dagster", "--concurrency", str(AT_ONCE), "--loglevel", "warning"]
        script = [f"hostname {machine}", *(f"mount -t tmpfs none {each}" for each in others), 'exec "$@"']
        environment = settings(own, **self.variables, PHOTOZ_WORK_DIR=str(own / "work"))
        shutil.copy(self.folder / "page" / "home" / "dagster.yaml", own / "home")
        with (own / "log").open("wb") as log:
            self.machines[machine] = subprocess.Popen(
                [*_MACHINE, "sh", "-ec", "; ".join(script), "sh", *worker],
                env=environment | {"PYTHONPATH": str(ROOT / "deploy" / "celery"), "C_FORCE_ROOT": "1"},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def kill(self, machine: str) -> None:
        """End a machine with all that runs on it, as a power cut does."""
        process = self.machines.pop(machine)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def ask(self, query: str, **variables: Any) -> Any:
        answer = requests.post(
            f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=60
        )
        return answer.json()["data"]

    def launch(self, *tracts: int) -> None:
        """Have tracts refreshed."""
        launched = self.ask(_LAUNCH, tracts=list(map(str, tracts)))["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess"

    def published(self) -> int:
        """Return of how many tracts the page knows a table."""
        return int(self.ask(_TABLES)["assetNodeOrError"]["partitionStats"]["numMaterialized"])

    def wait(self, what: str, holds: Any, seconds: float = 900) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            logs = {name: (self.folder / name / "log").read_text()[-3000:] for name in self.machines}
            assert time.monotonic() < deadline, f"{what}: {self.ask(_RUNS)} {logs}"
            time.sleep(0.1)


@contextmanager
def _broker(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = subprocess.Popen(
        [str(_BROKER), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A page, a database, a broker, a bucket and an archive; no machine works yet."""
    with ExitStack() as stack:
        database = stack.enter_context(running_database())
        for name in ("store", "broker", "page"):
            (tmp_path / name).mkdir()
        store = stack.enter_context(running_object_store(tmp_path / "store"))
        broker = stack.enter_context(_broker(tmp_path / "broker"))
        archive = stack.enter_context(ArchiveServer(tmp_path / "archive", density=0.002, tracts=REFRESHED))
        proxy, queries = FaultyProxy(archive.url), Queries(seconds=4)
        stack.enter_context(proxy.running())
        proxy.faults = [Fault(PHASE, queries.begin), Fault(POLL, queries.look)]
        variables = {
            **store.variables,
            "PHOTOZ_DATA_DIR": f"s3://{BUCKET}/cluster",
            "PHOTOZ_TAP_URL": f"{proxy.base}/tap",
            "DAGSTER_POSTGRES_USER": "photoz",
            "DAGSTER_POSTGRES_PASSWORD": "none",
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_DB": "postgres",
            "DAGSTER_CELERY_BROKER_URL": f"{broker}/0",
            "DAGSTER_CELERY_BACKEND_URL": f"{broker}/1",
        }
        page = tmp_path / "page"
        environment = settings(page, **variables, PHOTOZ_WORK_DIR=str(page / "work"))
        deployed = (ROOT / "deploy" / "celery" / "dagster.yaml").read_text()
        assert "port: 5432" in deployed
        (page / "home" / "dagster.yaml").write_text(deployed.replace("port: 5432", f"port: {database.port}"))
        address = stack.enter_context(serving(environment))
        made = Cluster(
            folder=tmp_path,
            variables=variables,
            address=address,
            archive=proxy,
            queries=queries,
            database=database,
        )
        try:
            yield made
        finally:
            for machine in list(made.machines):
                made.kill(machine)


def test_two_machines_share_the_work_and_the_bound_of_queries(cluster: Cluster) -> None:
    for machine in MACHINES:
        cluster.start(machine)
    cluster.launch(*REFRESHED)
    cluster.wait("all tracts", lambda: cluster.published() == len(REFRESHED))
    cluster.wait("all runs", lambda: _statuses(cluster) == {"SUCCESS": len(REFRESHED)}, seconds=60)
    assert cluster.archive.jobs == len(REFRESHED)
    assert 1 < cluster.queries.most <= MOST_QUERIES
    # What a machine has made it has on its own disk, too.
    made = [len(list((cluster.folder / machine / "work").rglob("*.parquet"))) for machine in MACHINES]
    assert min(made) >= 3


def test_what_a_dead_machine_asked_is_gone_on_with_by_the_other(cluster: Cluster) -> None:
    cluster.queries.seconds = 30
    cluster.start(MACHINES[0])
    cluster.launch(REFRESHED[0])
    cluster.wait("a query", lambda: cluster.queries.under_way == 1)
    cluster.wait("its record", lambda: _count(cluster, "photoz_job_records") == 1)
    killed = time.monotonic()
    cluster.kill(MACHINES[0])
    cluster.wait("its locks", lambda: _count(cluster, "pg_locks WHERE locktype = 'advisory'") == 0, seconds=2)
    freed = time.monotonic() - killed
    cluster.start(MACHINES[1])
    cluster.launch(REFRESHED[0])
    cluster.wait("the tract", lambda: cluster.published() == 1)
    assert freed < 2
    assert cluster.archive.jobs == 1
    cluster.wait("no record", lambda: _count(cluster, "photoz_job_records") == 0, seconds=30)


def _statuses(cluster: Cluster) -> Counter[str]:
    return Counter(run["status"] for run in cluster.ask(_RUNS)["runsOrError"]["results"])


def _count(cluster: Cluster, table: str) -> int:
    return int(cluster.database.ask(f"SELECT count(*) FROM {table}"))
