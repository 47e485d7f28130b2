"""The life of one asynchronous query: a job of the Universal Worker Service (UWS 1.1).

A job costs the archive something only from `Job.run` on, until it is done or aborted. Deleting a job does not stop
its query at Rubin's archive: what is stopped early is aborted first.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import requests

from photoz_assets.tap import documents, votable
from photoz_assets.tap.documents import JobSummary
from photoz_assets.tap.errors import (
    ArchiveError,
    DeadlineExceeded,
    JobAborted,
    JobFailed,
    Missing,
    Rejected,
    Transient,
)
from photoz_assets.tap.results import ResultStream
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets.tap.transport import ArchiveSession

_COMPLETED: Final = "COMPLETED"
_ENDED: Final = frozenset({_COMPLETED, "ERROR", "ABORTED", "ARCHIVED"})
_LONGEST_POLL_SECONDS: Final = 10.0  # whoever watches wants to hear of a long query now and then
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 30.0
_PAUSE_GROWTH: Final = 1.5
# Services have lost the request to run a job, or answered it and let the job lie.
_FIRST_RESTART_SECONDS: Final = 60.0
_LONGEST_RESTART_SECONDS: Final = 600.0
# A run that is being stopped has seconds, not minutes, to tidy up.
_CLOSE_RETRY: Final = RetryPolicy(attempts=2, total_seconds=10.0)
_GRACE_SECONDS: Final = 5.0
# Asking again after a job that runs costs its archive nothing, and giving it up may cost hours: the archive may be
# away for as long as a restart of it takes.
OUTAGE_RETRY: Final = RetryPolicy(attempts=1000, total_seconds=1800.0)


class Job:
    """A query that the archive runs on its own; a context manager that closes it.

    Parameters
    ----------
    url
        Of the job.
    session
        The archive's session.
    retrying
        Runs what may be done twice, and holds the clock and the sleep.
    owned
        Whether this job is ours to abort and delete.
    maxrec
        The row limit that was sent; None to take it from the job.
    patience
        How long the archive may be away while we wait for the job or for its result.
    """

    def __init__(
        self,
        url: str,
        *,
        session: ArchiveSession,
        retrying: Retrying,
        owned: bool,
        maxrec: int | None = None,
        patience: RetryPolicy = OUTAGE_RETRY,
    ) -> None:
        self.url = url
        self.owned = owned
        self._session = session
        self._retrying = retrying
        self._waiting = replace(retrying, policy=patience)
        self._maxrec = maxrec
        self._phase = ""
        self._is_started = False
        self._is_gone = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_spent(self) -> bool:
        """Whether the job is known to give no result (any more): it was removed, has failed or was stopped."""
        return self._is_gone or self._phase in _ENDED - {_COMPLETED}

    def summary(self) -> JobSummary:
        """Ask for the job's document; a dropped answer is asked for again.

        Raises
        ------
        ArchiveError
            `Rejected` if the archive has no such job (any more).
        """
        return self._retrying(self._ask)

    def run(self) -> None:
        """Start the query unless it has been started. Returns at once or once it is planned, as the archive likes.

        The job is asked first, and again before another try: a query is never started twice.

        Raises
        ------
        ArchiveError
            The archive does not start it.
        """
        self._retrying(self._start)
        self._is_started = True

    def wait(
        self, deadline_seconds: float, *, on_progress: Callable[[JobSummary], None] | None = None
    ) -> JobSummary:
        """Wait until the query is done.

        Any phase that is not an end is waited for, known or not: HELD and SUSPENDED are not errors.

        Parameters
        ----------
        deadline_seconds
            How long to wait from now, whatever else happens. The job is left as it is when the time is spent.
        on_progress
            Called with the job's summary after every poll.

        Returns
        -------
        JobSummary
            Of the completed job.

        Raises
        ------
        DeadlineExceeded
            The time is spent.
        JobFailed, Transient, Rejected, TooLarge
            The archive gave up, by the words that it says why.
        JobAborted
            The job was stopped.
        """
        clock, started = self._retrying.clock, self._retrying.clock()
        pause, phase = _FIRST_PAUSE_SECONDS, ""
        started_at, patience = started, _FIRST_RESTART_SECONDS
        while True:
            asked = clock()
            left = deadline_seconds - (asked - started)
            summary = self._poll(left)
            if on_progress:
                on_progress(summary)
            if summary.phase in _ENDED:
                return self._completed(summary)
            left = deadline_seconds - (clock() - started)
            if left <= 0:
                raise self._overdue(summary, deadline_seconds)
            if self._is_started and summary.phase == "PENDING" and clock() - started_at >= patience:
                self._start_again(clock() - started_at, left)
                started_at, patience = clock(), min(2 * patience, _LONGEST_RESTART_SECONDS)
            # A service that honours WAIT has let us wait already. Of one that does not, and in phases in which
            # none does, we ask again after a pause that grows.
            pause = (
                min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_SECONDS)
                if summary.phase == phase
                else _FIRST_PAUSE_SECONDS
            )
            phase = summary.phase
            self._retrying.sleep(max(0.0, min(pause - (clock() - asked), left)))

    def fetch(
        self,
        schema: pa.Schema,
        *,
        expected_rows: int | None = None,
        spool: Path | None = None,
        deadline_seconds: float | None = None,
        batch_rows: int = votable.DEFAULT_BATCH_ROWS,
    ) -> ResultStream:
        """Fetch the result of a completed job.

        It may be fetched again after a download that broke: that runs no new query.

        Parameters
        ----------
        schema
            The columns that were asked for.
        expected_rows
            How many rows there must be; by default what the job says, if it says.
        spool
            A file to keep a Parquet result in while it is read; by default one in the system's folder for such.
        deadline_seconds
            How long the download may take.
        batch_rows
            The most rows of a batch.

        Returns
        -------
        ResultStream
            The batches; nothing is downloaded before they are iterated over.

        Raises
        ------
        ArchiveError
            The job is not completed.
        """
        summary = self._completed(self.summary())
        promised = self._part("results/result")
        url = summary.result_url or promised
        clock = self._retrying.clock
        return ResultStream(
            self._session,
            lambda: self._waiting(lambda: self._open(url, promised), within_seconds=deadline_seconds),
            url=url,
            schema=schema,
            clock=clock,
            expected_rows=summary.rows if expected_rows is None else expected_rows,
            maxrec=self._maxrec or summary.maxrec,
            spool=spool,
            deadline=None if deadline_seconds is None else clock() + deadline_seconds,
            batch_rows=batch_rows,
        )

    def _open(self, url: str, promised: str) -> requests.Response:
        """Ask for the result at the link that the job has, and where TAP promises it (TAP 1.1 sec. 2.2.3)."""
        try:
            self._session.refuse_inward(url, self.url)
            return self._session.get(url, stream=True)
        except (Rejected, Transient) as error:
            # A service behind a proxy may link to itself by a name that it alone knows.
            if url == promised:
                raise
            self._retrying.on_event(f"the link to the result leads nowhere: {error}")
            try:
                return self._session.get(promised, stream=True)
            except ArchiveError:
                raise error from None

    def abort(self) -> None:
        """Stop the query.

        Raises
        ------
        PermissionError
            The job is not ours.
        ArchiveError
            The archive does not stop it.
        """
        self._require_ownership()
        self._retrying(lambda: self._set_phase("ABORT"))
        self._phase = "ABORTED"

    def delete(self) -> None:
        """Delete the job and its result. Does not stop the query: `abort` first, or `close`.

        Raises
        ------
        PermissionError
            The job is not ours.
        ArchiveError
            The archive does not delete it.
        """
        self._require_ownership()
        self._retrying(self._delete)
        self._is_gone = True

    def close(self) -> None:
        """Leave nothing behind: stop the query unless it has ended, then delete the job.

        A job that is not ours is left alone. What goes wrong is told to ``on_event`` and not raised: it must not
        hide the error that we may be here for. A query that cannot be stopped is not deleted either, so that it
        can still be found.
        """
        if not self.owned or self._is_gone:
            return
        retrying = replace(self._retrying, policy=_CLOSE_RETRY)
        timeout = self._session.no_longer_than(_CLOSE_RETRY.total_seconds)
        try:
            if self._phase not in _ENDED:
                retrying(lambda: self._set_phase("ABORT", timeout=timeout))
                self._phase = "ABORTED"
            retrying(lambda: self._delete(timeout=timeout))
            self._is_gone = True
        except Missing:
            self._is_gone = True
        except ArchiveError as error:
            self._retrying.on_event(f"the job could not be removed: {error}")

    def _start(self) -> None:
        """Start the query unless it has been started."""
        if self._ask().phase == "PENDING":
            self._set_phase("RUN")

    def _start_again(self, seconds: float, left_seconds: float) -> None:
        """Start a query that the archive has let lie, and say so. It may begin just then, which is no error."""
        self._retrying.on_event(f"the job is PENDING {seconds:.0f} s after it was started: it is started again")
        try:
            self._retrying(self._start, within_seconds=left_seconds)
        except ArchiveError as error:
            self._retrying.on_event(f"the job could not be started again: {error}")

    def _part(self, path: str) -> str:
        """Return the URL of a part of the job."""
        return f"{self.url.rstrip('/')}/{path}"

    def _require_ownership(self) -> None:
        """Refuse to touch what is somebody else's."""
        if not self.owned:
            raise PermissionError(f"job {self.url} is not owned by this client")

    def _ask(self, *, within_seconds: float = math.inf, **parameters: str) -> JobSummary:
        """Ask for the job's document once."""
        with self._session.translate_errors(self.url):
            body = self._session.document(self.url, within_seconds=within_seconds, **parameters)
            summary = documents.parse_job(body, url=self.url)
        self._phase = summary.phase
        return summary

    def _poll(self, left_seconds: float) -> JobSummary:
        """Ask for the job's document, and the archive to hold its answer back until the phase changes."""
        hold_seconds = int(min(_LONGEST_POLL_SECONDS, left_seconds))
        parameters = {"WAIT": str(hold_seconds)} if hold_seconds > 0 else {}
        return self._waiting(
            lambda: self._ask(within_seconds=left_seconds + _GRACE_SECONDS, **parameters),
            within_seconds=max(left_seconds, 0.0),
        )

    def _set_phase(self, phase: str, *, timeout: tuple[float, float] | None = None) -> None:
        """Ask for a change of phase."""
        data = {"PHASE": phase}
        self._session.body(self._session.post(self._part("phase"), data=data, stream=True, timeout=timeout))

    def _delete(self, *, timeout: tuple[float, float] | None = None) -> None:
        """Delete the job; the redirect that answers leads to the list of all jobs, which nobody asked for."""
        self._session.delete(self.url, allow_redirects=False, stream=True, timeout=timeout).close()

    def _completed(self, summary: JobSummary) -> JobSummary:
        """Return the summary of a completed job; raise what any other phase means."""
        with self._session.translate_errors(self.url):
            match summary.phase:
                case "COMPLETED":
                    return summary
                case "ERROR" if summary.error_is_transient:
                    raise documents.failure(summary.error or "", otherwise=Transient)
                case "ERROR":
                    raise documents.failure(summary.error or self._error_document())
                case "ABORTED":
                    raise JobAborted("the job was aborted")
                case "ARCHIVED":
                    raise JobFailed("the job's result has been removed")
                case phase:
                    raise Rejected(f"the job is {phase}", hint="Run it and wait for it first.")

    def _error_document(self) -> str:
        """Return the reason of a failed job whose document states none (TAP 1.1 sec. 5.3)."""
        try:
            return documents.reason_of(self._session.document(self._part("error"))) or ""
        except ArchiveError:
            return ""

    def _overdue(self, summary: JobSummary, deadline_seconds: float) -> DeadlineExceeded:
        """Return the error of a job that did not end in time, with its progress."""
        progress = (
            f", {summary.items_done} of {summary.items_total} parts done"
            if summary.items_total is not None
            else ""
        )
        return DeadlineExceeded(
            f"the job is {summary.phase} after {deadline_seconds:.0f} s{progress}", url=self.url
        )
