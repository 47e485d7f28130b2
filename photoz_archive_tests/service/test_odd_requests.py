"""Whatever is sent, the answer is no 500, and every error of a TAP resource is a VOTable that says it."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from photoz_archive.service.profile import Profile
from photoz_archive.service.query_service import QueryService
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.service.test_disk import error_of, wait_until
from photoz_archive_tests.service.test_jobs import QUICK, create, wait_for
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS

ENDLESS_NUMBER = "9" * 5000
FIRST, LAST = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"
FORM = "application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="QUERY"\r\n\r\nSELECT \xff\xfe\r\n--x--\r\n'


@pytest.fixture(scope="module")
def done(archive: ArchiveServer) -> str:
    """A job that is done, by what follows the service's URL."""
    job = create(archive, PHASE="RUN")
    wait_for(job, "COMPLETED")
    return job.removeprefix(archive.url)


@pytest.mark.parametrize(
    ("asked", "parameters", "status"),
    [
        *(("GET {done}", {"WAIT": text}, 200) for text in ("-1", "0", "007", ENDLESS_NUMBER)),
        *(("GET {done}", {"WAIT": text}, 400) for text in ("--5", "-5", "9e99", "1.5", "", "٣", "nan", "-")),
        *(("GET /async", {"LAST": text}, 200) for text in ("0", "1", ENDLESS_NUMBER)),
        *(("GET /async", {"LAST": text}, 400) for text in ("-1", "--1", "", "²", "1e3")),
        *(("GET /async", {"AFTER": text}, 200) for text in ("2026-01-31", "0001-01-01T00:00:00Z")),
        *(("GET /async", {"AFTER": text}, 400) for text in (FIRST, LAST, "soon", "", "\x00", "9" * 5000)),
        *(("GET /async", {"PHASE": text}, 200) for text in ("ODD", "", "💩")),
        *(("GET /sync", {"MAXREC": text, "QUERY": QUICK}, 200) for text in ("", "0", ENDLESS_NUMBER)),
        *(("GET /sync", {"MAXREC": text, "QUERY": QUICK}, 400) for text in ("-1", "--1", "1e5", "٣", "²")),
        *(("POST {new}/destruction", {"DESTRUCTION": text}, 400) for text in (FIRST, LAST, "", "-1", "\x07")),
        ("POST {new}/destruction", {"DESTRUCTION": "0001-01-01T00:00:00"}, 303),
        ("POST {new}/executionduration", {"EXECUTIONDURATION": ENDLESS_NUMBER}, 303),
        *(("POST {new}/executionduration", {"EXECUTIONDURATION": text}, 400) for text in ("-1", "1.5", "", "٣")),
        *(("POST {new}/phase", {"PHASE": text}, 400) for text in ("", "\x00", "GO" * 5000)),
        *(("POST /async", {"RUNID": text, "QUERY": QUICK}, 400) for text in ("\x00", "\x0c", "\ufffe")),
        *((f"GET /async/{text}", {}, 404) for text in ("%ff%fe", "%00", "%f0%9f%92%a9", "a" * 5000)),
        *((f"GET /tables/{text}", {}, 404) for text in ("%ff", "a.b.c", "%00")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_odd_parameter_is_understood_or_refused(
    archive: ArchiveServer, done: str, asked: str, parameters: dict[str, str], status: int
) -> None:
    method, path = asked.split(" ")
    new = create(archive).removeprefix(archive.url) if "{new}" in path else ""
    sent, form = (parameters, None) if method == "GET" else (None, parameters)
    url = archive.url + path.format(done=done, new=new)
    answer = requests.request(method, url, timeout=30, allow_redirects=False, params=sent, data=form)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert error_of(answer)
    elif new:
        assert requests.get(archive.url + new, timeout=30).status_code in {200, 404}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"LANG=ADQL&QUERY=\xff\xfe%ff%00"),
        (FORM, b"&&==&QUERY&\x00"),
        (FORM, b"a=1&" * 2000),
        (FORM, b"QUERY=" + b"x" * 2_000_000),
        ("application/json", b'{"QUERY": "SELECT 1"}'),
        ("multipart/form-data", PART),
        ("multipart/form-data; boundary=x", PART),
        ("multipart/form-data; boundary=x", PART[:-5]),
        ("multipart/form-data; boundary=y", PART),
        ("multipart/form-data; boundary=x", PART.replace(b'; name="QUERY"', b"")),
        ("multipart/form-data; boundary=x", PART.replace(b"\r\n\r\n", b"\r\n")),
        ("multipart/form-data; boundary=x", PART[::-1]),
        *(
            (f"multipart/form-data; boundary=x; charset={each}", PART)
            for each in ("undefined", "utf-7", "hex", "odd")
        ),
        ("multipart/form-data; boundary=x; charset=idna", PART),
        ("multipart/form-data; boundary=x; charset=unicode_escape", PART.replace(b"SELECT", b"\\ud800")),
    ],
)
@pytest.mark.parametrize("path", ["/sync", "/async/no-job", "/async/{new}/parameters"])
def test_odd_form_is_refused(archive: ArchiveServer, path: str, content_type: str, body: bytes) -> None:
    job = create(archive).rpartition("/")[2] if "{new}" in path else ""
    answer = requests.post(
        archive.url + path.format(new=job),
        data=body,
        headers={"Content-Type": content_type},
        timeout=30,
        allow_redirects=False,
    )
    # A job may be given parameters of any name; what its query is worth is seen when it runs.
    assert answer.status_code in ({303, 400} if job else {400, 404})
    if answer.status_code != 303:
        assert error_of(answer)
    else:
        assert requests.get(f"{archive.url}/async/{job}", timeout=30).ok


def test_odd_host_is_refused(archive: ArchiveServer) -> None:
    for path in ("/capabilities", "/async"):
        answer = requests.get(archive.url + path, headers={"Host": "[::"}, timeout=30)
        assert answer.status_code in {200, 400}
        assert answer.ok or error_of(answer)


@pytest.fixture(scope="module")
def guarded(sky_folder: Path) -> Iterator[ArchiveServer]:
    profile = replace(Profile.friendly(), requests_per_minute=1)
    server = ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile, token="gt-right")  # noqa: S106 (of a test)
    with server:
        yield server


def test_refusal_of_who_asks_is_a_votable_too(guarded: ArchiveServer) -> None:
    refused = requests.get(f"{guarded.url}/tables", timeout=30)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="photoz-archive"')
    assert error_of(refused) == "Authentication is required: send a bearer token"
    requests.get(f"{guarded.url}/availability", timeout=30)
    refused = requests.get(f"{guarded.url}/availability", timeout=30)
    assert refused.status_code == 429
    assert "retry-after" in refused.headers
    assert error_of(refused).startswith("Rate limit of 1 requests a minute exceeded")


def test_what_is_nowhere_or_takes_no_such_request_is_told_so(archive: ArchiveServer) -> None:
    refused = requests.get(f"{archive.url}/no/such<thing>", timeout=30)
    assert refused.status_code == 404
    assert error_of(refused).startswith("There is nothing at /tap/no/such<thing>;")
    refused = requests.delete(f"{archive.url}/capabilities", timeout=30)
    assert refused.status_code == 405
    assert error_of(refused) == f"/tap/capabilities takes no DELETE; it takes {refused.headers['allow']}"


def test_failure_of_the_service_is_logged_and_not_shown(
    archive: ArchiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("of our own making")

    monkeypatch.setattr(QueryService, "open", broken)
    with caplog.at_level(logging.ERROR):
        failed = requests.get(f"{archive.url}/sync", params={"LANG": "ADQL", "QUERY": QUICK}, timeout=30)
    assert failed.status_code == 500
    assert error_of(failed) == "The archive failed to answer; its log says why"
    # The server writes its log when it has answered.
    wait_until(lambda: "of our own making" in caplog.text)
