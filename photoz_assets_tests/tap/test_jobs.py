from collections.abc import Callable

import pyarrow as pa
import pytest

from photoz_assets.tap.documents import JobSummary
from photoz_assets.tap.errors import (
    ArchiveError,
    Busy,
    DeadlineExceeded,
    JobAborted,
    JobFailed,
    Missing,
    Protocol,
    Rejected,
    TooLarge,
    Transient,
    Truncated,
    Unauthorized,
)
from photoz_assets.tap.jobs import Job
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets.tap.transport import ArchiveSession
from photoz_assets_tests.tap.documents import binary2, by_hand, error_document, longs
from photoz_assets_tests.tap.faulty_server import Answer, Clock, FaultyServer, Request
from photoz_assets_tests.tap.uws import job_document

JOB = "/tap/async/abc"
RESULT = f"{JOB}/results/result"
LONG = pa.schema([("id", pa.int64())])
LONG_FIELD = '<FIELD name="id" datatype="long"/>'
TABLE = by_hand(LONG_FIELD, binary2(longs([1, 2, 3])))
CANARY = "gt-canary"


def state(phase: str, *, status: int = 200, **facts: object) -> Answer:
    return Answer(status=status, body=job_document(phase, **facts))  # type: ignore[arg-type]  # checked there


MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(server: FaultyServer, clock: Clock) -> MakeJob:
    """Make jobs of the server whose time passes at once; its phase and deletion are answered as they should be."""
    see_job = {"Location": f"{server.base}{JOB}"}
    server.answer("POST", f"{JOB}/phase", Answer(status=303, headers=see_job))
    server.answer("DELETE", JOB, Answer(status=303, headers={"Location": f"{server.base}/tap/async"}))

    def make(*, owned: bool = True, maxrec: int | None = None, events: list[str] | None = None) -> Job:
        said = [] if events is None else events
        retrying = Retrying(policy=RetryPolicy(attempts=4), clock=clock, sleep=clock.sleep, on_event=said.append)
        session = ArchiveSession(f"{server.base}/tap", token=CANARY, clock=clock)
        return Job(f"{server.base}{JOB}", session=session, retrying=retrying, owned=owned, maxrec=maxrec)

    return make


def phases_set(server: FaultyServer) -> list[str]:
    return [request.parameters["PHASE"] for request in server.asked("POST", f"{JOB}/phase")]


def test_wait_passes_through_every_phase_that_is_no_end(server: FaultyServer, make_job: MakeJob) -> None:
    phases = ["PENDING", "QUEUED", "HELD", "EXECUTING", "SUSPENDED", "UNKNOWN", "DREAMING", "EXECUTING"]
    server.answer("GET", JOB, *map(state, phases), state("COMPLETED", rows=3))
    seen: list[str] = []
    summary = make_job().wait(3600, on_progress=lambda each: seen.append(each.phase))
    assert seen == [*phases, "COMPLETED"]
    assert summary.rows == 3


def test_wait_asks_the_archive_to_hold_its_answer_but_never_long(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("EXECUTING"), state("COMPLETED"))
    make_job().wait(86_400)
    assert [request.parameters["WAIT"] for request in server.asked("GET", JOB)] == ["10", "10"]


def test_wait_on_a_service_that_ignores_wait_slows_down(
    server: FaultyServer, make_job: MakeJob, clock: Clock
) -> None:
    server.answer("GET", JOB, *[state("EXECUTING")] * 20, state("COMPLETED"))
    make_job().wait(86_400)
    assert clock.naps[0] <= 0.5
    assert clock.naps == sorted(clock.naps)
    assert clock.naps[-1] == 30


def test_wait_on_a_service_that_honours_wait_does_not_sleep_as_well(
    server: FaultyServer, make_job: MakeJob, clock: Clock
) -> None:
    def hold(request: Request) -> Answer:
        clock.now += float(request.parameters["WAIT"])
        return state("EXECUTING")

    server.answer("GET", JOB, hold, hold, hold, state("COMPLETED"))
    make_job().wait(3600)
    assert sum(clock.naps) == 0


def test_wait_for_a_job_that_never_ends_stops_at_its_deadline(
    server: FaultyServer, make_job: MakeJob, clock: Clock
) -> None:
    server.answer("GET", JOB, state("EXECUTING", progress=(5, 12)))
    started = clock.now
    with pytest.raises(DeadlineExceeded, match="EXECUTING after 100 s, 5 of 12 parts done"):
        make_job().wait(100)
    assert clock.now - started == pytest.approx(100)
    assert phases_set(server) == []


@pytest.mark.parametrize("fault", [Answer(hang_up=True), Answer(status=503), Answer(status=502, body=b"<html>")])
def test_wait_survives_a_dropped_poll(server: FaultyServer, make_job: MakeJob, fault: Answer) -> None:
    server.answer("GET", JOB, state("EXECUTING"), fault, fault, state("COMPLETED"))
    assert make_job().wait(3600).phase == "COMPLETED"


def test_wait_on_a_rate_limit_comes_back_when_it_is_told(
    server: FaultyServer, make_job: MakeJob, clock: Clock
) -> None:
    server.answer("GET", JOB, Answer(status=429, headers={"Retry-After": "30"}), state("COMPLETED"))
    make_job().wait(3600)
    assert 30 <= clock.naps[0] <= 31


def test_wait_gives_up_an_archive_that_stays_away(server: FaultyServer, make_job: MakeJob, clock: Clock) -> None:
    server.answer("GET", JOB, state("EXECUTING"), Answer(status=503))
    started = clock.now
    with pytest.raises(Busy):
        make_job().wait(86_400)
    assert 1700 < clock.now - started < 1800


def test_wait_survives_a_restart_of_the_archive_that_takes_minutes(
    server: FaultyServer, make_job: MakeJob, clock: Clock
) -> None:
    back = clock.now + 1200

    def restarting(_: Request) -> Answer:
        return Answer(status=502) if clock.now < back else state("COMPLETED")

    server.answer("GET", JOB, state("EXECUTING"), restarting)
    assert make_job().wait(86_400).phase == "COMPLETED"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (state("ERROR", error="Maximum running queries reached (12 running)"), Busy, "Maximum running"),
        (state("ERROR", error="IllegalArgumentException:no such column"), Rejected, "no such column"),
        (state("ERROR", error="Query results are too large to return"), TooLarge, "too large"),
        (state("ERROR", error="disk on fire"), JobFailed, "disk on fire"),
        (state("ERROR", error="disk on fire", error_type="transient"), Transient, "disk on fire"),
        (state("ABORTED"), JobAborted, "aborted"),
        (state("ARCHIVED"), JobFailed, "removed"),
        (Answer(status=404, body=b"no such job"), Missing, "no such job"),
        (Answer(status=401), Unauthorized, "Unauthorized"),
        (Answer(body=b"<html>log in</html>"), Protocol, "a web page"),
        (Answer(body=error_document("it is gone")), Rejected, "it is gone"),
    ],
)
def test_wait_ends_with_what_became_of_the_job(
    server: FaultyServer, make_job: MakeJob, answer: Answer, error: type[ArchiveError], words: str
) -> None:
    server.answer("GET", JOB, state("EXECUTING"), answer)
    with pytest.raises(ArchiveError, match=words) as caught:
        make_job().wait(3600)
    assert type(caught.value) is error
    assert JOB in str(caught.value)


def test_wait_takes_the_reason_from_the_error_document_if_the_job_has_none(
    server: FaultyServer, make_job: MakeJob
) -> None:
    server.answer("GET", JOB, state("ERROR"))
    server.answer("GET", f"{JOB}/error", Answer(body=error_document("UnsupportedOperationException: HAVING")))
    with pytest.raises(Rejected, match="HAVING"):
        make_job().wait(3600)


def test_error_of_a_job_that_quotes_the_token_does_not_show_it(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("ERROR", error=f"token {CANARY} may not"))
    with pytest.raises(JobFailed, match=r"token \*\*\* may not"):
        make_job().wait(3600)


def test_run_starts_the_query(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("PENDING"), state("QUEUED"))
    make_job().run()
    assert phases_set(server) == ["RUN"]


@pytest.mark.parametrize("phase", ["QUEUED", "EXECUTING", "COMPLETED", "ERROR"])
def test_run_of_a_job_that_was_started_does_nothing(server: FaultyServer, make_job: MakeJob, phase: str) -> None:
    server.answer("GET", JOB, state(phase))
    make_job().run()
    assert phases_set(server) == []


def test_run_whose_answer_is_lost_starts_the_query_once(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("POST", f"{JOB}/phase", Answer(hang_up=True))
    server.answer("GET", JOB, state("PENDING"), state("EXECUTING"))
    make_job().run()
    assert phases_set(server) == ["RUN"]


def test_run_that_did_not_arrive_is_tried_again(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("POST", f"{JOB}/phase", Answer(status=503), Answer())
    server.answer("GET", JOB, state("PENDING"))
    make_job().run()
    assert phases_set(server) == ["RUN", "RUN"]


def test_fetch_gives_the_rows(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED", rows=3))
    server.answer("GET", RESULT, Answer(body=TABLE))
    stream = make_job().fetch(LONG)
    assert [row for batch in stream for row in batch["id"].to_pylist()] == [1, 2, 3]
    assert (stream.rows, stream.overflow, stream.bytes) == (3, False, len(TABLE))


def test_fetch_follows_the_result_to_another_host_without_the_token(
    server: FaultyServer, elsewhere: FaultyServer, make_job: MakeJob
) -> None:
    server.answer("GET", JOB, state("COMPLETED", result=f"{server.base}/tap/results/r.xml"))
    server.answer(
        "GET", "/tap/results/r.xml", Answer(status=302, headers={"Location": f"{elsewhere.base}/bucket/r"})
    )
    elsewhere.answer("GET", "/bucket/r", Answer(body=TABLE))
    assert sum(batch.num_rows for batch in make_job().fetch(LONG)) == 3
    assert server.asked("GET", "/tap/results/r.xml")[0].headers["Authorization"] == f"Bearer {CANARY}"
    assert "Authorization" not in elsewhere.requests[0].headers


@pytest.mark.parametrize(
    ("facts", "expected", "words"),
    [
        ({"rows": 4}, None, "3 rows came in, the archive counted 4"),
        ({"rows": 2}, None, "3 rows came in, the archive counted 2"),
        ({}, 4, "3 rows came in, the archive counted 4"),
        ({"maxrec": 3}, None, r"fill the row limit \(MAXREC\) of 3"),
    ],
)
def test_fetch_of_another_number_of_rows_is_truncated(
    server: FaultyServer, make_job: MakeJob, facts: dict[str, int], expected: int | None, words: str
) -> None:
    server.answer("GET", JOB, state("COMPLETED", **facts))
    server.answer("GET", RESULT, Answer(body=TABLE))
    with pytest.raises(Truncated, match=words):
        list(make_job().fetch(LONG, expected_rows=expected))


def test_fetch_of_as_many_rows_as_were_asked_for_at_most_is_truncated(
    server: FaultyServer, make_job: MakeJob
) -> None:
    server.answer("GET", JOB, state("COMPLETED"))
    server.answer("GET", RESULT, Answer(body=TABLE))
    with pytest.raises(Truncated, match="fill the row limit"):
        list(make_job(maxrec=3).fetch(LONG))


def test_fetch_of_a_marked_overflow_is_truncated_and_says_so(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED"))
    after = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'
    server.answer("GET", RESULT, Answer(body=by_hand(LONG_FIELD, binary2(longs([1])), after=after)))
    stream = make_job().fetch(LONG)
    with pytest.raises(Truncated, match="OVERFLOW"):
        list(stream)
    assert stream.overflow


def test_fetch_that_breaks_can_be_repeated_without_a_new_query(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED", rows=3))
    server.answer("GET", RESULT, Answer(body=TABLE, cut_to=len(TABLE) - 100), Answer(body=TABLE))
    job = make_job()
    with pytest.raises(Transient):
        list(job.fetch(LONG))
    assert sum(batch.num_rows for batch in job.fetch(LONG)) == 3
    assert phases_set(server) == []


def test_fetch_of_a_body_that_ends_early_unannounced_is_truncated(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED"))
    server.answer("GET", RESULT, Answer(body=TABLE, cut_to=len(TABLE) - 100, has_length=False))
    with pytest.raises(Truncated):
        list(make_job().fetch(LONG))


def test_fetch_retries_what_fails_before_the_body(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED"))
    server.answer("GET", RESULT, Answer(status=503), Answer(hang_up=True), Answer(body=TABLE))
    assert sum(batch.num_rows for batch in make_job().fetch(LONG)) == 3


def test_fetch_of_a_result_that_is_gone_is_rejected(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED"))
    with pytest.raises(Rejected, match="nothing here"):
        list(make_job().fetch(LONG))


def test_fetch_of_a_job_that_is_not_done_is_rejected(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("EXECUTING"))
    with pytest.raises(Rejected, match="the job is EXECUTING"):
        make_job().fetch(LONG)


def test_fetch_past_its_deadline_stops(server: FaultyServer, make_job: MakeJob, clock: Clock) -> None:
    server.answer("GET", JOB, state("COMPLETED"))

    def slow(_: Request) -> Answer:
        clock.now += 61
        return Answer(body=TABLE)

    server.answer("GET", RESULT, slow)
    with pytest.raises(DeadlineExceeded, match="download"):
        list(make_job().fetch(LONG, deadline_seconds=60))


def test_fetch_that_is_abandoned_closes_its_connection(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED"))
    server.answer("GET", RESULT, Answer(body=by_hand(LONG_FIELD, binary2(longs(list(range(100_000)))))))
    batches = iter(make_job().fetch(LONG, batch_rows=10))
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # it is a generator
    assert make_job().summary().phase == "COMPLETED"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, DeadlineExceeded("x")])
def test_close_after_an_interruption_aborts_then_deletes(
    server: FaultyServer, make_job: MakeJob, interruption: BaseException
) -> None:
    server.answer("GET", JOB, state("EXECUTING"))

    def interrupt(_: JobSummary) -> None:
        raise interruption

    with pytest.raises((KeyboardInterrupt, DeadlineExceeded)), make_job() as job:
        job.wait(3600, on_progress=interrupt)
    assert phases_set(server) == ["ABORT"]
    requests = [request.method for request in server.requests]
    assert requests[-1] == "DELETE"
    assert server.asked("GET", "/tap/async") == []


def test_close_of_a_job_that_has_ended_only_deletes(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED"))
    with make_job() as job:
        job.wait(10)
    job.close()
    assert phases_set(server) == []
    assert len(server.asked("DELETE", JOB)) == 1


def test_close_of_what_is_not_ours_does_nothing(server: FaultyServer, make_job: MakeJob) -> None:
    with make_job(owned=False) as job:
        for touch in (job.abort, job.delete):
            with pytest.raises(PermissionError):
                touch()
    assert server.requests == []


def test_close_that_cannot_abort_keeps_the_job_findable_and_hides_no_error(
    server: FaultyServer, make_job: MakeJob
) -> None:
    server.answer("POST", f"{JOB}/phase", Answer(status=500, body=b"no"))
    events: list[str] = []
    with pytest.raises(ZeroDivisionError), make_job(events=events):
        raise ZeroDivisionError
    assert server.asked("DELETE", JOB) == []
    assert "the job could not be removed: no" in events[-1]


def test_close_of_a_job_that_is_gone_is_done(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("POST", f"{JOB}/phase", Answer(status=404))
    events: list[str] = []
    make_job(events=events).close()
    assert events == []


def test_job_that_stays_pending_after_it_was_started_is_started_again_and_it_is_said(
    server: FaultyServer, make_job: MakeJob, clock: Clock
) -> None:
    def phase(_: Request) -> Answer:
        return state("PENDING" if len(phases_set(server)) < 3 else "COMPLETED")

    server.answer("GET", JOB, phase)
    events: list[str] = []
    job, began = make_job(events=events), clock.now
    job.run()
    assert job.wait(3600).phase == "COMPLETED"
    assert phases_set(server) == ["RUN"] * 3
    assert len(events) == 2
    assert all("the job is PENDING" in event and "started again" in event for event in events)
    assert clock.now - began < 600


def test_job_that_cannot_be_started_again_is_waited_for(server: FaultyServer, make_job: MakeJob) -> None:
    see_job = {"Location": f"{server.base}{JOB}"}
    refusal = Answer(status=400, body=error_document("the job is queued"))
    server.answer("POST", f"{JOB}/phase", Answer(status=303, headers=see_job), refusal)
    server.answer("GET", JOB, lambda _: state("PENDING" if len(phases_set(server)) < 2 else "COMPLETED"))
    events: list[str] = []
    job = make_job(events=events)
    job.run()
    assert job.wait(3600).phase == "COMPLETED"
    assert any("could not be started again" in event and "the job is queued" in event for event in events)


def test_job_that_nobody_started_is_left_pending(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("PENDING"))
    with pytest.raises(DeadlineExceeded, match="PENDING"):
        make_job().wait(3600)
    assert phases_set(server) == []


@pytest.mark.parametrize(
    ("link", "found_at"),
    [
        ("../files/21.vot", "/tap/files/21.vot"),
        ("./abc/./results/main", f"{JOB}/results/main"),
        ("/files//21.vot", "/files//21.vot"),
        ("results/result", RESULT),
        ("nowhere", RESULT),
        ("ftp://archive.example/r", RESULT),
        ("http://[::1", RESULT),
        ("http://127.0.0.1:9/tap/async/abc/results/result", RESULT),
        ("", RESULT),
    ],
)
def test_result_is_fetched_by_its_link_or_where_tap_promises_it(
    server: FaultyServer, make_job: MakeJob, link: str, found_at: str
) -> None:
    server.answer("GET", JOB, Answer(body=job_document("COMPLETED", result=link or "@").replace(b'"@"', b'""')))
    server.answer("GET", found_at, Answer(body=TABLE))
    events: list[str] = []
    assert sum(batch.num_rows for batch in make_job(events=events).fetch(LONG)) == 3
    assert server.requests[-1].path == found_at
    assert bool(events) == (link == "nowhere" or ":9/" in link)


def test_result_that_is_nowhere_is_missing(server: FaultyServer, make_job: MakeJob) -> None:
    server.answer("GET", JOB, state("COMPLETED", result="/files/gone"))
    with pytest.raises(Missing):
        list(make_job().fetch(LONG))
    server.answer("GET", "/files/gone", Answer(status=403))
    with pytest.raises(Unauthorized):
        list(make_job().fetch(LONG))
    assert [request.path for request in server.requests][-2:] == ["/files/gone", RESULT]


def test_result_whose_link_leads_into_this_machine_is_fetched_from_the_archive(
    server: FaultyServer, elsewhere: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.base)
    server.answer("GET", JOB, state("COMPLETED", result=f"{elsewhere.base}/secret"))
    server.answer("GET", RESULT, Answer(body=TABLE))
    session = ArchiveSession("http://archive.example/tap")
    job = Job(
        f"http://archive.example{JOB}", session=session, retrying=Retrying(policy=RetryPolicy()), owned=False
    )
    assert sum(batch.num_rows for batch in job.fetch(LONG)) == 3
    assert elsewhere.requests == []
