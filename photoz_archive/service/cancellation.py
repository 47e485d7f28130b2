"""Stops one running query, by request or by a time limit; other queries run on."""

import threading

import duckdb

from photoz_archive.service.errors import QueryStoppedError

_REPEAT_SECONDS = 0.05


class Cancellation:
    """The cancellation of one query.

    DuckDB loses an interrupt that comes before the query has started, so a stop is repeated until the query
    notices.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._reason: str | None = None
        self._finished = threading.Event()
        self._timer: threading.Timer | None = None

    @property
    def reason(self) -> str | None:
        """Why the query was stopped, or None."""
        return self._reason

    def check(self) -> None:
        """Raise if the query was stopped.

        Raises
        ------
        QueryStoppedError
            It was; the message says why.
        """
        if self._reason is not None:
            raise QueryStoppedError(self._reason)

    def attach(self, cursor: duckdb.DuckDBPyConnection, limit_seconds: float, limit_reason: str) -> None:
        """Bind the cancellation to ``cursor``, and start the time limit."""
        with self._lock:
            self.check()
            self._cursor = cursor
            self._timer = threading.Timer(limit_seconds, self.stop, [limit_reason])
            self._timer.daemon = True
            self._timer.start()

    def stop(self, reason: str) -> None:
        """Stop the query, now or when it starts."""
        with self._lock:
            if self._reason is not None or self._finished.is_set():
                return
            self._reason = reason
            attached = self._cursor is not None
        if attached:
            threading.Thread(target=self._repeat, name="interrupt", daemon=True).start()

    def finish(self) -> None:
        """Release the cursor."""
        with self._lock:
            self._finished.set()
            self._cursor = None
            if self._timer is not None:
                self._timer.cancel()

    def _repeat(self) -> None:
        while not self._finished.is_set():
            with self._lock:
                if self._cursor is not None:
                    self._cursor.interrupt()
            self._finished.wait(_REPEAT_SECONDS)
