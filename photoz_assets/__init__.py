"""The photo-z data of the Rubin archive as Dagster assets.

The way of the data is the way of the folders: ``tap`` asks the archive, ``ingest`` carries what it answers,
``lake`` stages, audits and publishes it, ``science`` looks at it, ``orchestration`` is all that Dagster sees.
What is imported here is cheap: whoever wants one function does not wait for the rest.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import duckdb

__all__ = ["__version__", "connect"]

# The one place of the version: pyproject.toml reads it here.
__version__ = "0.1.0"


def connect(
    data_dir: "str | os.PathLike[str] | None" = None, version: "Mapping[str, int] | None" = None
) -> "duckdb.DuckDBPyConnection":
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
    from photoz_assets.lake.views import open_views  # noqa: PLC0415 - importing this package costs nothing

    return open_views(data_dir, version)
