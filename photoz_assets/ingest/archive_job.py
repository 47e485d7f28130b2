"""A query's job at the archive, with all that goes with it: slot, job and record, under one exit.

A job is on record while it lives, so that a run which dies leaves it to the next. The slot is free as soon as
the result has been received; the job and its record last until the result is published or refused.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

import pyarrow as pa

from photoz_assets.ingest.table_query import QueryLimits, TableQuery
from photoz_assets.lake.job_records import JobRecord, Question
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.slots import slot
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.columns import count_field
from photoz_assets.tap.documents import JobSummary
from photoz_assets.tap.errors import (
    ContractViolation,
    JobAborted,
    JobFailed,
    Protocol,
    Rejected,
    TooLarge,
    Truncated,
)
from photoz_assets.tap.jobs import Job
from photoz_assets.tap.retry import Retrying, RetryPolicy

_LOGGER: Final = logging.getLogger(__name__)

# Each attempt may be a query that the archive runs, so they are few. A full quota is waited for, since it fills
# with queries that end.
TRANSIENT_RETRY: Final = RetryPolicy(attempts=5, total_seconds=600.0, first_delay_seconds=5.0)
BUSY_RETRY: Final = RetryPolicy(
    attempts=15, total_seconds=3600.0, first_delay_seconds=30.0, longest_delay_seconds=600.0
)

_COUNT_SCHEMA: Final = pa.schema([count_field("num_rows")])
# Above the one row that there is: a result that fills its MAXREC counts as cut off.
_COUNT_MAXREC: Final = 10
_SECONDS_BETWEEN_REPORTS: Final = 9.0

_Received = TypeVar("_Received")


class QueryTooLargeError(Exception):
    """The archive finds a query too large, so that parts of it may be asked for; ``reason`` is what it said."""

    def __init__(self, reason: TooLarge) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class ArchiveRun:
    """One run's dealings with an archive: whom it asks, for which lake, on which limits.

    ``log`` takes a line on each thing that happens; ``clock`` and ``sleep`` are monotonic seconds and how to let
    them pass.
    """

    client: TapClient
    lake: Lake
    run_id: str
    limits: QueryLimits = field(default_factory=QueryLimits)
    log: Callable[[str], None] = _LOGGER.info
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def retrying(self) -> Retrying:
        """How whole jobs and downloads are tried again; single requests are, in ``tap``."""
        return Retrying(
            policy=TRANSIENT_RETRY, busy=BUSY_RETRY, clock=self.clock, sleep=self.sleep, on_event=self.log
        )


@contextmanager
def archive_job(
    run: ArchiveRun, query: TableQuery, receive: Callable[[Job, int], _Received]
) -> Iterator[_Received]:
    """Run a query's job and receive its result, which is there for the time of the block.

    Parameters
    ----------
    run
        Whose query it is.
    query
        What is asked.
    receive
        Makes something of a completed job and the number of rows that the archive has counted for it; called
        again where the download broke.

    Raises
    ------
    QueryTooLargeError
        The archive refuses to run the query for its size.
    ArchiveError
        The archive does not run the query to its end, or its result cannot be received. A job that cannot be
        closed stays on record, unless its result was refused.
    """
    with ExitStack() as stack:
        question = Question(
            name=query.name,
            adql=query.adql,
            archive_url=run.client.url,
            listing=query.listing,
            upload=query.upload.digest if query.upload else None,
        )
        record = stack.enter_context(run.lake.job_records.own(question, run.run_id))
        with slot(
            run.lake.locks,
            count=run.limits.queries,
            holder=f"run {run.run_id} for {query.name}",
            log=run.log,
            clock=run.clock,
            sleep=run.sleep,
        ):
            try:
                job = run.retrying(lambda: _completed(run, query, record))
            except TooLarge as error:
                raise QueryTooLargeError(error) from error
            stack.callback(_close, job, record)
            expected = run.retrying(lambda: _expected_rows(run, query, job))
            try:
                received = run.retrying(lambda: receive(job, expected))
            except (ContractViolation, Protocol, Truncated):
                # A result that was refused is never gone on with, even if the job cannot be deleted.
                record.note(None)
                raise
        # Nor is one that was judged; until then, a run that is killed leaves it to the next.
        stack.callback(record.note, None)
        yield received


def _completed(run: ArchiveRun, query: TableQuery, record: JobRecord) -> Job:
    """Return a completed job: that on record, if it can still give its result, or a new one."""
    return _adopted(run, query, record) or _started(run, query, record)


def _adopted(run: ArchiveRun, query: TableQuery, record: JobRecord) -> Job | None:
    """Go on with the job of a run that died, or that we lost sight of, if it can still give its result."""
    if record.job_url is None:
        return None
    job = run.client.attach(record.job_url, owned=True)
    run.log(f"{query.name}: goes on with {job.url}")
    try:
        # Seen first: a job that the archive does not show us, or that is of another query, is not ours to stop.
        _require_same_query(job, query)
        return _waited_for(run, query, job, record)
    except (Rejected, Protocol, JobFailed, JobAborted) as error:
        run.log(f"{query.name}: asked anew: {error}")
        record.note(None)
        return None


def _require_same_query(job: Job, query: TableQuery) -> None:
    asked = job.summary().query
    if asked is not None and asked.split() != query.adql.split():
        raise Rejected(f"the job on record, {job.url}, is of another query")


def _started(run: ArchiveRun, query: TableQuery, record: JobRecord) -> Job:
    job = run.client.submit(query.adql, maxrec=run.limits.max_rows, upload=query.upload)
    try:
        record.note(job.url)
    except BaseException:
        # Nobody would ever know of it.
        job.close()
        raise
    run.log(f"{query.name}: asked as {job.url}")
    return _waited_for(run, query, job, record)


def _waited_for(run: ArchiveRun, query: TableQuery, job: Job, record: JobRecord) -> Job:
    """Run a job to its end; leave none behind that fails."""
    try:
        _wait(run, query, job)
    except BaseException:
        # Aborts it if it still runs, whatever stops us, and deletes it.
        _close(job, record)
        raise
    return job


def _close(job: Job, record: JobRecord) -> None:
    """Close a job; one that the archive cannot be asked about stays on record."""
    job.close()
    if job.is_spent:
        record.note(None)


def _wait(run: ArchiveRun, query: TableQuery, job: Job) -> None:
    """Run a job to its end; report its phase and progress when they change, and else now and then."""
    started = reported_at = run.clock()
    reported = ""

    def progress(summary: JobSummary) -> None:
        nonlocal reported, reported_at
        done = f", {summary.items_done} of {summary.items_total} parts" if summary.items_total else ""
        now = run.clock()
        if (text := f"{summary.phase}{done}") != reported or now - reported_at >= _SECONDS_BETWEEN_REPORTS:
            reported, reported_at = text, now
            run.log(f"{query.name}: {text}, {now - started:.0f} s")

    job.run()
    job.wait(run.limits.deadline_seconds, on_progress=progress)


def _expected_rows(run: ArchiveRun, query: TableQuery, job: Job) -> int:
    """Return the number of rows that the archive has for us; ask for it by a query if its jobs do not say it."""
    if (counted := job.summary().rows) is not None:
        return counted
    with run.client.submit(query.count_adql, maxrec=_COUNT_MAXREC, upload=query.upload) as counting:
        _wait(run, query, counting)
        counts = [row for batch in counting.fetch(_COUNT_SCHEMA) for row in batch.column(0).to_pylist()]
    if len(counts) != 1:
        raise Protocol(f"the archive answered COUNT with {len(counts)} rows", url=run.client.url)
    return int(counts[0])
