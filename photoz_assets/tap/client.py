"""The archive: a TAP service with what it offers and declares, asked once, and the ways to query it.

`TapClient` wires session, retries and jobs together. The queries' text and the schema of their answers are the
caller's.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa

from photoz_assets.tap import documents
from photoz_assets.tap.capabilities import Capabilities, parse_capabilities
from photoz_assets.tap.errors import Rejected, TooLarge
from photoz_assets.tap.jobs import OUTAGE_RETRY, Job
from photoz_assets.tap.names import fold
from photoz_assets.tap.results import ResultStream
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets.tap.transport import ArchiveSession, origin_of
from photoz_assets.tap.uploads import MEDIA_TYPE, Upload

_LOGGER: Final = logging.getLogger(__name__)

_SYNC_ROWS: Final = 1_000_000
LARGEST_SYNC_BYTES: Final = 1 << 28
# As text, the values of a table take some times their size.
_LARGEST_SYNC_BODY_BYTES: Final = 1 << 30
_LONGEST_SYNC_SECONDS: Final = 1800.0

_SCHEMAS: Final = pa.schema([("schema_name", pa.string()), ("description", pa.string())])
_TABLES: Final = pa.schema([("table_name", pa.string()), ("description", pa.string())])
_COLUMNS: Final = pa.schema([("table_name", pa.string()), ("column_name", pa.string()), ("datatype", pa.string())])


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """A table as TAP_SCHEMA has it, in the service's spelling: its full name, description, and columns.

    ``columns`` gives the datatype of each column by its name.
    """

    name: str
    description: str | None
    columns: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class SchemaInfo:
    """A schema as TAP_SCHEMA has it.

    ``tables`` are found by their name in lower case, without the schema's.
    """

    schema: str
    description: str | None
    tables: Mapping[str, TableInfo]


class TapClient:
    """A TAP service.

    Nothing is asked before the first method is called. Every error is an `ArchiveError`.

    Parameters
    ----------
    url
        The TAP base URL, the one that ``/sync`` is appended to.
    token
        Bearer token; sent to the URL's own origin alone.
    clock, sleep
        Monotonic seconds, and how to let them pass.
    policy
        How often and how long requests are retried.
    patience
        How long the archive may be away while we wait for a job or its result.
    run_id
        A label that the archive keeps with our jobs (UWS RUNID).
    on_event
        Told of retries and the like, a line each.
    prefer_parquet
        Fetch the results of jobs as Parquet where the service offers it: fewer bytes, for slow links.

    Raises
    ------
    Rejected
        The URL cannot be one of a TAP service, or the token cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        policy: RetryPolicy | None = None,
        patience: RetryPolicy = OUTAGE_RETRY,
        run_id: str | None = None,
        on_event: Callable[[str], None] = _LOGGER.info,
        prefer_parquet: bool = False,
    ) -> None:
        self.url = url.strip().rstrip("/?")
        self._session = ArchiveSession(self.url, token=token, clock=clock)
        self._retrying = Retrying(policy=policy or RetryPolicy(), clock=clock, sleep=sleep, on_event=on_event)
        self._patience = patience
        self._run_id = run_id
        self._prefer_parquet = prefer_parquet
        self._declarations: dict[str, SchemaInfo] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"

    def wait_at_most(self, seconds: float) -> None:
        """Set how long a connection, and each wait for more of an answer, may take from now on."""
        self._session.timeout_seconds = (seconds, seconds)

    def capabilities(self) -> Capabilities:
        """Ask, once, what the service can do.

        Raises
        ------
        ArchiveError
            `Protocol` if there is no TAP service at the URL.
        """
        return self._capabilities

    @cached_property
    def _capabilities(self) -> Capabilities:
        """Keep what the service can do."""
        url = f"{self.url}/capabilities"
        with self._session.translate_errors(url):
            return parse_capabilities(self._retrying(lambda: self._session.document(url)))

    def schema_info(self, schema: str) -> SchemaInfo:
        """Ask, once for each schema, what the service's TAP_SCHEMA tells of it.

        Parameters
        ----------
        schema
            Its name, in any case.

        Raises
        ------
        Rejected
            The service has no such schema.
        ArchiveError
            Anything else.
        """
        if fold(schema) not in self._declarations:
            self._declarations[fold(schema)] = self._read_tap_schema(schema)
        return self._declarations[fold(schema)]

    def query(self, adql: str, schema: pa.Schema, *, maxrec: int | None = None) -> Iterator[pa.RecordBatch]:
        """Run a small query synchronously.

        The result is held until it is known to be complete; large ones are for `submit`.

        Parameters
        ----------
        adql
            The query.
        schema
            The columns that it selects.
        maxrec
            The row limit to send, a million by default. It must be larger than the number of rows: a result that
            fills it counts as cut off.

        Returns
        -------
        Iterator[pa.RecordBatch]
            All of the result.

        Raises
        ------
        ArchiveError
            `Truncated`, `ContractViolation`, `Rejected` and all others.
        """
        limit = maxrec or _SYNC_ROWS
        url = f"{self.url}/sync"
        parameters = self._parameters(adql, maxrec=limit, response_format=self.capabilities().response_format)

        def ask() -> list[pa.RecordBatch]:
            stream = ResultStream(
                self._session,
                lambda: self._session.post(url, data=parameters, stream=True),
                url=url,
                schema=schema,
                clock=self._retrying.clock,
                maxrec=limit,
                deadline=self._retrying.clock() + _LONGEST_SYNC_SECONDS,
                most_bytes=_LARGEST_SYNC_BODY_BYTES,
            )
            batches: list[pa.RecordBatch] = []
            for batch in stream:
                batches.append(batch)
                if sum(each.nbytes for each in batches) > LARGEST_SYNC_BYTES:
                    raise TooLarge("the result of a synchronous query is too large", url=url)
            return batches

        return iter(self._retrying(ask))

    def download(
        self, url: str, parameters: Mapping[str, str], *, most_bytes: int, before: Callable[[], None]
    ) -> bytes:
        """GET a document that the archive serves beside its tables, such as a part of an image.

        Parameters
        ----------
        url, parameters
            Of the document. The token goes to the archive's own origin alone, and to nowhere that redirects lead.
        most_bytes
            That it may have.
        before
            Is called before each attempt.

        Raises
        ------
        ArchiveError
            Any failure.
        """

        def ask() -> bytes:
            before()
            with self._session.translate_errors(url):
                response = self._session.get(url, params=parameters, stream=True)
                return self._session.body(response, most_bytes=most_bytes)

        return self._retrying(ask)

    def submit(self, adql: str, *, maxrec: int, upload: Upload | None = None) -> Job:
        """Create a job, which is not yet running.

        A creation whose answer is lost is tried again. The job that it may have created stays PENDING until the
        archive destroys it: only running a job costs anything.

        Parameters
        ----------
        adql
            The query.
        maxrec
            The row limit to send, larger than the number of rows can be.
        upload
            A table that the query reads, sent along.

        Raises
        ------
        ArchiveError
            The archive does not create the job.
        """
        capabilities = self.capabilities()
        parquet = capabilities.parquet_format if self._prefer_parquet else None
        response_format = parquet or capabilities.response_format
        url = f"{self.url}/async"
        parameters = self._parameters(adql, maxrec=maxrec, response_format=response_format)
        parts = None
        if upload:
            parameters["UPLOAD"] = upload.parameter
            parts = {upload.name: (f"{upload.name}.xml", upload.document, MEDIA_TYPE)}

        def create() -> str:
            with self._session.translate_errors(url):
                response = self._session.post(url, data=parameters, files=parts, stream=True)
                documents.parse_job(self._session.body(response), url=response.url)
                return str(response.url)

        return self._job(self._retrying(create), owned=True, maxrec=maxrec)

    def attach(self, job_url: str, *, owned: bool = False) -> Job:
        """Take up a job that was created before.

        Parameters
        ----------
        job_url
            As `Job.url` had it.
        owned
            Whether it is ours to abort and delete now.

        Raises
        ------
        Rejected
            This is no URL.
        """
        origin_of(job_url)
        return self._job(job_url, owned=owned)

    def _job(self, url: str, *, owned: bool, maxrec: int | None = None) -> Job:
        """Make a job of ours."""
        return Job(
            url,
            session=self._session,
            retrying=self._retrying,
            owned=owned,
            maxrec=maxrec,
            patience=self._patience,
        )

    def _parameters(self, adql: str, *, maxrec: int, response_format: str | None) -> dict[str, str]:
        """Return the parameters of a query (TAP 1.1 sec. 2.7, DALI 1.1 sec. 3)."""
        optional = {"RESPONSEFORMAT": response_format, "RUNID": self._run_id}
        return {key: value for key, value in optional.items() if value} | {
            "REQUEST": "doQuery",
            "LANG": "ADQL",
            "MAXREC": str(maxrec),
            "QUERY": adql,
        }

    def _read_tap_schema(self, schema: str) -> SchemaInfo:
        """Read a schema's tables and columns from TAP_SCHEMA.

        Names are compared here, not by the service: whether it has LOWER cannot be relied on.
        """
        schemas = self._rows("SELECT schema_name, description FROM TAP_SCHEMA.schemas", _SCHEMAS)
        found = next((row for row in schemas if fold(row["schema_name"] or "") == fold(schema)), None)
        if found is None:
            raise Rejected(
                f"the archive has no schema {schema}",
                url=self.url,
                hint="Check that the URL (PHOTOZ_TAP_URL) is of an archive with these tables.",
            )
        name = found["schema_name"] or schema
        tables = self._rows(
            f"SELECT table_name, description FROM TAP_SCHEMA.tables WHERE schema_name = {_literal(name)}", _TABLES
        )
        columns: dict[str, dict[str, str]] = {row["table_name"] or "": {} for row in tables}
        if columns:
            listed = ", ".join(map(_literal, columns))
            names = ", ".join(_COLUMNS.names)
            adql = f"SELECT {names} FROM TAP_SCHEMA.columns WHERE table_name IN ({listed})"
            for row in self._rows(adql, _COLUMNS):
                listing = columns.setdefault(row["table_name"] or "", {})
                listing[row["column_name"] or ""] = row["datatype"] or ""
        return SchemaInfo(
            schema=name,
            description=found["description"],
            tables={
                fold((row["table_name"] or "").rpartition(".")[2]): TableInfo(
                    name=row["table_name"] or "",
                    description=row["description"],
                    columns=columns[row["table_name"] or ""],
                )
                for row in tables
            },
        )

    def _rows(self, adql: str, schema: pa.Schema) -> list[dict[str, str | None]]:
        """Run a query over TAP_SCHEMA, whose columns are all text."""
        rows: list[dict[str, str | None]]
        rows = pa.Table.from_batches(list(self.query(adql, schema)), schema=schema).to_pylist()
        return rows


def _literal(text: str) -> str:
    """Quote a text as an ADQL literal."""
    return "'" + text.replace("'", "''") + "'"
