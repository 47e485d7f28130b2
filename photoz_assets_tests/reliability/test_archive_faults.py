"""Every fault of the network and of the service, injected over real HTTP: what comes of it, at which cost."""

import gzip
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pyarrow as pa
import pytest

from photoz_assets.embedded_archive.service.faults import Faults
from photoz_assets.embedded_archive.service.server import ArchiveServer
from photoz_assets.ingest import BROKEN, BUSY, Terms
from photoz_assets_tests.reliability.proxy import (
    CAPABILITIES,
    PHASE,
    POLL,
    RESULT,
    SUBMIT,
    Change,
    Fault,
    Forward,
    cut,
    rewritten,
)
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.world import CANARY, World, lost_and_wrong
from photoz_assets_tests.tap.documents import error_document
from photoz_assets_tests.tap.faulty_server import Answer, Request

Arrange = Callable[[World, ArchiveServer], None]
LOGIN = Answer(body=b"<!DOCTYPE html><html><title>Sign in</title></html>", headers={"Content-Type": "text/html"})
MAINTENANCE = Answer(status=503, body=b"<html>Down for maintenance</html>")
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><VOTABLE>&c;</VOTABLE>'
)
EXTERNAL = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><VOTABLE>&a;</VOTABLE>'
RECOVERS = "^recovered"


@dataclass(frozen=True)
class Case:
    """A fault, how it is injected, what must come of it, and how many queries the archive may run for it."""

    group: str
    fault: str
    injected: str
    arrange: Arrange
    outcome: str
    jobs: int
    leaves_job: bool = False


def struck(*faults: Fault) -> Arrange:
    """Have the proxy do something to single requests."""

    def arrange(world: World, _: ArchiveServer) -> None:
        # Each run of a case starts to count anew.
        world.proxy.faults = [Fault(each.kind, each.answer, each.times, each.skip) for each in faults]

    return arrange


def broken(**faults: Any) -> Arrange:
    """Have the archive itself do something wrong."""

    def arrange(_: World, archive: ArchiveServer) -> None:
        archive.faults = Faults(**faults)

    return arrange


def at(url: Callable[[World], str]) -> Arrange:
    """Ask at another address."""

    def arrange(world: World, _: ArchiveServer) -> None:
        world.url = url(world)

    return arrange


def _closed_port(_: World) -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/tap"


def _hasty(world: World, _: ArchiveServer) -> None:
    world.read_seconds = 4.0
    silent = Answer(body=b"late", pause_seconds=5.0)
    world.proxy.faults = [Fault(PHASE, silent, times=1), Fault(CAPABILITIES, silent, times=2)]


def _limited(world: World, _: ArchiveServer) -> None:
    world.terms = Terms(max_rows=world.rows().num_rows)


def _impatient(world: World, _: ArchiveServer) -> None:
    world.terms = Terms(deadline_seconds=60)
    struck(Fault(POLL, rewritten(b"COMPLETED|QUEUED", b"EXECUTING")))(world, _)


def _too_large(world: World, archive: ArchiveServer) -> None:
    archive.faults = Faults(most_rows=world.rows().num_rows // 3)


def _first_fails(text: str) -> Change:
    failed = rewritten(
        rb"<uws:phase>\w+</uws:phase>(.*)</uws:job>",
        rb"<uws:phase>ERROR</uws:phase>\1<uws:errorSummary type='fatal'><uws:message>"
        + text.encode()
        + rb"</uws:message></uws:errorSummary></uws:job>",
    )
    return _in_one_line(failed)


def _in_one_line(change: Change) -> Change:
    """Let patterns match over the lines of a document."""

    def changed(request: Request, forward: Forward) -> Answer:
        def flat() -> Answer:
            answer = forward()
            return Answer(status=answer.status, headers=answer.headers, body=answer.body.replace(b"\n", b" "))

        return change(request, flat)

    return changed


def _phases(*phases: bytes) -> tuple[Fault, ...]:
    return tuple(
        Fault(POLL, _in_one_line(rewritten(rb"phase>\w+<", b"phase>" + phase + b"<")), times=1) for phase in phases
    )


def _on_another_host(world: World, _: ArchiveServer) -> None:
    other = world.proxy.base.replace("127.0.0.1", "localhost")

    def moved(request: Request, forward: Forward) -> Answer:
        if request.headers["Host"].startswith("localhost"):
            assert "Authorization" not in request.headers
            return forward()
        return Answer(status=302, headers={"Location": f"{other}{request.path}"})

    world.proxy.faults = [Fault(RESULT, moved)]


def _counting_one_more(world: World, archive: ArchiveServer) -> None:
    def one_more(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.schema.names != ["num_rows"]:
            return batch
        return pa.RecordBatch.from_arrays([pa.array([batch.column(0)[0].as_py() + 1])], schema=batch.schema)

    archive.faults = Faults(rewrite=one_more)
    world.proxy.faults = [Fault(POLL, rewritten(rb"final:\d+", b"unknown"))]


def _retry_later(value: str, **headers: str) -> Arrange:
    return struck(Fault(POLL, Answer(status=429, headers={"Retry-After": value, **headers}), times=1, skip=3))


NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SOON = format_datetime(NOW + timedelta(seconds=30), usegmt=True)

# fmt: off
TRANSPORT = [
    Case("Transport", "connection refused", "a port that nobody listens on", at(_closed_port), "refuses conn", 0),
    Case("Transport", "connection reset, twice", "the server hangs up on polls",
         struck(Fault(POLL, Answer(hang_up=True), times=2)), RECOVERS, 1),
    Case("Transport", "connection reset while a job is created", "the server hangs up after it has the request",
         struck(Fault(SUBMIT, lambda _, forward: (forward(), Answer(hang_up=True))[1], times=1)), RECOVERS, 1),
    Case("Transport", "connection reset while a job is started", "the server hangs up after it has the request",
         struck(Fault(PHASE, lambda _, forward: (forward(), Answer(hang_up=True))[1], times=1)), RECOVERS, 1),
    Case("Transport", "TLS failure", "https at a port that speaks http",
         at(lambda world: f"{world.proxy.base.replace('http:', 'https:')}/tap"), "the connection broke", 0),
    Case("Transport", "read timeout, three times", "the server says nothing for longer than the limit", _hasty,
         RECOVERS, 1),
    *(Case("Transport", f"HTTP {status}, once", "answer to a poll",
           struck(Fault(POLL, Answer(status=status), times=1, skip=3)), RECOVERS, 1) for status in (500, 502, 503, 504)),
    *(Case("Transport", f"HTTP {status}, for ever", "answer to all requests for the capabilities",
           struck(Fault(CAPABILITIES, Answer(status=status))), f"HTTP {status}", 0) for status in (500, 502, 503, 504)),
    Case("Transport", "HTTP 503 for ever while a job runs", "answer to all polls after the first two",
         struck(Fault(POLL, Answer(status=503), skip=3), Fault(PHASE, Answer(status=503), skip=1)), "HTTP 503", 1,
         leaves_job=True),
    Case("Transport", "404 on a job that vanished", "answer to a poll",
         struck(Fault(POLL, Answer(status=404), times=1, skip=3)), RECOVERS, 2),
    Case("Transport", "404 on every job", "answer to all polls", struck(Fault(POLL, Answer(status=404))), "HTTP 404", 0),
    Case("Transport", "redirect loop", "the job redirects to itself",
         struck(Fault(POLL, lambda request, _: Answer(status=302, headers={"Location": request.path}))),
         "redirected more than 5 times", 0),
    Case("Transport", "redirect to another host", "the result lies on another host", _on_another_host, RECOVERS, 1),
    Case("Transport", "login page in place of the capabilities", "text/html with HTTP 200",
         struck(Fault(CAPABILITIES, LOGIN)), "a web page came", 0),
    Case("Transport", "login page in place of the result", "text/html with HTTP 200", struck(Fault(RESULT, LOGIN)),
         "web page", 1),
    Case("Transport", "truncated body, once", "the body is shorter than announced", struck(Fault(RESULT, cut(20_000), times=1)),
         RECOVERS, 1),
    Case("Transport", "truncated body, for ever", "the body is shorter than announced", struck(Fault(RESULT, cut(20_000))),
         "the connection broke", 1),
    Case("Transport", "no Content-Length and a body that ends early, once", "the server closes the connection",
         struck(Fault(RESULT, cut(20_000, has_length=False), times=1)), RECOVERS, 1),
    Case("Transport", "no Content-Length and a body that ends early, for ever", "the server closes the connection",
         struck(Fault(RESULT, cut(20_000, has_length=False))), "ends within its rows", 1),
    Case("Transport", "Content-Length too small, once", "the header says 20000",
         struck(Fault(RESULT, lambda _, forward: Answer(body=forward().body, has_length=False,
                                                        headers={"Content-Length": "20000"}), times=1)), RECOVERS, 1),
    Case("Transport", "Content-Length too large, once", "the header says 999999999",
         struck(Fault(RESULT, lambda _, forward: Answer(body=forward().body, has_length=False, cut_to=1 << 30,
                                                        headers={"Content-Length": "999999999"}), times=1)), RECOVERS, 1),
    Case("Transport", "gzip garbage", "Content-Encoding: gzip over a body that is none",
         struck(Fault(RESULT, Answer(body=b"no gzip", headers={"Content-Encoding": "gzip"}))), "not encoded as it says", 1),
    Case("Transport", "gzip that breaks off, once", "a compressed body without its end",
         struck(Fault(RESULT, lambda _, forward: Answer(body=gzip.compress(forward().body)[:-9000],
                                                        headers={"Content-Encoding": "gzip"}), times=1)), RECOVERS, 1),
]

SERVICE = [
    Case("Service", "OVERFLOW", "the archive marks a result as cut off", broken(overflow=True), "OVERFLOW", 1),
    Case("Service", "overflow that is not marked", "MAXREC is the number of rows", _limited, "OVERFLOW|fill the row limit", 1),
    Case("Service", "row count other than the job's", "the job counts 7 rows", broken(report_rows=7), "the archive counted 7", 1),
    Case("Service", "QUERY_STATUS=ERROR with HTTP 200 to a new job", "an error document",
         struck(Fault(SUBMIT, Answer(body=error_document("no such column")))), "no such column", 0),
    Case("Service", "QUERY_STATUS=ERROR with HTTP 200 to a poll", "an error document",
         struck(Fault(POLL, Answer(body=error_document("it went wrong")), skip=3)), "it went wrong", 1),
    Case("Service", "phase ERROR", "the query fails", broken(error_text="disk on fire"), "disk on fire", 1),
    Case("Service", "phase ERROR that passes", "the job says 'Qserv request failed', once",
         struck(Fault(POLL, _first_fails("Qserv request failed"), times=1, skip=3)), RECOVERS, 2),
    Case("Service", "phase ERROR that does not pass", "each job says 'Qserv request failed'",
         broken(error_text="Qserv request failed"), "Qserv request failed", BROKEN.attempts),
    Case("Service", "phase ABORTED", "somebody else stops the job", struck(Fault(POLL, _phases(b"ABORTED")[0].answer, skip=3)),
         "the job was aborted", 1),
    Case("Service", "phases HELD, SUSPENDED and UNKNOWN", "one after the other",
         struck(*_phases(b"PENDING", b"PENDING", b"QUEUED"), *_phases(b"HELD", b"SUSPENDED", b"UNKNOWN")),
         RECOVERS, 1),
    Case("Service", "a job that never ends", "EXECUTING for ever; our budget is 60 s", _impatient, "the job is EXECUTING after", 1),
    Case("Service", "'Maximum running queries reached', once", "the job says so",
         struck(Fault(POLL, _first_fails("Maximum running queries reached (12 running)"), times=1, skip=3)), RECOVERS, 2),
    Case("Service", "'Maximum running queries reached', for ever", "each job says so",
         broken(error_text="Maximum running queries reached (12 running, maximum 12)"), "Maximum running", BUSY.attempts),
    Case("Service", "'results are too large'", "the archive gives out a third of the tract at most", _too_large, RECOVERS, 7),
    Case("Service", "'results are too large' to whatever is asked", "the archive gives out no row", broken(most_rows=0),
         "results are too large", 5),
    Case("Service", "401, the token expires in the middle", "answer to polls", struck(Fault(POLL, Answer(status=401), skip=3)),
         "HTTP 401", 1,
         leaves_job=True),
    Case("Service", "403", "answer to a new job", struck(Fault(SUBMIT, Answer(status=403))), "HTTP 403", 0),
    Case("Service", "429 with seconds", "Retry-After: 30", _retry_later("30"), RECOVERS, 1),
    Case("Service", "429 with an HTTP date", "Retry-After 30 s after the answer's Date",
         _retry_later(SOON, Date=format_datetime(NOW, usegmt=True)), RECOVERS, 1),
    Case("Service", "maintenance page for some minutes", "503 with HTML to ten polls",
         struck(Fault(POLL, MAINTENANCE, times=10, skip=3)), RECOVERS, 1),
    Case("Service", "destruction of the result before its download", "404 on the first job's result",
         struck(Fault(RESULT, Answer(status=404), times=1)), RECOVERS, 2),
    Case("Service", "destruction of each result", "404 on all results", struck(Fault(RESULT, Answer(status=404))), "HTTP 404", 2),
    Case("Service", "a service that changes the data between two tries", "its count, asked by a query, is one more",
         _counting_one_more, "the archive counted", 2),
    Case("Service", "malformed VOTable", "a tag is broken", struck(Fault(RESULT, rewritten(b"</FIELD>|<DATA>", b"<<"))),
         "refused", 1),
    Case("Service", "XML bomb in place of a job", "nested entities", struck(Fault(POLL, Answer(body=BOMB))), "cannot be read", 0),
    Case("Service", "XML bomb in place of a result", "nested entities", struck(Fault(RESULT, Answer(body=BOMB))), "refused", 1),
    Case("Service", "external entity in place of a job", "SYSTEM file:///etc/passwd", struck(Fault(POLL, Answer(body=EXTERNAL))),
         "cannot be read", 0),
    Case("Service", "external entity in place of a result", "SYSTEM file:///etc/passwd",
         struck(Fault(RESULT, Answer(body=EXTERNAL))), "refused", 1),
]
# fmt: on
CASES = [*TRANSPORT, *SERVICE]
FAULTS = [case.fault for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_fault_of_the_archive_loses_nothing_and_publishes_nothing_wrong(
    case: Case, world: World, one_tract: ArchiveServer, truth: pa.Table
) -> None:
    before = world.digest()
    case.arrange(world, one_tract)
    outcome = world.refresh()
    assert re.search(case.outcome, outcome.text), outcome
    assert "\n" not in outcome.text
    assert CANARY not in outcome.text + "".join(outcome.said)
    assert (world.digest() == before) == (outcome.error is not None)
    assert world.proxy.jobs == case.jobs
    assert bool(world.leftovers()) == case.leaves_job
    lost, wrong = lost_and_wrong(world.rows(), truth)
    assert (lost, wrong) == (0, 0)
    note(
        FaultRecord(
            group=case.group,
            fault=case.fault,
            injected=case.injected,
            outcome=outcome.text,
            retries=outcome.retries,
            jobs=world.proxy.jobs,
            rows_lost=lost,
            wrong_rows=wrong,
        )
    )
