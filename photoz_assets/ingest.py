"""One question to the archive, from its query to a staged table: slot, job, stream, count.

No Dagster here. Which question is asked stands in ``queries``; what is made of the answer, in ``assets``.
"""

import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow as pa

from photoz_assets.contracts import ARCHIVE_SCHEMA, TABLE_ALIASES, Contract
from photoz_assets.selection import Selection
from photoz_assets.storage.job_records import JobRecord, job_record
from photoz_assets.storage.lake import Lake
from photoz_assets.storage.provenance import ArchiveIdentity, Provenance
from photoz_assets.storage.slots import slot
from photoz_assets.storage.staging import StagedTable, stage
from photoz_assets.tap.documents import JobSummary
from photoz_assets.tap.errors import ArchiveError
from photoz_assets.tap.jobs import Job
from photoz_assets.tap.results import ResultStream
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets.tap.service import Archive

log: Final = logging.getLogger(__name__)

Completion = Callable[[pa.RecordBatch], pa.RecordBatch]

_COUNT_SCHEMA: Final = pa.schema([pa.field("num_rows", pa.int64())])
# Above the one row that there is: a result that fills its MAXREC counts as cut off.
_COUNT_MAXREC: Final = 10
# A full quota or a broken download passes; an archive in maintenance is for the next refresh.
_POLICY: Final = RetryPolicy(attempts=5, total_seconds=600.0, first_delay_seconds=5.0)
_ROWS_BETWEEN_WORDS: Final = 500_000
_SECONDS_BETWEEN_WORDS: Final = 9.0
_VERSIONED: Final = ("photoz_assets", "dagster", "duckdb", "pyarrow", "pyvo")


def _as_it_is(provenance: Provenance) -> Provenance:
    return provenance


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the archive, and for which table.

    ``complete`` makes the contract's columns of those that were selected. ``count_adql`` gives the number of
    rows as ``num_rows``; it is sent only to a service whose jobs do not say theirs. ``annotate`` adds to the
    provenance what the rows told, once all have come.
    """

    contract: Contract
    adql: str
    count_adql: str
    complete: Completion
    code_version: str
    tract: int | None = None
    selection: Selection | None = None
    annotate: Callable[[Provenance], Provenance] = _as_it_is

    @property
    def name(self) -> str:
        """The table and the tract, as a part of a file name and for people."""
        return self.contract.table if self.tract is None else f"{self.contract.table}-{self.tract}"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How politely and for how long to ask.

    ``queries`` bounds the concurrent ones of this machine, ``deadline_seconds`` a query's life at the archive,
    ``max_rows`` the rows of a result (MAXREC).
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

    ``say`` is told, a line each, what happens.
    """

    archive: Archive
    lake: Lake
    run_id: str
    terms: Terms = field(default_factory=Terms)
    say: Callable[[str], None] = log.info

    @contextmanager
    def ask(self, question: Question) -> Iterator[StagedTable]:
        """Ask a question by an asynchronous job; give its answer staged, whole and counted.

        The job and its record live as long as the block, which publishes or refuses the answer; then the job
        is deleted, and what was not published is removed.

        Raises
        ------
        ForeignArchiveError
            The lake holds tables of another archive; nothing was asked.
        ArchiveError
            The archive did not answer, or its answer is not whole or not as the contract has it.
        """
        started = time.monotonic()
        identity = self._identity()
        with ExitStack() as stack:
            record = stack.enter_context(self._record(question))
            with self._slot(question):
                job = stack.enter_context(
                    self._inherited(question, record) or self._retrying(lambda: self._run(question, record))
                )
                staged = self._retrying(lambda: self._receive(question, job, identity, started))
            stack.callback(staged.discard)
            yield staged

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
        return slot(self.lake.slots, count=self.terms.queries, holder=holder, say=self.say)

    @property
    def _retrying(self) -> Retrying:
        """How whole jobs and downloads are tried again; single requests are, in ``tap``."""
        return Retrying(policy=_POLICY, on_event=self.say)

    def _run(self, question: Question, record: JobRecord) -> Job:
        """Run the question's job to its end; leave none behind that fails."""
        job = self.archive.submit(question.adql, maxrec=self.terms.max_rows)
        record.note(job.url)
        self.say(f"{question.name}: asked as {job.url}")
        try:
            self._wait(job, question)
        except BaseException:
            # Aborts it if it still runs, whatever stops us, and deletes it.
            job.close()
            record.note(None)
            raise
        return job

    def _inherited(self, question: Question, record: JobRecord) -> Job | None:
        """Take over the job of a dead run, if there is one that can still give its result."""
        if record.job_url is None:
            return None
        job = self.archive.attach(record.job_url, owned=True)
        self.say(f"takes over {job.url}, whose run has died")
        try:
            self._wait(job, question)
        except ArchiveError as error:
            self.say(f"asks anew: {error}")
            job.close()
            record.note(None)
            return None
        return job

    def _wait(self, job: Job, question: Question) -> None:
        """Run a job to its end; say its phase and progress when they change, and else now and then."""
        started = told_at = time.monotonic()
        told = ""

        def progress(summary: JobSummary) -> None:
            nonlocal told, told_at
            done = f", {summary.items_done} of {summary.items_total} parts" if summary.items_total else ""
            now = time.monotonic()
            if (text := f"{summary.phase}{done}") != told or now - told_at >= _SECONDS_BETWEEN_WORDS:
                told, told_at = text, now
                self.say(f"{question.name}: {text}, {now - started:.0f} s")

        job.run()
        job.wait(self.terms.deadline_seconds, on_progress=progress)

    def _receive(self, question: Question, job: Job, identity: ArchiveIdentity, started: float) -> StagedTable:
        """Stream a job's result into a staged table."""
        counted = job.summary().rows
        expected = self._count(question) if counted is None else counted
        with TemporaryDirectory(dir=self.lake.work, prefix="spool-") as folder:
            stream = job.fetch(
                question.contract.selected_schema, expected_rows=expected, spool=Path(folder) / "result"
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
                    seconds=round(time.monotonic() - started, 3),
                    **_circumstances(),
                )
                return question.annotate(told)

            batches = map(question.complete, self._told(stream, question, expected))
            return stage(self.lake, question.contract, batches, provenance)

    def _count(self, question: Question) -> int:
        """Ask for the number of rows, of a service whose jobs do not say it."""
        with self.archive.submit(question.count_adql, maxrec=_COUNT_MAXREC) as job:
            self._wait(job, question)
            [count] = pa.Table.from_batches(job.fetch(_COUNT_SCHEMA)).column("num_rows").to_numpy()
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
) -> Provenance:
    """Give the provenance of a table that is computed from a stored one: the same archive and selection."""
    return Provenance(
        table=contract.table,
        code_version=code_version,
        archive=of.archive,
        selection=of.selection,
        tract=tract,
        region=region,
        run_id=run_id,
        **_circumstances(),
    )


def _circumstances() -> dict[str, Any]:
    """Say when and with what a table is made."""
    versions = {name: version(name) for name in _VERSIONED} | {"python": platform.python_version()}
    return {"created": datetime.now(UTC).isoformat(timespec="milliseconds"), "versions": versions}
