"""Runs queries, at once or as jobs: translates them, makes the tracts, runs them and encodes the rows."""

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa
from vo_models.uws.types import ExecutionPhase as Phase

from photoz_archive.adql.catalog import Catalog, TableFacts
from photoz_archive.adql.errors import AdqlError
from photoz_archive.adql.tract_pruning import Footprint
from photoz_archive.adql.translator import Translation, translate
from photoz_archive.service.cancellation import Cancellation
from photoz_archive.service.engine import Engine
from photoz_archive.service.errors import BadRequestError, ConflictError, QueryFailedError, ServiceError
from photoz_archive.service.faults import Faults
from photoz_archive.service.jobs import ACTIVE, JobStore, UwsJob
from photoz_archive.service.parameters import QueryRequest, parse_query
from photoz_archive.service.profile import Profile
from photoz_archive.service.schema import ArchiveSchema
from photoz_archive.service.stream import ResultWriter
from photoz_archive.service.upload_reader import read_upload
from photoz_archive.service.uploads import fetch_document

logger = logging.getLogger(__name__)

_RUNNING_AT_ONCE: Final = 4
_HELD_SECONDS: Final = 0.3
_STOPPED: Final = "The service is stopping"
_ABORTED: Final = "The query was aborted"
# What Rubin's chunks are to its tracts, so that a full scan shows in the totals.
_CHUNKS_PER_TRACT: Final = 9


class QueryService:
    """Runs queries, at once or as jobs, a few at a time."""

    def __init__(
        self,
        engine: Engine,
        schema: ArchiveSchema,
        footprints: Mapping[str, Footprint],
        jobs: JobStore,
        profile: Profile,
    ) -> None:
        self.profile = profile
        self.schema = schema
        self.jobs = jobs
        self.faults = Faults()
        self._engine = engine
        self._footprints = footprints
        self._slots = threading.BoundedSemaphore(profile.concurrent_queries or _RUNNING_AT_ONCE)
        self._lock = threading.Lock()
        self._running: dict[str, Cancellation] = {}
        self._threads: set[threading.Thread] = set()

    def open(self, request: QueryRequest, cancellation: Cancellation, limit_seconds: float) -> ResultWriter:
        """Run a query to its first rows.

        Raises
        ------
        AdqlError, ServiceError
            It cannot run.
        """
        return self._open(request, cancellation, limit_seconds, None)

    def message(self, error: AdqlError | ServiceError) -> str:
        """Return the text of an error as the client sees it."""
        if self.profile.java_error_names and isinstance(error, (AdqlError, BadRequestError)):
            kind = "IllegalArgumentException" if isinstance(error, AdqlError) else "UnsupportedOperationException"
            return f"{kind}:{error}"
        return str(error)

    def write(self, stream: ResultWriter, request: QueryRequest) -> Iterator[bytes]:
        """Yield a result in the format that was asked for."""
        chunks = request.format.write(stream, self.profile)
        left = stream.truncate_after_bytes
        for chunk in chunks:
            if left is None:
                yield chunk
            elif left:
                yield chunk[:left]
                left -= min(left, len(chunk))

    def start(self, job: UwsJob) -> None:
        """Run a job, now or when there is room.

        Raises
        ------
        ConflictError
            The job has run already.
        InsufficientStorageError
            The disk is full.
        """
        if not self.jobs.move(job, Phase.QUEUED):
            raise ConflictError(f"Job {job.id!r} is {job.phase.value}; only a PENDING job can RUN")
        quota = self.profile.concurrent_queries
        with self._lock:
            running = len(self._running)
            if quota is not None and running >= quota:
                message = (
                    f"Maximum running queries reached ({running} running, maximum {quota}); "
                    "wait for a query to finish or cancel one"
                )
                self.jobs.move(job, Phase.ERROR, error=message)
                return
            cancellation = self._running[job.id] = Cancellation()
            thread = threading.Thread(
                target=self._run, args=(job, cancellation), name=f"job-{job.id}", daemon=True
            )
            self._threads.add(thread)
        thread.start()

    def abort(self, job: UwsJob) -> None:
        """Stop a job that is not done; a job that is done stays as it is."""
        self.jobs.move(job, Phase.ABORTED, error=_ABORTED)
        self._stop(job, _ABORTED)

    def delete(self, job: UwsJob) -> None:
        """Forget a job and its result; a running query stops where the profile says so."""
        if self.profile.delete_cancels:
            self.abort(job)
        self.jobs.delete(job)

    def close(self) -> None:
        """Stop what runs and wait a little for it."""
        with self._lock:
            running, threads = list(self._running.values()), list(self._threads)
        for cancellation in running:
            cancellation.stop(_STOPPED)
        for thread in threads:
            thread.join(timeout=5)
        self._engine.close()

    def _stop(self, job: UwsJob, reason: str) -> None:
        with self._lock:
            cancellation = self._running.get(job.id)
        if cancellation is not None:
            cancellation.stop(reason)

    def _run(self, job: UwsJob, cancellation: Cancellation) -> None:
        """Take a queued job to its end."""
        try:
            with self._slots:
                if self.jobs.move(job, Phase.EXECUTING):
                    self._execute(job, cancellation)
        except (AdqlError, ServiceError) as error:
            self.jobs.move(job, Phase.ERROR, error=self.message(error))
        except OSError:
            # The folder of a job that was deleted while it ran is gone.
            if not job.forgotten:
                logger.exception("job %s could not store its result", job.id)
                self.jobs.move(job, Phase.ERROR, error="The archive could not store the result")
        finally:
            # Whatever went wrong, nobody may wait for this job for ever.
            if job.phase in ACTIVE:
                self.jobs.move(job, Phase.ERROR, error="The archive failed to run the query")
            with self._lock:
                self._running.pop(job.id, None)
                self._threads.discard(threading.current_thread())

    def _execute(self, job: UwsJob, cancellation: Cancellation) -> None:
        request = parse_query(job.parameters, self.profile, self.jobs.uploads(job))
        stream = self._open(request, cancellation, job.execution_duration or 10**9, job)
        result = self.jobs.folder(job) / f"result.{request.format.extension}"
        is_owned = False
        try:
            digest = self.jobs.results.write(result, self._whole(stream, request, cancellation))
            reported = self.faults.report_rows
            is_completed = self.jobs.move(
                job,
                Phase.COMPLETED,
                result_file=result.name,
                content_type=request.format.content_type,
                sha256=digest,
                rows=stream.rows if reported is None else reported,
                chunks_done=job.chunks_total,
            )
            is_owned = is_completed and not job.forgotten
        finally:
            stream.close()
            if not is_owned:
                self.jobs.results.remove(result)

    def _whole(self, stream: ResultWriter, request: QueryRequest, cancellation: Cancellation) -> Iterator[bytes]:
        """Yield a result, and raise at its end if it is not all of it."""
        yield from self.write(stream, request)
        cancellation.check()
        if stream.failure is not None:
            raise QueryFailedError(stream.failure)

    def _open(
        self, request: QueryRequest, cancellation: Cancellation, limit_seconds: float, job: UwsJob | None
    ) -> ResultWriter:
        uploads = dict(self._uploaded(name, place) for name, place in request.uploads.items())
        translation = translate(
            request.query,
            Catalog((*self.schema.catalog.tables, *uploads)),
            self._footprints,
            scisql=self.profile.scisql,
            subqueries=self.profile.subqueries,
            uploads=uploads,
        )
        if job is not None:
            self._plan(job, translation)
        if request.max_rows:
            self._engine.prepare(translation, cancellation)
        cancellation.check()
        return self._engine.run(
            translation,
            uploads=uploads,
            max_rows=request.max_rows,
            cancellation=cancellation,
            limit_seconds=limit_seconds,
            faults=self.faults,
        )

    def _uploaded(self, name: str, place: bytes | str) -> tuple[TableFacts, pa.Table]:
        """Return a table that a request brings along, in its document or at a URL."""
        limit = self.profile.upload_bytes or 0
        document = place if isinstance(place, bytes) else fetch_document(name, place, limit)
        return read_upload(name, document)

    def _plan(self, job: UwsJob, translation: Translation) -> None:
        """Show what a job of Rubin's shows once it is planned: chunks in total, and the phase HELD."""
        if self.profile.progress_in_job:
            whole = self.profile.one_area_only and not translation.one_area
            tracts = max(
                (
                    len(footprint.tracts if whole or reached is None else reached)
                    for scan, reached in translation.reachable.items()
                    if (footprint := self._footprints.get(scan.table.schema.lower())) is not None
                ),
                default=0,
            )
            self.jobs.show_progress(job, done=0, total=tracts * _CHUNKS_PER_TRACT)
        if self.profile.held_phase and self.jobs.move(job, Phase.HELD):
            threading.Event().wait(_HELD_SECONDS)
            self.jobs.move(job, Phase.EXECUTING)
