"""Stored tables as others read them: every table by every reader; units, UCDs and descriptions of a tract."""

import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.survey.table import Column
from photoz_assets_tests.dp02 import MATCHED_GALAXIES, TABLES
from photoz_assets_tests.samples import galaxies

STILTS = shutil.which("stilts")


@pytest.fixture
def tract(tmp_path: Path) -> Table:
    """A published tract, as astropy reads it."""
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=3638)
    staged = stage(Lake(tmp_path), MATCHED_GALAXIES, [galaxies(20)], partial(replace, provenance))
    return Table.read(publish(Lake(tmp_path), staged), format="parquet.votable")


def test_astropy_shows_units_ucds_and_descriptions_of_all_columns(tract: Table) -> None:
    assert tuple(tract.colnames) == MATCHED_GALAXIES.names
    for column in MATCHED_GALAXIES:
        read = tract[column.name]
        assert read.description == column.description
        assert read.meta["ucd"] == column.ucd
        assert (str(read.unit) if read.unit else None) == column.unit


@pytest.mark.skipif(STILTS is None, reason="needs STILTS: apt-get install stilts")
def test_stilts_shows_units_ucds_and_descriptions_of_all_columns(tract: Table, tmp_path: Path) -> None:
    # Debian's STILTS reads no Parquet; what it is given is what astropy read of it, as VOTable.
    tract.write(tmp_path / "tract.vot", format="votable")
    listing = tmp_path / "listing.csv"
    asked = ["tpipe", f"in={tmp_path / 'tract.vot'}", "cmd=meta name units ucd description"]
    subprocess.run(
        [str(STILTS), *asked, f"out={listing}", "ofmt=csv"], check=True, capture_output=True, timeout=120
    )
    shown = Table.read(listing, format="ascii.csv", fill_values=[("", "")])
    assert list(shown["Name"]) == list(MATCHED_GALAXIES.names)
    for row, column in zip(shown.filled("") if shown.masked else shown, MATCHED_GALAXIES, strict=True):
        assert row["UCD"] == column.ucd
        assert row["Description"] == column.description
        assert (row["Units"] or None) == column.unit


def _read_with_fastparquet(path: Path) -> dict[str, list[Any]]:
    fastparquet = pytest.importorskip("fastparquet")
    read: pd.DataFrame = fastparquet.ParquetFile(str(path)).to_pandas()
    return {str(name): read[name].tolist() for name in read}


@cache
def _spark() -> Any:
    """Start Spark once, in this process and on its own machine alone."""
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    sql = pytest.importorskip("pyspark.sql")
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    for name in ("spark.driver.host", "spark.driver.bindAddress"):
        builder = builder.config(name, "127.0.0.1")
    return builder.getOrCreate()


def _read_with_spark(path: Path) -> dict[str, list[Any]]:
    with warnings.catch_warnings():
        # What Spark itself uses of Python grows old; what it says of our files it logs.
        warnings.simplefilter("ignore")
        read = _spark().read.parquet(str(path))
        rows = read.collect()
    return {name: [row[name] for row in rows] for name in read.columns}


READERS: dict[str, Callable[[Path], Any]] = {
    "pyarrow": lambda path: pq.ParquetFile(path).read().to_pydict(),
    "pandas": lambda path: pd.read_parquet(path).to_dict("list"),
    "polars": lambda path: pl.read_parquet(path).to_dict(as_series=False),
    "duckdb": lambda path: duckdb.read_parquet(str(path)).to_arrow_table().to_pydict(),
    "fastparquet": _read_with_fastparquet,
    "spark": _read_with_spark,
    "astropy": lambda path: {
        name: column.tolist() for name, column in Table.read(path, format="parquet.votable").items()
    },
}


def _values(column: Column) -> list[Any]:
    """Give a column two values of its type that are no zeros and have different lengths."""
    if pa.types.is_list(column.type):
        return [[1, 2, 3], [4, 5, 6]]
    if pa.types.is_string(column.type):
        return ["a", "\u00fc b"]
    return [True, False] if pa.types.is_boolean(column.type) else [3, 7]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("table", TABLES)
def test_every_stored_table_is_read_by_every_reader(tmp_path: Path, table: str, reader: str) -> None:
    spec = TABLES[table]
    rows = pa.table({column.name: _values(column) for column in spec}, schema=spec.schema)
    provenance = Provenance(table=table, code_version="1")
    path = publish(Lake(tmp_path), stage(Lake(tmp_path), spec, [rows], lambda: provenance))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # fastparquet leaves its files to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        read = READERS[reader](path)
    assert list(read) == list(spec.names)
    for name, values in rows.to_pydict().items():
        assert [
            list(each) if pa.types.is_list(spec.schema.field(name).type) else each for each in read[name]
        ] == values


def test_floats_are_stored_as_every_reader_has_them(tmp_path: Path) -> None:
    """Spark and older readers have no floats that are split by bytes."""
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=3638)
    path = publish(Lake(tmp_path), stage(Lake(tmp_path), MATCHED_GALAXIES, [galaxies(20)], lambda: provenance))
    group = pq.read_metadata(path).row_group(0)
    used = {encoding for column in range(group.num_columns) for encoding in group.column(column).encodings}
    assert used <= {"PLAIN", "RLE"}


@pytest.mark.parametrize("layout", ["parquet", "parquet.votable"])
def test_astropy_takes_texts_of_any_length_without_a_warning(tmp_path: Path, layout: str) -> None:
    texts = ["", "a longer one", "\u00fc"]
    table = galaxies(3, mt_id_truth_type=texts)
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=3638)
    path = publish(Lake(tmp_path), stage(Lake(tmp_path), MATCHED_GALAXIES, [table], lambda: provenance))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(Table.read(path, format=layout)["mt_id_truth_type"]) == texts
