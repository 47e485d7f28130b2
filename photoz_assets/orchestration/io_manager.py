"""The Dagster side of the lake: describes what an asset published, hands on what an input is annotated with.

An asset's function stages, audits and publishes its table (``lake.writing``), since the archive's job lasts until
then. What is left to do here is to say what was published, and to read it again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Union

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, PrivateAttr

from photoz_assets.environment import SettingError, StoreUrl, data_dir, named_lake
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.postgres_locks import PostgresLocks
from photoz_assets.lake.provenance import read_provenance, read_rows
from photoz_assets.lake.publishing import Fetched
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import StoredTable, read_tables
from photoz_assets.lake.writing import WrittenTable
from photoz_assets.orchestration.column_metadata import column_lineage
from photoz_assets.orchestration.declared import LocationResource
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.instance_locks import database_of, locks_in, with_locks
from photoz_assets.text import code_span, fenced, one_line

if TYPE_CHECKING:
    import pandas as pd

_PREVIEW_ROWS: Final = 2
_CELL_CHARACTERS: Final = 40

Stored: TypeAlias = Union[StoredTable, duckdb.DuckDBPyRelation, pa.Table, "pd.DataFrame"]


class LakeResource(LocationResource):
    """The lake that a run reads and writes: its location's, whatever a run's configuration says."""

    data_dir: str | None = Field(
        default=None,
        description="Folder or s3:// URL of the lake; by default PHOTOZ_DATA_DIR, else data/ in the checkout. "
        "For definitions: a run that configures another is refused",
    )

    _lock_database: str | None = PrivateAttr(default=None)
    _locks: PostgresLocks | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Take note of the instance's database too: where it is Postgres, the lake's locks are there."""
        super().setup_for_execution(context)
        self._lock_database = database_of(context.instance)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Free the locks with the run."""
        if self._locks is not None:
            self._locks.close()
            self._locks = None

    def of_location(self) -> Lake:
        """Return the lake of the definitions, before any run has configured it; raises as ``open``."""
        named = self.data_dir
        return open_lake(_place(named.get_value() if isinstance(named, dg.EnvVar) else named))

    def open(self) -> Lake:
        """Return the lake, resolved now.

        Raises
        ------
        SettingError
            What is configured is no lake's place, or the run configures another than its location has,
            or a token.
        """
        self.refuse_tokens()
        own, asked = (_place(each) for each in (self.declared("data_dir"), self.data_dir))
        if asked != own:
            raise SettingError(
                f"this run's configuration asks for the lake {asked}, but a run keeps to its location's, {own}: "
                f"set PHOTOZ_DATA_DIR={asked} for the location instead"
            )
        if self._locks is None and self._lock_database is not None:
            self._locks = locks_in(self._lock_database, own)
        return with_locks(own, self._locks)


def _place(named: str | None) -> Path | StoreUrl:
    return named_lake(named) if named else data_dir()


class LakeIOManager(dg.ConfigurableIOManager):
    """Keeps each asset as Parquet in the lake: a file a tract, or one file."""

    lake: dg.ResourceDependency[LakeResource]

    def handle_output(self, context: dg.OutputContext, obj: WrittenTable | None) -> None:
        """Report where the table that an asset wrote lies, and what it holds; an asset without one has None."""
        if obj is None:
            return
        # The asset's own, not the output's: the event of a handled output would hold it all once more.
        context.step_context.add_asset_metadata(
            _published_metadata(obj, context.asset_key, partitioned=context.has_asset_partitions),
            context.asset_key,
        )

    def load_input(self, context: dg.InputContext) -> Stored:
        """Read a stored asset as the type that the input is annotated with.

        Returns
        -------
        Stored
            A ``duckdb.DuckDBPyRelation``, which is lazy, a ``StoredTable`` of one and its provenance, a
            ``pyarrow.Table`` or a ``pandas.DataFrame``.

        Raises
        ------
        dagster.Failure
            The lake does not hold it, or its file is damaged.
        dagster.DagsterInvariantViolationError
            The annotation is none of these types.
        """
        wanted = context.dagster_type.typing_type
        read = _READERS.get(_qualified(wanted))
        if read is None:
            raise dg.DagsterInvariantViolationError(
                f"input {context.name}: annotate it with duckdb.DuckDBPyRelation, StoredTable, pyarrow.Table or "
                f"pandas.DataFrame, not {wanted}"
            )
        with as_dagster_failure():
            lake = self.lake.open()
            return read(lake, self._fetched(lake, context))

    def _fetched(self, lake: Lake, context: dg.InputContext) -> Fetched:
        asset = context.asset_key.path[-1]
        tracts = [int(key) for key in context.asset_partition_keys] if context.has_asset_partitions else [None]
        fetched = lake.publisher.fetch(asset, tracts)
        if missing := [str(path) for path in fetched.places.values() if not path.exists()]:
            raise dg.Failure(
                f"{asset} is not in the lake: no {', '.join(missing)}. Materialize {asset} first",
                allow_retries=False,
            )
        return fetched


def _stored(lake: Lake, fetched: Fetched) -> StoredTable:
    files = list(fetched.places.values())
    return replace(read_tables(lake, files, tract_column=len(files) > 1), versions=fetched.versions)


def _relation(lake: Lake, fetched: Fetched) -> duckdb.DuckDBPyRelation:
    return _stored(lake, fetched).rows


def _table(lake: Lake, fetched: Fetched) -> pa.Table:
    if len(fetched.places) > 1:
        return _relation(lake, fetched).to_arrow_table()
    # Of one file, not through DuckDB: its schema with units and provenance stays.
    [held] = snapshot(lake, fetched.places.values())
    read_provenance(held)
    return read_rows(held)


def _frame(lake: Lake, fetched: Fetched) -> "pd.DataFrame":
    frame: pd.DataFrame = _table(lake, fetched).to_pandas()
    return frame


def _qualified(wanted: Any) -> str:
    """Name what something is annotated with by its package and its own name."""
    return f"{wanted.__module__.partition('.')[0]}.{getattr(wanted, '__name__', '')}"


# By name, so that pandas, which takes a third of a second to load, is loaded only by who uses it.
_READERS: Final[Mapping[str, Callable[[Lake, Fetched], Stored]]] = {
    _qualified(StoredTable): _stored,
    _qualified(duckdb.DuckDBPyRelation): _relation,
    _qualified(pa.Table): _table,
    "pandas.DataFrame": _frame,
}


def stored_inputs(function: Callable[..., Any]) -> tuple[str, ...]:
    """List the parameters of a function that stored assets are handed on to, by their annotations."""
    return tuple(
        name
        for name, wanted in function.__annotations__.items()
        if name != "return" and _qualified(wanted) in _READERS
    )


def _published_metadata(table: WrittenTable, key: dg.AssetKey, *, partitioned: bool) -> Mapping[str, Any]:
    """Describe what was published: its place, size and provenance."""
    provenance = table.provenance
    facts: dict[str, Any] = {
        "dagster/partition_row_count" if partitioned else "dagster/row_count": table.rows,
        "dagster/uri": table.address,
        "bytes": table.path.stat().st_size,
        # The query has an entry of its own.
        "provenance": dg.MetadataValue.json(replace(provenance, adql=None).to_dict()),
        "dagster/column_lineage": column_lineage(table.spec, key),
        "rows_stored": table.rows,
        "first_rows": _first_rows(table.path),
    }
    if provenance.adql:
        facts["adql"] = dg.MetadataValue.md(fenced(provenance.adql))
    if provenance.job_url:
        facts["job_url"] = dg.MetadataValue.url(provenance.job_url)
    for name in ("rows_declared", "rows_received", "bytes_received", "seconds"):
        if (value := getattr(provenance, name)) is not None:
            facts[name] = value
    return facts


def _first_rows(path: Path) -> dg.MarkdownMetadataValue:
    """Show the first rows of a table on their sides, a line a column: tables here are wide."""
    with pq.ParquetFile(path) as file:
        batch = next(file.iter_batches(batch_size=_PREVIEW_ROWS), None)
    columns = {} if batch is None else batch.to_pydict()
    lines = ["| column |" + " |" * _PREVIEW_ROWS, "|---|" + "---|" * _PREVIEW_ROWS]
    for name, values in columns.items():
        cells = " | ".join(_cell(value) for value in values)
        lines.append(f"| {name} | {cells} |")
    return dg.MetadataValue.md("\n".join(lines) if columns else "no rows")


def _cell(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return code_span(one_line(value, _CELL_CHARACTERS))
    return f"{value:.7g}" if isinstance(value, float) else str(value)
