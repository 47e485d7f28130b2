"""The archive's jobs of a question: run or gone on with, waited for, and parted with. Results are not read here.

A job is on record while it lives, so that a run which dies leaves it to the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from photoz_assets.ingest.table_query import QueryLimits, TableQuery
from photoz_assets.lake.job_records import JobRecord
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.documents import JobSummary
from photoz_assets.tap.errors import JobAborted, JobFailed, Protocol, Rejected
from photoz_assets.tap.jobs import Job

_COUNT_SCHEMA: Final = pa.schema([pa.field("num_rows", pa.int64())])
# Above the one row that there is: a result that fills its MAXREC counts as cut off.
_COUNT_MAXREC: Final = 10
_SECONDS_BETWEEN_WORDS: Final = 9.0


@dataclass(frozen=True, kw_only=True)
class JobRunner:
    """Runs questions as jobs of one archive; ``log`` takes a line on each thing that happens."""

    archive: TapClient
    limits: QueryLimits
    log: Callable[[str], None]
    clock: Callable[[], float]

    def completed(self, question: TableQuery, record: JobRecord) -> Job:
        """Give a completed job of a question: that on record, if it can still give its result, or a new one.

        Raises
        ------
        ArchiveError
            The archive does not run the query to its end; none of its jobs is left behind.
        """
        return self._inherited(question, record) or self._run(question, record)

    def _run(self, question: TableQuery, record: JobRecord) -> Job:
        """Run the question's job to its end."""
        job = self.archive.submit(question.adql, maxrec=self.limits.max_rows)
        record.note(job.url)
        self.log(f"{question.name}: asked as {job.url}")
        return self._waited_for(job, question, record)

    def _inherited(self, question: TableQuery, record: JobRecord) -> Job | None:
        """Go on with the job of a run that died, or that we lost sight of, if it can still give its result."""
        if record.job_url is None:
            return None
        job = self.archive.attach(record.job_url, owned=True)
        self.log(f"{question.name}: goes on with {job.url}")
        try:
            # Seen first: a job that the archive does not show us is not ours to stop.
            job.summary()
            return self._waited_for(job, question, record)
        except (Rejected, Protocol, JobFailed, JobAborted) as error:
            self.log(f"{question.name}: asked anew: {error}")
            record.note(None)
            return None

    def _waited_for(self, job: Job, question: TableQuery, record: JobRecord) -> Job:
        """Run a job to its end; leave none behind that fails."""
        try:
            self._wait(job, question)
        except BaseException:
            # Aborts it if it still runs, whatever stops us, and deletes it.
            self.part_with(job, record)
            raise
        return job

    def part_with(self, job: Job, record: JobRecord) -> None:
        """Close a job; one that the archive cannot be asked about stays on the record."""
        job.close()
        if job.is_spent:
            record.note(None)

    def _wait(self, job: Job, question: TableQuery) -> None:
        """Run a job to its end; say its phase and progress when they change, and else now and then."""
        started = reported_at = self.clock()
        reported = ""

        def progress(summary: JobSummary) -> None:
            nonlocal reported, reported_at
            done = f", {summary.items_done} of {summary.items_total} parts" if summary.items_total else ""
            now = self.clock()
            if (text := f"{summary.phase}{done}") != reported or now - reported_at >= _SECONDS_BETWEEN_WORDS:
                reported, reported_at = text, now
                self.log(f"{question.name}: {text}, {now - started:.0f} s")

        job.run()
        job.wait(self.limits.deadline_seconds, on_progress=progress)

    def expected_rows(self, question: TableQuery, job: Job) -> int:
        """Give the number of rows that the archive has for us; ask for it by a query if its jobs do not say it."""
        if (counted := job.summary().rows) is not None:
            return counted
        with self.archive.submit(question.count_adql, maxrec=_COUNT_MAXREC) as counting:
            self._wait(counting, question)
            [count] = pa.Table.from_batches(counting.fetch(_COUNT_SCHEMA)).column("num_rows").to_numpy()
            return int(count)
