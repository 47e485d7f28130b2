import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import ArchiveError, Protocol, Rejected, TooLarge, Transient, Truncated, Unauthorized
from photoz_assets_tests.tap import documents
from photoz_assets_tests.tap.documents import Columns, binary2, by_hand, error_document, longs
from photoz_assets_tests.tap.faulty_server import Answer, Clock, FaultyServer, Request
from photoz_assets_tests.tap.uws import capabilities, job_document

BINARY2 = "application/x-votable+xml;serialization=BINARY2"
LONG = pa.schema([("id", pa.int64())])
LONG_FIELD = '<FIELD name="id" datatype="long"/>'
TABLE = by_hand(LONG_FIELD, binary2(longs([1, 2, 3])))
CANARY = "gt-canary"
ELSEWHERE = "/__system__/tap/run/async/abc"

MakeArchive = Callable[..., TapClient]


@pytest.fixture
def make_archive(server: FaultyServer, clock: Clock) -> MakeArchive:
    """Make clients of the server, which is a plain service that knows nothing but its capabilities."""
    server.answer("GET", "/tap/capabilities", Answer(body=capabilities(formats=("text/csv", BINARY2))))

    def make(**options: Any) -> TapClient:
        return TapClient(f"{server.base}/tap/", clock=clock, sleep=clock.sleep, **options)

    return make


def test_archive_asks_nothing_before_it_is_asked(make_archive: MakeArchive, server: FaultyServer) -> None:
    make_archive()
    assert server.requests == []


def test_offer_is_asked_for_once(make_archive: MakeArchive, server: FaultyServer) -> None:
    server.answer("GET", "/tap/capabilities", Answer(status=500), Answer(body=capabilities()))
    archive = make_archive()
    assert archive.capabilities() is archive.capabilities()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(body=b"<!DOCTYPE html><html>hello</html>"), Protocol),
        (Answer(body=b""), Protocol),
        (Answer(status=404), Rejected),
        (Answer(status=401), Unauthorized),
    ],
)
def test_offer_of_a_wrong_url_says_so(
    make_archive: MakeArchive, server: FaultyServer, answer: Answer, error: type[ArchiveError]
) -> None:
    server.answer("GET", "/tap/capabilities", answer)
    with pytest.raises(error, match=f"at {server.base}/tap/capabilities.*PHOTOZ_TAP"):
        make_archive().capabilities()


def test_offer_of_an_archive_that_is_down_is_bounded(clock: Clock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/tap"
    with pytest.raises(Transient, match="refuses connections"):
        TapClient(url, clock=clock, sleep=clock.sleep).capabilities()
    assert 1 <= len(clock.naps) <= 5


def test_query_sends_what_tap_asks_for(make_archive: MakeArchive, server: FaultyServer) -> None:
    server.answer("POST", "/tap/sync", Answer(body=TABLE))
    batches = list(make_archive(run_id="run-1").query("SELECT id FROM t", LONG, maxrec=10))
    assert pa.Table.from_batches(batches)["id"].to_pylist() == [1, 2, 3]
    assert server.asked("POST", "/tap/sync")[0].parameters == {
        "REQUEST": "doQuery",
        "LANG": "ADQL",
        "QUERY": "SELECT id FROM t",
        "MAXREC": "10",
        "RESPONSEFORMAT": BINARY2,
        "RUNID": "run-1",
    }


WITHOUT_PYVO = """
import sys
import tempfile
import pyarrow as pa
from photoz_assets.tap.client import TapClient
client = TapClient(sys.argv[1])
schema = pa.schema([("id", pa.int64())])
assert sum(batch.num_rows for batch in client.query("SELECT id FROM t", schema)) == 3
with client.submit("SELECT id FROM t", maxrec=10) as job:
    job.run()
    job.wait(60)
    assert sum(batch.num_rows for batch in job.fetch(schema)) == 3
print(*{"pyvo", "astropy"} & set(sys.modules))
"""


def test_query_and_job_do_without_the_libraries_that_take_long_to_import(
    make_archive: MakeArchive, server: FaultyServer
) -> None:
    make_archive()
    server.answer("POST", "/tap/sync", Answer(body=TABLE))
    server.answer("POST", "/tap/async", Answer(status=303, headers={"Location": ELSEWHERE}))
    server.answer("GET", ELSEWHERE, *(Answer(body=job_document(phase)) for phase in ("PENDING", "COMPLETED")))
    server.answer("GET", f"{ELSEWHERE}/results/result", Answer(body=TABLE))
    server.answer("DELETE", ELSEWHERE, Answer())
    command = [sys.executable, "-c", WITHOUT_PYVO, f"{server.base}/tap"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_query_without_a_declared_binary2_takes_the_default(
    make_archive: MakeArchive, server: FaultyServer
) -> None:
    server.answer("GET", "/tap/capabilities", Answer(body=capabilities()))
    server.answer(
        "POST", "/tap/sync", Answer(body=documents.votable({"ID": ("int", None, [7])}, serialization="tabledata"))
    )
    assert [batch.to_pylist() for batch in make_archive().query("SELECT id FROM t", LONG)] == [[{"id": 7}]]
    parameters = server.asked("POST", "/tap/sync")[0].parameters
    assert "RESPONSEFORMAT" not in parameters
    assert parameters["MAXREC"] == "1000000"


def test_query_that_breaks_in_the_middle_is_asked_again(make_archive: MakeArchive, server: FaultyServer) -> None:
    server.answer("POST", "/tap/sync", Answer(body=TABLE, cut_to=len(TABLE) - 50), Answer(body=TABLE))
    assert sum(batch.num_rows for batch in make_archive().query("SELECT id FROM t", LONG)) == 3


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(body=error_document("no table t")), Rejected, "no table t"),
        (Answer(status=400, body=error_document("no table t")), Rejected, "no table t"),
        (Answer(body=b"<html>log in</html>"), Protocol, "web page"),
        (
            Answer(body=TABLE.replace(b"</TABLE>", b'</TABLE><INFO name="QUERY_STATUS" value="OVERFLOW"/>')),
            Truncated,
            "3",
        ),
    ],
)
def test_query_is_complete_or_an_error(
    make_archive: MakeArchive, server: FaultyServer, answer: Answer, error: type[ArchiveError], words: str
) -> None:
    server.answer("POST", "/tap/sync", answer)
    with pytest.raises(error, match=words):
        make_archive().query("SELECT id FROM t", LONG)
    assert len(server.asked("POST", "/tap/sync")) == 1


def test_query_that_fills_the_row_limit_is_truncated(make_archive: MakeArchive, server: FaultyServer) -> None:
    server.answer("POST", "/tap/sync", Answer(body=TABLE))
    with pytest.raises(Truncated, match="MAXREC"):
        make_archive().query("SELECT id FROM t", LONG, maxrec=3)


def test_query_of_an_absurd_size_is_refused(
    make_archive: MakeArchive, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoz_assets.tap.client.LARGEST_SYNC_BYTES", 20)
    server.answer("POST", "/tap/sync", Answer(body=TABLE))
    with pytest.raises(TooLarge, match="synchronous"):
        make_archive().query("SELECT id FROM t", LONG)


def test_submit_creates_a_job_elsewhere_and_runs_it_there(make_archive: MakeArchive, server: FaultyServer) -> None:
    server.answer("POST", "/tap/async", Answer(status=303, headers={"Location": f"{server.base}{ELSEWHERE}"}))
    pending, completed = (Answer(body=job_document(phase, prefix="")) for phase in ("PENDING", "COMPLETED"))
    server.answer("GET", ELSEWHERE, pending, pending, completed)
    server.answer("POST", f"{ELSEWHERE}/phase", Answer())
    server.answer("GET", f"{ELSEWHERE}/results/result", Answer(body=TABLE))
    server.answer("DELETE", ELSEWHERE, Answer())
    with make_archive(token=CANARY).submit("SELECT id FROM t", maxrec=1000) as job:
        assert job.url == f"{server.base}{ELSEWHERE}"
        job.run()
        job.wait(60)
        assert sum(batch.num_rows for batch in job.fetch(LONG)) == 3
    assert server.asked("POST", "/tap/async")[0].parameters["MAXREC"] == "1000"
    assert len(server.asked("DELETE", ELSEWHERE)) == 1
    assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {CANARY}"}


def test_submit_whose_answer_is_lost_is_tried_again_and_runs_nothing(
    make_archive: MakeArchive, server: FaultyServer
) -> None:
    created = Answer(status=303, headers={"Location": f"{server.base}{ELSEWHERE}"})
    server.answer("POST", "/tap/async", Answer(hang_up=True), created)
    server.answer("GET", ELSEWHERE, Answer(body=job_document("PENDING")))
    assert make_archive().submit("SELECT id FROM t", maxrec=10).url.endswith(ELSEWHERE)
    assert server.asked("POST", f"{ELSEWHERE}/phase") == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(body=error_document("Could not parse your query")), Rejected, "Could not parse"),
        (Answer(body=b"<html>hello</html>"), Protocol, "a web page"),
        (Answer(status=400, body=b"MAXREC must be a number"), Rejected, "MAXREC must"),
    ],
)
def test_submit_that_creates_no_job_is_an_error(
    make_archive: MakeArchive, server: FaultyServer, answer: Answer, error: type[ArchiveError], words: str
) -> None:
    server.answer("POST", "/tap/async", answer)
    with pytest.raises(error, match=words):
        make_archive().submit("SELECT id FROM t", maxrec=10)


def test_attach_does_not_own_the_job_unless_told_so(make_archive: MakeArchive, server: FaultyServer) -> None:
    archive = make_archive()
    with archive.attach(f"{server.base}{ELSEWHERE}"):
        pass
    assert server.requests == []
    assert archive.attach(f"{server.base}{ELSEWHERE}", owned=True).owned
    with pytest.raises(Rejected, match="URL"):
        archive.attach("file:///etc/passwd")


@pytest.mark.parametrize("has_spool", [True, False])
def test_job_answered_as_parquet_is_read_from_a_spooled_file(
    make_archive: MakeArchive,
    server: FaultyServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_spool: bool,  # noqa: FBT001  (pytest's way)
) -> None:
    pq.write_table(pa.table({"ID": [5, 6]}), tmp_path / "served.parquet")
    formats = (BINARY2, "application/vnd.apache.parquet")
    server.answer("GET", "/tap/capabilities", Answer(body=capabilities(formats=formats)))
    server.answer("POST", "/tap/async", Answer(status=303, headers={"Location": "/tap/async/abc"}))
    server.answer("GET", "/tap/async/abc", Answer(body=job_document("COMPLETED", rows=2)))
    server.answer(
        "GET",
        "/tap/async/abc/results/result",
        Answer(body=(tmp_path / "served.parquet").read_bytes(), piece_bytes=1),
    )
    job = make_archive(prefer_parquet=True).submit("SELECT id FROM t", maxrec=10)
    assert server.asked("POST", "/tap/async")[0].parameters["RESPONSEFORMAT"] == formats[1]
    spool = tmp_path / "spooled"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    stream = job.fetch(LONG, spool=spool if has_spool else None)
    assert [batch.to_pylist() for batch in stream] == [[{"id": 5}, {"id": 6}]]
    assert not spool.exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def tap_schema(request: Request) -> Answer:
    """Answer the queries of TAP_SCHEMA as a service does that writes all names in lower case."""
    query = request.parameters["QUERY"]
    texts: dict[str, list[str | None]]
    if "TAP_SCHEMA.schemas" in query:
        texts = {"schema_name": ["ivoa", "dp02_dc2_catalogs"], "description": [None, "simulated"]}
    elif "TAP_SCHEMA.tables" in query:
        assert query.endswith("WHERE schema_name = 'dp02_dc2_catalogs'")
        texts = {"table_name": ["dp02_dc2_catalogs.object"], "description": ["Objects"]}
    else:
        assert query.endswith("WHERE table_name IN ('dp02_dc2_catalogs.object')")
        texts = {"table_name": ["dp02_dc2_catalogs.object"] * 2, "column_name": ["objectid", "coord_ra"]}
        texts["datatype"] = ["long", "double"]
    columns: Columns = {key: ("char", "*", list(v)) for key, v in texts.items()}
    return Answer(body=documents.votable(columns))


def test_declared_gives_the_services_own_words_and_spelling(
    make_archive: MakeArchive, server: FaultyServer
) -> None:
    server.answer("POST", "/tap/sync", tap_schema)
    archive = make_archive()
    schema = archive.schema_info("DP02_DC2_catalogs")
    assert (schema.schema, schema.description) == ("dp02_dc2_catalogs", "simulated")
    table = schema.tables["object"]
    assert (table.name, table.description) == ("dp02_dc2_catalogs.object", "Objects")
    assert table.columns == {"objectid": "long", "coord_ra": "double"}
    assert archive.schema_info("dp02_dc2_catalogs") is schema
    assert len(server.asked("POST", "/tap/sync")) == 3


def test_declared_of_an_unknown_schema_says_so(make_archive: MakeArchive, server: FaultyServer) -> None:
    server.answer("POST", "/tap/sync", tap_schema)
    with pytest.raises(Rejected, match="no schema dp1"):
        make_archive().schema_info("dp1")
