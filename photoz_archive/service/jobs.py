"""Jobs as UWS 1.1 knows them, and the folder that keeps them.

Each job is a folder with ``job.json`` and, when it is done, its result. Nothing here runs a query or speaks
HTTP. A job that a killed server left running is found in ERROR when the folder is opened again, and what no
completed job owns is removed.
"""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from vo_models.uws.types import ExecutionPhase as Phase

from photoz_archive.files import make_folder, write_in_place
from photoz_archive.service.disk import DEFAULT_LIMITS, DiskLimits, telling_full_disk
from photoz_archive.service.errors import ConflictError, InsufficientStorageError, NotFoundError
from photoz_archive.service.results import ResultStore
from photoz_archive.service.uploads import Documents, documents_of, parts_of

logger = logging.getLogger(__name__)

RETENTION: Final = timedelta(days=7)

ACTIVE: Final = frozenset({Phase.QUEUED, Phase.EXECUTING, Phase.HELD, Phase.SUSPENDED})
FINAL: Final = frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED})
# Of a job that runs, a server which starts again needs to know no more than that: the record of QUEUED says it.
_RECORDED: Final = FINAL | {Phase.QUEUED}
_RECORD: Final = "job.json"
_UPLOADS: Final = "uploads"
_NO_UPLOADS: Final[Documents] = MappingProxyType({})

_NEXT: Final = {
    Phase.PENDING: {Phase.QUEUED, Phase.ABORTED},
    Phase.QUEUED: {Phase.EXECUTING, Phase.ERROR, Phase.ABORTED},
    Phase.EXECUTING: {Phase.HELD, Phase.COMPLETED, Phase.ERROR, Phase.ABORTED},
    Phase.HELD: {Phase.EXECUTING, Phase.ERROR, Phase.ABORTED},
}


@dataclass
class UwsJob:
    """One job. Times are UTC; ``execution_duration`` is in seconds, ``sha256`` the result's digest in base64."""

    id: str
    parameters: dict[str, str]
    creation_time: datetime
    destruction: datetime
    execution_duration: int
    phase: Phase = Phase.PENDING
    start_time: datetime | None = None
    end_time: datetime | None = None
    error: str | None = None
    result_file: str | None = None
    content_type: str | None = None
    sha256: str | None = None
    rows: int | None = None
    chunks_done: int | None = None
    chunks_total: int | None = None
    # Deleted while it ran, by a service whose DELETE does not stop the query.
    forgotten: bool = field(default=False, compare=False)

    @property
    def run_id(self) -> str | None:
        """What the client calls the job."""
        return self.parameters.get("RUNID")


class JobStore:
    """The jobs of one folder. Safe for threads; one process at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        execution_duration: int,
        limits: DiskLimits = DEFAULT_LIMITS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._execution_duration = execution_duration
        self._now = now
        self._lock = threading.Lock()
        # Apart from the other, so that who asks for a job does not wait for the disk.
        self._recording = threading.Lock()
        self._jobs: dict[str, UwsJob] = {}
        self.results = ResultStore(limits)
        make_folder(folder)
        for job_folder in sorted(folder.iterdir()):
            self._load(job_folder)

    def create(self, parameters: dict[str, str], uploads: Documents = _NO_UPLOADS) -> UwsJob:
        """Make a job in phase PENDING, with the tables that it brings along.

        Raises
        ------
        InsufficientStorageError
            The store of results is full, or the disk is.
        """
        self.sweep()
        self.results.require_room()
        now = self._now()
        job = UwsJob(uuid4().hex[:16], parameters, now, now + RETENTION, self._execution_duration)
        try:
            with telling_full_disk("another job"):
                make_folder(self.folder(job))
            self.keep_uploads(job, uploads)
            self._save(job)
        except BaseException:
            shutil.rmtree(self.folder(job), ignore_errors=True)
            raise
        with self._lock:
            self._jobs[job.id] = job
        return job

    def get(self, job_id: str) -> UwsJob:
        """Return a job.

        Raises
        ------
        NotFoundError
            There is none of that id, or its destruction time has passed.
        """
        self.sweep()
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise NotFoundError(f"There is no job {job_id!r}")
        return job

    def all(self) -> list[UwsJob]:
        """Return all jobs, the newest first."""
        self.sweep()
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.creation_time, reverse=True)

    def folder(self, job: UwsJob) -> Path:
        """Return where a job's result lies."""
        return self._folder / job.id

    def keep_uploads(self, job: UwsJob, uploads: Documents) -> None:
        """Keep the documents of tables that a job brings along over those before; of URLs it has its parameters.

        Raises
        ------
        InsufficientStorageError
            The disk is full.
        """
        documents = {name: place for name, place in uploads.items() if isinstance(place, bytes)}
        if documents:
            folder = self.folder(job) / _UPLOADS
            with telling_full_disk("the tables that the job brings along"):
                make_folder(folder)
                for name, document in documents.items():
                    write_in_place(folder / name, document)

    def uploads(self, job: UwsJob) -> Documents:
        """Return the tables that a job brings along."""
        parts = parts_of(named := job.parameters.get("UPLOAD", ""))
        kept = {part: (self.folder(job) / _UPLOADS / name).read_bytes() for name, part in parts.items()}
        return documents_of(named, kept)

    def result(self, job: UwsJob) -> Path:
        """Return the file of a job's result.

        Raises
        ------
        NotFoundError
            The job has none.
        """
        if job.phase is not Phase.COMPLETED or job.result_file is None:
            raise NotFoundError(f"Job {job.id!r} is {job.phase.value} and has no result")
        return self.folder(job) / job.result_file

    def move(self, job: UwsJob, phase: Phase, **changes: Any) -> bool:
        """Bring a job into ``phase`` with ``changes`` to its record; return whether its phase allowed that.

        Raises
        ------
        OSError, InsufficientStorageError
            The record cannot be written, and the job stays as it was. One that fails or is aborted does so all
            the same: a server that starts again finds it as one that was cut off.
        """
        with self._recording:
            if phase not in _NEXT.get(job.phase, ()):
                return False
            now = self._now()
            if phase is Phase.EXECUTING and job.start_time is None:
                changes["start_time"] = now
            if phase in FINAL:
                changes["end_time"] = now
            changes["phase"] = phase
            if phase in _RECORDED:
                try:
                    self._save(replace(job, **changes))
                except (OSError, InsufficientStorageError):
                    if phase not in {Phase.ERROR, Phase.ABORTED}:
                        raise
                    logger.exception("job %s is %s, which could not be recorded", job.id, phase.value)
            _set(job, changes)
            if phase in FINAL:
                shutil.rmtree(self.folder(job) / _UPLOADS, ignore_errors=True)
            return True

    def change(self, job: UwsJob, *, only_pending: bool = False, **changes: Any) -> None:
        """Change a job's record.

        Raises
        ------
        ConflictError
            It may change only in PENDING, and is not.
        OSError, InsufficientStorageError
            The record cannot be written, and the job stays as it was.
        """
        with self._recording:
            if only_pending and job.phase is not Phase.PENDING:
                raise ConflictError(
                    f"Job {job.id!r} is {job.phase.value}; its parameters can change only while PENDING"
                )
            self._save(replace(job, **changes))
            _set(job, changes)

    def show_progress(self, job: UwsJob, *, done: int, total: int) -> None:
        """Show how many chunks of a job that runs are done; no record of it outlasts the server."""
        job.chunks_done, job.chunks_total = done, total

    def delete(self, job: UwsJob) -> None:
        """Forget a job and its result."""
        with self._lock:
            self._jobs.pop(job.id, None)
        with self._recording:
            job.forgotten = True
        if job.result_file is not None:
            self.results.remove(self.folder(job) / job.result_file)
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def sweep(self) -> None:
        """Forget the jobs whose destruction time has passed."""
        now = self._now()
        with self._lock:
            passed = [job for job in self._jobs.values() if job.destruction <= now and job.phase not in ACTIVE]
        for job in passed:
            self.delete(job)

    def _save(self, job: UwsJob) -> None:
        if job.forgotten:
            return
        content = json.dumps(dict(_record(job)), indent=1)
        with telling_full_disk("the record of the job"):
            write_in_place(self.folder(job) / _RECORD, content.encode())

    def _load(self, job_folder: Path) -> None:
        try:
            record = json.loads((job_folder / _RECORD).read_text(encoding="utf-8"))
            job = _job(record)
        except (OSError, ValueError, TypeError):
            # A folder without a whole record is what a server killed while it created the job leaves.
            shutil.rmtree(job_folder, ignore_errors=True)
            return
        self._jobs[job.id] = job
        result = job_folder / str(job.result_file) if job.phase is Phase.COMPLETED else None
        for path in job_folder.iterdir():
            if path.name != _RECORD and path != result and not path.is_dir():
                path.unlink()
        if job.phase in ACTIVE:
            self.move(job, Phase.ERROR, error="The service stopped while the query ran; send it again")
        elif result is not None:
            try:
                self.results.adopt(result)
            except FileNotFoundError:
                self.delete(job)


def _set(job: UwsJob, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(job, name, value)


def _record(job: UwsJob) -> Iterator[tuple[str, Any]]:
    for name, value in asdict(job).items():
        yield name, value.isoformat() if isinstance(value, datetime) else value


def _job(record: dict[str, Any]) -> UwsJob:
    times = {"creation_time", "destruction", "start_time", "end_time"}
    known = {entry.name for entry in fields(UwsJob)}
    values: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in times and value else value
        for name, value in record.items()
        if name in known
    }
    return UwsJob(**{**values, "phase": Phase(record["phase"])})
