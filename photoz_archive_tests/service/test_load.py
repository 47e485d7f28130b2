"""Many clients at once, and a server killed among them. ``make load`` runs it at full length: 50 clients, a minute."""

import csv
import io
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests

from photoz_archive.sky.store import TABLES, SkyStore
from photoz_archive_tests.conftest import SkyRows
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets.survey.releases import dp02

FULL = bool(os.environ.get("PHOTOZ_SOAK"))
CLIENTS = 50 if FULL else 8
SECONDS = 60.0 if FULL else 0.0
LEAST_ROUNDS = 3 if FULL else 2
# DuckDB may take 1 GB; Python, its libraries and the batches under way of all clients come on top.
MOST_MEMORY_MB = 1800
OBJECT = "dp02_dc2_catalogs.Object"
FORM = {"LANG": "ADQL", "RESPONSEFORMAT": "csv"}

pytestmark = pytest.mark.slow

Rows = list[tuple[str, ...]]
Start = Callable[[Path, float], "Server"]


@dataclass
class Server:
    """``photoz-archive`` as a process of its own."""

    process: "subprocess.Popen[str]"
    url: str

    def peak_memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Server] = []

    def run(folder: Path, density: float) -> Server:
        command = [sys.executable, "-m", "photoz_archive.main"]
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder), "--density", str(density)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        found = re.search(r"https?://\S+", process.stdout.readline())
        assert found is not None
        running.append(Server(process, found[0]))
        return running[-1]

    yield run
    for server in running:
        server.kill()
        if server.process.stdout is not None:
            server.process.stdout.close()


def expected_rows(rows: SkyRows) -> dict[str, Rows]:
    """Return queries with what they give, by pandas."""
    objects = rows.objects[rows.objects["tract"].isin(FIELD_TRACTS)]
    primary = objects[objects["detect_isPrimary"]]
    listed = ", ".join(map(str, FIELD_TRACTS))
    matched = rows.matches.merge(primary, left_on="match_objectId", right_on="objectId")
    expected: dict[str, Rows] = {
        f"SELECT tract, patch, COUNT(*) AS n FROM {OBJECT} WHERE tract IN ({listed}) GROUP BY tract, patch": [
            tuple(map(str, row))
            for row in objects.groupby(["tract", "patch"], as_index=False).size().itertuples(index=False)
        ]
    }
    for tract in FIELD_TRACTS:
        expected[f"SELECT objectId FROM {OBJECT} WHERE tract = {tract} AND detect_isPrimary = 1"] = [
            (str(number),) for number in primary.query(f"tract == {tract}")["objectId"]
        ]
        query = (
            "SELECT m.id_truth_type, o.objectId FROM dp02_dc2_catalogs.MatchesTruth AS m "
            "JOIN dp02_dc2_catalogs.TruthSummary AS t ON m.id_truth_type = t.id_truth_type "
            f"JOIN {OBJECT} AS o ON m.match_objectId = o.objectId WHERE o.tract = {tract} AND t.truth_type = 1"
        )
        galaxies = matched.query(f"tract == {tract} and truth_type == 1")
        expected[query] = [
            (name, str(number))
            for name, number in zip(galaxies["id_truth_type"], galaxies["objectId"], strict=True)
        ]
    return {query: sorted(found) for query, found in expected.items()}


def rows_of(response: requests.Response) -> Rows:
    assert response.ok, response.text
    return sorted(tuple(row) for row in list(csv.reader(io.StringIO(response.text)))[1:])


def ask_sync(session: requests.Session, url: str, query: str) -> Rows:
    return rows_of(session.post(f"{url}/sync", data={**FORM, "QUERY": query}, timeout=300))


def ask_async(session: requests.Session, url: str, query: str) -> Rows:
    created = session.post(f"{url}/async", data={**FORM, "QUERY": query, "PHASE": "RUN"}, timeout=300)
    created.raise_for_status()
    job = created.url
    deadline = time.monotonic() + 300
    while (phase := session.get(f"{job}/phase", timeout=60).text) not in {"COMPLETED", "ERROR", "ABORTED"}:
        assert time.monotonic() < deadline, phase
        session.get(job, params={"WAIT": "10", "PHASE": phase}, timeout=60)
    assert phase == "COMPLETED", session.get(f"{job}/error", timeout=60).text
    found = rows_of(session.get(f"{job}/results/result", timeout=300))
    session.delete(job, timeout=60).raise_for_status()
    return found


def test_many_clients_at_once_get_the_right_rows_and_memory_stays_bounded(
    start: Start, sky_folder: Path, sky_rows: SkyRows
) -> None:
    server = start(sky_folder, DENSITY)
    expected = expected_rows(sky_rows)
    end = time.monotonic() + SECONDS

    def client(number: int) -> int:
        choose = random.Random(number)
        done = 0
        with requests.Session() as session:
            while done < LEAST_ROUNDS or time.monotonic() < end:
                query = choose.choice(list(expected))
                ask = choose.choice([ask_sync, ask_async])
                assert ask(session, server.url, query) == expected[query], query
                done += 1
        return done

    with ThreadPoolExecutor(CLIENTS) as pool:
        done = list(pool.map(client, range(CLIENTS)))
    assert min(done) >= LEAST_ROUNDS
    assert server.peak_memory_mb() < MOST_MEMORY_MB
    print(f"{sum(done)} queries of {CLIENTS} clients, {server.peak_memory_mb():.0f} MB at most")  # noqa: T201 (make load)


def test_server_that_is_killed_among_its_clients_serves_whole_tracts_when_it_is_back(
    start: Start, tmp_path: Path, used_folder: Path
) -> None:
    density = 0.01
    folder = used_folder
    server = start(folder, density)

    def client(tract: int) -> None:
        with requests.Session() as session:
            ask = ask_sync if tract % 2 else ask_async
            ask(session, server.url, f"SELECT COUNT(*) FROM {OBJECT} WHERE tract = {tract}")

    # Many more than are made before the kill.
    asked_tracts = dp02.RELEASE.tracts[60:80]
    with ThreadPoolExecutor(len(asked_tracts)) as pool:
        asked = [pool.submit(client, tract) for tract in asked_tracts]
        deadline = time.monotonic() + 120
        while not (made_tracts(folder) and any(folder.glob("sky/*/*.unfinished"))):
            assert time.monotonic() < deadline
            assert not all(answer.done() for answer in asked)
            time.sleep(0.005)
        server.kill()
    assert any(answer.exception() for answer in asked)
    half_made = [int(path.stem) for path in folder.glob("sky/*/*.unfinished")]
    tracts = sorted(set(made_tracts(folder)[:2] + half_made))
    again = start(folder, density)
    whole = SkyStore(tmp_path / "elsewhere", density=density)
    whole.ensure(tracts)
    with requests.Session() as session:
        for tract in tracts:
            query = f"SELECT COUNT(*) FROM {OBJECT} WHERE tract = {tract}"
            assert ask_sync(session, again.url, query) == [(str(_num_rows(whole, "Object", tract)),)]
        phases = re.findall(r"<uws:phase>(\w+)", session.get(f"{again.url}/async", timeout=60).text)
    assert set(phases) <= {"COMPLETED", "ERROR", "PENDING"}
    for tract in tracts:
        [made] = folder.glob(f"sky/*/{tract}")
        for table in TABLES:
            [other] = whole.files(table, (tract,))
            assert (made / f"{table}.parquet").read_bytes() == other.read_bytes()


def made_tracts(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("sky/*/*") if path.is_dir() and path.name.isdecimal())


def _num_rows(sky: SkyStore, table: str, tract: int) -> int:
    [file] = sky.files(table, (tract,))
    return int(pq.read_metadata(file).num_rows)
