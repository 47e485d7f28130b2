"""Reading stored tables with DuckDB: one table out of any number of files.

DuckDB takes paths for patterns and folders named ``key=value`` for columns. Here each path is one file, and the
last folder alone says the tract. Files that may be replaced while they are read are read by a ``snapshot``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    Footer,
    InvalidTableFileError,
    Provenance,
    read_footer,
    require_regular,
    verify_rows,
)
from photoz_assets.lake.snapshot import in_place, snapshot
from photoz_assets.survey.table import Contract

_GLOB_CHARACTERS: Final = "*?["
# The folder of a tract is the last one above its file, as ``layout`` has it; or stands in a ``snapshot``'s name.
_TRACT: Final = r"CAST(regexp_extract(filename, 'tract=(\d+)[/@][^/]*$', 1) AS BIGINT) AS tract"


class OtherColumnsError(PhotozError):
    """A stored table's columns are not those that it is to have."""


class UnreadablePathError(PhotozError):
    """DuckDB cannot be told to read this one file."""


@dataclass(frozen=True)
class StoredTable:
    """Rows out of stored files, read when they are asked for, and where these very rows came from.

    ``sources`` has the provenance of each file, whatever is published in its place meanwhile; ``versions`` has, of
    a lake in an object store, that of the asset's log.
    """

    rows: duckdb.DuckDBPyRelation
    sources: tuple[Provenance, ...]
    versions: Mapping[str, int] = field(default_factory=dict)


def open_tables(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], *, tract_column: bool = False
) -> duckdb.DuckDBPyRelation:
    """Return the rows of some files as one relation, which reads them when it is asked.

    Parameters
    ----------
    connection
        Where the relation lives.
    files
        One or more stored tables. Columns are united by name; a file without one of them has NULL there.
    tract_column
        Whether ``tract`` follows the files' own columns, from each file's folder.

    Raises
    ------
    UnreadablePathError, InvalidTableFileError
        As ``tables_sql``.
    """
    return connection.sql(tables_sql(connection, files, tract_column=tract_column))


def read_tables(lake: Lake, files: Sequence[Path], *, tract_column: bool = False) -> StoredTable:
    """Return the rows of some files of a lake as one table, of the versions that are there now.

    All of them are seen to be whole first, since DuckDB takes damaged values that can be decoded for data.
    Parameters are those of ``open_tables``.

    Raises
    ------
    UnreadablePathError, FileNotFoundError, InvalidTableFileError
        As ``open_tables`` and ``verify_rows``.
    """
    held = snapshot(lake, files)
    sources = tuple(verify_rows(path).provenance for path in held)
    return StoredTable(open_tables(duckdb.connect(), held, tract_column=tract_column), sources)


def read_source(path: Path, contract: Contract) -> Provenance:
    """Return the provenance of a stored file of which another table is to be made, once it is seen to be whole.

    Raises
    ------
    OtherColumnsError
        Its columns are not the contract's.
    FileNotFoundError, InvalidTableFileError
        As ``verify_rows``.
    """
    return _provenance(path, verify_rows(path), contract)


def read_source_footer(path: Path, contract: Contract) -> Provenance:
    """Return the same without a look at the rows, which are for the reader to hold against their checksums.

    Raises
    ------
    OtherColumnsError
        Its columns are not the contract's.
    FileNotFoundError, InvalidTableFileError
        As ``read_footer``.
    """
    return _provenance(path, read_footer(path), contract)


def _provenance(path: Path, footer: Footer, contract: Contract) -> Provenance:
    if differences := contract.differences(footer.schema):
        raise OtherColumnsError(
            f"{in_place(str(path))}: columns differ from the contract's: {differences}: materialize "
            f"{contract.table} again"
        )
    return footer.provenance


def tables_sql(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    *,
    tract_column: bool = False,
    samples: Sequence[Path] | None = None,
) -> str:
    """Return the query that ``open_tables`` asks, for a view say.

    ``samples`` are those of the files of which the columns are learnt, where it is known that they have all that
    there are: one of each kind. By default each file is looked at.

    Raises
    ------
    UnreadablePathError
        A path has a backslash beside a character of patterns, which DuckDB cannot be told.
    InvalidTableFileError
        A file is damaged, or is no regular file.
    """
    samples = files if samples is None else samples
    for path in samples:
        require_regular(path)
    names, described = _names(files), _names(samples)
    try:
        # By the footers alone: no data is read here, where files are united by name.
        columns = connection.execute(
            f"DESCRIBE SELECT * FROM read_parquet([{described}], hive_partitioning=false, union_by_name=true)"
        ).fetchall()
    except duckdb.Error as error:
        raise InvalidTableFileError(f"{in_place(_first_line(error))}: move it elsewhere") from error
    schema = ", ".join(
        f"{quoted(name)}: {{name: {quoted(name)}, type: {quoted(kind)}, default_value: NULL}}"
        for name, kind, *_ in columns
    )
    selected = f"* EXCLUDE (filename), {_TRACT}" if tract_column else "*"
    return (
        f"SELECT {selected} FROM read_parquet([{names}], hive_partitioning=false, "
        f"filename={str(tract_column).lower()}, schema=MAP {{{schema}}})"
    )


def _names(files: Sequence[Path]) -> str:
    return ", ".join(quoted(path_pattern(path)) for path in files)


def quoted(text: str) -> str:
    """Return a text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def path_pattern(path: Path) -> str:
    """Return the pattern that matches a path alone."""
    text = str(path)
    if not any(character in text for character in _GLOB_CHARACTERS):
        return text
    if "\\" in text:
        raise UnreadablePathError(
            f"DuckDB cannot read {in_place(text)}, whose path has a backslash beside *, ? or [: rename a folder "
            "above it"
        )
    return "".join(f"[{character}]" if character in _GLOB_CHARACTERS else character for character in text)


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0].rstrip(".")
