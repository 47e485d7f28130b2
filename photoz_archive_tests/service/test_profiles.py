"""Each switch of a profile, seen from outside."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

import astropy.io.votable
import pyarrow.parquet as pq
import pytest
import pyvo
import requests
from defusedxml import ElementTree

from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.service.test_jobs import ENDLESS, create, phase, send, wait_for
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS

Serve = Callable[..., ArchiveServer]

OBJECTS = "SELECT TOP 5 objectId, refBand, detect_isPrimary FROM dp02_dc2_catalogs.Object WHERE tract = 3637"
FLUXES = "SELECT scisql_nanojanskyToAbMag(r_cModelFlux) AS m FROM dp02_dc2_catalogs.Object WHERE tract = 3637"
BINARY2 = "application/x-votable+xml;serialization=BINARY2"


@pytest.fixture(scope="module")
def serve(sky_folder: Path) -> Iterator[Serve]:
    """Give servers of any profile on the session's sky, one of each kind."""
    with ExitStack() as running:

        @cache
        def start(profile: Profile, token: str | None = None) -> ArchiveServer:
            server = ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile, token=token)
            return running.enter_context(server)

        yield start


def ask(server: ArchiveServer, query: str = OBJECTS, **parameters: str) -> requests.Response:
    return requests.get(f"{server.url}/sync", params={"LANG": "ADQL", "QUERY": query, **parameters}, timeout=60)


def fields_of(response: requests.Response) -> list[Any]:
    return list(astropy.io.votable.parse(io.BytesIO(response.content)).get_first_table().fields)


def features(server: ArchiveServer) -> set[str]:
    """Return the language features that the service declares, by the last part of their type."""
    document = ElementTree.fromstring(requests.get(f"{server.url}/capabilities", timeout=30).content)
    return {str(e.get("type")).rpartition("features-")[2] for e in document.iter("languageFeatures")}


def test_every_profile_declares_itself_so_that_pyvo_understands(serve: Serve) -> None:
    for profile in (Profile.friendly(), Profile.rubin(), Profile.plain()):
        service = pyvo.dal.TAPService(serve(profile).url)
        assert service.maxrec == profile.default_maxrec
        assert service.hardlimit == 100_000_000
        assert [str(v.content) for v in service.get_tap_capability().languages[0].versions] == ["2.0", "2.1"]
        mimes = [f.mime for f in service.get_tap_capability().outputformats]
        assert mimes[0] == "application/x-votable+xml;serialization=binary2"
        assert "application/vnd.apache.parquet" in mimes
        assert len(service.tables) == 51


def test_scisql_is_declared_where_it_works(serve: Serve) -> None:
    friendly, plain = serve(Profile.friendly()), serve(Profile.plain())
    assert "udf" in features(friendly)
    assert ask(friendly, FLUXES).ok
    assert "udf" not in features(plain)
    assert "Unknown function scisql_nanojanskyToAbMag" in ask(plain, FLUXES).text


def test_subqueries_are_declared_where_they_work(serve: Serve) -> None:
    query = "SELECT n FROM (SELECT COUNT(*) AS n FROM tap_schema.tables) AS t"
    friendly, rubin = serve(Profile.friendly()), serve(Profile.rubin())
    assert {"adql-sets", "adql-common-table"} <= features(friendly)
    assert ask(friendly, query).ok
    assert not {"adql-sets", "adql-common-table"} & features(rubin)
    assert "Subqueries, WITH and set operations are not supported here" in ask(rubin, query).text


def test_plain_service_names_everything_in_lower_case(serve: Serve) -> None:
    plain = serve(Profile.plain())
    assert [
        field.name for field in fields_of(ask(plain, "SELECT * FROM dp02_dc2_catalogs.MatchesTruth WHERE 1 = 0"))
    ][-2:] == [
        "match_objectid",
        "id_truth_type",
    ]
    query = "SELECT column_name FROM tap_schema.columns WHERE table_name = 'dp02_dc2_catalogs.object'"
    names = pyvo.dal.TAPService(plain.url).search(query)["column_name"]
    assert "objectid" in names
    assert all(name == name.lower() for name in names)
    assert "Unknown column 'objectId'" in ask(plain, 'SELECT "objectId" FROM dp02_dc2_catalogs.Object').text


def test_plain_service_serves_flags_as_small_integers(serve: Serve) -> None:
    flag = fields_of(ask(serve(Profile.plain()), "SELECT TOP 1 detect_isPrimary FROM dp02_dc2_catalogs.Object"))[0]
    assert flag.datatype == "short"
    condition = "detect_isPrimary = 1 AND tract = 3637"
    counted = "SELECT COUNT(*) AS n FROM dp02_dc2_catalogs.Object WHERE "
    plain, friendly = (
        ask(serve(p), counted + condition, FORMAT="csv") for p in (Profile.plain(), Profile.friendly())
    )
    assert plain.text == friendly.text


def test_plain_service_sends_binary2_only_when_asked(serve: Serve) -> None:
    plain = serve(Profile.plain())
    for asked in ({}, {"FORMAT": "votable"}, {"RESPONSEFORMAT": "application/x-votable+xml"}):
        assert b"<TABLEDATA>" in ask(plain, **asked).content
    assert b"<BINARY2>" in ask(plain, RESPONSEFORMAT=BINARY2).content


def test_plain_service_cuts_at_2000_rows_unless_maxrec_is_sent(serve: Serve) -> None:
    plain = serve(Profile.plain())
    query = "SELECT objectId FROM dp02_dc2_catalogs.Object WHERE tract = 3637"
    cut = ask(plain, query)
    assert cut.text.count("<TR>") == 2000
    assert 'value="OVERFLOW"' in cut.text
    whole = ask(plain, query, MAXREC="100000")
    assert whole.text.count("<TR>") > 2000
    assert 'value="OVERFLOW"' not in whole.text


def test_plain_service_has_its_jobs_elsewhere_and_no_row_count(serve: Serve) -> None:
    plain = serve(Profile.plain())
    job = create(plain, OBJECTS, PHASE="RUN")
    assert job.startswith(plain.url.removesuffix("/tap") + "/__system__/tap/run/async/")
    assert wait_for(job, "COMPLETED", "ERROR") == "COMPLETED"
    assert "final:" not in requests.get(job, timeout=30).text
    assert len(pyvo.dal.TAPService(plain.url).run_async(OBJECTS)) == 5


@pytest.mark.parametrize(
    ("profile", "status"), [(Profile.friendly(), 400), (Profile.plain(), 200)], ids=["friendly", "plain"]
)
def test_query_error_has_the_status_of_the_profile(serve: Serve, profile: Profile, status: int) -> None:
    server = serve(profile)
    for wrong in (
        "SELECT nothing FROM tap_schema.tables",
        "",
        "SELECT CAST(table_name AS INTEGER) FROM tap_schema.tables",
    ):
        response = ask(server, wrong)
        assert response.status_code == status
        assert 'value="ERROR"' in response.text


@pytest.mark.parametrize("asked", ["csv", "tsv", "votable/td", "votable"])
def test_rubin_sends_binary2_whatever_was_asked(serve: Serve, asked: str) -> None:
    response = ask(serve(Profile.rubin()), FORMAT=asked)
    assert b"<BINARY2>" in response.content
    assert [field.ID for field in fields_of(response)] == ["col_0", "col_1", "col_2"]


def test_rubin_sends_parquet_with_strings_in_lists_and_no_mark_of_overflow(serve: Serve) -> None:
    body = ask(serve(Profile.rubin()), FORMAT="parquet", MAXREC="2").content
    table = pq.read_table(io.BytesIO(body))
    assert str(table.schema.field("refBand").type) == "list<element: string>"
    assert {len(value) for value in table["refBand"].to_pylist()} == {1}
    assert b"OVERFLOW" not in table.schema.metadata[b"IVOA.VOTable-Parquet.content"]


def test_rubin_refuses_a_wrong_query_in_the_words_of_java(serve: Serve) -> None:
    rubin = serve(Profile.rubin())
    assert "IllegalArgumentException:Unknown column" in ask(rubin, "SELECT nothing FROM tap_schema.tables").text
    assert "UnsupportedOperationException:Unknown format" in ask(rubin, FORMAT="fits").text


def test_rubin_ends_a_slow_sync_query_with_status_200(serve: Serve) -> None:
    response = ask(serve(replace(Profile.rubin(), sync_limit_seconds=0.3)), ENDLESS)
    assert response.status_code == 200
    assert 'name="QUERY_STATUS" value="ERROR"' in response.text


def test_rubin_holds_a_job_and_shows_its_chunks(serve: Serve) -> None:
    rubin = serve(replace(Profile.rubin(), results_on_other_host=False))
    job = create(rubin, OBJECTS, PHASE="RUN")
    assert wait_for(job, "HELD", "COMPLETED") == "HELD"
    document = requests.get(job, params={"WAIT": "5"}, timeout=30).text
    assert wait_for(job, "COMPLETED") == "COMPLETED"
    document = requests.get(job, timeout=30).text
    assert "<uws:percentComplete>100</uws:percentComplete>" in document


@pytest.mark.parametrize(
    ("condition", "chunks"),
    [
        ("scisql_s2PtInCircle(coord_ra, coord_dec, 62, -37.3, 0.01) = 1 AND tract = 3637", 9),
        ("scisql_s2PtInCircle(coord_ra, coord_dec, 62, -37.3, 0.01 + 0) = 1 AND tract = 3637", 27),
        ("tract = 3637", 27),
    ],
)
def test_rubin_scans_everything_without_one_area_of_literals(serve: Serve, condition: str, chunks: int) -> None:
    rubin = serve(replace(Profile.rubin(), held_phase=False))
    job = create(rubin, f"SELECT COUNT(*) AS n FROM dp02_dc2_catalogs.Object WHERE {condition}", PHASE="RUN")
    wait_for(job, "COMPLETED")
    assert f"<uws:totalItems>{chunks}</uws:totalItems>" in requests.get(job, timeout=30).text


def test_rubin_refuses_a_query_over_the_quota(serve: Serve) -> None:
    rubin = serve(replace(Profile.rubin(), concurrent_queries=2))
    running = [create(rubin, ENDLESS, PHASE="RUN") for _ in range(2)]
    refused = create(rubin, OBJECTS, PHASE="RUN")
    assert phase(refused) == "ERROR"
    assert "Maximum running queries reached (2 running, maximum 2); wait" in requests.get(refused, timeout=30).text
    for job in running:
        send(job, "phase", PHASE="ABORT")


def test_rubins_delete_leaves_the_query_running(sky_folder: Path) -> None:
    profile = replace(Profile.rubin(), concurrent_queries=1, held_phase=False)
    # A server of its own: the query runs until it stops.
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile) as rubin:
        job = create(rubin, ENDLESS, PHASE="RUN")
        wait_for(job, "EXECUTING")
        requests.delete(job, timeout=30, allow_redirects=False)
        assert requests.get(job, timeout=30).status_code == 404
        assert phase(create(rubin, OBJECTS, PHASE="RUN")) == "ERROR"


def test_rubin_limits_the_rate_with_a_date_to_come_back(serve: Serve) -> None:
    rubin = serve(replace(Profile.rubin(), requests_per_minute=3))
    answers = [requests.get(f"{rubin.url}/availability", timeout=30) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    seconds = (parsedate_to_datetime(answers[3].headers["retry-after"]) - datetime.now(UTC)).total_seconds()
    assert 50 < seconds < 62


def test_rubins_results_are_on_another_host_that_takes_no_token(serve: Serve) -> None:
    rubin = serve(Profile.rubin(), token="gt-right")  # noqa: S106 (of a test)
    session = requests.Session()
    session.headers["Authorization"] = "Bearer gt-right"
    sent = {"LANG": "ADQL", "QUERY": OBJECTS, "PHASE": "RUN"}
    job = session.post(f"{rubin.url}/async", data=sent, timeout=30, allow_redirects=False).headers["location"]
    while session.get(f"{job}/phase", timeout=30).text != "COMPLETED":
        time.sleep(0.02)
    moved = session.get(f"{job}/results/result", timeout=30, allow_redirects=False)
    assert moved.status_code == 303
    assert moved.headers["location"].startswith("http://localhost:")
    assert session.get(moved.headers["location"], timeout=30).status_code == 401
    assert b"<BINARY2>" in requests.get(moved.headers["location"], timeout=30).content


@pytest.mark.parametrize("path", ["/sync", "/async", "/tables", "/async/x/results/result", ""])
@pytest.mark.parametrize("sent", [None, "Bearer gt-wrong", "Basic gt-right", "gt-right"])
def test_token_is_required(serve: Serve, path: str, sent: str | None) -> None:
    server = serve(Profile.friendly(), token="gt-right")  # noqa: S106 (of a test)
    headers = {"Authorization": sent} if sent else {}
    assert requests.get(server.url + path, headers=headers, timeout=30).status_code == 401


def test_token_opens_everything_and_vosi_needs_none(serve: Serve) -> None:
    server = serve(Profile.friendly(), token="gt-right")  # noqa: S106 (of a test)
    assert requests.get(f"{server.url}/capabilities", timeout=30).ok
    assert requests.get(f"{server.url}/availability", timeout=30).ok
    assert requests.get(f"{server.url}/tables", headers={"Authorization": "bearer gt-right"}, timeout=30).ok
