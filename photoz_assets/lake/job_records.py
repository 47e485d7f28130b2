"""Records of the archive jobs that are under way, so that a restarted run need not pay for a query twice.

A record is a lock: its owner holds it while it lives. Only a record whose owner is dead can be taken over,
and only for the same query at the same service, asked while the lake held the same listing of the sky: what was
asked before the archive changed is not given out as asked after it. It holds no token.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from photoz_assets.lake.durable import flush
from photoz_assets.lake.locks import FileLock

_SUFFIX: Final = ".json"


class JobRecord:
    """The record of one job, owned by this process."""

    def __init__(self, lock: FileLock, *, archive_url: str, run_id: str, job_url: str | None = None) -> None:
        self._lock = lock
        self._archive_url = archive_url
        self._run_id = run_id
        self.job_url = job_url

    def note(self, job_url: str | None) -> None:
        """Write down which job is owned; None where there is none yet."""
        self.job_url = job_url
        facts = {"archive_url": self._archive_url, "run_id": self._run_id, "job_url": job_url}
        self._lock.write(json.dumps(facts))


@contextmanager
def job_record(
    folder: Path,
    *,
    name: str,
    adql: str,
    archive_url: str,
    run_id: str,
    listing: str | None = None,
    upload: str | None = None,
) -> Iterator[JobRecord]:
    """Own the record of a query's job for the time of a block, then remove it.

    It stays behind if the block fails and leaves its job with the archive: whoever asks next takes that over.

    Parameters
    ----------
    folder
        Where the records lie; made if missing.
    name
        What the query is for, as a part of a file name.
    adql, archive_url, listing, upload
        The query, the service, what the lake's listing of the sky says of what is asked (``freshness``), and a
        digest of the table that was sent along, which make two jobs interchangeable.
    run_id
        The run that owns the job.

    Yields
    ------
    JobRecord
        With the ``job_url`` of a dead run's job for the same query, where there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    question = "\n".join(filter(None, (archive_url, adql, listing, upload)))
    digest = hashlib.sha256(question.encode()).hexdigest()[:16]
    lock, job_url = _inherit(folder, f"{name}-{digest}-*{_SUFFIX}")
    path = folder / f"{name}-{digest}-{uuid.uuid4().hex}{_SUFFIX}"
    if lock is None:
        while (lock := FileLock.acquire(path)) is None:
            pass
    else:
        lock.rename(path)
    record = JobRecord(lock, archive_url=archive_url, run_id=run_id, job_url=job_url)
    try:
        record.note(job_url)
        flush(folder)
        yield record
    except BaseException:
        lock.release(remove=record.job_url is None)
        raise
    lock.release(remove=True)


def _inherit(folder: Path, pattern: str) -> tuple[FileLock | None, str | None]:
    """Lock and return the record of a dead owner, with its job's URL; records that say nothing are removed."""
    for path in sorted(folder.glob(pattern)):
        if (lock := FileLock.acquire(path, create=False)) is None:
            continue
        try:
            job_url = json.loads(lock.path.read_text())["job_url"]
        except (ValueError, KeyError, TypeError):
            job_url = None
        if job_url is not None:
            return lock, str(job_url)
        lock.release(remove=True)
    return None, None
