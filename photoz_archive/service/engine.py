"""Runs translated queries on DuckDB: over the sky's Parquet files, TAP_SCHEMA and nothing else.

One database in memory, locked after set-up: no file but the sky's can be read, no setting changed. Each query
has a cursor of its own, so that stopping it stops no other.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import duckdb
import pyarrow as pa
from sqlglot import exp

from photoz_archive.adql.catalog import Catalog, ColumnFacts
from photoz_archive.adql.macros import MACROS
from photoz_archive.adql.scopes import Scan
from photoz_archive.adql.tract_pruning import Uploads
from photoz_archive.adql.translator import Translation
from photoz_archive.service.cancellation import Cancellation
from photoz_archive.service.disk import DEFAULT_LIMITS, spill_error, telling_full_disk
from photoz_archive.service.errors import QueryFailedError, ServiceError, TooLargeError
from photoz_archive.service.faults import Faults
from photoz_archive.service.fields import result_fields
from photoz_archive.service.schema import DATA_SCHEMA, SKY_TABLES, ArchiveSchema, Columns
from photoz_archive.service.stream import ResultWriter

logger = logging.getLogger(__name__)

BATCH_ROWS: Final = 16_384
# Above this density the whole sky is more than one query may ask for.
WHOLE_SKY_DENSITY: Final = 0.05

_DUCKDB_TYPES: Final = {
    "boolean": exp.DType.BOOLEAN,
    "short": exp.DType.SMALLINT,
    "int": exp.DType.INT,
    "long": exp.DType.BIGINT,
    "float": exp.DType.FLOAT,
    "double": exp.DType.DOUBLE,
    "char": exp.DType.VARCHAR,
}
_SKY_NAMES: Final = {name.lower(): name for name in SKY_TABLES}


class Sky(Protocol):
    """The rows of the sky, made tract by tract."""

    @property
    def density(self) -> float:
        """The share of the real source density."""

    @property
    def tracts(self) -> Iterable[int]:
        """All tracts of the sky."""

    def ensure(self, tracts: Iterable[int], *, on_made: Callable[[int], None] | None = None) -> None:
        """Make the tracts that are missing; ``on_made`` is called with each."""

    def files(self, table: str, tracts: Iterable[int]) -> list[Path]:
        """Return the Parquet files of a table's tracts."""

    def estimated_bytes(self, tracts: Iterable[int]) -> int:
        """Return how much room the tracts take."""

    def estimated_seconds(self, tracts: Iterable[int]) -> float:
        """Return how long the tracts take to make."""


class Engine:
    """Runs queries over one sky.

    ``views`` are tables whose rows are SQL over the others.

    ``database`` is the connection that translated queries run on: locked, so that what gets past the translation
    can neither read nor write anything but the sky.
    """

    def __init__(
        self,
        schema: ArchiveSchema,
        sky: Sky,
        patches: Columns,
        *,
        sky_folder: Path,
        scratch_folder: Path,
        threads: int = 2,
        memory_limit: str = "1GB",
        spill_bytes: int = DEFAULT_LIMITS.spill_bytes,
        views: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> None:
        self._sky = sky
        self._spill_bytes = spill_bytes
        self._all_tracts = frozenset(sky.tracts)
        tables = {("tap_schema", name): columns for name, columns in schema.tap_schema().items()}
        tables[DATA_SCHEMA, "coaddpatches"] = patches
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
            It can reach all of a sky that is too dense for that.
        QueryStoppedError
            It was stopped between two tracts.
        InsufficientStorageError
            The disk is full.
        """
        reached = {scan: tracts for scan, tracts in translation.reachable.items() if self._is_sky(scan)}
        if None in reached.values() and self._sky.density > WHOLE_SKY_DENSITY:
            raise TooLargeError(self._too_large())
        wanted = frozenset[int]().union(*(self._tracts(tracts) for tracts in reached.values()))
        with telling_full_disk("the rows that the query asks for"):
            self._sky.ensure(sorted(wanted), on_made=lambda _: cancellation.check())

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
            source = self._batches(reader, cancellation)
            facts = [column.facts for column in translation.columns]
            stream = _open_stream(reader.schema, source, facts, max_rows, active)
        except ServiceError:
            close()
            raise
        stream.on_close = close
        stream.overflow = max_rows == 0 or active.overflow
        stream.truncate_after_bytes = active.truncate_after_bytes
        return stream

    def _batches(self, reader: pa.RecordBatchReader, cancellation: Cancellation) -> Iterator[pa.RecordBatch]:
        while True:
            with self._service_errors(cancellation):
                cancellation.check()
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield batch

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
        if self._is_sky(scan):
            tracts = sorted(self._tracts(translation.reachable.get(scan)))
            files = [] if empty else self._sky.files(_SKY_NAMES[key[1]], tracts)
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

    def _is_sky(self, scan: Scan) -> bool:
        return scan.table.schema == DATA_SCHEMA and scan.table.name.lower() in _SKY_NAMES

    def _tracts(self, reachable: frozenset[int] | None) -> frozenset[int]:
        return self._all_tracts if reachable is None else reachable & self._all_tracts

    def _too_large(self) -> str:
        gigabytes = self._sky.estimated_bytes(self._all_tracts) / 1e9
        minutes = self._sky.estimated_seconds(self._all_tracts) / 60
        return (
            f"The query can reach all {len(self._all_tracts)} tracts: at density {self._sky.density:g} the "
            f"archive would have to make {gigabytes:.1f} GB in about {minutes:.0f} min. Expected a condition on "
            "tract, objectId or a region with numbers for its place and size; a query of everything works up to "
            f"density {WHOLE_SKY_DENSITY:g}"
        )

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
