import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets.tap import parquet
from photoz_assets.tap.errors import ArchiveError, ContractViolation, Protocol, Rejected, TooLarge, Truncated
from photoz_assets_tests.effort import effort
from photoz_assets_tests.tap.documents import by_hand

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
    for position in range(4, len(body) - 4, effort(41, 1)):
        path.write_bytes(body[:position] + b"\xff\x00\xff" + body[position + 3 :])
        with suppress(ArchiveError):
            read(path, schema)


def test_read_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    texts = pa.array([b"1_1", b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"key": texts}), tmp_path / "result.parquet")
    with pytest.raises(Protocol, match="broken"):
        list(parquet.read(tmp_path / "result.parquet", pa.schema([("key", pa.string())]), batch_rows=10))


def write(folder: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, folder / "result.parquet", **options)
    return folder / "result.parquet"


DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize("has_schema", [True, False])
@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        DICTIONARY,
        pa.dictionary(pa.int8(), pa.large_string()),
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
    ],
    ids=str,
)
@pytest.mark.parametrize("dictionaries", [True, False])
def test_read_of_texts_in_any_of_arrows_forms_gives_them(
    tmp_path: Path,
    kind: pa.DataType,
    dictionaries: bool,  # noqa: FBT001  (pytest's way)
    has_schema: bool,  # noqa: FBT001  (pytest's way)
) -> None:
    values: list[Any] = ["a", None, "λ", "a", ""]
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    array = pa.array([[v] if v is not None else None for v in values] if is_list else values, type=kind)
    path = write(tmp_path, pa.table({"t": array}), use_dictionary=dictionaries, store_schema=has_schema)
    assert [row["t"] for row in read(path, pa.schema([("t", pa.string())]))] == values


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32()], ids=str)
def test_read_of_flags_in_any_small_type_gives_booleans(tmp_path: Path, kind: pa.DataType) -> None:
    flags = pa.schema([("flag", pa.bool_())])
    path = write(tmp_path, pa.table({"flag": pa.array([1, 0, None], kind)}))
    assert [row["flag"] for row in read(path, flags)] == [True, False, None]
    with pytest.raises(ContractViolation, match="column flag is expected as bool, got the number 2"):
        read(write(tmp_path, pa.table({"flag": pa.array([1, 2], kind)})), flags)


@pytest.mark.parametrize(
    ("kind", "wide"),
    [
        (pa.int8(), pa.int16()),
        (pa.int8(), pa.int64()),
        (pa.uint8(), pa.int16()),
        (pa.uint16(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.dictionary(pa.int8(), pa.int64()), pa.int64()),
    ],
    ids=str,
)
def test_read_of_an_integer_that_fits_is_widened(tmp_path: Path, kind: pa.DataType, wide: pa.DataType) -> None:
    limit = 100 if pa.types.is_dictionary(kind) else 2 ** (kind.bit_width - (str(kind)[0] == "i")) - 1
    path = write(tmp_path, pa.table({"n": pa.array([limit, None, 0], kind)}))
    assert [row["n"] for row in read(path, pa.schema([("n", wide)]))] == [limit, None, 0]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [(pa.uint16(), pa.int16()), (pa.uint32(), pa.int32()), (pa.uint64(), pa.int64()), (pa.int64(), pa.int32())],
    ids=str,
)
def test_read_of_an_integer_that_may_not_fit_violates_the_contract(
    tmp_path: Path, kind: pa.DataType, wanted: pa.DataType
) -> None:
    path = write(tmp_path, pa.table({"n": pa.array([1], kind)}))
    with pytest.raises(ContractViolation, match=f"column n is expected as {wanted}, got {kind}"):
        read(path, pa.schema([("n", wanted)]))


def test_read_of_latin1_in_a_label_reads_it(tmp_path: Path) -> None:
    texts = pa.array(["Ångström".encode("latin-1"), None, b"plain"], pa.binary()).view(pa.string())
    for column in (texts, texts.dictionary_encode()):
        path = write(tmp_path, pa.table({"description": column}))
        rows = read(path, pa.schema([("description", pa.string())]))
        assert [row["description"] for row in rows] == ["Ångström", None, "plain"]


LARGE = 1_000_000  # bytes
# A pool has to live as long as what was taken from it.
POOLS: list[pa.MemoryPool] = []


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Count the bytes that Arrow holds at most within the block."""
    former, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    yield lambda: pool.max_memory() or 0
    pa.set_memory_pool(former)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "zstd", "store_schema": False},
        {"compression": "zstd", "use_dictionary": False, "column_encoding": {"t": "DELTA_BYTE_ARRAY"}},
    ],
    ids=["dictionary", "dictionary-without-schema", "delta"],
)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), DICTIONARY], ids=str)
def test_read_of_few_bytes_that_stand_for_many_is_bounded(
    tmp_path: Path, kind: pa.DataType, options: dict[str, Any]
) -> None:
    if kind == DICTIONARY and "column_encoding" in options:
        pytest.skip("Arrow cannot read what it wrote")
    indices = pa.array([0] * 400, pa.int32())
    texts: pa.Array[Any] = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * LARGE]))
    path = write(tmp_path, pa.table({"t": texts if kind == DICTIONARY else texts.cast(kind)}), **options)
    assert path.stat().st_size < 2000
    del texts
    rows = 0
    with counted() as most_bytes:
        for batch in parquet.read(path, pa.schema([("t", pa.string())]), batch_rows=8192):
            rows += batch.num_rows
            assert batch.nbytes < 20 * LARGE
        assert most_bytes() < 250 * LARGE
    assert rows == 400


@pytest.mark.parametrize("kind", [pa.string(), DICTIONARY, pa.list_(pa.string())], ids=str)
def test_read_of_a_text_of_absurd_length_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    text = "x" * (1 << 20)
    for value, refused in ((text, False), (text + "x", True)):
        column = pa.array([[value]] if pa.types.is_list(kind) else [value], kind)
        path = write(tmp_path, pa.table({"t": column}), compression="zstd")
        if refused:
            with pytest.raises(TooLarge, match="column t has a text of 1048577 bytes"):
                read(path, pa.schema([("t", pa.string())]))
        else:
            assert read(path, pa.schema([("t", pa.string())])) == [{"t": value}]


FLUX_FIELD = '<FIELD name="flux" datatype="float"><VALUES null="-99.9"/></FIELD>'
KEY_FIELD = '<FIELD name="key" datatype="char" arraysize="*"><VALUES null="N/A"/></FIELD>'


def described(folder: Path, *, after: str = "") -> Path:
    """Write a VOParquet file, with a VOTable that describes it."""
    document = by_hand(FLUX_FIELD + KEY_FIELD, "", before='<INFO name="QUERY_STATUS" value="OK"/>', after=after)
    table = pa.table({"flux": pa.array([0.5, -99.9, None], pa.float32()), "key": ["a", "N/A", None]})
    metadata = {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": document.decode()}
    return write(folder, table.replace_schema_metadata(metadata))


def test_read_of_what_the_files_votable_declares_as_null_gives_null(tmp_path: Path) -> None:
    schema = pa.schema([("key", pa.string()), ("flux", pa.float32())])
    rows = [{"key": "a", "flux": 0.5}, {"key": None, "flux": None}, {"key": None, "flux": None}]
    assert read(described(tmp_path), schema) == rows


@pytest.mark.parametrize(("status", "error"), [("OVERFLOW", Truncated), ("ERROR", Rejected)])
def test_read_of_a_result_that_the_files_votable_speaks_against_is_refused(
    tmp_path: Path, status: str, error: type[ArchiveError]
) -> None:
    path = described(tmp_path, after=f'<INFO name="QUERY_STATUS" value="{status}"/>')
    with pytest.raises(error):
        read(path, pa.schema([("key", pa.string()), ("flux", pa.float32())]))


@pytest.mark.parametrize("document", [b"", b"<VOTABLE>", b"no XML", b"\xff", by_hand(KEY_FIELD, "")[:-20]])
def test_read_of_a_file_whose_votable_cannot_be_read_reads_its_rows(tmp_path: Path, document: bytes) -> None:
    table = pa.table({"id": [1]}).replace_schema_metadata({b"IVOA.VOTable-Parquet.content": document})
    assert read(write(tmp_path, table), pa.schema([("id", pa.int64())])) == [{"id": 1}]
