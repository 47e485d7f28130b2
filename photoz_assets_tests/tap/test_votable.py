import io
import math
import struct
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse_single_table

from photoz_assets.tap import votable
from photoz_assets.tap.errors import (
    ArchiveError,
    ContractViolation,
    Protocol,
    Rejected,
    TooLarge,
    Transient,
    Truncated,
)
from photoz_assets_tests.tap import documents
from photoz_assets_tests.tap.documents import Columns, binary2, by_hand, error_document, in_pieces, longs

LONG = pa.schema([("id", pa.int64())])
LONG_FIELD = '<FIELD name="id" datatype="long"/>'
TEXT = pa.schema([("t", pa.string())])

EVERY_TYPE = pa.schema(
    [
        ("flag", pa.bool_()),
        ("byte", pa.uint8()),
        ("short", pa.int16()),
        ("int", pa.int32()),
        ("long", pa.int64()),
        ("float", pa.float32()),
        ("double", pa.float64()),
        ("fixed", pa.string()),
        ("varying", pa.string()),
        ("letter", pa.string()),
        ("name", pa.string()),
    ]
)
EDGES: Columns = {
    "flag": ("boolean", None, [True, False, None, True]),
    "byte": ("unsignedByte", None, [0, 255, None, 1]),
    "short": ("short", None, [-(2**15), 2**15 - 1, None, 0]),
    "int": ("int", None, [-(2**31), 2**31 - 1, None, 0]),
    "long": ("long", None, [-(2**63), 2**63 - 1, None, 9007199254740993]),
    "float": ("float", None, [2.0**-149, math.inf, None, -0.0]),
    "double": ("double", None, [2.0**-1074, -math.inf, None, -0.0]),
    "fixed": ("char", "18", ["9752536104_1", "123456789012345678", None, "x"]),
    "varying": ("char", "*", ["i", "a <b> & 'c'", None, "r" * 300]),
    "letter": ("char", "1", ["u", "g", None, "y"]),
    "name": ("unicodeChar", "*", ["λ Å", "Σ", None, "plain"]),
}


def decoded(document: bytes, schema: pa.Schema, *, piece: int = 1 << 16, batch_rows: int = 65536) -> pa.Table:
    batches = list(votable.decode(in_pieces(document, piece), schema, batch_rows=batch_rows))
    return pa.Table.from_batches(batches, schema=schema)


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
def test_decode_of_edge_values_gives_what_was_written(serialization: str, piece: int) -> None:
    document = documents.votable(EDGES, serialization=serialization)
    table = decoded(document, EVERY_TYPE, piece=piece)
    for name, (_, _, values) in EDGES.items():
        assert table[name].to_pylist() == values, name
    assert math.copysign(1, table["float"][3].as_py()) == -1
    assert math.copysign(1, table["double"][3].as_py()) == -1
    assert table.schema.equals(EVERY_TYPE, check_metadata=True)


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_decode_in_batches_equals_astropys_reading(serialization: str, batch_rows: int) -> None:
    rng = np.random.default_rng(4431)
    count = 1000
    columns: Columns = {
        "id": ("long", None, rng.integers(-(2**62), 2**62, count).tolist()),
        "flux": ("double", None, rng.normal(1000, 900, count).tolist()),
        "mag": ("float", None, rng.normal(24, 1, count).astype(np.float32).tolist()),
        "key": ("char", "22", [f"{number}_1" for number in rng.integers(0, 10**12, count)]),
        "band": ("char", "*", ["ugrizy"[: number % 7] or "-" for number in range(count)]),
    }
    schema = pa.schema(
        [
            ("band", pa.string()),
            ("flux", pa.float64()),
            ("mag", pa.float32()),
            ("id", pa.int64()),
            ("key", pa.string()),
        ]
    )
    document = documents.votable(columns, serialization=serialization)
    independent = parse_single_table(io.BytesIO(document)).to_table(use_names_over_ids=True)
    decoding = votable.decode(in_pieces(document, 1000), schema, batch_rows=batch_rows)
    batches = list(decoding)
    assert max(batch.num_rows for batch in batches) <= batch_rows
    assert decoding.rows == count
    table = pa.Table.from_batches(batches)
    for name in schema.names:
        assert table[name].to_pylist() == [
            str(v) if name in {"key", "band"} else v for v in independent[name].tolist()
        ]


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
def test_decode_of_nan_gives_null_with_and_without_its_bit(serialization: str) -> None:
    document = documents.votable({"x": ("double", None, [math.nan, 1.5, None])}, serialization=serialization)
    assert decoded(document, pa.schema([("x", pa.float64())]))["x"].to_pylist() == [None, 1.5, None]


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
def test_decode_of_an_empty_table_gives_no_rows(serialization: str) -> None:
    document = documents.votable({"id": ("long", None, [])}, serialization=serialization)
    decoding = votable.decode([document], LONG)
    assert list(decoding) == []
    assert (decoding.rows, decoding.overflow) == (0, False)


@pytest.mark.parametrize(
    "data", ["", '<DATA><BINARY2><STREAM encoding="base64"/></BINARY2></DATA>', "<DATA><TABLEDATA/></DATA>"]
)
def test_decode_of_a_table_without_rows_in_any_spelling_gives_none(data: str) -> None:
    assert decoded(by_hand(LONG_FIELD, data), LONG).num_rows == 0


def test_decode_with_a_namespace_prefix_reads_the_same() -> None:
    document = by_hand('<v:FIELD name="id" datatype="long"/>', binary2(longs([1, 2]), prefix="v"), prefix="v")
    assert decoded(document, LONG)["id"].to_pylist() == [1, 2]


def test_decode_ignores_tables_of_metadata_resources() -> None:
    meta = '<RESOURCE type="meta"><TABLE><FIELD name="x" datatype="int"/></TABLE></RESOURCE>'
    document = by_hand(
        LONG_FIELD, "<DATA><TABLEDATA><TR><TD>7</TD></TR></TABLEDATA></DATA>", after=meta, before=meta
    )
    assert decoded(document, LONG)["id"].to_pylist() == [7]


def test_decode_of_names_in_another_case_and_order_gives_the_schemas() -> None:
    columns: Columns = {
        "OBJ_DEC": ("double", None, [-44.0]),
        "obj_objectid": ("long", None, [3]),
    }
    schema = pa.schema([("obj_objectId", pa.int64()), ("obj_dec", pa.float64())])
    table = decoded(documents.votable(columns), schema)
    assert table.column_names == ["obj_objectId", "obj_dec"]
    assert table.to_pylist() == [{"obj_objectId": 3, "obj_dec": -44.0}]


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
@pytest.mark.parametrize("datatype", ["boolean", "unsignedByte", "short", "int"])
def test_decode_of_a_flag_in_any_small_type_gives_booleans(datatype: str, serialization: str) -> None:
    document = documents.votable({"flag": (datatype, None, [1, 0, None])}, serialization=serialization)
    assert decoded(document, pa.schema([("flag", pa.bool_())]))["flag"].to_pylist() == [True, False, None]


@pytest.mark.parametrize("value", [2, -1])
def test_decode_of_a_flag_that_is_neither_0_nor_1_violates_the_contract(value: int) -> None:
    with pytest.raises(ContractViolation, match=f"flag is expected as bool, got the number {value}"):
        decoded(documents.votable({"flag": ("short", None, [1, value])}), pa.schema([("flag", pa.bool_())]))


@pytest.mark.parametrize(
    ("datatype", "wide"), [("unsignedByte", pa.int16()), ("short", pa.int32()), ("int", pa.int64())]
)
def test_decode_of_a_narrower_integer_is_widened(datatype: str, wide: pa.DataType) -> None:
    table = decoded(documents.votable({"n": (datatype, None, [9, None])}), pa.schema([("n", wide)]))
    assert table["n"].to_pylist() == [9, None]
    assert table["n"].type == wide


@pytest.mark.parametrize(
    ("datatype", "wanted"),
    [
        ("long", pa.int32()),
        ("double", pa.float32()),
        ("float", pa.float64()),
        ("int", pa.float64()),
        ("double", pa.int64()),
        ("long", pa.bool_()),
        ("double", pa.string()),
    ],
)
def test_decode_of_a_type_that_does_not_fit_violates_the_contract(datatype: str, wanted: pa.DataType) -> None:
    with pytest.raises(ContractViolation, match=f"column n is expected as {wanted}, got {datatype}"):
        decoded(documents.votable({"n": (datatype, None, [1])}), pa.schema([("n", wanted)]))


@pytest.mark.parametrize(
    ("field", "announced"),
    [
        ('<FIELD name="n" datatype="double" arraysize="3"/>', r"double\[3\]"),
        ('<FIELD name="n" datatype="doubleComplex"/>', "doubleComplex"),
        ('<FIELD name="n"/>', "no datatype"),
    ],
)
def test_decode_of_a_type_that_nobody_asks_for_violates_the_contract(field: str, announced: str) -> None:
    with pytest.raises(ContractViolation, match=f"got {announced}"):
        decoded(by_hand(field, binary2(b"")), pa.schema([("n", pa.float64())]))


def test_decode_names_every_column_that_breaks_the_contract() -> None:
    document = documents.votable(
        {"id": ("int", None, [1]), "Ra": ("float", None, [1.0]), "new": ("int", None, [1])}
    )
    schema = pa.schema([("id", pa.int64()), ("ra", pa.float64()), ("dec", pa.float64())])
    with pytest.raises(ContractViolation) as caught:
        decoded(document, schema)
    assert caught.value.problems == (
        "column ra is expected as double, got float",
        "column dec (double) is missing",
        "column new (int) is not expected",
    )


def test_decode_of_a_column_that_is_there_twice_violates_the_contract() -> None:
    with pytest.raises(ContractViolation, match=r"column ID \(long\) is not expected"):
        decoded(by_hand('<FIELD name="ID" datatype="long"/>' + LONG_FIELD, binary2(b"")), LONG)


@pytest.mark.parametrize(
    "data",
    [
        binary2(longs([5, -1])),
        "<DATA><TABLEDATA><TR><TD>5</TD></TR><TR><TD>-1</TD></TR></TABLEDATA></DATA>",
    ],
    ids=["binary2", "tabledata"],
)
def test_decode_of_a_value_that_is_declared_as_null_gives_null(data: str) -> None:
    field = '<FIELD name="id" datatype="long"><VALUES null="-1"/></FIELD>'
    assert decoded(by_hand(field, data), LONG)["id"].to_pylist() == [5, None]


@pytest.mark.parametrize("arraysize", ["", 'arraysize="1"', 'arraysize="0"', 'arraysize="1*"'])
def test_decode_of_a_text_of_any_declared_length_gives_it(arraysize: str) -> None:
    rows = {"": b"\0u", 'arraysize="0"': b"\0", 'arraysize="1*"': b"\0\0\0\0\1u"}.get(arraysize, b"\0u")
    document = by_hand(f'<FIELD name="t" datatype="char" {arraysize}/>', binary2(rows * 2))
    assert decoded(document, TEXT)["t"].to_pylist() == ["" if "0" in arraysize else "u"] * 2


@pytest.mark.parametrize("byte", [b"T", b"t", b"1", b"F", b"f", b"0", b"?", b" ", b"\0"])
def test_decode_of_each_boolean_letter_gives_its_value(byte: bytes) -> None:
    expected = True if byte in b"Tt1" else False if byte in b"Ff0" else None
    document = by_hand('<FIELD name="b" datatype="boolean"/>', binary2(b"\0" + byte))
    assert decoded(document, pa.schema([("b", pa.bool_())]))["b"].to_pylist() == [expected]


def test_decode_of_a_null_bit_wins_over_the_value() -> None:
    rows = b"\x80" + struct.pack(">q", 17) + b"\x00" + struct.pack(">q", 18)
    assert decoded(by_hand(LONG_FIELD, binary2(rows)), LONG)["id"].to_pylist() == [None, 18]


def test_decode_ends_texts_at_their_first_nul() -> None:
    fields = '<FIELD name="a" datatype="char" arraysize="4"/><FIELD name="b" datatype="char" arraysize="8*"/>'
    rows = b"\0" + b"ab\0z" + struct.pack(">I", 4) + b"c\0\0d" + b"\0" + b"\0\0\0\0" + struct.pack(">I", 0)
    table = decoded(by_hand(fields, binary2(rows)), pa.schema([("a", pa.string()), ("b", pa.string())]))
    assert table.to_pylist() == [{"a": "ab", "b": "c"}, {"a": "", "b": ""}]


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
def test_decode_of_overflow_after_the_rows_is_truncated(serialization: str) -> None:
    document = documents.votable(
        {"id": ("long", None, [1, 2])}, serialization=serialization, trailing_status="OVERFLOW"
    )
    decoding = votable.decode([document], LONG)
    with pytest.raises(Truncated, match="after 2 rows"):
        list(decoding)
    assert decoding.overflow


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
def test_decode_of_a_document_cut_anywhere_never_ends_quietly(serialization: str) -> None:
    document = documents.votable(EDGES, serialization=serialization).rstrip()
    for length in range(0, len(document) - 1, 3):
        with pytest.raises((Truncated, Protocol)):
            decoded(document[:length], EVERY_TYPE)


@pytest.mark.parametrize(
    ("document", "error", "words"),
    [
        (b"", Truncated, "empty"),
        (b"<html><body>Sign in</body></html>", Protocol, "a web page"),
        (b"<!DOCTYPE html><html><input name=password></html>", Protocol, "a web page"),
        (b'{"detail": "no"}', Protocol, "no VOTable: .*detail"),
        (b"<job><phase>ERROR</phase></job>", Protocol, "a document of type job"),
        (by_hand("", "").replace(b"<TABLE></TABLE>", b""), Protocol, "no result table"),
        (error_document("no such column: redshit"), Rejected, "no such column: redshit"),
        (error_document("Maximum running queries reached (12 running)"), Transient, "Maximum running"),
        (error_document("Query results are too large to return"), TooLarge, "too large"),
    ],
)
def test_decode_of_something_else_says_what_it_is(document: bytes, error: type[ArchiveError], words: str) -> None:
    for size in (1, 1 << 20):
        with pytest.raises(error, match=words):
            list(votable.decode(in_pieces(document, size), LONG))


def test_decode_of_an_error_after_the_rows_raises_it() -> None:
    after = '<INFO name="QUERY_STATUS" value="ERROR">Qserv request failed: czar died</INFO>'
    with pytest.raises(Transient, match="czar died"):
        decoded(by_hand(LONG_FIELD, binary2(longs([1])), after=after), LONG)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (binary2(longs([1])).replace("AAAA", "A*AA"), "base64"),
        (binary2(longs([1])[:-1]), "within a row"),
        (binary2(b"").replace(">\n\n<", ">AAA<"), "last group"),
        (binary2(b"").replace(">\n\n<", ">AA==AAAA<"), "base64"),
        (binary2(longs([1])).replace("\n</", "<!-- -->AAAA</"), "markup among the rows"),
        (binary2(longs([1])).replace("base64", "gzip"), "not written as base64"),
        (binary2(longs([1])).replace("<STREAM", '<STREAM href="file:///etc/passwd"'), "within the document"),
        ("<DATA><FITS/></DATA>", "written as FITS"),
        ("<DATA><TABLEDATA><TR></TR></TABLEDATA></DATA>", "0 cells"),
        ("<DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA></DATA>", "2 cells"),
        ("<DATA><TABLEDATA><TR><TD>one</TD></TR></TABLEDATA></DATA>", "column id, of type long"),
        ("<DATA><TABLEDATA><TR><TD>1<b/></TD></TR></TABLEDATA></DATA>", "a b among the rows"),
        ("<DATA><TABLEDATA/></DATA></TABLE><TABLE>", "two result tables"),
    ],
)
def test_decode_of_broken_rows_is_refused(data: str, words: str) -> None:
    with pytest.raises(Protocol, match=words):
        decoded(by_hand(LONG_FIELD, data), LONG)


def test_decode_of_bytes_that_are_no_text_is_refused() -> None:
    document = by_hand('<FIELD name="t" datatype="char" arraysize="2"/>', binary2(b"\0\xff\xfe"))
    with pytest.raises(Protocol, match="column t has text that is not UTF-8"):
        decoded(document, pa.schema([("t", pa.string())]))


BOMB = b'<!DOCTYPE VOTABLE [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = b'<!DOCTYPE VOTABLE [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("doctype", [BOMB, EXTERNAL, b'<!DOCTYPE VOTABLE SYSTEM "http://192.0.2.1/v.dtd">'])
@pytest.mark.parametrize(
    "data", [binary2(longs([1])), "<DATA><TABLEDATA><TR><TD>&a;</TD></TR></TABLEDATA></DATA>"]
)
def test_decode_of_a_document_type_is_refused(doctype: bytes, data: str) -> None:
    document = by_hand(LONG_FIELD, data).replace(b"?>\n", b"?>" + doctype)
    with pytest.raises(Protocol, match=r"DTDForbidden|document is broken"):
        decoded(document, LONG)


def endless(start: bytes, filler: bytes) -> Iterator[bytes]:
    yield start
    for _ in range(200):
        yield filler


TEXT_FIELD = '<FIELD name="t" datatype="char" arraysize="*"/>'


@pytest.mark.parametrize(
    "chunks",
    [
        endless(by_hand(TEXT_FIELD, "<DATA><TABLEDATA><TR><TD>").partition(b"</TABLE>")[0], b"x" * (1 << 20)),
        endless(by_hand(TEXT_FIELD, "<DATA><TABLEDATA><TR><TD ").partition(b"</TABLE>")[0], b"x" * (1 << 20)),
        endless(
            by_hand(TEXT_FIELD, binary2(b"\0" + struct.pack(">I", 10**8) + b"x")).partition(b"</STREAM>")[0],
            b"eHh4" * (1 << 18),
        ),
        endless(by_hand(TEXT_FIELD, "").partition(b"</TABLE>")[0] + b"<DESCRIPTION>", b"x" * (1 << 20)),
        endless(by_hand(TEXT_FIELD, "<DATA><TABLEDATA>").partition(b"</TABLE>")[0], b" " * (1 << 20)),
        endless(
            by_hand(TEXT_FIELD.replace("*", "999999999"), binary2(b"")).partition(b"</STREAM>")[0], b"A" * 1024
        ),
        endless(by_hand(TEXT_FIELD, binary2(b"")).partition(b"</TABLE>")[0] + b"<DESCRIPTION>", b"x" * (1 << 20)),
    ],
    ids=["cell", "tag", "varying-text", "header", "silence", "arraysize", "tail"],
)
def test_decode_of_something_endless_is_refused_in_bounded_memory(chunks: Iterator[bytes]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            list(votable.decode(chunks, TEXT))
        assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
    finally:
        tracemalloc.stop()


def test_decode_holds_a_batch_and_not_the_result() -> None:
    rows = longs(list(range(1 << 16)))
    text = binary2(rows).encode()
    start, body, end = text.partition(text[text.index(b"\n") : text.rindex(b"\n")])
    head, tail = by_hand(LONG_FIELD, "@").split(b"@")
    assert len(rows) % 3 == 0

    def chunks(repeats: int) -> Iterator[bytes]:
        yield head + start
        for _ in range(repeats):
            yield body
        yield end + tail

    peaks = []
    for repeats in (6, 60):
        tracemalloc.start()
        assert (
            sum(batch.num_rows for batch in votable.decode(chunks(repeats), LONG, batch_rows=8192))
            == repeats << 16
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
