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
from photoz_assets.tap.columns import count_field
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
from photoz_assets_tests.tap.documents import (
    Columns,
    binary,
    binary2,
    by_hand,
    error_document,
    in_pieces,
    longs,
    tabledata,
)

LONG = pa.schema([("id", pa.int64())])
LONG_FIELD = '<FIELD name="id" datatype="long"/>'
TEXT = pa.schema([("t", pa.string())])
TEXT_FIELD = '<FIELD name="t" datatype="char" arraysize="*"/>'

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


FORMS = {"short": ">h", "int": ">i", "long": ">q", "unsignedByte": "B", "float": ">f", "double": ">d"}
ARROW = {"short": pa.int16(), "int": pa.int32(), "long": pa.int64(), "unsignedByte": pa.uint8()}
ARROW |= {"float": pa.float32(), "double": pa.float64()}


def in_every_serialization(datatype: str, values: list[float]) -> list[str]:
    rows = [struct.pack(FORMS[datatype], value) for value in values]
    return [
        binary2(b"".join(b"\0" + row for row in rows)),
        binary(b"".join(rows)),
        tabledata(*(repr(value) for value in values)),
    ]


@pytest.mark.parametrize(
    ("datatype", "null", "value"),
    [
        ("double", "-99.0", -99.0),
        ("double", " -99 ", -99.0),
        ("double", "-9.9e1", -99.0),
        ("double", "+99.", 99.0),
        ("double", "0x63", 99.0),
        ("double", "Inf", math.inf),
        ("double", "-Inf", -math.inf),
        ("double", "0.1", 0.1),
        ("double", "1e20", 1e20),
        ("float", "-999.0", -999.0),
        ("float", "0.1", 0.1),
        ("float", "-99.9000000000001", -99.9),
        ("float", "-3.4028234663852886e38", -3.4028234663852886e38),
        ("float", "1.0e-30", 1.0e-30),
        ("short", "-99.0", -99),
        ("short", "0x8000", -32768),
        ("short", "0XFFFF", -1),
        ("short", "0x7f", 127),
        ("short", "-0x7F", -127),
        ("short", "+7", 7),
        ("int", "0xFFFFFFFF", -1),
        ("int", "-1e3", -1000),
        ("long", "0x8000000000000000", -(2**63)),
        ("long", "-9223372036854775808", -(2**63)),
        ("unsignedByte", "255", 255),
        ("unsignedByte", "0xff", 255),
    ],
)
def test_decode_of_what_is_declared_as_null_in_any_form_gives_null(datatype: str, null: str, value: float) -> None:
    fields = [
        f'<FIELD name="n" datatype="{datatype}"><VALUES null="{null}"/></FIELD>',
        f'<FIELD name="n" datatype="{datatype}"><VALUES null="{null}"/><VALUES type="actual"/></FIELD>',
        (
            f'<PARAM name="p" datatype="{datatype}"><VALUES ID="a" null="{null}"/></PARAM>'
            f'<FIELD name="n" datatype="{datatype}"><VALUES ref="b"/></FIELD>'
            '<PARAM name="q" datatype="int"><VALUES ID="b" ref="a"><MIN value="0"/></VALUES></PARAM>'
        ),
    ]
    for field in fields:
        for data in in_every_serialization(datatype, [5, value, 6]):
            table = decoded(by_hand(field, data), pa.schema([("n", ARROW[datatype])]))
            assert table["n"].to_pylist() == [5, None, 6]


@pytest.mark.parametrize(
    ("datatype", "null"),
    [
        ("short", "none"),
        ("short", "0.5"),
        ("short", "65536"),
        ("short", ""),
        ("double", "NaN"),
        ("double", "none"),
    ],
)
def test_decode_of_a_null_that_no_value_can_be_changes_nothing(datatype: str, null: str) -> None:
    field = f'<FIELD name="n" datatype="{datatype}"><VALUES null="{null}"/></FIELD>'
    for data in in_every_serialization(datatype, [0, 1]):
        assert decoded(by_hand(field, data), pa.schema([("n", ARROW[datatype])]))["n"].to_pylist() == [0, 1]


def test_decode_of_a_text_that_is_declared_as_null_gives_null() -> None:
    rows = b"".join(b"\0" + struct.pack(">I", len(text)) + text for text in (b"N/A", b"N/A ", b"x"))
    field = '<FIELD name="t" datatype="char" arraysize="*"><VALUES null="N/A"/></FIELD>'
    for data in (binary2(rows), tabledata("N/A", "N/A ", "x")):
        assert decoded(by_hand(field, data), TEXT)["t"].to_pylist() == [None, "N/A ", "x"]


@pytest.mark.parametrize("loop", [False, True])
def test_decode_of_values_that_refer_in_vain_is_refused_and_in_a_circle_ends(loop: bool) -> None:  # noqa: FBT001  (pytest's way)
    other = '<VALUES ID="a" ref="a"/>' if loop else ""
    document = by_hand(f'<FIELD name="id" datatype="long"><VALUES ref="a"/>{other}</FIELD>', binary2(longs([1])))
    if loop:
        assert decoded(document, LONG)["id"].to_pylist() == [1]
    else:
        with pytest.raises(Protocol, match="column id refers to VALUES a, which are nowhere"):
            decoded(document, LONG)


def utf16(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode("utf-16-be")


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_decode_of_binary_gives_what_binary2_gives(piece: int) -> None:
    columns = [("flag", "boolean", ""), ("bit", "bit", ""), ("key", "char", "4"), ("band", "unicodeChar", "*")]
    columns += [("id", "long", ""), ("mag", "float", ""), ("t", "char", "8*")]
    fields = "".join(
        f'<FIELD name="{name}" datatype="{datatype}"' + (f' arraysize="{size}"/>' if size else "/>")
        for name, datatype, size in columns
    )
    rows = [
        b"T\x80a_1\0" + utf16("λ") + struct.pack(">qfI", 2**62, 1.5, 3) + b"one",
        b"F\x00\0\0\0\0" + utf16("") + struct.pack(">qfI", -1, math.nan, 0),
        b"?\x00abcd" + utf16("ab") + struct.pack(">qfI", 0, -math.inf, 1) + b"x",
    ]
    types = [pa.bool_(), pa.bool_(), pa.string(), pa.string(), pa.int64(), pa.float32(), pa.string()]
    schema = pa.schema(list(zip([name for name, _, _ in columns], types, strict=True)))
    expected = {
        "flag": [True, False, None],
        "bit": [True, False, False],
        "key": ["a_1", None, "abcd"],
        "band": ["λ", None, "ab"],
        "id": [2**62, -1, 0],
        "mag": [1.5, None, -math.inf],
        "t": ["one", None, "x"],
    }
    assert decoded(by_hand(fields, binary(b"".join(rows))), schema, piece=piece).to_pydict() == expected
    with pytest.raises((Truncated, Protocol)):
        decoded(by_hand(fields, binary(b"".join(rows)[:-1])), schema)
    numbers = by_hand(LONG_FIELD, binary(struct.pack(">3q", 3, 1, 2)))
    assert decoded(numbers, LONG, piece=piece, batch_rows=2)["id"].to_pylist() == [3, 1, 2]


@pytest.mark.parametrize("data", [binary2(b"\0\x02"), binary(b"\x81"), tabledata("2"), tabledata("true")])
def test_decode_of_a_bit_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(Protocol, match="is no bit"):
        decoded(by_hand('<FIELD name="b" datatype="bit"/>', data), pa.schema([("b", pa.bool_())]))


def test_decode_of_bits_that_astropy_writes_gives_booleans() -> None:
    for serialization in ("binary2", "binary", "tabledata"):
        document = documents.votable({"b": ("bit", None, [True, False])}, serialization=serialization)
        assert decoded(document, pa.schema([("b", pa.bool_())]))["b"].to_pylist() == [True, False]


ODD = "fluxes in Ångström".encode("latin-1")


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
@pytest.mark.parametrize("place", ["<DESCRIPTION>@</DESCRIPTION>", '<INFO name="a" value="@"/>', "<!-- @ -->"])
def test_decode_of_a_document_with_latin1_where_nothing_is_read_reads_it(place: str, piece: int) -> None:
    for data in (binary2(longs([1, 2])), tabledata("1", "2")):
        document = by_hand(LONG_FIELD.replace("/>", ">@</FIELD>"), data, after=place)
        document = document.replace(b"@", place.replace("@", "").join(["", ""]).encode() + ODD, 1).replace(
            b"@", ODD
        )
        assert decoded(document, LONG, piece=piece)["id"].to_pylist() == [1, 2]


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
def test_decode_of_latin1_in_a_label_reads_it_and_in_data_refuses_it(piece: int) -> None:
    texts = ["λ".encode(), ODD, b"", b"\xff"]
    right = ["λ", "fluxes in Ångström", None, "ÿ"]
    rows = b"".join(struct.pack(">I", len(text)) + text for text in texts)
    marked_rows = b"".join(b"\0" + struct.pack(">I", len(text)) + text for text in texts)
    cells = b"".join(b"<TR><TD>" + text + b"</TD></TR>" for text in texts)
    for data, odd in ((binary(rows), b""), (binary2(marked_rows), b""), (tabledata("@"), cells)):
        for name in ("description", "Unit", "t"):
            field = f'<FIELD name="{name}" datatype="char" arraysize="*"/>'
            document = by_hand(field, data).replace(b"<TR><TD>@</TD></TR>", odd)
            schema = pa.schema([(name, pa.string())])
            if name == "t":
                with pytest.raises(Protocol, match="column t has text that is not UTF-8"):
                    decoded(document, schema, piece=piece)
            else:
                found = decoded(document, schema, piece=piece)[name].to_pylist()
                assert [text or None for text in found] == right


def test_decode_of_a_document_that_is_declared_as_latin1_reads_its_letters() -> None:
    document = by_hand(TEXT_FIELD, tabledata("Ångström")).decode().replace("UTF-8", "ISO-8859-1").encode("latin-1")
    assert decoded(document, TEXT, piece=3)["t"].to_pylist() == ["Ångström"]


SECOND = '<?xml version="1.0"?>' + error_document("spilled @ 100%").decode()


@pytest.mark.parametrize("piece", [1, 50, 1 << 20])
@pytest.mark.parametrize(
    "document",
    [
        by_hand(LONG_FIELD, binary2(longs([1]))) + SECOND.encode(),
        by_hand(LONG_FIELD, binary2(longs([1])).replace("\n</STREAM>", SECOND + "\n</STREAM>")),
        by_hand(LONG_FIELD, tabledata("1").replace("</TABLEDATA>", SECOND + "</TABLEDATA>")),
        by_hand(LONG_FIELD, tabledata("1").replace("</TABLEDATA>", SECOND)).partition(b"</TABLE>")[0],
        by_hand(LONG_FIELD, "", before=SECOND),
        by_hand(LONG_FIELD, "", before='<INFO name="Error" value="spilled @ 100%"/>').replace(
            b"<TABLE>", b"<TABLE >"
        ),
        by_hand(LONG_FIELD, "", before='<INFO name="Error">spilled @ 100%</INFO>'),
        by_hand(LONG_FIELD, binary2(longs([1]))) + SECOND.replace("spilled @", "<![CDATA[spilled @]]>").encode(),
        by_hand(LONG_FIELD, binary2(longs([1])), after='<INFO name="error" value="spilled @ 100%"/>'),
        by_hand(
            LONG_FIELD, tabledata("1"), after='<INFO name="QUERY_STATUS" value=" Error ">spilled @ 100%</INFO>'
        ),
    ],
)
def test_decode_of_an_error_anywhere_gives_the_archives_words(document: bytes, piece: int) -> None:
    with pytest.raises(Rejected, match="spilled @ 100%"):
        decoded(document, LONG, piece=piece)


@pytest.mark.parametrize(
    ("nrows", "error"), [("3", Truncated), ("1", Protocol), ("2", None), (" 2 ", None), ("", None)]
)
@pytest.mark.parametrize("data", [binary2(longs([1, 2])), tabledata("1", "2"), binary(struct.pack(">2q", 1, 2))])
def test_decode_of_another_number_of_rows_than_announced_is_refused(
    data: str, nrows: str, error: type[ArchiveError] | None
) -> None:
    document = by_hand(LONG_FIELD, data).replace(b"<TABLE>", f'<TABLE nrows="{nrows}">'.encode())
    if error is None:
        assert decoded(document, LONG).num_rows == 2
    else:
        with pytest.raises(error, match=f"2 rows came, the table announces {nrows}"):
            decoded(document, LONG)


def test_decode_of_overflow_with_blanks_around_it_is_truncated() -> None:
    after = '<INFO name=" QUERY_STATUS " value=" overflow\n"/>'
    with pytest.raises(Truncated, match="OVERFLOW"):
        decoded(by_hand(LONG_FIELD, binary2(longs([1])), after=after), LONG)


@pytest.mark.parametrize(
    ("datatype", "cell", "value"),
    [
        ("double", "+5", 5.0),
        ("double", "+.5e+1", 5.0),
        ("double", "+Inf", math.inf),
        ("long", "+5", 5),
        ("short", "0x7FFF", 32767),
        ("short", "0x8000", -32768),
        ("int", "-0x10", -16),
        ("unsignedByte", "0xff", 255),
        ("double", "+-5", None),
        ("double", "++5", None),
        ("double", "-+5", None),
        ("double", "+", None),
        ("double", "5 5", None),
        ("long", "+-5", None),
        ("long", "5.0", None),
        ("long", "--5", None),
        ("long", "1_000", None),
        ("double", "0x1p3", None),
        ("double", "1_0", None),
        ("short", "32768", None),
        ("short", "0x10000", None),
    ],
)
def test_decode_of_a_number_in_a_cell_reads_it_or_refuses_it(
    datatype: str, cell: str, value: float | None
) -> None:
    document = by_hand(f'<FIELD name="n" datatype="{datatype}"/>', tabledata("1", cell))
    schema = pa.schema([("n", ARROW[datatype])])
    if value is None:
        with pytest.raises(Protocol, match=r"column n, of type .*is no number"):
            decoded(document, schema)
    else:
        assert decoded(document, schema)["n"].to_pylist() == [1, value]


def test_decode_compares_names_in_ascii_case_alone() -> None:
    schema = pa.schema([("kind", pa.int64())])
    assert decoded(by_hand('<FIELD name="KIND" datatype="long"/>', binary2(longs([1]))), schema).num_rows == 1
    kelvin = by_hand('<FIELD name="\N{KELVIN SIGN}ind" datatype="long"/>', binary2(longs([1])))
    with pytest.raises(ContractViolation, match=r"column kind .* is missing"):
        decoded(kelvin, schema)


@pytest.mark.parametrize(
    ("field", "cells", "counts"),
    [
        ('datatype="long"', ["7"], [7]),
        ('datatype="double"', ["7.0"], [7]),
        ('datatype="float"', ["7"], [7]),
        ('datatype="unsignedByte"', ["7"], [7]),
        ('datatype="char" arraysize="*"', [" 7 "], [7]),
        ('datatype="unicodeChar" arraysize="20"', ["7.0"], [7]),
        ('datatype="double"', ["7.5"], None),
        ('datatype="double"', ["-7"], None),
        ('datatype="float"', ["1e12"], None),
        ('datatype="char" arraysize="*"', ["seven"], None),
        ('datatype="boolean"', ["true"], None),
        ('datatype="long"', [""], None),
    ],
)
def test_decode_of_a_count_of_any_type_gives_it(field: str, cells: list[str], counts: list[int] | None) -> None:
    document = by_hand(f'<FIELD name="n" {field}/>', tabledata(*cells))
    schema = pa.schema([count_field("n")])
    if counts is None:
        with pytest.raises(ContractViolation, match="column n is expected as"):
            decoded(document, schema)
    else:
        assert decoded(document, schema)["n"].to_pylist() == counts


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
        (b"kein Schl\xfcssel", Protocol, "no VOTable: 'kein Schlüssel'"),
        (bytes(range(128, 256)) * 9, Protocol, "no VOTable: bytes that are no text"),
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
