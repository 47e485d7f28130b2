"""One question to the archive, from its query to a staged table: slot, job, stream, count; in parts if need be."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from photoz_assets.ingest.jobs import JobRunner
from photoz_assets.ingest.table_query import QueryLimits, TableQuery
from photoz_assets.lake.derivation import run_versions
from photoz_assets.lake.job_records import JobRecord, job_record
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.lake.slots import slot
from photoz_assets.lake.staging import StagedTable, stage, temp_file
from photoz_assets.survey.contracts import ARCHIVE_SCHEMA, TABLE_ALIASES, Contract
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import (
    ContractViolation,
    Missing,
    Protocol,
    TooLarge,
    Truncated,
)
from photoz_assets.tap.jobs import Job
from photoz_assets.tap.results import ResultStream
from photoz_assets.tap.retry import Retrying, RetryPolicy

log: Final = logging.getLogger(__name__)

# Each attempt may be a query that the archive runs, so they are few. A full quota is waited for, since it fills
# with queries that end.
TRANSIENT_RETRY: Final = RetryPolicy(attempts=5, total_seconds=600.0, first_delay_seconds=5.0)
BUSY_RETRY: Final = RetryPolicy(
    attempts=15, total_seconds=3600.0, first_delay_seconds=30.0, longest_delay_seconds=600.0
)
_ROWS_BETWEEN_WORDS: Final = 500_000


def identify(archive: TapClient) -> ArchiveIdentity:
    """Ask an archive which release it holds, by what it declares in TAP_SCHEMA.

    Raises
    ------
    ArchiveError
        It cannot be asked, or does not list the schema.
    """
    schema = archive.schema_info(ARCHIVE_SCHEMA)
    used = [table.rpartition(".")[2].lower() for table in TABLE_ALIASES.values()]
    tables = {name: table.description for name, table in schema.tables.items() if name in used}
    return ArchiveIdentity.declared(ARCHIVE_SCHEMA, schema.description, tables)


@dataclass(frozen=True, kw_only=True)
class TapIngest:
    """Asks one archive for the tables of one lake, in the name of one run.

    ``log`` takes a line on each thing that happens; ``clock`` and ``sleep`` are monotonic seconds and how to let
    them pass.
    """

    archive: TapClient
    lake: Lake
    run_id: str
    limits: QueryLimits = field(default_factory=QueryLimits)
    log: Callable[[str], None] = log.info
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def fetch_table(self, question: TableQuery) -> Iterator[StagedTable]:
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

    def fetch_table_sync(self, contract: Contract, adql: str, *, code_version: str) -> StagedTable:
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
            **run_versions(),
        )
        batches = self.archive.query(adql, contract.selected_schema)
        return stage(self.lake, contract, batches, lambda: provenance)

    def _identity(self) -> ArchiveIdentity:
        """Give the archive's identity; refuse it if the lake is of another."""
        identity = identify(self.archive)
        self.lake.require_same_archive(identity)
        return identity

    @property
    def _jobs(self) -> JobRunner:
        return JobRunner(archive=self.archive, limits=self.limits, log=self.log, clock=self.clock)

    def _record(self, question: TableQuery) -> AbstractContextManager[JobRecord]:
        return job_record(
            self.lake.jobs,
            name=question.name,
            adql=question.adql,
            archive_url=self.archive.url,
            run_id=self.run_id,
        )

    def _slot(self, question: TableQuery) -> AbstractContextManager[None]:
        holder = f"run {self.run_id} for {question.name}"
        return slot(
            self.lake.slots,
            count=self.limits.queries,
            holder=holder,
            log=self.log,
            clock=self.clock,
            sleep=self.sleep,
        )

    @property
    def _retrying(self) -> Retrying:
        """How whole jobs and downloads are tried again; single requests are, in ``tap``."""
        return Retrying(
            policy=TRANSIENT_RETRY, busy=BUSY_RETRY, clock=self.clock, sleep=self.sleep, on_event=self.log
        )

    def _answer(self, question: TableQuery, identity: ArchiveIdentity, stack: ExitStack) -> StagedTable:
        """Stage a question's answer; the stack gets what has to last until it is published."""
        started = self.clock()
        try:
            staged = self._whole(question, identity, stack)
        except Missing as error:
            self.log(f"{question.name}: asked anew, since the archive has lost the job: {error}")
            staged = self._whole(question, identity, stack)
        if staged is None:
            halves = [self._answer(half, identity, stack) for half in question.halves()]
            staged = self._joined(question, halves, started)
        stack.callback(staged.discard)
        return staged

    def _whole(self, question: TableQuery, identity: ArchiveIdentity, stack: ExitStack) -> StagedTable | None:
        """Stage the answer of one job; give None if the archive finds it too large, and it can be split."""
        started = self.clock()
        with ExitStack() as held:
            record = held.enter_context(self._record(question))
            with self._slot(question):
                try:
                    job = self._retrying(lambda: self._jobs.completed(question, record))
                except TooLarge as error:
                    if not question.halves():
                        raise
                    self.log(f"{question.name}: asked again in two halves: {error.message}")
                    return None
                held.callback(self._jobs.part_with, job, record)
                expected = self._retrying(lambda: self._jobs.expected_rows(question, job))
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

    def _joined(self, question: TableQuery, parts: Sequence[StagedTable], started: float) -> StagedTable:
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

    def _receive(
        self, question: TableQuery, job: Job, expected: int, identity: ArchiveIdentity, started: float
    ) -> StagedTable:
        """Stream a job's result into a staged table."""
        with temp_file(self.lake) as file:
            stream = job.fetch(
                question.contract.selected_schema,
                expected_rows=expected,
                spool=file,
                deadline_seconds=self.limits.deadline_seconds,
            )

            def finished() -> Provenance:
                provenance = Provenance(
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
                    **run_versions(),
                )
                return question.annotate(provenance)

            batches = map(question.complete, self._told(stream, question, expected))
            return stage(self.lake, question.contract, batches, finished)

    def _told(self, stream: ResultStream, question: TableQuery, expected: int) -> Iterator[pa.RecordBatch]:
        """Pass batches on; say now and then how many rows have come."""
        reported = 0
        for batch in stream:
            yield batch
            if stream.rows - reported >= _ROWS_BETWEEN_WORDS:
                reported = stream.rows
                self.log(f"{question.name}: {stream.rows:,} of {expected:,} rows received")
        self.log(f"{question.name}: {stream.rows:,} rows received, {stream.bytes / 1e6:.1f} MB")


def _part(provenance: Provenance) -> dict[str, Any]:
    """Say what one part of a table was asked as and gave."""
    return {
        "adql": provenance.adql,
        "job_url": provenance.job_url,
        "rows_declared": provenance.rows_declared,
        "rows_received": provenance.rows_received,
    }
