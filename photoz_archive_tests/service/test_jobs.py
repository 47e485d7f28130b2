"""The life of an async job, over HTTP and through pyvo; and what is left of jobs when a server dies."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pyvo
import requests
from defusedxml import ElementTree
from pyvo.io.uws import parse_job, parse_job_list
from vo_models.uws.types import ExecutionPhase as Phase

from photoz_archive.service.errors import ConflictError, NotFoundError
from photoz_archive.service.jobs import JobStore
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS

QUICK = "SELECT table_name FROM tap_schema.tables"
# 37,000 objects squared: minutes of work.
ENDLESS = (
    "SELECT COUNT(*) AS n FROM dp02_dc2_catalogs.Object AS a, dp02_dc2_catalogs.Object AS b, "
    "dp02_dc2_catalogs.Object AS c WHERE a.coord_ra + b.coord_dec + c.coord_ra < 0"
)


def create(server: ArchiveServer, query: str = QUICK, **parameters: str) -> str:
    """Create a job and return its URL."""
    data = {"LANG": "ADQL", "QUERY": query, **parameters}
    response = requests.post(f"{server.url}/async", data=data, allow_redirects=False, timeout=30)
    assert response.status_code == 303
    return str(response.headers["location"])


def job_folder(data_dir: Path, job: str) -> Path:
    """Return where a server on a folder keeps a job."""
    [folder] = data_dir.glob(f"servers/*/jobs/{job.rpartition('/')[2]}")
    return folder


def phase(job: str) -> str:
    return requests.get(f"{job}/phase", timeout=30).text


def send(job: str, part: str, **parameters: str) -> requests.Response:
    return requests.post(f"{job}/{part}", data=parameters, timeout=30, allow_redirects=False)


def wait_for(job: str, *phases: str, seconds: float = 20) -> str:
    deadline = time.monotonic() + seconds
    while (now := phase(job)) not in phases:
        assert time.monotonic() < deadline, now
        time.sleep(0.02)
    return now


@pytest.fixture
def endless(archive: ArchiveServer) -> Iterator[str]:
    job = create(archive, ENDLESS, PHASE="RUN")
    wait_for(job, "EXECUTING")
    yield job
    requests.delete(job, timeout=30)


def test_job_runs_from_pending_to_completed(archive: ArchiveServer) -> None:
    job = create(archive, RUNID="mine")
    assert phase(job) == "PENDING"
    assert send(job, "phase", PHASE="RUN").status_code == 303
    assert wait_for(job, "COMPLETED", "ERROR") == "COMPLETED"
    document = parse_job(requests.get(job, timeout=30, stream=True).raw.read)
    assert document.runid == "mine"
    assert document.starttime <= document.endtime
    assert {p.id_: p.content for p in document.parameters} == {"LANG": "ADQL", "QUERY": QUICK, "RUNID": "mine"}
    hrefs = {result.id_: result.href for result in document.results}
    assert hrefs == {"result": f"{job}/results/result", "rowcount": "final:51"}
    result = requests.get(hrefs["result"], timeout=30)
    assert int(result.headers["content-length"]) == len(result.content)
    sha256 = base64.b64encode(hashlib.sha256(result.content).digest()).decode()
    assert result.headers["repr-digest"] == f"sha-256=:{sha256}:"
    assert b"uws.Job" not in result.content  # BINARY2
    assert result.headers["content-type"] == "application/x-votable+xml;serialization=binary2"


def test_pyvo_submits_waits_fetches_and_deletes(tap: pyvo.dal.TAPService) -> None:
    job = tap.submit_job(QUICK, maxrec=1_000_000)
    url = job.url
    assert job.phase == "PENDING"
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"])
    job.raise_if_error()
    assert len(job.fetch_result()) == 51
    job.delete()
    assert requests.get(url, timeout=30).status_code == 404


def test_job_with_a_wrong_query_ends_in_error_with_the_reason(archive: ArchiveServer) -> None:
    job = create(archive, "SELECT nothing FROM tap_schema.tables", PHASE="RUN")
    assert wait_for(job, "COMPLETED", "ERROR") == "ERROR"
    document = parse_job(requests.get(job, timeout=30, stream=True).raw.read)
    assert document.errorsummary.message.content == "Unknown column 'nothing' (line 1, column 8)"
    assert "Unknown column" in requests.get(f"{job}/error", timeout=30).text
    assert requests.get(f"{job}/results/result", timeout=30).status_code == 404


def test_aborted_query_stops_at_once_and_alone(archive: ArchiveServer, endless: str) -> None:
    other = create(archive, ENDLESS, PHASE="RUN")
    wait_for(other, "EXECUTING")
    started = time.monotonic()
    assert send(endless, "phase", PHASE="ABORT").status_code == 303
    assert phase(endless) == "ABORTED"
    assert phase(other) == "EXECUTING"
    requests.delete(other, timeout=30)
    assert requests.get(other, timeout=30).status_code == 404
    assert time.monotonic() - started < 3
    assert wait_for(create(archive, PHASE="RUN"), "COMPLETED") == "COMPLETED"


def test_abort_of_a_job_that_has_just_started_is_not_lost(archive: ArchiveServer) -> None:
    for _ in range(8):
        job = create(archive, ENDLESS, PHASE="RUN")
        send(job, "phase", PHASE="ABORT")
        assert phase(job) == "ABORTED"
    running = [thread.name for thread in threading.enumerate() if thread.name.startswith("job-")]
    deadline = time.monotonic() + 5
    while running and time.monotonic() < deadline:
        time.sleep(0.05)
        running = [thread.name for thread in threading.enumerate() if thread.name.startswith("job-")]
    assert running == []


def test_job_over_its_execution_duration_ends_in_error(archive: ArchiveServer) -> None:
    job = create(archive, ENDLESS)
    assert send(job, "executionduration", EXECUTIONDURATION="1").status_code == 303
    assert requests.get(f"{job}/executionduration", timeout=30).text == "1"
    send(job, "phase", PHASE="RUN")
    assert wait_for(job, "ERROR", "COMPLETED") == "ERROR"
    assert "longer than 1 s" in requests.get(job, timeout=30).text


def test_sync_query_over_its_limit_is_an_error(sky_folder: Path) -> None:
    profile = replace(Profile.friendly(), sync_limit_seconds=0.5)
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile) as server:
        sent = {"LANG": "ADQL", "QUERY": ENDLESS}
        response = requests.get(f"{server.url}/sync", params=sent, timeout=30)
    assert response.status_code == 400
    assert "The query ran longer than 0.5 s" in response.text


def test_wait_returns_when_the_phase_changes(archive: ArchiveServer, endless: str) -> None:
    threading.Timer(0.3, send, [endless, "phase"], {"PHASE": "ABORT"}).start()
    started = time.monotonic()
    document = parse_job(requests.get(endless, params={"WAIT": "30"}, timeout=60, stream=True).raw.read)
    assert document.phase == "ABORTED"
    assert 0.2 < time.monotonic() - started < 10
    del archive


@pytest.mark.parametrize("parameters", [{"WAIT": "1"}, {"WAIT": "30", "PHASE": "QUEUED"}, {"WAIT": "0"}], ids=str)
def test_wait_is_over_in_time(endless: str, parameters: dict[str, str]) -> None:
    started = time.monotonic()
    assert requests.get(endless, params=parameters, timeout=60).ok
    assert time.monotonic() - started < 5


def test_finished_job_does_not_make_wait(archive: ArchiveServer) -> None:
    job = create(archive, PHASE="RUN")
    wait_for(job, "COMPLETED")
    started = time.monotonic()
    requests.get(job, params={"WAIT": "-1"}, timeout=60)
    assert time.monotonic() - started < 1


def test_job_is_deleted_by_action(archive: ArchiveServer) -> None:
    job = create(archive)
    response = requests.post(job, data={"ACTION": "DELETE"}, timeout=30, allow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, f"{archive.url}/async")
    assert requests.get(job, timeout=30).status_code == 404


def test_job_list_is_filtered(archive: ArchiveServer) -> None:
    first, second = create(archive, RUNID="a"), create(archive, PHASE="RUN")
    wait_for(second, "COMPLETED")

    def listed(**parameters: str) -> list[str]:
        response = requests.get(f"{archive.url}/async", params=parameters, timeout=30, stream=True)
        return [f"{archive.url}/async/{job.jobid}" for job in parse_job_list(response.raw.read)]

    assert {first, second} <= set(listed())
    assert first not in listed(PHASE="COMPLETED")
    assert listed(LAST="1") == [second]
    assert listed(AFTER="2999-01-01T00:00:00Z") == []


def test_parts_of_a_job(archive: ArchiveServer) -> None:
    job = create(archive, PHASE="RUN")
    wait_for(job, "COMPLETED")
    for part in ("owner", "quote", "destruction", "parameters", "results"):
        assert requests.get(f"{job}/{part}", timeout=30).ok
    assert requests.get(f"{job}/nonsense", timeout=30).status_code == 404
    assert len(ElementTree.fromstring(requests.get(f"{job}/results", timeout=30).content)) == 2


def test_parameters_change_only_while_pending(archive: ArchiveServer) -> None:
    job = create(archive)
    assert send(job, "parameters", MAXREC="3").status_code == 303
    send(job, "phase", PHASE="RUN")
    wait_for(job, "COMPLETED")
    assert "final:3" in requests.get(job, timeout=30).text
    assert send(job, "parameters", MAXREC="4").status_code == 403
    assert send(job, "phase", PHASE="RUN").status_code == 403


@pytest.mark.parametrize(
    ("part", "parameters", "status"),
    [
        ("phase", {"PHASE": "JUMP"}, 400),
        ("phase", {}, 400),
        ("destruction", {"DESTRUCTION": "tomorrow"}, 400),
        ("executionduration", {"EXECUTIONDURATION": "-1"}, 400),
    ],
)
def test_wrong_change_is_refused(
    archive: ArchiveServer, part: str, parameters: dict[str, str], status: int
) -> None:
    assert send(create(archive), part, **parameters).status_code == status


def test_destruction_can_only_be_brought_forward(archive: ArchiveServer) -> None:
    job = create(archive)
    before = requests.get(f"{job}/destruction", timeout=30).text
    send(job, "destruction", DESTRUCTION="2999-01-01T00:00:00Z")
    assert requests.get(f"{job}/destruction", timeout=30).text == before
    send(job, "destruction", DESTRUCTION="2001-01-01T00:00:00Z")
    assert requests.get(job, timeout=30).status_code == 404


def test_servers_on_one_folder_keep_their_jobs_apart(archive: ArchiveServer, sky_folder: Path) -> None:
    job = create(archive)
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS) as other:
        assert (
            requests.get(f"{other.url}/async/{urlsplit(job).path.rpartition('/')[2]}", timeout=30).status_code
            == 404
        )
    assert phase(job) == "PENDING"


def test_server_that_starts_again_serves_the_finished_jobs(tmp_path: Path) -> None:
    with ArchiveServer(tmp_path, tracts=(3637,)) as server:
        job = create(server, PHASE="RUN")
        wait_for(job, "COMPLETED")
        body = requests.get(f"{job}/results/result", timeout=30).content
        number = urlsplit(job).path.rpartition("/")[2]
    with ArchiveServer(tmp_path, tracts=(3637,)) as server:
        assert requests.get(f"{server.url}/async/{number}/results/result", timeout=30).content == body


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def test_store_opened_again_has_no_job_that_seems_to_run(tmp_path: Path) -> None:
    store = JobStore(tmp_path, execution_duration=60)
    pending, running, done = (store.create({"QUERY": "q"}) for _ in range(3))
    for job in (running, done):
        store.move(job, Phase.QUEUED)
        store.move(job, Phase.EXECUTING)
    (store.folder(done) / "result.xml").write_text("rows")
    store.move(done, Phase.COMPLETED, result_file="result.xml", rows=5)
    again = JobStore(tmp_path, execution_duration=60)
    assert again.get(pending.id).phase is Phase.PENDING
    assert again.get(running.id).phase is Phase.ERROR
    assert "send it again" in str(again.get(running.id).error)
    assert again.result(again.get(done.id)).read_text() == "rows"
    assert again.get(done.id).rows == 5
    assert again.get(done.id).creation_time == done.creation_time


@pytest.mark.parametrize("damage", ["no record", "half a record", "no result", "a foreign file"])
def test_store_forgets_what_a_killed_server_left_half_made(tmp_path: Path, damage: str) -> None:
    store = JobStore(tmp_path, execution_duration=60)
    job = store.create({"QUERY": "q"})
    record = store.folder(job) / "job.json"
    if damage == "no record":
        record.unlink()
    elif damage == "half a record":
        record.write_text(record.read_text()[:40])
    elif damage == "no result":
        record.write_text(
            json.dumps(json.loads(record.read_text()) | {"phase": "COMPLETED", "result_file": "r.xml"})
        )
    else:
        (tmp_path / "note.txt").write_text("")
    again = JobStore(tmp_path, execution_duration=60)
    assert len(again.all()) == (1 if damage == "a foreign file" else 0)


def test_job_is_forgotten_after_its_destruction_time(tmp_path: Path) -> None:
    clock = Clock()
    store = JobStore(tmp_path, execution_duration=60, now=clock)
    job = store.create({"QUERY": "q"})
    clock.time += timedelta(days=8)
    with pytest.raises(NotFoundError):
        store.get(job.id)
    assert not store.folder(job).exists()


def test_phases_follow_each_other_as_uws_has_them(tmp_path: Path) -> None:
    store = JobStore(tmp_path, execution_duration=60)
    job = store.create({})
    assert not store.move(job, Phase.COMPLETED)
    assert store.move(job, Phase.QUEUED)
    assert store.move(job, Phase.ABORTED)
    assert not store.move(job, Phase.EXECUTING)
    with pytest.raises(ConflictError):
        store.change(job, only_pending=True, parameters={})
