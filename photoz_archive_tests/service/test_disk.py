"""What a server takes of the disk: nothing of a result that is not one, no more than it may, and what it says then."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests

from photoz_archive.service import server as server_module
from photoz_archive.service.disk import DiskLimits
from photoz_archive.service.engine import Engine
from photoz_archive.service.faults import Faults
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.service.test_formats import read_votable
from photoz_archive_tests.service.test_jobs import QUICK, create, job_folder, phase, send, wait_for
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS

# 300 million rows that come one by one: hours of writing.
LONG = (
    "SELECT a.description FROM tap_schema.columns AS a, tap_schema.columns AS b, tap_schema.columns AS c "
    "WHERE a.column_name <> 'none'"
)
# 100 kB and a little.
SMALL = "SELECT * FROM tap_schema.columns"


def error_of(response: requests.Response) -> str:
    """Return the message of an error document."""
    assert response.headers["content-type"] == "application/x-votable+xml"
    (info,) = read_votable(response.content).resources[0].infos
    assert (info.name, info.value) == ("QUERY_STATUS", "ERROR")
    return str(info.content)


def error_of_job(job: str) -> str:
    assert wait_for(job, "COMPLETED", "ERROR") == "ERROR"
    return error_of(requests.get(f"{job}/error", timeout=30))


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_being_written(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("*.part"))


def test_job_that_is_aborted_removes_its_partial_result_at_once(archive: ArchiveServer, sky_folder: Path) -> None:
    job = create(archive, LONG, PHASE="RUN")
    folder = job_folder(sky_folder, job)
    wait_until(lambda: is_being_written(folder))
    send(job, "phase", PHASE="ABORT")
    wait_until(lambda: files_of(folder) == ["job.json"], seconds=5)
    assert phase(job) == "ABORTED"


def test_job_that_fails_under_way_keeps_no_partial_result_and_says_why(
    archive: ArchiveServer, sky_folder: Path
) -> None:
    query = "SELECT a.tract FROM dp02_dc2_catalogs.Object AS a WHERE a.tract = 3637"
    archive.faults = Faults(most_rows=100)
    try:
        jobs = [create(archive, query, PHASE="RUN", FORMAT=each) for each in ("votable", "csv", "tsv", "parquet")]
        for job in jobs:
            assert "results are too large" in error_of_job(job)
            assert files_of(job_folder(sky_folder, job)) == ["job.json"]
    finally:
        archive.faults = Faults()


def test_server_that_stops_or_starts_leaves_no_partial_results(tmp_path: Path, used_folder: Path) -> None:
    del tmp_path
    with ArchiveServer(used_folder, tracts=(3637,)) as server:
        job, never_run = create(server, LONG, PHASE="RUN"), create(server)
        folder, other = job_folder(used_folder, job), job_folder(used_folder, never_run)
        done = job_folder(used_folder, finished := create(server, PHASE="RUN"))
        wait_for(finished, "COMPLETED")
        wait_until(lambda: is_being_written(folder))
    assert files_of(folder) == ["job.json"]
    # As a server that was killed leaves them.
    for each in (folder, other, done):
        (each / "result.csv.part").write_bytes(b"half")
        (each / "result.csv").write_bytes(b"whole, of no completed job")
    with ArchiveServer(used_folder, tracts=(3637,)):
        assert files_of(folder) == files_of(other) == ["job.json"]
        assert files_of(done) == ["job.json", "result.xml"]


def test_result_over_its_bound_is_an_error_and_is_removed(used_folder: Path) -> None:
    with ArchiveServer(used_folder, tracts=(3637,), limits=DiskLimits(result_bytes=50_000)) as server:
        job = create(server, SMALL, PHASE="RUN")
        assert error_of_job(job) == (
            "The query's results are too large: one result may take 5e-05 GB of the archive's disk; "
            "ask for fewer rows or columns, or start the archive with more --result-gb"
        )
        assert files_of(job_folder(used_folder, job)) == ["job.json"]
        assert wait_for(create(server, QUICK, PHASE="RUN"), "COMPLETED", "ERROR") == "COMPLETED"
        # What is sent at once lies on no disk.
        assert requests.get(f"{server.url}/sync", params={"LANG": "ADQL", "QUERY": SMALL}, timeout=30).ok


def test_results_of_eight_queries_at_once_stay_within_the_bound_of_all(used_folder: Path) -> None:
    limits = DiskLimits(store_bytes=500_000)
    with ArchiveServer(used_folder, tracts=(3637,), limits=limits) as server:
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(lambda _: create(server, SMALL, PHASE="RUN"), range(8)))
        ends = {job: wait_for(job, "COMPLETED", "ERROR") for job in jobs}
        assert set(ends.values()) == {"COMPLETED", "ERROR"}
        stored = [path for path in used_folder.glob("servers/*/jobs/*/*") if path.name != "job.json"]
        assert len(stored) == list(ends.values()).count("COMPLETED")
        assert sum(path.stat().st_size for path in stored) <= 500_000
        refused = next(job for job, end in ends.items() if end == "ERROR")
        assert error_of_job(refused) == (
            "The archive's store is full: all results together may take 0.0005 GB of its disk; "
            "delete jobs that are done with (DELETE), or start the archive with more --store-gb"
        )
        for job in jobs:
            requests.delete(job, timeout=30)
        assert wait_for(create(server, SMALL, PHASE="RUN"), "COMPLETED", "ERROR") == "COMPLETED"


@pytest.mark.parametrize("profile", [Profile.friendly(), Profile.rubin(), Profile.plain()], ids=lambda p: p.name)
def test_full_store_refuses_new_jobs_and_keeps_its_results(used_folder: Path, profile: Profile) -> None:
    def serve(store_bytes: int) -> ArchiveServer:
        return ArchiveServer(
            used_folder, tracts=(3637,), profile=profile, limits=DiskLimits(store_bytes=store_bytes)
        )

    query = {"LANG": "ADQL", "QUERY": QUICK.lower()}
    with serve(10**6) as server:
        job = requests.post(f"{server.url}/async", data=query | {"PHASE": "RUN"}, timeout=30).url
        wait_for(job, "COMPLETED")
        path = "/" + job.split("/", 3)[3]
    with serve(100) as server:
        refused = requests.post(f"{server.url}/async", data=query, timeout=30)
        assert refused.status_code == 507
        assert "store is full" in error_of(refused)
        job = server.url.removesuffix("/tap") + path
        assert requests.get(f"{job}/results/result", timeout=30).ok
        requests.delete(job, timeout=30)
        assert requests.post(f"{server.url}/async", data=query, timeout=30).ok


@pytest.mark.parametrize("profile", [Profile.friendly(), Profile.plain()], ids=lambda p: p.name)
def test_query_that_spills_more_than_it_may_says_so(
    archive: ArchiveServer, sky_folder: Path, monkeypatch: pytest.MonkeyPatch, profile: Profile
) -> None:
    del archive
    monkeypatch.setattr(server_module, "Engine", partial(Engine, memory_limit="60MB"))
    query = (
        "SELECT a.coord_ra * b.coord_dec AS x, a.objectid, b.objectid AS y FROM dp02_dc2_catalogs.object AS a, "
        "dp02_dc2_catalogs.object AS b WHERE a.tract = 3637 AND b.tract = 3637 ORDER BY x"
    )
    limits = DiskLimits(spill_bytes=1_000_000)
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile, limits=limits) as server:
        sent = {"LANG": "ADQL", "QUERY": query, "MAXREC": "100000000"}
        refused = requests.get(f"{server.url}/sync", params=sent, timeout=60)
        assert refused.status_code == 507
        assert (
            error_of(refused)
            == error_of_job(create(server, query, PHASE="RUN", MAXREC="100000000"))
            == (
                "The archive has no room to run the query: running queries may spill 0.001 GB to its disk; "
                "ask for fewer rows at a time, or start the archive with more --spill-gb"
            )
        )
        assert requests.get(f"{server.url}/sync", params=sent | {"QUERY": QUICK}, timeout=30).ok


def test_result_on_a_disk_that_is_full_says_so(archive: ArchiveServer, sky_folder: Path) -> None:
    job = create(archive, SMALL)
    folder = job_folder(sky_folder, job)
    # Whoever writes to this device has no space left.
    (folder / "result.xml.part").symlink_to("/dev/full")
    send(job, "phase", PHASE="RUN")
    assert error_of_job(job) == (
        "The archive's disk is full and cannot take the result; "
        "delete jobs that are done with (DELETE), or make room on the disk"
    )
    assert files_of(folder) == ["job.json"]


@contextmanager
def full_disk(number: int = errno.ENOSPC) -> Iterator[None]:
    """Have nothing reach the disk for the time of a block."""

    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        yield


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def test_job_that_no_disk_takes_is_refused_and_leaves_nothing(
    archive: ArchiveServer, sky_folder: Path, number: int
) -> None:
    # Servers of other tests may share the sky's folder; a job tells whose folder is this one's.
    jobs = job_folder(sky_folder, create(archive, QUICK)).parent
    before = set(jobs.iterdir())
    data = {"LANG": "ADQL", "QUERY": QUICK}
    with full_disk(number):
        refused = requests.post(f"{archive.url}/async", data=data, timeout=30)
    assert refused.status_code == 507
    assert "disk is full and cannot take" in error_of(refused)
    assert set(jobs.iterdir()) == before


def test_job_that_is_aborted_on_a_full_disk_is_aborted(archive: ArchiveServer, sky_folder: Path) -> None:
    job = create(archive, LONG, PHASE="RUN")
    wait_until(lambda: is_being_written(job_folder(sky_folder, job)))
    with full_disk():
        send(job, "phase", PHASE="ABORT")
        assert phase(job) == "ABORTED"
    wait_until(lambda: files_of(job_folder(sky_folder, job)) == ["job.json"], seconds=5)


def test_tract_that_no_disk_takes_is_said_and_removed(used_folder: Path) -> None:
    sent = {"LANG": "ADQL", "QUERY": "SELECT COUNT(*) AS n FROM dp02_dc2_catalogs.Object", "FORMAT": "csv"}
    with ArchiveServer(used_folder, density=DENSITY, tracts=FIELD_TRACTS[:1]) as server:
        with full_disk():
            refused = requests.get(f"{server.url}/sync", params=sent, timeout=60)
        assert refused.status_code == 507
        assert "cannot take the rows that the query asks for" in error_of(refused)
        assert not list(used_folder.glob("sky/*/*.unfinished"))
