import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets.tap import parquet
from photoz_assets.tap.errors import ArchiveError, ContractViolation, Protocol, Truncated

SCHEMA = pa.schema([("id", pa.int64()), ("key", pa.string()), ("flux", pa.float64()), ("flag", pa.bool_())])


def stored(folder: Path, table: pa.Table) -> Path:
    path = folder / "result.parquet"
    pq.write_table(table, path, row_group_size=2)
    return path


def read(path: Path, schema: pa.Schema = SCHEMA) -> list[dict[str, object]]:
    batches = list(parquet.read(path, schema, batch_rows=2))
    assert all(batch.schema.equals(schema) and batch.num_rows <= 2 for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def test_read_of_rubins_layout_gives_the_contracts(tmp_path: Path) -> None:
    table = pa.table(
        {
            "KEY": pa.array([["a_1"], None, ["λ"]], pa.list_(pa.string())),
            "flux": [1.5, math.nan, -math.inf],
            "flag": [True, False, None],
            "id": pa.array([1, None, 3], pa.int32()),
        }
    )
    assert read(stored(tmp_path, table)) == [
        {"id": 1, "key": "a_1", "flux": 1.5, "flag": True},
        {"id": None, "key": None, "flux": None, "flag": False},
        {"id": 3, "key": "λ", "flux": -math.inf, "flag": None},
    ]


def test_read_of_an_empty_table_gives_no_rows(tmp_path: Path) -> None:
    assert read(stored(tmp_path, SCHEMA.empty_table())) == []


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (pa.array([1.0]), "column id is expected as int64, got double"),
        (pa.array([b"x"]), "column id is expected as int64, got binary"),
    ],
)
def test_read_of_a_retyped_column_violates_the_contract(
    tmp_path: Path, column: "pa.Array[Any]", problem: str
) -> None:
    with pytest.raises(ContractViolation, match=problem):
        read(stored(tmp_path, pa.table({"id": column})), pa.schema([("id", pa.int64())]))


@pytest.mark.parametrize("texts", [[["a", "b"]], [[]]])
def test_read_of_a_list_of_other_than_one_text_is_refused(tmp_path: Path, texts: list[list[str]]) -> None:
    table = pa.table({"key": pa.array(texts, pa.list_(pa.string()))})
    with pytest.raises(Protocol, match="other than one"):
        read(stored(tmp_path, table), pa.schema([("key", pa.string())]))


def test_read_of_a_file_without_its_end_is_truncated(tmp_path: Path) -> None:
    path = stored(tmp_path, pa.table({"id": [1, 2, 3]}))
    body = path.read_bytes()
    for length in (4, len(body) // 2, len(body) - 1):
        path.write_bytes(body[:length])
        with pytest.raises((Truncated, Protocol)):
            read(path, pa.schema([("id", pa.int64())]))


def test_read_of_a_damaged_file_raises_nothing_but_our_errors(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("key", pa.string())])
    path = stored(tmp_path, pa.table({"id": list(range(50)), "key": ["text"] * 50}))
    body = path.read_bytes()
    for position in range(4, len(body) - 4, 11):
        path.write_bytes(body[:position] + b"\xff\x00\xff" + body[position + 3 :])
        with suppress(ArchiveError):
            read(path, schema)


def test_read_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    texts = pa.array([b"1_1", b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"key": texts}), tmp_path / "result.parquet")
    with pytest.raises(Protocol, match="broken"):
        list(parquet.read(tmp_path / "result.parquet", pa.schema([("key", pa.string())]), batch_rows=10))
