"""Records of archive jobs as rows of the database in which a lake's locks are: those of all machines.

The owner of a row holds a lock of the row's name (``postgres_locks``). A machine that dies, or is cut off, frees
it, and the next run that asks the same takes its job over.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from photoz_assets.lake.job_records import JobRecord, Question, noted_job
from photoz_assets.lake.postgres_locks import LockDatabaseError, PostgresLock, PostgresLocks

_MADE: Final = "SELECT to_regclass('photoz_job_records') IS NOT NULL"
_MAKE: Final = """CREATE TABLE IF NOT EXISTS photoz_job_records
    (name text PRIMARY KEY, lake text NOT NULL, question text NOT NULL, facts text NOT NULL,
    noted timestamptz NOT NULL DEFAULT now())"""
_FIND: Final = "SELECT name, facts FROM photoz_job_records WHERE lake = %s AND question = %s ORDER BY noted, name"
_READ: Final = "SELECT facts FROM photoz_job_records WHERE name = %s"
_WRITE: Final = """INSERT INTO photoz_job_records (name, lake, question, facts) VALUES (%s, %s, %s, %s)
    ON CONFLICT (name) DO UPDATE SET facts = excluded.facts, noted = now()"""
_REMOVE: Final = "DELETE FROM photoz_job_records WHERE name = %s"


@dataclass(frozen=True)
class PostgresJobRecords:
    """The records of the lake whose locks these are."""

    locks: PostgresLocks

    @contextmanager
    def own(self, question: Question, run_id: str) -> Iterator[JobRecord]:
        """Own the record of a question's job, as ``JobRecords`` says.

        Raises
        ------
        LockDatabaseError
            The database cannot be reached, or lets the account make no table.
        """
        self._make_table()
        holder = f"run {run_id} for {question.name}"
        name, lock, job_url = self._inherit(question, holder)

        def write(facts: str) -> None:
            self.locks.ask(_WRITE, (name, self.locks.lake, question.key, facts))

        record = JobRecord(write, question, run_id, job_url)
        try:
            record.note(job_url)
            yield record
        except BaseException:
            self._give_up(name, lock, remove=record.job_url is None)
            raise
        self._give_up(name, lock, remove=True)

    def _make_table(self) -> None:
        if self.locks.ask(_MADE) == [(True,)]:
            return
        # Two that make a table at once are a mistake to Postgres, even if it may be there.
        making = self.locks.acquire("job records", "making the table of job records", wait=True)
        try:
            self.locks.ask(_MAKE)
        finally:
            if making is not None:
                making.release()

    def _inherit(self, question: Question, holder: str) -> tuple[str, PostgresLock | None, str | None]:
        """Take over the record of a dead owner, with its job's URL, else begin one."""
        for name, _ in self.locks.ask(_FIND, (self.locks.lake, question.key)):
            if (lock := self.locks.acquire(name, holder)) is None:
                continue
            # Its owner may have come to its end between our look and our lock.
            for (facts,) in self.locks.ask(_READ, (name,)):
                if (job_url := noted_job(facts)) is not None:
                    return name, lock, job_url
            self._give_up(name, lock, remove=True)
        name = f"job {uuid.uuid4().hex}"
        return name, self.locks.acquire(name, holder), None

    def _give_up(self, name: str, lock: PostgresLock | None, *, remove: bool) -> None:
        # A record that stays behind costs the next run a question: its job is gone.
        with suppress(LockDatabaseError):
            if remove:
                self.locks.ask(_REMOVE, (name,))
        if lock is not None:
            lock.release()
