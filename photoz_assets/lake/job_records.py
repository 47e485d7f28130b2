"""Records of the archive jobs that are under way, so that a restarted run need not pay for a query twice.

A record is a lock: its owner holds it while it lives. Only a record whose owner is dead can be taken over,
and only for the same question: the same query at the same service, asked while the lake held the same listing of
the sky, since what was asked before the archive changed is not given out as asked after it. It holds no token.

Records are files here, for the processes of one machine, or rows (``postgres_records``), for all machines.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from photoz_assets.lake.durable import flush
from photoz_assets.lake.locks import FileLock

_SUFFIX: Final = ".json"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What makes two jobs interchangeable.

    Attributes
    ----------
    name
        What the query is for, as a part of a file name.
    adql, archive_url
        The query, and the service.
    listing
        What the lake's listing of the sky says of what is asked (``freshness``).
    upload
        A digest of the table that is sent along.
    """

    name: str
    adql: str
    archive_url: str
    listing: str | None = None
    upload: str | None = None

    @property
    def key(self) -> str:
        """What two questions share only if they are the same."""
        text = "\n".join(filter(None, (self.archive_url, self.adql, self.listing, self.upload)))
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class JobRecord:
    """The record of one job, owned by this process; ``write`` puts it where the next run looks."""

    def __init__(self, write: Callable[[str], None], question: Question, run_id: str, job_url: str | None) -> None:
        self._write = write
        self._question = question
        self._run_id = run_id
        self.job_url = job_url

    def note(self, job_url: str | None) -> None:
        """Write down which job is owned; None where there is none yet."""
        facts = {"archive_url": self._question.archive_url, "run_id": self._run_id, "job_url": job_url}
        self._write(json.dumps(facts))
        self.job_url = job_url


class JobRecords(Protocol):
    """The records of a lake."""

    def own(self, question: Question, run_id: str) -> AbstractContextManager[JobRecord]:
        """Own the record of a question's job for the time of a block, then remove it.

        It stays behind if the block fails and leaves its job with the archive: whoever asks next takes that over.
        The record has the ``job_url`` of a dead run's job for the same question, where there is one.
        """


@dataclass(frozen=True)
class FileJobRecords:
    """Records as files below a folder, which is made if it is missing."""

    folder: Path

    @contextmanager
    def own(self, question: Question, run_id: str) -> Iterator[JobRecord]:
        """Own the record of a question's job, as ``JobRecords`` says."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock, job_url = _inherit(self.folder, f"{question.key}-*{_SUFFIX}")
        path = self.folder / f"{question.key}-{uuid.uuid4().hex}{_SUFFIX}"
        if lock is None:
            while (lock := FileLock.acquire(path)) is None:
                pass
        else:
            lock.rename(path)
        record = JobRecord(lock.write, question, run_id, job_url)
        try:
            record.note(job_url)
            flush(self.folder)
            yield record
        except BaseException:
            lock.release(remove=record.job_url is None)
            raise
        lock.release(remove=True)


def noted_job(text: str) -> str | None:
    """Return the URL of the job that a record tells of; None where it says nothing."""
    try:
        job_url = json.loads(text)["job_url"]
    except (ValueError, KeyError, TypeError):
        return None
    return None if job_url is None else str(job_url)


def _inherit(folder: Path, pattern: str) -> tuple[FileLock | None, str | None]:
    """Lock and return the record of a dead owner, with its job's URL; records that say nothing are removed."""
    for path in sorted(folder.glob(pattern)):
        if (lock := FileLock.acquire(path, create=False)) is None:
            continue
        if (job_url := noted_job(lock.path.read_text())) is not None:
            return lock, job_url
        lock.release(remove=True)
    return None, None
