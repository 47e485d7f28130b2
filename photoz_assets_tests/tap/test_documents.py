import gzip
from contextlib import suppress

import pytest
from hypothesis import given, settings

from photoz_assets.tap import documents
from photoz_assets.tap.errors import ArchiveError, Busy, JobFailed, Protocol, Rejected, TooLarge, Transient
from photoz_assets_tests.tap import uws
from photoz_assets_tests.tap.documents import error_document, mutated
from photoz_assets_tests.tap.uws import job_document

JOB_URL = "https://archive.example/api/tap/async/abc"


@pytest.mark.parametrize("prefix", ["uws:", ""])
def test_job_document_gives_its_facts(prefix: str) -> None:
    body = job_document("COMPLETED", rows=132588, progress=(12, 12), maxrec=100_000_000, prefix=prefix)
    summary = documents.parse_job(body, url=JOB_URL)
    assert summary.phase == "COMPLETED"
    assert summary.result_url == f"{JOB_URL}/results/result"
    assert (summary.rows, summary.items_done, summary.items_total, summary.maxrec) == (132588, 12, 12, 100_000_000)
    assert summary.error is None


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://elsewhere.example/r.xml", "https://elsewhere.example/r.xml"),
        ("/files/r.xml", "https://archive.example/files/r.xml"),
    ],
)
def test_job_documents_result_link_is_resolved(link: str, url: str) -> None:
    assert documents.parse_job(job_document("COMPLETED", result=link), url=JOB_URL).result_url == url


def test_job_document_of_a_failed_job_gives_the_reason() -> None:
    summary = documents.parse_job(job_document("ERROR", error=" syntax\n error "), url=JOB_URL)
    assert (summary.phase, summary.error, summary.error_is_transient) == ("ERROR", "syntax\n error", False)
    assert documents.parse_job(
        job_document("ERROR", error="x", error_type="transient"), url=JOB_URL
    ).error_is_transient


def test_job_document_with_an_unknown_phase_is_read() -> None:
    assert documents.parse_job(job_document("DREAMING"), url=JOB_URL).phase == "DREAMING"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Protocol),
        (b"<html>log in</html>", Protocol),
        (b"<jobs/>", Protocol),
        (job_document("")[:200], Protocol),
        (job_document(""), Protocol),
        (b'<!DOCTYPE job [<!ENTITY a "b">]>' + job_document("COMPLETED"), Protocol),
        (error_document("no such table"), Rejected),
        (error_document("the service is down for maintenance"), Transient),
    ],
)
def test_job_document_that_is_none_is_refused(body: bytes, error: type[ArchiveError]) -> None:
    with pytest.raises(error):
        documents.parse_job(body, url=JOB_URL)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("Maximum running queries reached (12 running, maximum 12); wait", Busy),
        ("Qserv request failed: HTTP 500", Transient),
        ("TAP is Down for Maintenance", Busy),
        ("Failed to send job to Kafka", Transient),
        ("Query results are too large to return; please narrow your query", TooLarge),
        ("IllegalArgumentException:Table [x] is not found in TapSchema", Rejected),
        ("UnsupportedOperationException:unknown format", Rejected),
        ("something else", JobFailed),
        ("", JobFailed),
    ],
)
def test_failure_is_told_by_the_archives_words(reason: str, error: type[ArchiveError]) -> None:
    failure = documents.failure(reason)
    assert type(failure) is error
    assert (reason or "nothing") in str(failure)


@settings(max_examples=300, deadline=None)
@given(body=mutated(uws.job_document("COMPLETED", rows=7, progress=(1, 2), maxrec=10, error="x")))
def test_job_document_however_damaged_raises_nothing_but_our_errors(body: bytes) -> None:
    with suppress(ArchiveError):
        documents.parse_job(body, url=JOB_URL)


@pytest.mark.parametrize(
    "document",
    [
        job_document("EXECUTING", progress=(1, 2)).replace(b">1<", b">" + b"9" * 5000 + b"<"),
        job_document("COMPLETED", result="http://[::1"),
        job_document("COMPLETED", rows=7).replace(b"final:7", b"final:" + b"7" * 5000),
    ],
    ids=["a count of 5,000 digits", "a link to no URL", "a row count of 5,000 digits"],
)
def test_job_document_with_an_absurd_value_raises_nothing_but_our_errors(document: bytes) -> None:
    with suppress(ArchiveError):
        assert documents.parse_job(document, url=JOB_URL).rows is None


@pytest.mark.parametrize(
    "body",
    [
        error_document("no table t") + error_document("again"),
        b"<r>" + b'<?xml version="1.0"?>' + error_document("no table t"),
        b'<VOTABLE><INFO name="Error" value="no table t"/></VOTABLE>',
        b'<v:VOTABLE xmlns:v="x"><v:INFO name="ERROR">no table t</v:INFO></v:VOTABLE>',
    ],
)
def test_reason_is_found_wherever_a_service_writes_it(body: bytes) -> None:
    assert documents.reason_of(body) == "no table t"


def test_words_of_others_are_read_whatever_their_encoding() -> None:
    body = error_document("kein Schlüssel").decode().encode("latin-1")
    assert documents.reason_of(body) == "kein Schlüssel"


@pytest.mark.parametrize(
    "body", [bytes(range(256)), gzip.compress(bytes(range(256)) * 9, mtime=0), b"PK\3\4\xff\xfe" * 50]
)
def test_bytes_that_are_no_text_are_shown_in_no_message(body: bytes) -> None:
    assert documents.reason_of(body) is None
    with pytest.raises(Protocol, match=r": bytes that are no text\."):
        documents.parse_job(body, url=JOB_URL)
