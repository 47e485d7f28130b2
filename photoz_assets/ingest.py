"""One question to the archive, from its query to a staged table: slot, job, stream, count; in parts if need be.

No Dagster here. Which question is asked stands in ``queries``; what is made of the answer, in ``assets``.
"""

import logging
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import pyarrow as pa

from photoz_assets.contracts import ARCHIVE_SCHEMA, TABLE_ALIASES, Contract
from photoz_assets.selection import Selection
from photoz_assets.storage.job_records import JobRecord, job_record
from photoz_assets.storage.lake import Lake
from photoz_assets.storage.provenance import ArchiveIdentity, Provenance
from photoz_assets.storage.slots import slot
from photoz_assets.storage.staging import StagedTable, spool, stage
from photoz_assets.tap.documents import JobSummary
from photoz_assets.tap.errors import (
    ContractViolation,
    JobAborted,
    JobFailed,
    Missing,
    Protocol,
    Rejected,
    TooLarge,
    Truncated,
)
from photoz_assets.tap.jobs import Job
from photoz_assets.tap.results import ResultStream
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets.tap.service import Archive

log: Final = logging.getLogger(__name__)

Completion = Callable[[pa.RecordBatch], pa.RecordBatch]

_COUNT_SCHEMA: Final = pa.schema([pa.field("num_rows", pa.int64())])
# Above the one row that there is: a result that fills its MAXREC counts as cut off.
_COUNT_MAXREC: Final = 10
# Each attempt may be a query that the archive runs, so they are few. A full quota is waited for, since it fills
# with queries that end.
BROKEN: Final = RetryPolicy(attempts=5, total_seconds=600.0, first_delay_seconds=5.0)
BUSY: Final = RetryPolicy(attempts=15, total_seconds=3600.0, first_delay_seconds=30.0, longest_delay_seconds=600.0)
_ROWS_BETWEEN_WORDS: Final = 500_000
_SECONDS_BETWEEN_WORDS: Final = 9.0
_VERSIONED: Final = ("photoz_assets", "dagster", "duckdb", "pyarrow", "pyvo")


def _as_it_is(provenance: Provenance) -> Provenance:
    return provenance


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the archive, and for which table.

    ``complete`` makes the contract's columns of those that were selected. ``count_adql`` gives the number of
    rows as ``num_rows``; it is sent only to a service whose jobs do not say theirs. ``halves`` makes two questions
    whose answers are this one's, for an archive that finds it too large; none where it is not to be split.
    ``part`` says in words which part this is of which the table is made. ``annotate`` adds to the provenance what
    the rows told, once all have come.
    """

    contract: Contract
    adql: str
    count_adql: str
    complete: Completion
    code_version: str
    tract: int | None = None
    selection: Selection | None = None
    annotate: Callable[[Provenance], Provenance] = _as_it_is
    part: str | None = None
    halves: Callable[[], tuple["Question", ...]] = tuple

    @property
    def name(self) -> str:
        """The table, the tract and the part, as a part of a file name and for people."""
        return "-".join(str(each) for each in (self.contract.table, self.tract, self.part) if each is not None)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How politely and for how long to ask.

    ``queries`` bounds the concurrent ones of this machine, ``deadline_seconds`` a query's life at the archive and
    its download, ``max_rows`` the rows of a result (MAXREC).
    """

    queries: int = 4
    deadline_seconds: float = 6 * 3600.0
    max_rows: int = 20_000_000


def identify(archive: Archive) -> ArchiveIdentity:
    """Ask an archive which release it holds, by what it declares in TAP_SCHEMA.

    Raises
    ------
    ArchiveError
        It cannot be asked, or does not list the schema.
    """
    declaration = archive.declared(ARCHIVE_SCHEMA)
    used = [table.rpartition(".")[2].lower() for table in TABLE_ALIASES.values()]
    tables = {name: table.description for name, table in declaration.tables.items() if name in used}
    return ArchiveIdentity.declared(ARCHIVE_SCHEMA, declaration.description, tables)


@dataclass(frozen=True, kw_only=True)
class Inquirer:
    """Asks one archive for the tables of one lake, in the name of one run.

    ``say`` is told, a line each, what happens; ``clock`` and ``sleep`` are monotonic seconds and how to let them
    pass.
    """

    archive: Archive
    lake: Lake
    run_id: str
    terms: Terms = field(default_factory=Terms)
    say: Callable[[str], None] = log.info
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def ask(self, question: Question) -> Iterator[StagedTable]:
        """Ask a question by an asynchronous job, or more; give its answer staged, whole and counted.

        Jobs and their records live as long as the block, which publishes or refuses the answer; then the jobs
        are deleted, and what was not published is removed.

        Raises
        ------
        ForeignArchiveError
            The lake holds tables of another archive; nothing was asked.
        ArchiveError
            The archive did not answer, or its answer is not whole or not as the contract has it.
        """
        identity = self._identity()
        with ExitStack() as stack:
            yield self._answer(question, identity, stack)

    def ask_now(self, contract: Contract, adql: str, *, code_version: str) -> StagedTable:
        """Ask a small question by a synchronous query; give its answer staged.

        Raises
        ------
        ForeignArchiveError
            The lake holds tables of another archive; nothing was asked.
        ArchiveError
            The archive did not answer, or its answer is not whole or not as the contract has it.
        """
        provenance = Provenance(
            table=contract.table,
            code_version=code_version,
            archive=self._identity(),
            run_id=self.run_id,
            adql=adql,
            **_circumstances(),
        )
        batches = self.archive.query(adql, contract.selected_schema)
        return stage(self.lake, contract, batches, lambda: provenance)

    def _identity(self) -> ArchiveIdentity:
        """Give the archive's identity; refuse it if the lake is of another."""
        identity = identify(self.archive)
        self.lake.refuse_foreign(identity)
        return identity

    def _record(self, question: Question) -> AbstractContextManager[JobRecord]:
        return job_record(
            self.lake.jobs,
            name=question.name,
            adql=question.adql,
            archive_url=self.archive.url,
            run_id=self.run_id,
        )

    def _slot(self, question: Question) -> AbstractContextManager[None]:
        holder = f"run {self.run_id} for {question.name}"
        return slot(
            self.lake.slots,
            count=self.terms.queries,
            holder=holder,
            say=self.say,
            clock=self.clock,
            sleep=self.sleep,
        )

    @property
    def _retrying(self) -> Retrying:
        """How whole jobs and downloads are tried again; single requests are, in ``tap``."""
        return Retrying(policy=BROKEN, busy=BUSY, clock=self.clock, sleep=self.sleep, on_event=self.say)

    def _answer(self, question: Question, identity: ArchiveIdentity, stack: ExitStack) -> StagedTable:
        """Stage a question's answer; the stack gets what has to last until it is published."""
        started = self.clock()
        try:
            staged = self._whole(question, identity, stack)
        except Missing as error:
            self.say(f"{question.name}: asked anew, since the archive has lost the job: {error}")
            staged = self._whole(question, identity, stack)
        if staged is None:
            halves = [self._answer(half, identity, stack) for half in question.halves()]
            staged = self._joined(question, halves, started)
        stack.callback(staged.discard)
        return staged

    def _whole(self, question: Question, identity: ArchiveIdentity, stack: ExitStack) -> StagedTable | None:
        """Stage the answer of one job; give None if the archive finds it too large, and it can be split."""
        started = self.clock()
        with ExitStack() as held:
            record = held.enter_context(self._record(question))
            with self._slot(question):
                try:
                    job = self._retrying(lambda: self._inherited(question, record) or self._run(question, record))
                except TooLarge as error:
                    if not question.halves():
                        raise
                    self.say(f"{question.name}: asked again in two halves: {error.message}")
                    return None
                held.callback(self._part_with, job, record)
                expected = self._retrying(lambda: self._expected(question, job))
                try:
                    staged = self._retrying(lambda: self._receive(question, job, expected, identity, started))
                except (ContractViolation, Protocol, Truncated):
                    # A result that was refused is never gone on with, even if the job cannot be deleted.
                    record.note(None)
                    raise
            # Nor is one that was judged; until then, a run that is killed leaves it to the next.
            held.callback(record.note, None)
            stack.enter_context(held.pop_all())
        return staged

    def _joined(self, question: Question, parts: Sequence[StagedTable], started: float) -> StagedTable:
        """Put an answer together from its parts, in their order; no row lies in two of them."""

        def total(name: str) -> int:
            return sum(getattr(part.provenance, name) for part in parts)

        provenance = replace(
            parts[0].provenance,
            adql=question.adql,
            job_url=None,
            rows_declared=total("rows_declared"),
            rows_received=total("rows_received"),
            bytes_received=total("bytes_received"),
            seconds=round(self.clock() - started, 3),
            parts=tuple(each for part in parts for each in part.provenance.parts or (_part(part.provenance),)),
        )
        batches = (batch for part in parts for batch in part.batches())
        return stage(self.lake, question.contract, batches, lambda: provenance)

    def _run(self, question: Question, record: JobRecord) -> Job:
        """Run the question's job to its end."""
        job = self.archive.submit(question.adql, maxrec=self.terms.max_rows)
        record.note(job.url)
        self.say(f"{question.name}: asked as {job.url}")
        return self._waited_for(job, question, record)

    def _inherited(self, question: Question, record: JobRecord) -> Job | None:
        """Go on with the job of a run that died, or that we lost sight of, if it can still give its result."""
        if record.job_url is None:
            return None
        job = self.archive.attach(record.job_url, owned=True)
        self.say(f"{question.name}: goes on with {job.url}")
        try:
            # Seen first: a job that the archive does not show us is not ours to stop.
            job.summary()
            return self._waited_for(job, question, record)
        except (Rejected, Protocol, JobFailed, JobAborted) as error:
            self.say(f"{question.name}: asked anew: {error}")
            record.note(None)
            return None

    def _waited_for(self, job: Job, question: Question, record: JobRecord) -> Job:
        """Run a job to its end; leave none behind that fails."""
        try:
            self._wait(job, question)
        except BaseException:
            # Aborts it if it still runs, whatever stops us, and deletes it.
            self._part_with(job, record)
            raise
        return job

    def _part_with(self, job: Job, record: JobRecord) -> None:
        """Close a job; one that the archive cannot be asked about stays on the record."""
        job.close()
        if job.is_spent:
            record.note(None)

    def _wait(self, job: Job, question: Question) -> None:
        """Run a job to its end; say its phase and progress when they change, and else now and then."""
        started = told_at = self.clock()
        told = ""

        def progress(summary: JobSummary) -> None:
            nonlocal told, told_at
            done = f", {summary.items_done} of {summary.items_total} parts" if summary.items_total else ""
            now = self.clock()
            if (text := f"{summary.phase}{done}") != told or now - told_at >= _SECONDS_BETWEEN_WORDS:
                told, told_at = text, now
                self.say(f"{question.name}: {text}, {now - started:.0f} s")

        job.run()
        job.wait(self.terms.deadline_seconds, on_progress=progress)

    def _receive(
        self, question: Question, job: Job, expected: int, identity: ArchiveIdentity, started: float
    ) -> StagedTable:
        """Stream a job's result into a staged table."""
        with spool(self.lake) as file:
            stream = job.fetch(
                question.contract.selected_schema,
                expected_rows=expected,
                spool=file,
                deadline_seconds=self.terms.deadline_seconds,
            )

            def provenance() -> Provenance:
                told = Provenance(
                    table=question.contract.table,
                    code_version=question.code_version,
                    archive=identity,
                    selection=question.selection,
                    tract=question.tract,
                    run_id=self.run_id,
                    adql=question.adql,
                    job_url=job.url,
                    rows_declared=expected,
                    rows_received=stream.rows,
                    bytes_received=stream.bytes,
                    seconds=round(self.clock() - started, 3),
                    **_circumstances(),
                )
                return question.annotate(told)

            batches = map(question.complete, self._told(stream, question, expected))
            return stage(self.lake, question.contract, batches, provenance)

    def _expected(self, question: Question, job: Job) -> int:
        """Give the number of rows that the archive has for us; ask for it by a query if its jobs do not say it."""
        if (counted := job.summary().rows) is not None:
            return counted
        with self.archive.submit(question.count_adql, maxrec=_COUNT_MAXREC) as counting:
            self._wait(counting, question)
            [count] = pa.Table.from_batches(counting.fetch(_COUNT_SCHEMA)).column("num_rows").to_numpy()
            return int(count)

    def _told(self, stream: ResultStream, question: Question, expected: int) -> Iterator[pa.RecordBatch]:
        """Pass batches on; say now and then how many rows have come."""
        told = 0
        for batch in stream:
            yield batch
            if stream.rows - told >= _ROWS_BETWEEN_WORDS:
                told = stream.rows
                self.say(f"{question.name}: {stream.rows:,} of {expected:,} rows received")
        self.say(f"{question.name}: {stream.rows:,} rows received, {stream.bytes / 1e6:.1f} MB")


def derived_provenance(
    contract: Contract,
    *,
    code_version: str,
    run_id: str,
    of: Provenance,
    tract: int | None = None,
    region: str | None = None,
    inputs: Iterable[Provenance] = (),
) -> Provenance:
    """Give the provenance of a table that is computed from stored ones: archive and selection are those of one."""
    return Provenance(
        table=contract.table,
        code_version=code_version,
        archive=of.archive,
        selection=of.selection,
        tract=tract,
        region=region,
        run_id=run_id,
        inputs=tuple(each.identity for each in inputs),
        **_circumstances(),
    )


def repository_provenance(
    contract: Contract, *, code_version: str, run_id: str, repository: str, tract: int | None = None
) -> Provenance:
    """Give the provenance of a table that was read of a Butler repository.

    It names no archive identity: a repository declares nothing that could be compared with TAP's declaration.
    """
    return Provenance(
        table=contract.table,
        code_version=code_version,
        repository=repository,
        tract=tract,
        run_id=run_id,
        **_circumstances(),
    )


def _part(provenance: Provenance) -> dict[str, Any]:
    """Say what one part of a table was asked as and gave."""
    return {
        "adql": provenance.adql,
        "job_url": provenance.job_url,
        "rows_declared": provenance.rows_declared,
        "rows_received": provenance.rows_received,
    }


def _circumstances() -> dict[str, Any]:
    """Say when and with what a table is made."""
    versions = {name: version(name) for name in _VERSIONED} | {"python": platform.python_version()}
    return {"created": datetime.now(UTC).isoformat(timespec="milliseconds"), "versions": versions}
