"""A job on record is gone on with only if it is the query's own."""

from contextlib import suppress
from pathlib import Path

import requests

from photoz_archive.service.server import ArchiveServer
from photoz_assets.ingest import fetch_tract
from photoz_assets.ingest.tract import tract_query
from photoz_assets.lake.job_records import job_record
from photoz_assets.lake.layout import Lake
from photoz_assets.survey.selection import Selection
from photoz_assets.tap.client import TapClient

TRACT = 3638


def _leave_on_record(client: TapClient, lake: Lake, adql: str) -> str:
    """Leave a job of a run that died on record for a tract; return its URL."""
    query = tract_query(client, Selection(), TRACT)
    job = client.submit(adql, maxrec=1_000_000)
    job.run()
    on_record = job_record(lake.jobs, name=query.name, adql=query.adql, archive_url=client.url, run_id="died")
    with suppress(KeyboardInterrupt), on_record as record:
        record.note(job.url)
        raise KeyboardInterrupt
    return job.url


def test_job_of_the_same_query_is_gone_on_with(archive: ArchiveServer, tmp_path: Path) -> None:
    client, lake = TapClient(archive.url), Lake(tmp_path)
    left = _leave_on_record(client, lake, tract_query(client, Selection(), TRACT).adql)
    table = fetch_tract(client, lake, Selection(), TRACT)
    assert table.provenance.job_url == left


def test_job_of_another_query_is_left_alone_and_the_tract_asked_anew(
    archive: ArchiveServer, tmp_path: Path
) -> None:
    client, lake = TapClient(archive.url), Lake(tmp_path)
    other = _leave_on_record(client, lake, "SELECT TOP 1 objectId FROM dp02_dc2_catalogs.Object")
    said: list[str] = []
    table = fetch_tract(client, lake, Selection(), TRACT, log=said.append)
    assert table.provenance.job_url != other
    assert [line for line in said if "is of another query" in line]
    assert requests.get(other, timeout=10).status_code == 200
    assert list(lake.jobs.iterdir()) == []
