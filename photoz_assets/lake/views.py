"""The lake's tables as views of DuckDB, all at once."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import duckdb

from photoz_assets.environment import data_dir as default_data_dir
from photoz_assets.environment import named_lake
from photoz_assets.errors import PhotozError
from photoz_assets.lake.footers import read_footers, require_footer
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.publishing import NoVersionError
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import path_pattern, tables_sql


class UnreadableTableWarning(UserWarning):
    """A table of the lake cannot be read, so that it has no view."""


def open_views(
    data_dir: str | os.PathLike[str] | None = None, version: Mapping[str, int] | None = None
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB connection with one view for each asset that has files.

    Parameters
    ----------
    data_dir
        The lake, a folder or a URL; by default what ``PHOTOZ_DATA_DIR`` says.
    version
        Of a lake in an object store, for some assets the version of their logs to show; by default the newest.

    Returns
    -------
    duckdb.DuckDBPyConnection
        Views are named as the assets; those of partitioned assets end with the column ``tract``. They show the
        lake as it is now, whatever is published while the connection is open.

    Raises
    ------
    UnreadableLakeError
        There is something in the lake's place that cannot be listed.
    SettingError
        The lake is named by what is no folder, and nothing in an object store.
    NoVersionError
        The lake keeps no such version.

    Warns
    -----
    UnreadableTableWarning
        For each asset that has no view, since one of its files cannot be read.
    """
    place = default_data_dir() if data_dir is None else named_lake(os.fspath(data_dir))
    lake = open_lake(place, versions=version)
    # Listing ten thousand tracts takes as long as any other part of opening: not for nothing.
    if version and (unknown := sorted(version.keys() - lake.tables())):
        raise NoVersionError(f"the lake {lake.name} holds no {', '.join(unknown)}")
    return views_of(lake, stacklevel=4)


def views_of(lake: Lake, *, stacklevel: int = 2) -> duckdb.DuckDBPyConnection:
    """Return what ``open_views`` does of a lake that is open."""
    connection = duckdb.connect()
    for asset, files in lake.tables().items():
        try:
            _create(connection, lake, asset, files)
        except (PhotozError, duckdb.Error) as error:
            warnings.warn(f"{asset} has no view: {error}", UnreadableTableWarning, stacklevel=stacklevel)
    return connection


def confine(connection: duckdb.DuckDBPyConnection, data_dir: Path, scratch: Path) -> None:
    """Leave a connection nothing to read but the lake and nothing to write but its own scratch, for good."""
    connection.execute("SET temp_directory = ?", [str(scratch)])
    # It holds both against it: a pattern, as which paths are read, and what the pattern found.
    connection.execute("SET allowed_directories = ?", [[str(data_dir), path_pattern(data_dir)]])
    connection.execute("SET enable_external_access = false")
    # Else a name that is no view's would be looked up among the variables of this program.
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def _create(connection: duckdb.DuckDBPyConnection, lake: Lake, asset: str, files: list[Path]) -> None:
    """Create an asset's view; of ten thousand files with the same columns one is looked into."""
    dataset = lake.publisher.dataset(asset)
    if dataset is not None:
        connection.from_arrow(dataset).create_view(asset)
        return
    held = snapshot(lake, files)
    kinds: dict[bytes, Path] = {}
    for path, footer in zip(held, read_footers(lake, asset, files, held), strict=True):
        kinds.setdefault(require_footer(footer, path).columns, path)
    rows = tables_sql(connection, held, tract_column=files != [lake.place(asset)], samples=list(kinds.values()))
    connection.execute(f"CREATE VIEW {_identifier(asset)} AS {rows}")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
