"""Runs translated queries on DuckDB: over the skies' Parquet files, TAP_SCHEMA, uploads and nothing else.

One database in memory, locked after set-up: no file but the skies' can be read, no setting changed. Each query
has a cursor of its own, so that stopping it stops no other.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import duckdb
import pyarrow as pa
from sqlglot import exp

from photoz_archive.adql.catalog import Catalog, ColumnFacts, TableFacts
from photoz_archive.adql.macros import MACROS
from photoz_archive.adql.scopes import Scan
from photoz_archive.adql.tract_pruning import Uploads
from photoz_archive.adql.translator import Translation
from photoz_archive.service.cancellation import Cancellation
from photoz_archive.service.digits import with_digits
from photoz_archive.service.disk import DEFAULT_LIMITS, spill_error, telling_full_disk
from photoz_archive.service.errors import QueryFailedError, ServiceError, TooLargeError
from photoz_archive.service.faults import Faults
from photoz_archive.service.fields import result_fields
from photoz_archive.service.schema import ArchiveSchema, Columns
from photoz_archive.service.stream import ResultWriter

logger = logging.getLogger(__name__)

BATCH_ROWS: Final = 16_384
# More objects than this are too many to make for one query: all of DP0.2 at a density of 0.05 are not.
WHOLE_SKY_ROWS: Final = 12_100_000

_DUCKDB_TYPES: Final = {
    "boolean": exp.DType.BOOLEAN,
    "short": exp.DType.SMALLINT,
    "int": exp.DType.INT,
    "long": exp.DType.BIGINT,
    "float": exp.DType.FLOAT,
    "double": exp.DType.DOUBLE,
    "char": exp.DType.VARCHAR,
}


class Sky(Protocol):
    """The rows of the sky, made tract by tract."""

    @property
    def tracts(self) -> Iterable[int]:
        """All tracts of the sky."""

    def ensure(self, tracts: Iterable[int], *, on_made: Callable[[int], None] | None = None) -> None:
        """Make the tracts that are missing; ``on_made`` is called with each."""

    def files(self, table: str, tracts: Iterable[int]) -> list[Path]:
        """Return the Parquet files of a table's tracts."""

    def estimated_rows(self, tracts: Iterable[int]) -> int:
        """Return how many objects those of the tracts that are missing will have."""

    def estimated_bytes(self, tracts: Iterable[int]) -> int:
        """Return how much room those of the tracts that are missing will take."""

    def estimated_seconds(self, tracts: Iterable[int]) -> float:
        """Return how long those of the tracts that are missing take to make."""


@dataclass(frozen=True, kw_only=True)
class ServedSky:
    """A sky as the schema of its release serves it.

    ``tables`` are those of the sky's tables that are served, ``patches`` are the columns of CoaddPatches, and
    ``float_digits`` the significant digits of numbers of single precision, None for all of them.
    """

    sky: Sky
    tables: tuple[str, ...]
    patches: Columns
    float_digits: int | None = None

    def name_of(self, table: TableFacts) -> str | None:
        """Return what the sky calls a table, whatever its case in the service; None for one that it lacks."""
        return next((name for name in self.tables if name.lower() == table.name.lower()), None)


class Engine:
    """Runs queries over the skies of releases, by the names of their schemas.

    ``views`` are tables whose rows are SQL over the others.

    ``database`` is the connection that translated queries run on: locked, so that what gets past the translation
    can neither read nor write anything but the sky.
    """

    def __init__(
        self,
        schema: ArchiveSchema,
        skies: Mapping[str, ServedSky],
        *,
        sky_folder: Path,
        scratch_folder: Path,
        threads: int = 2,
        memory_limit: str = "1GB",
        spill_bytes: int = DEFAULT_LIMITS.spill_bytes,
        views: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> None:
        self._skies = skies
        self._spill_bytes = spill_bytes
        tables = {("tap_schema", name): columns for name, columns in schema.tap_schema().items()}
        tables |= {(name, "coaddpatches"): served.patches for name, served in skies.items()}
        self._held = frozenset(tables) | frozenset(views)
        scratch_folder.mkdir(parents=True, exist_ok=True)
        self.database = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "memory_limit": memory_limit,
                "temp_directory": str(scratch_folder),
                # Division by zero is NULL, as in the databases of other archives.
                "ieee_floating_point_ops": False,
                "error_on_division_by_zero": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        # Given as the others, DuckDB shows this bound and does not keep it.
        self.database.execute("SET max_temp_directory_size = $bound", {"bound": f"{spill_bytes}B"})
        self._fill(tables, schema.catalog)
        for statement in MACROS:
            self.database.execute(statement)
        for (schema_name, name), rows in views.items():
            self.database.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema_name}"')
            self.database.execute(f'CREATE VIEW "{schema_name}"."{name}" AS {rows}')
        self._lock(sky_folder)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def prepare(self, translation: Translation, cancellation: Cancellation) -> None:
        """Make the tracts that the query can reach.

        Raises
        ------
        TooLargeError
            It can reach all of a sky of which too much is still to be made.
        QueryStoppedError
            It was stopped between two tracts.
        InsufficientStorageError
            The disk is full.
        """
        wanted: dict[str, frozenset[int]] = {}
        for scan, reached in translation.reachable.items():
            served = self._served(scan)
            if served is not None and served.name_of(scan.table) is not None:
                if reached is None and served.sky.estimated_rows(served.sky.tracts) > WHOLE_SKY_ROWS:
                    raise TooLargeError(_too_large(scan.table.schema, served.sky))
                tracts = frozenset(served.sky.tracts) if reached is None else reached
                wanted[scan.table.schema] = wanted.get(scan.table.schema, frozenset()) | tracts
        with telling_full_disk("the rows that the query asks for"):
            for schema, tracts in wanted.items():
                self._skies[schema].sky.ensure(sorted(tracts), on_made=lambda _: cancellation.check())

    def run(
        self,
        translation: Translation,
        *,
        uploads: Uploads,
        max_rows: int,
        cancellation: Cancellation,
        limit_seconds: float,
        faults: Faults,
    ) -> ResultWriter:
        """Start a query and return its result when the first rows are there.

        Raises
        ------
        QueryFailedError
            DuckDB refused the query.
        QueryStoppedError
            It was stopped, or ran longer than ``limit_seconds``.
        InsufficientStorageError
            It would spill more than it may, or than the disk takes.
        """
        on_data = any(scan.table.schema != "tap_schema" for scan in translation.reachable)
        active = faults if on_data else Faults()
        if active.error_text is not None:
            raise QueryFailedError(active.error_text)
        relations = {
            scan: self._relation(translation, scan, uploads, empty=max_rows == 0) for scan in translation.used
        }
        sql = translation.sql(relations, max_rows + 1 if max_rows else 0)
        cursor = self.database.cursor()
        # Views of a cursor are its own.
        for scan in translation.used:
            if scan.table in uploads:
                cursor.register(_view_name(scan), uploads[scan.table])
        cancellation.attach(cursor, limit_seconds, f"The query ran longer than {limit_seconds:g} s")

        def close() -> None:
            cancellation.finish()
            cursor.close()

        try:
            with self._service_errors(cancellation):
                reader = cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
            source = self._batches(reader, cancellation, self._digits(translation))
            facts = [column.facts for column in translation.columns]
            stream = _open_stream(reader.schema, source, facts, max_rows, active)
        except ServiceError:
            close()
            raise
        stream.on_close = close
        stream.overflow = max_rows == 0 or active.overflow
        stream.truncate_after_bytes = active.truncate_after_bytes
        return stream

    def _digits(self, translation: Translation) -> dict[int, int]:
        """Return to how many digits which of the result's columns are rounded: plain ones of single precision."""
        digits = {}
        for number, column in enumerate(translation.columns):
            served = None if column.scan is None else self._served(column.scan)
            if served is not None and served.float_digits and column.facts and column.facts.datatype == "float":
                digits[number] = served.float_digits
        return digits

    def _batches(
        self, reader: pa.RecordBatchReader, cancellation: Cancellation, digits: Mapping[int, int]
    ) -> Iterator[pa.RecordBatch]:
        while True:
            with self._service_errors(cancellation):
                cancellation.check()
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield with_digits(batch, digits)

    @contextmanager
    def _service_errors(self, cancellation: Cancellation) -> Iterator[None]:
        """Turn DuckDB's errors into the service's, without what they may show of this machine."""
        try:
            yield
        # Through Arrow's reader, DuckDB's errors arrive as OSError or ArrowException.
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            cancellation.check()
            if (full := spill_error(str(error), self._spill_bytes)) is not None:
                raise full from error
            if isinstance(error, (duckdb.IOException, duckdb.InternalException, duckdb.PermissionException)):
                logger.exception("a query failed inside DuckDB")
                raise QueryFailedError("The database failed to run the query") from error
            raise QueryFailedError(f"The database refused the query: {_first_line(error)}") from error

    def _relation(self, translation: Translation, scan: Scan, uploads: Uploads, *, empty: bool) -> exp.Query:
        """Return the rows of one scan: the columns that the query uses, of the tracts that it can reach."""
        used = set(translation.used[scan])
        columns = [c for c in scan.table.columns if c.name in used] or list(scan.table.columns[:1])
        key = (scan.table.schema.lower(), scan.table.name.lower())
        served = self._served(scan)
        name = None if served is None else served.name_of(scan.table)
        if served is not None and name is not None:
            reached = translation.reachable.get(scan)
            tracts = sorted(served.sky.tracts if reached is None else reached)
            files = [] if empty else served.sky.files(name, tracts)
            if files:
                listed = exp.Array(expressions=[exp.Literal.string(str(file)) for file in files])
                rows = exp.Table(this=exp.Anonymous(this="read_parquet", expressions=[listed]))
                return exp.select(*(_typed(exp.column(_quoted(c.name)), c) for c in columns)).from_(rows)
        elif scan.table in uploads:
            rows = exp.table_(_view_name(scan), quoted=True)
            return exp.select(*(_typed(exp.column(_quoted(c.name)), c) for c in columns)).from_(rows)
        elif key in self._held:
            rows = exp.table_(key[1], db=key[0], quoted=True)
            return exp.select(*(_typed(exp.column(_quoted(c.name)), c) for c in columns)).from_(rows)
        return exp.select(*(_typed(exp.Null(), c) for c in columns)).where(exp.false())

    def _served(self, scan: Scan) -> ServedSky | None:
        return self._skies.get(scan.table.schema)

    def _fill(self, tables: dict[tuple[str, str], Columns], catalog: Catalog) -> None:
        """Make tables of values that are at hand; Arrow would load pandas for them, in half a second."""
        for (schema, name), values in tables.items():
            facts = catalog.find(schema, name)
            types = {c.name: _DUCKDB_TYPES[c.datatype].value for c in (facts.columns if facts else ())}
            columns = ", ".join(f'unnest(${column}::{types[column]}[]) AS "{column}"' for column in values)
            self.database.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            self.database.execute(f'CREATE TABLE "{schema}"."{name}" AS SELECT {columns}', values)

    def _lock(self, sky_folder: Path) -> None:
        self.database.execute("SET python_enable_replacements = false")
        self.database.execute("SET allowed_directories = $folders", {"folders": [str(sky_folder)]})
        self.database.execute("SET enable_external_access = false")
        self.database.execute("SET lock_configuration = true")


def _too_large(schema: str, sky: Sky) -> str:
    tracts = frozenset(sky.tracts)
    rows, gigabytes = sky.estimated_rows(tracts) / 1e6, sky.estimated_bytes(tracts) / 1e9
    minutes = sky.estimated_seconds(tracts) / 60
    return (
        f"The query can reach all {len(tracts)} tracts of {schema}, of which the archive has still to make "
        f"about {rows:.0f} million objects: {gigabytes:.1f} GB in some {minutes:.0f} min. Expected a condition on "
        "tract, objectId or a region with numbers for its place and size; a query of everything works up to "
        f"{WHOLE_SKY_ROWS / 1e6:.0f} million still to be made"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _open_stream(
    schema: pa.Schema,
    source: Iterator[pa.RecordBatch],
    facts: list[ColumnFacts | None],
    max_rows: int,
    faults: Faults,
) -> ResultWriter:
    """Read the first batch, so that a query which fails at once fails before its answer has begun."""
    batches = source if faults.rewrite is None else map(faults.rewrite, source)
    if faults.most_rows is not None:
        batches = _refusing(batches, faults.most_rows)
    first = next(batches, None)
    if first is None:
        return ResultWriter(result_fields(schema, facts), iter(()), max_rows)
    by_field = dict(zip(schema, facts, strict=True))
    kept = [by_field.get(field) for field in first.schema]
    return ResultWriter(result_fields(first.schema, kept), chain([first], batches), max_rows)


def _refusing(batches: Iterator[pa.RecordBatch], most_rows: int) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        if rows > most_rows:
            raise QueryFailedError("Query results are too large to return; please narrow your query")
        yield batch


def _view_name(scan: Scan) -> str:
    return f"upload_{scan.index}"


def _quoted(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _typed(value: exp.Expr, column: ColumnFacts) -> exp.Expr:
    """Cast a value to the type that the catalog promises; DuckDB drops a cast to the type that it has."""
    return exp.alias_(exp.cast(value, _DUCKDB_TYPES[column.datatype]), _quoted(column.name))
