"""The archive's jobs of a question: run or gone on with, waited for, and parted with. Results are not read here.

A job is on record while it lives, so that a run which dies leaves it to the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from photoz_assets.ingest.table_query import Question, Terms
from photoz_assets.lake.job_records import JobRecord
from photoz_assets.tap.client import Archive
from photoz_assets.tap.documents import JobSummary
from photoz_assets.tap.errors import JobAborted, JobFailed, Protocol, Rejected
from photoz_assets.tap.jobs import Job

_COUNT_SCHEMA: Final = pa.schema([pa.field("num_rows", pa.int64())])
# Above the one row that there is: a result that fills its MAXREC counts as cut off.
_COUNT_MAXREC: Final = 10
_SECONDS_BETWEEN_WORDS: Final = 9.0


@dataclass(frozen=True, kw_only=True)
class JobRunner:
    """Runs questions as jobs of one archive; ``say`` is told, a line each, what happens."""

    archive: Archive
    terms: Terms
    say: Callable[[str], None]
    clock: Callable[[], float]

    def completed(self, question: Question, record: JobRecord) -> Job:
        """Give a completed job of a question: that on record, if it can still give its result, or a new one.

        Raises
        ------
        ArchiveError
            The archive does not run the query to its end; none of its jobs is left behind.
        """
        return self._inherited(question, record) or self._run(question, record)

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
            self.part_with(job, record)
            raise
        return job

    def part_with(self, job: Job, record: JobRecord) -> None:
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

    def expected_rows(self, question: Question, job: Job) -> int:
        """Give the number of rows that the archive has for us; ask for it by a query if its jobs do not say it."""
        if (counted := job.summary().rows) is not None:
            return counted
        with self.archive.submit(question.count_adql, maxrec=_COUNT_MAXREC) as counting:
            self._wait(counting, question)
            [count] = pa.Table.from_batches(counting.fetch(_COUNT_SCHEMA)).column("num_rows").to_numpy()
            return int(count)
