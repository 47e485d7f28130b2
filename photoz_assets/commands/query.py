"""A query of the lake in SQL: one statement that reads, the lake alone, and its rows written as they come."""

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.environment import StoreUrl, photoz_command
from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.snapshot import in_place
from photoz_assets.lake.views import confine, views_of

# As Python's own values, the galaxies' 47 columns take some 5 MB.
_BATCH_ROWS: Final = 2048
# As Arrow's, some 10 MB; a row group of Parquet is no smaller, or its readers are slow.
_GROUP_ROWS: Final = 32_768


class QueryError(PhotozError):
    """A query cannot be answered; the text says why, and what the lake holds."""


def write_query(place: Path | StoreUrl, sql: str, layout: str, sink: BinaryIO) -> None:
    """Write the rows that a statement asks a lake for.

    Memory is bounded by a batch of rows, and by what DuckDB itself holds to sort or group.

    Parameters
    ----------
    place
        The lake's; each asset that has files is a view of its name.
    sql
        One SELECT of DuckDB's, or another statement that reads, such as DESCRIBE or SUMMARIZE.
    layout
        table, csv, json, parquet or arrow.
    sink
        What is written to.

    Raises
    ------
    QueryError
        The statement does more than to read, reads more than the lake, or fails.
    """
    lake = open_lake(place)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with views_of(lake) as connection:
                confine(connection, lake.root, Path(scratch))
                _WRITERS[layout](_rows(connection, sql), sink)
        except duckdb.PermissionException as error:
            raise QueryError(f"photoz query reads the lake alone: {str(error).splitlines()[0]}") from error
        except duckdb.Error as error:
            raise QueryError(f"{in_place(str(error).splitlines()[0])} ({_held(lake)})") from error
        except pa.ArrowException as error:
            raise QueryError(f"this cannot be written as {layout}: {str(error).splitlines()[0]}") from error


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """Return what a statement asks for; nothing is read yet."""
    types = [statement.type for statement in connection.extract_statements(sql)]
    if types != [duckdb.StatementType.SELECT]:
        raise QueryError(
            "photoz query takes one statement that reads, such as SELECT, WITH, DESCRIBE, SUMMARIZE or SHOW. "
            "To do more with the rows, take photoz_assets.connect() in Python"
        )
    return connection.sql(sql)


def _held(lake: Lake) -> str:
    """Say what can be asked for."""
    assets = lake.assets()
    return (
        f"the lake holds {', '.join(assets)}"
        if assets
        else f"the lake is empty: `{photoz_command()} demo` fills it"
    )


def _write_table(rows: duckdb.DuckDBPyRelation, sink: BinaryIO) -> None:
    sink.write(str(rows).encode())


def _write_csv(rows: duckdb.DuckDBPyRelation, sink: BinaryIO) -> None:
    text = io.TextIOWrapper(sink, encoding="utf-8", newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(rows.columns)
    for batch in rows.to_arrow_reader(_BATCH_ROWS):
        table.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    text.detach()


def _write_json(rows: duckdb.DuckDBPyRelation, sink: BinaryIO) -> None:
    """Write an array with a row a line; what JSON has no number for, infinity and NaN, is null."""
    names = _distinct(rows.columns)
    before = "[\n"
    for batch in rows.to_arrow_reader(_BATCH_ROWS):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row = dict(zip(names, values, strict=True))
            sink.write(f"{before}{_json(row)}".encode())
            before = ",\n"
    sink.write(b"[]\n" if before == "[\n" else b"\n]\n")


def _json(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(row, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(row), default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """Return a value with None in the place of each number within it that is infinite or none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _write_parquet(rows: duckdb.DuckDBPyRelation, sink: BinaryIO) -> None:
    _write_batches(rows, lambda schema: pq.ParquetWriter(sink, schema))


def _write_arrow(rows: duckdb.DuckDBPyRelation, sink: BinaryIO) -> None:
    """Write what Arrow calls a file into a file, and what it calls a stream into a pipe."""
    _write_batches(rows, partial(pa.ipc.new_file if sink.seekable() else pa.ipc.new_stream, sink))


def _write_batches(rows: duckdb.DuckDBPyRelation, writer_of: Callable[[pa.Schema], Any]) -> None:
    """Write the rows as Arrow's batches, no two columns of one name."""
    batches = rows.to_arrow_reader(_GROUP_ROWS)
    named = zip(batches.schema, _distinct(rows.columns), strict=True)
    schema = pa.schema(field.with_name(name) for field, name in named)
    with writer_of(schema) as writer:
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names of columns with a number behind each that was there before."""
    distinct: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in distinct or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name}_{number}"
        distinct.append(candidate)
    return distinct


_WRITERS: Final[Mapping[str, Callable[[duckdb.DuckDBPyRelation, BinaryIO], None]]] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
}
