"""Every fault of the network and of the service, injected over real HTTP: what comes of it, at which cost."""

import base64
import gzip
import math
import re
import shutil
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pyarrow as pa
import pytest

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets.ingest import BUSY_RETRY, TRANSIENT_RETRY, QueryLimits
from photoz_assets_tests.reliability.cases import (
    BOMB,
    EXTERNAL,
    RECOVERS,
    Arrange,
    Case,
    check,
    in_the_middle,
    struck,
)
from photoz_assets_tests.reliability.proxy import (
    CAPABILITIES,
    JOB_LIST,
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
from photoz_assets_tests.reliability.world import World, lost_and_wrong
from photoz_assets_tests.tap.documents import error_document
from photoz_assets_tests.tap.faulty_server import Answer, HurriedClock, Request, tls_server

LOGIN = Answer(body=b"<!DOCTYPE html><html><title>Sign in</title></html>", headers={"Content-Type": "text/html"})
MAINTENANCE = Answer(status=503, body=b"<html>Down for maintenance</html>")


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


def _deaf(world: World, _: ArchiveServer) -> None:
    """Ask where nobody accepts connections, and the queue of those that wait for it is full."""
    listener = world.held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _number in range(4):
        waiting = world.held.enter_context(socket.socket())
        waiting.settimeout(0)
        waiting.connect_ex(listener.getsockname())
    world.url = f"http://127.0.0.1:{listener.getsockname()[1]}/tap"
    world.allow(read_seconds=0.2)


def _not_trusted(world: World, _: ArchiveServer) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    world.url = world.held.enter_context(tls_server(world.lake.root.parent))


def _dripping(world: World, _: ArchiveServer) -> None:
    world.clock = clock = HurriedClock(step=0)

    def drip(_: Request, forward: Forward) -> Answer:
        clock.step = 30
        return Answer(body=forward().body, piece_bytes=1, pause_seconds=0.01)

    def flow(_: Request, forward: Forward) -> Answer:
        clock.step = 0
        return forward()

    world.proxy.faults = [Fault(RESULT, drip, times=1), Fault(RESULT, flow)]


def _silent(world: World, _: ArchiveServer) -> None:
    """Say nothing to three requests; no other is asked under the short limit, so that no slow machine is struck."""
    late = Answer(body=b"late", pause_seconds=4.0)

    def last(_: Request, __: Forward) -> Answer:
        world.allow(read_seconds=90.0)
        return late

    def following(_: Request, forward: Forward) -> Answer:
        world.allow(read_seconds=2.0)
        return forward()

    world.allow(read_seconds=2.0)
    world.proxy.faults = [
        Fault(CAPABILITIES, late, times=1),
        Fault(CAPABILITIES, last, times=1),
        Fault(POLL, following, times=1),
        Fault(PHASE, last, times=1),
    ]


def _limited(world: World, _: ArchiveServer) -> None:
    world.limits = QueryLimits(max_rows=world.rows().num_rows)


def _on_its_way(change: Callable[[World, bytes], bytes], times: float = math.inf) -> Arrange:
    """Change a result of which the archive states the digest."""

    def arrange(world: World, _: ArchiveServer) -> None:
        def changed(_: Request, forward: Forward) -> Answer:
            answer = forward()
            assert "Repr-Digest" in answer.headers
            return Answer(headers=answer.headers, body=change(world, answer.body))

        world.proxy.states_digest = True
        world.proxy.faults = [Fault(RESULT, changed, times=times)]

    return arrange


def _a_little_redder(world: World, body: bytes) -> bytes:
    """Change the redshift of a galaxy in a way that breaks no rule."""
    beginning, tag, following = body.partition(b'<STREAM encoding="base64">')
    rows, end, rest = following.partition(b"<")
    redshift = world.rows()["ts_redshift"][0].as_py()
    true, redder = (struct.pack(">f", redshift * factor) for factor in (1.0, 1.0001))
    changed = base64.b64decode(rows).replace(true, redder, 1)
    assert changed != base64.b64decode(rows)
    return beginning + tag + base64.b64encode(changed) + end + rest


def _of_another_try(world: World, _: ArchiveServer) -> None:
    """Give other data first, and break off in the middle of it."""

    def other(_: Request, forward: Forward) -> Answer:
        return Answer(body=_a_little_redder(world, forward().body), cut_to=60_000)

    world.proxy.faults = [Fault(RESULT, other, times=1)]


def _garbled(_: World, body: bytes) -> bytes:
    return body.replace(b"<DATA>", b"<<DATA")


def _impatient(world: World, _: ArchiveServer) -> None:
    world.limits = QueryLimits(deadline_seconds=60)
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
    return in_the_middle(Fault(POLL, Answer(status=429, headers={"Retry-After": value, **headers}), times=1))


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
    Case("Transport", "connection reset in the middle of the result, once", "a TCP reset after 20000 bytes",
         struck(Fault(RESULT, lambda _, forward: replace(forward(), cut_to=20_000, resets=True), times=1)), RECOVERS, 1),
    Case("Transport", "TLS failure", "https at a port that speaks http",
         at(lambda world: f"{world.proxy.base.replace('http:', 'https:')}/tap"), "the connection broke", 0),
    Case("Transport", "DNS failure", "a name below .invalid", at(lambda _: "http://archive.invalid/tap"),
         "host name is unknown", 0),
    Case("Transport", "connect timeout", "nobody accepts connections, and their queue is full", _deaf,
         "did not answer in time", 0),
    Case("Transport", "certificate that is not trusted", "https with a certificate that vouches for itself", _not_trusted,
         "certificate is not trusted", 0),
    Case("Transport", "body that drips, once", "a byte every 30 s or more", _dripping, RECOVERS, 1),
    Case("Transport", "read timeout, three times", "the server says nothing for longer than the limit", _silent,
         RECOVERS, 1),
    *(Case("Transport", f"HTTP {status}, once", "answer to a poll",
           in_the_middle(Fault(POLL, Answer(status=status), times=1)), RECOVERS, 1) for status in (500, 502, 503, 504)),
    *(Case("Transport", f"HTTP {status}, for ever", "answer to all requests for the capabilities",
           struck(Fault(CAPABILITIES, Answer(status=status))), f"HTTP {status}", 0) for status in (500, 502, 503, 504)),
    Case("Transport", "HTTP 503 for ever while a job runs", "answer to all polls after the first two",
         in_the_middle(Fault(POLL, Answer(status=503)), Fault(PHASE, Answer(status=503), skip=1)), "HTTP 503", 1,
         leaves_job=True),
    Case("Transport", "404 on a job that vanished", "answer to a poll",
         in_the_middle(Fault(POLL, Answer(status=404), times=1)), RECOVERS, 2),
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
    Case("Transport", "a value changed on the way, once", "another redshift; the archive states the result's digest",
         _on_its_way(_a_little_redder, times=1), RECOVERS, 1),
    Case("Transport", "a value changed on the way, for ever", "another redshift; the archive states the result's digest",
         _on_its_way(_a_little_redder), "not those of the digest that the archive states", 1),
    Case("Transport", "a tag broken on the way, once", "a result without sense; the archive states its digest",
         _on_its_way(_garbled, times=1), RECOVERS, 1),
]

SERVICE = [
    Case("Service", "OVERFLOW", "the archive marks a result as cut off", broken(overflow=True), "OVERFLOW", 1),
    Case("Service", "overflow that is not marked", "MAXREC is the number of rows", _limited, "OVERFLOW|fill the row limit", 1),
    Case("Service", "row count other than the job's", "the job counts 7 rows", broken(report_rows=7), "the archive counted 7", 1),
    Case("Service", "QUERY_STATUS=ERROR with HTTP 200 to a new job", "an error document",
         struck(Fault(SUBMIT, Answer(body=error_document("no such column")))), "no such column", 0),
    Case("Service", "QUERY_STATUS=ERROR with HTTP 200 to a poll", "an error document",
         in_the_middle(Fault(POLL, Answer(body=error_document("it went wrong")))), "it went wrong", 1),
    Case("Service", "phase ERROR", "the query fails", broken(error_text="disk on fire"), "disk on fire", 1),
    Case("Service", "phase ERROR that passes", "the job says 'Qserv request failed', once",
         in_the_middle(Fault(POLL, _first_fails("Qserv request failed"), times=1)), RECOVERS, 2),
    Case("Service", "phase ERROR that does not pass", "each job says 'Qserv request failed'",
         broken(error_text="Qserv request failed"), "Qserv request failed", TRANSIENT_RETRY.attempts),
    Case("Service", "phase ABORTED", "somebody else stops the job", in_the_middle(Fault(POLL, _phases(b"ABORTED")[0].answer)),
         "the job was aborted", 1),
    Case("Service", "phases HELD, SUSPENDED and UNKNOWN", "one after the other",
         struck(*_phases(b"PENDING", b"PENDING", b"QUEUED"), *_phases(b"HELD", b"SUSPENDED", b"UNKNOWN")),
         RECOVERS, 1),
    Case("Service", "a job that never ends", "EXECUTING for ever; our budget is 60 s", _impatient, "the job is EXECUTING after", 1),
    Case("Service", "'Maximum running queries reached', once", "the job says so",
         in_the_middle(Fault(POLL, _first_fails("Maximum running queries reached (12 running)"), times=1)), RECOVERS, 2),
    Case("Service", "'Maximum running queries reached', for ever", "each job says so",
         broken(error_text="Maximum running queries reached (12 running, maximum 12)"), "Maximum running", BUSY_RETRY.attempts),
    Case("Service", "'results are too large'", "the archive gives out a third of the tract at most", _too_large, RECOVERS, 7),
    Case("Service", "'results are too large' to whatever is asked", "the archive gives out no row", broken(most_rows=0),
         "results are too large", 5),
    Case("Service", "401, the token expires in the middle", "answer to polls", in_the_middle(Fault(POLL, Answer(status=401))),
         "HTTP 401", 1,
         leaves_job=True),
    Case("Service", "403 in the middle", "answer to polls", in_the_middle(Fault(POLL, Answer(status=403))), "HTTP 403", 1,
         leaves_job=True),
    Case("Service", "401, the token expires before the download", "answer to the result", struck(Fault(RESULT, Answer(status=401))),
         "HTTP 401", 1),
    Case("Service", "403", "answer to a new job", struck(Fault(SUBMIT, Answer(status=403))), "HTTP 403", 0),
    Case("Service", "429 with seconds", "Retry-After: 30", _retry_later("30"), RECOVERS, 1),
    Case("Service", "429 with an HTTP date", "Retry-After 30 s after the answer's Date",
         _retry_later(SOON, Date=format_datetime(NOW, usegmt=True)), RECOVERS, 1),
    Case("Service", "maintenance page for some minutes", "503 with HTML to ten polls",
         in_the_middle(Fault(POLL, MAINTENANCE, times=10)), RECOVERS, 1),
    Case("Service", "destruction of the result before its download", "404 on the first job's result",
         struck(Fault(RESULT, Answer(status=404), times=1)), RECOVERS, 2),
    Case("Service", "destruction of each result", "404 on all results", struck(Fault(RESULT, Answer(status=404))), "HTTP 404", 2),
    Case("Service", "a service that changes the data between two tries", "its count, asked by a query, is one more",
         _counting_one_more, "the archive counted", 2),
    Case("Service", "a service that changes the data between two downloads", "another redshift in the first, which breaks off",
         _of_another_try, RECOVERS, 1),
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
NOT_OURS = "HTTP {} on a job that is another user's"
FAULTS = [*(case.fault for case in CASES), *(NOT_OURS.format(status) for status in (403, 404))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_fault_of_the_archive_loses_nothing_and_publishes_nothing_wrong(
    case: Case, world: World, one_tract: ArchiveServer, truth: pa.Table
) -> None:
    check(case, world, one_tract, truth)


@pytest.mark.parametrize("status", [403, 404])
def test_job_of_another_user_is_left_alone(
    world: World, one_tract: ArchiveServer, truth: pa.Table, status: int
) -> None:
    away = Answer(status=503)
    in_the_middle(Fault(POLL, away), Fault(PHASE, away, skip=1))(world, one_tract)
    assert world.refresh().error
    assert world.leftovers(), "the job is on record"
    [theirs] = {request.path for request in world.proxy.asked_for(POLL)}
    world.proxy.requests.clear()
    world.proxy.faults = [Fault(("", re.escape(theirs)), Answer(status=status))]
    outcome = world.refresh()
    assert outcome.error is None
    touched = [request for request in world.proxy.requests if request.path.startswith(theirs)]
    assert {request.method for request in touched} == {"GET"}
    assert world.proxy.asked_for(JOB_LIST) == []
    assert world.leftovers() == []
    lost, wrong = lost_and_wrong(world.rows(), truth)
    assert (lost, wrong) == (0, 0)
    note(
        FaultRecord(
            group="Service",
            fault=NOT_OURS.format(status),
            injected="answer about the job that a dead run left on record",
            outcome="recovered; the job is neither stopped nor deleted",
            retries=outcome.retries,
            jobs=world.proxy.jobs,
        )
    )
