"""A result on its way in: downloaded, decoded and counted at once, never held whole.

Which format it has is told by its first bytes, not by what was asked for: services are free to answer in another.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import requests

from photoz_assets.tap import digests, parquet, votable
from photoz_assets.tap.errors import ArchiveError, CutShort, DeadlineExceeded, TooLarge, Truncated
from photoz_assets.tap.transport import ArchiveSession


class ResultStream:
    """The batches of a result; iterate over it once.

    Batches are handed out before the result is known to be complete: what is made of them may be used only if the
    iteration ends without an error.

    Parameters
    ----------
    session
        Where the download and the errors' URL and silence about the token come from.
    open_response
        Asks for the result, with its body left to be streamed.
    url
        What is asked for, for the message of an error.
    schema
        The columns that were asked for.
    expected_rows
        How many rows the archive says there are; None if it does not.
    maxrec
        The row limit that was sent. A result that fills it counts as cut off even if it is not marked so.
    spool
        Where to keep a Parquet result while it is read, by default in the system's folder for such; the file is
        removed afterwards.
    deadline
        The clock's time by which the download must have ended, None for no limit.
    clock
        Monotonic seconds.
    batch_rows
        The most rows of a batch.
    most_bytes
        The largest body to read, None for any.

    Attributes
    ----------
    rows, bytes
        What has come in so far; the bytes are those of the decoded body.
    overflow
        Whether the service marked the result as cut off.

    Raises
    ------
    Truncated
        The result is marked as cut off, ends early, fills the row limit or has another number of rows than the
        archive says; `CutShort` if it ends early, for it may be whole the next time.
    ContractViolation
        The columns are not those of the schema.
    Transient
        The download broke, or its bytes are damaged; it may be started again.
    DeadlineExceeded
        The download took too long.
    TooLarge
        The body is larger than allowed.
    ArchiveError
        Anything else, as `votable.decode`, `parquet.read` and `ArchiveSession` raise it.
    """

    def __init__(
        self,
        session: ArchiveSession,
        open_response: Callable[[], requests.Response],
        *,
        url: str,
        schema: pa.Schema,
        clock: Callable[[], float],
        expected_rows: int | None = None,
        maxrec: int | None = None,
        spool: Path | None = None,
        deadline: float | None = None,
        batch_rows: int = votable.DEFAULT_BATCH_ROWS,
        most_bytes: int | None = None,
    ) -> None:
        self.rows = 0
        self.bytes = 0
        self.overflow = False
        self._session = session
        self._open_response = open_response
        self._url = url
        self._schema = schema
        self._clock = clock
        self._expected_rows = expected_rows
        self._maxrec = maxrec
        self._spool = spool
        self._deadline = deadline
        self._batch_rows = batch_rows
        self._most_bytes = most_bytes

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with self._session.translate_errors(self._url):
            for batch in self._batches():
                self.rows += batch.num_rows
                # A stream that never ends is not waited for.
                if self._expected_rows is not None and self.rows > self._expected_rows:
                    self._judge()
                yield batch
            self._judge()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of whatever format there is."""
        response = self._open_response()
        chunks = self._counted(response)
        try:
            yield from self._decoded(chunks)
        except ArchiveError:
            if digests.stated(response) and "Content-Length" in response.headers:
                # What cannot be decoded may be damaged, which is known at the body's end: then that is raised.
                deque(chunks, maxlen=0)
            raise

    def _decoded(self, chunks: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
        """Yield the batches of a body."""
        head = b""
        while len(head) < len(parquet.MAGIC) and (chunk := next(chunks, b"")):
            head += chunk
        chunks = chain([head], chunks)
        if head.startswith(parquet.MAGIC):
            yield from self._from_parquet(chunks)
            return
        decoding = votable.decode(chunks, self._schema, batch_rows=self._batch_rows)
        try:
            yield from decoding
        except Truncated as error:
            if decoding.overflow:
                raise
            raise CutShort(error.message) from error
        finally:
            self.overflow = decoding.overflow

    def _from_parquet(self, chunks: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
        """Spool a Parquet file and yield its batches."""
        with TemporaryDirectory() if self._spool is None else nullcontext() as folder:
            spool = self._spool or Path(folder or "", "result.parquet")
            try:
                with spool.open("wb") as file:
                    file.writelines(chunks)
                yield from parquet.read(spool, self._schema, batch_rows=self._batch_rows)
            except Truncated as error:
                raise CutShort(error.message) from error
            finally:
                spool.unlink(missing_ok=True)

    def _counted(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the body, counted and in time."""
        for chunk in self._session.chunks(response):
            self.bytes += len(chunk)
            if self._deadline is not None and self._clock() > self._deadline:
                raise DeadlineExceeded(f"the download is not done in time: {self.bytes} bytes so far")
            if self._most_bytes is not None and self.bytes > self._most_bytes:
                raise TooLarge(f"a result of over {self._most_bytes} bytes")
            yield chunk

    def _judge(self) -> None:
        """Raise if the rows cannot be all of the result."""
        if self._expected_rows is not None and self.rows != self._expected_rows:
            raise Truncated(f"{self.rows} rows came in, the archive counted {self._expected_rows}")
        if self._maxrec and self.rows >= self._maxrec:
            raise Truncated(f"{self.rows} rows fill the row limit (MAXREC) of {self._maxrec}: there may be more")
