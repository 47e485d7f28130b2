"""The lake's tables as views of DuckDB, all at once."""

import os
from pathlib import Path

import duckdb

from photoz_assets.environment import data_dir as default_data_dir
from photoz_assets.lake.layout import Lake


def open_views(data_dir: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB connection with one view for each asset that has files.

    Parameters
    ----------
    data_dir
        The lake; by default what ``PHOTOZ_DATA_DIR`` says.

    Returns
    -------
    duckdb.DuckDBPyConnection
        Views are named as the assets; those of partitioned assets have the column ``tract`` from the folders.

    Raises
    ------
    UnreadableLakeError
        There is something in the lake's place that cannot be listed.
    duckdb.Error
        A file in a table's place is damaged.
    """
    lake = Lake(Path(data_dir) if data_dir is not None else default_data_dir())
    assets = lake.assets()
    connection = duckdb.connect()
    for asset in assets:
        if lake.table(asset).exists():
            _create_view(connection, asset, f"read_parquet({_text(str(lake.table(asset)))})")
        else:
            pattern = _text(lake.every_tract(asset))
            _create_view(connection, asset, f"read_parquet({pattern}, hive_partitioning=true, union_by_name=true)")
    return connection


def _create_view(connection: duckdb.DuckDBPyConnection, asset: str, source: str) -> None:
    name = asset.replace('"', '""')
    connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM {source}')


def _text(value: str) -> str:
    """Quote a text as an SQL string literal."""
    return "'" + value.replace("'", "''") + "'"
