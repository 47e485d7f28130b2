"""A job on record is gone on with only if it is the query's own, asked of the sky as it is listed now."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import requests

from photoz_archive.service.server import ArchiveServer
from photoz_assets.ingest import fetch_tract
from photoz_assets.ingest.tract import tract_query
from photoz_assets.lake.freshness import listed_as
from photoz_assets.lake.job_records import JobRecord, Question
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.writing import write_rows
from photoz_assets.survey.selection import Selection
from photoz_assets.tap.client import TapClient
from photoz_assets_tests.dp02 import DP02, SKYINFO
from photoz_assets_tests.runs import Runs

TRACT = 3638


def _leave_on_record(client: TapClient, lake: Lake, adql: str) -> str:
    """Leave a job of a run that died on record for a tract; return its URL."""
    query = tract_query(client, DP02, Selection(), TRACT)
    job = client.submit(adql, maxrec=1_000_000)
    job.run()
    question = Question(name=query.name, adql=query.adql, archive_url=client.url, listing=listed_as(lake, TRACT))
    on_record = lake.job_records.own(question, "died")
    with suppress(KeyboardInterrupt), on_record as record:
        record.note(job.url)
        raise KeyboardInterrupt
    return job.url


def test_job_of_the_same_query_is_gone_on_with(archive: ArchiveServer, tmp_path: Path) -> None:
    client, lake = TapClient(archive.url), Lake(tmp_path)
    left = _leave_on_record(client, lake, tract_query(client, DP02, Selection(), TRACT).adql)
    table = fetch_tract(client, lake, DP02, Selection(), TRACT)
    assert table.provenance.job_url == left


def test_job_of_another_query_is_left_alone_and_the_tract_asked_anew(
    archive: ArchiveServer, tmp_path: Path
) -> None:
    client, lake = TapClient(archive.url), Lake(tmp_path)
    other = _leave_on_record(client, lake, "SELECT TOP 1 objectId FROM dp02_dc2_catalogs.Object")
    said: list[str] = []
    table = fetch_tract(client, lake, DP02, Selection(), TRACT, log=said.append)
    assert table.provenance.job_url != other
    assert [line for line in said if "is of another query" in line]
    assert requests.get(other, timeout=10).status_code == 200
    assert list(lake.jobs.iterdir()) == []


def test_job_that_was_asked_before_the_archive_changed_is_not_what_a_later_run_gives_out(
    filled: Runs,
) -> None:
    client, lake = TapClient(filled.url), filled.lake
    left = _leave_on_record(client, lake, tract_query(client, DP02, Selection(), TRACT).adql)
    _list_one_object_more(lake)
    table = fetch_tract(client, lake, DP02, Selection(), TRACT)
    assert table.provenance.job_url != left
    assert table.provenance.listing == listed_as(lake, TRACT)
    client.attach(left, owned=True).close()


class _RecordsWithoutRoom:
    """Records that hold who asks, but not what was asked, as on a disk that fills meanwhile."""

    @contextmanager
    def own(self, question: Question, run_id: str) -> Iterator[JobRecord]:
        def write(facts: str) -> None:
            if "/async/" in facts:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        yield JobRecord(write, question, run_id, None)


def test_job_that_cannot_be_put_on_record_is_not_left_with_the_archive(
    archive: ArchiveServer, tmp_path: Path
) -> None:
    before = requests.get(f"{archive.url}/async", timeout=10).text.count("jobref ")
    lake = Lake(tmp_path, shared_records=_RecordsWithoutRoom())
    with pytest.raises(OSError, match="No space left"):
        fetch_tract(TapClient(archive.url), lake, DP02, Selection(), TRACT)
    assert requests.get(f"{archive.url}/async", timeout=10).text.count("jobref ") == before


def _list_one_object_more(lake: Lake) -> None:
    """Put a listing of the sky into the lake by which the tract has changed."""
    listed = pq.ParquetFile(lake.table("skyinfo")).read()
    num = pc.add(listed.column("num"), pc.equal(listed.column("tract"), TRACT).cast(pa.int64()))
    rows = listed.set_column(listed.schema.get_field_index("num"), listed.schema.field("num"), num)
    write_rows(lake, SKYINFO, [rows.cast(SKYINFO.schema)], lake.provenance("skyinfo"))
