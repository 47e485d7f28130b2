"""A result is the same in every format, NULLs and types included, and says when it was cut off."""

import csv
import io
from typing import Any

import astropy.io.votable
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from astropy.table import Table

from photoz_archive.adql.catalog import ColumnFacts
from photoz_archive.service.fields import VOTableField, primitive_of
from photoz_archive.service.formats import FORMATS
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive.service.stream import ResultWriter

QUERY = (
    "SELECT o.objectId, o.coord_ra, o.refBand, o.detect_isPrimary, o.refExtendedness, o.u_cModelFlux, m.id_truth_type, "
    "m.match_count, m.match_chisq, o.deblend_nChild, scisql_nanojanskyToAbMag(o.y_cModelFlux) AS y_mag "
    "FROM dp02_dc2_catalogs.Object AS o LEFT JOIN dp02_dc2_catalogs.MatchesTruth AS m "
    "ON m.match_objectId = o.objectId WHERE o.tract = 3637 AND o.patch < 9 ORDER BY o.objectId"
)
WIDE = "SELECT * FROM tap_schema.columns ORDER BY table_name, column_name"


def ask(server: ArchiveServer, query: str, **parameters: str) -> requests.Response:
    return requests.get(f"{server.url}/sync", params={"LANG": "ADQL", "QUERY": query, **parameters}, timeout=60)


def read_votable(body: bytes) -> astropy.io.votable.tree.VOTableFile:
    return astropy.io.votable.parse(io.BytesIO(body), verify="exception")


def columns_of(body: bytes, content_type: str) -> dict[str, list[Any]]:
    """Read a result with another library than the one that wrote it; NULL is None, text is str."""
    if "votable" in content_type:
        table = read_votable(body).get_first_table().to_table(use_names_over_ids=True)
        return {name: table[name].tolist() for name in table.colnames}
    if "parquet" in content_type:
        table = pq.read_table(io.BytesIO(body))
        return {name: table.column(name).to_pylist() for name in table.column_names}
    is_tsv = "tab" in content_type
    frame = pd.read_csv(
        io.BytesIO(body),
        sep="\t" if is_tsv else ",",
        quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL,
        dtype_backend="numpy_nullable",
        keep_default_na=False,
        na_values=[""],
    )
    return {str(name): [None if v is pd.NA else v for v in frame[name]] for name in frame}


@pytest.mark.parametrize("query", [QUERY, WIDE], ids=["catalogs", "tap_schema"])
def test_every_format_holds_what_binary2_holds(archive: ArchiveServer, query: str) -> None:
    binary2 = ask(archive, query)
    left = columns_of(binary2.content, binary2.headers["content-type"])
    assert len(left["objectId" if query is QUERY else "table_name"]) > 400
    for key in ("tabledata", "csv", "tsv", "parquet"):
        other = ask(archive, query, RESPONSEFORMAT=FORMATS[key].names[0])
        assert other.headers["content-type"].startswith(FORMATS[key].content_type)
        right = columns_of(other.content, other.headers["content-type"])
        assert list(left) == list(right)
        for name, values in left.items():
            # Of text, VOTable and CSV cannot tell an empty one from NULL.
            assert [v if v != "" else None for v in values] == [v if v != "" else None for v in right[name]], (
                f"{key}: {name}"
            )


def test_result_holds_the_rows_of_the_files(archive: ArchiveServer, sky_rows: Any) -> None:
    response = ask(
        archive, "SELECT objectId, u_cModelFlux, detect_isPrimary FROM dp02_dc2_catalogs.Object ORDER BY objectId"
    )
    found = columns_of(response.content, response.headers["content-type"])
    stored = sky_rows.objects.sort_values("objectId")
    assert found["objectId"] == stored["objectId"].tolist()
    assert found["detect_isPrimary"] == stored["detect_isPrimary"].tolist()
    assert found["u_cModelFlux"] == [None if v is pd.NA else v for v in stored["u_cModelFlux"]]


EDGES = {
    "flag": pa.array([True, False, None, True]),
    "small": pa.array([-32768, 0, None, 7], pa.int16()),
    "whole": pa.array([-(2**31), 0, None, 7], pa.int32()),
    "long": pa.array([2**63 - 1, -(2**63), None, 7], pa.int64()),
    "real": pa.array([1.5, float("nan"), None, float("-inf")], pa.float32()),
    "wide": pa.array([0.1, float("nan"), None, float("inf")], pa.float64()),
    "fixed": pa.array(["abc", "", None, "too long for it"]),
    "free": pa.array(["<&>\"' é", "", None, "x" * 300]),
}
ALONE = [*([name] for name in EDGES), list(EDGES), [n for n in EDGES if n != "free"]]


def stream_of(names: list[str], *, batches: int = 1, max_rows: int = 10**6) -> ResultWriter:
    fixed = ColumnFacts(name="fixed", datatype="char", arraysize="6")
    fields = tuple(
        VOTableField(name=name, primitive=primitive_of(EDGES[name].type), facts=fixed if name == "fixed" else None)
        for name in names
    )
    batch = pa.RecordBatch.from_arrays([EDGES[name] for name in names], names=names)
    return ResultWriter(fields, iter([batch] * batches), max_rows)


@pytest.mark.parametrize("names", ALONE, ids="+".join)
@pytest.mark.parametrize("batches", [0, 1, 7])
def test_astropy_reads_the_edges_of_every_type_in_binary2(names: list[str], batches: int) -> None:
    body = b"".join(FORMATS["binary2"].write(stream_of(names, batches=batches), Profile.friendly()))
    table = read_votable(body).get_first_table()
    assert len(table.array) == 4 * batches
    for name in names if batches else []:
        values, mask = table.array[name].data[-4:], table.array[name].mask[-4:]
        expected = [_as_char(v, name) for v in EDGES[name].to_pylist()]
        is_null = [v is None or v == "" if isinstance(v, str | None) else np.isnan(v) for v in expected]
        assert [bool(m) or v == "" or v != v for m, v in zip(mask, values, strict=True)] == is_null  # noqa: PLR0124 (NaN)
        for value, right, null in zip(values, expected, is_null, strict=True):
            assert null or value == right


def _as_char(value: Any, name: str) -> Any:
    """Return what is left of a value: six characters in a field of six, ASCII in text."""
    cut = value[:6] if name == "fixed" and value is not None else value
    return cut.replace("é", "?") if isinstance(cut, str) else cut


def test_null_and_nan_are_told_apart_by_the_null_bits() -> None:
    body = b"".join(FORMATS["binary2"].write(stream_of(["wide", "long"]), Profile.friendly()))
    array = read_votable(body).get_first_table().array
    assert array["wide"].mask.tolist()[2:] == [True, False]
    assert array["long"].mask.tolist() == [False, False, True, False]


def test_base64_stands_in_lines_of_64_characters() -> None:
    body = b"".join(FORMATS["binary2"].write(stream_of(["long", "free"], batches=7), Profile.friendly()))
    lines = body.split(b'encoding="base64">')[1].split(b"</STREAM>")[0].strip().split(b"\n")
    assert {len(line) for line in lines[:-1]} == {64}
    assert 0 < len(lines[-1]) <= 64


@pytest.mark.parametrize(
    ("max_rows", "kept", "overflow"), [(3, 3, True), (8, 8, False), (9, 8, False), (5, 5, True)]
)
def test_rows_over_the_limit_are_cut_off_and_marked(max_rows: int, kept: int, overflow: bool) -> None:  # noqa: FBT001 (parametrized)
    stream = stream_of(["long"], batches=2, max_rows=max_rows)
    body = b"".join(FORMATS["binary2"].write(stream, Profile.friendly()))
    resource = read_votable(body).resources[0]
    assert len(resource.tables[0].array) == stream.rows == kept
    assert [info.value for info in resource.infos] == ["OK", *["OVERFLOW"] * overflow]


@pytest.mark.parametrize(
    ("max_rows", "rows", "overflow"), [("7", 7, True), ("51", 51, False), ("52", 51, False), ("0", 0, True)]
)
@pytest.mark.parametrize("key", ["binary2", "tabledata"])
def test_maxrec_is_kept_and_overflow_stands_behind_the_table(
    archive: ArchiveServer,
    max_rows: str,
    rows: int,
    overflow: bool,  # noqa: FBT001 (parametrized)
    key: str,
) -> None:
    response = ask(
        archive, "SELECT table_name FROM tap_schema.tables", MAXREC=max_rows, FORMAT=FORMATS[key].names[1]
    )
    assert len(read_votable(response.content).get_first_table().array) == rows
    assert (b'value="OVERFLOW"' in response.content.split(b"</TABLE>")[1]) == overflow


def test_top_is_no_overflow(archive: ArchiveServer) -> None:
    body = ask(archive, "SELECT TOP 3 table_name FROM tap_schema.tables", MAXREC="3").content
    assert b"OVERFLOW" not in body


def test_parquet_is_a_voparquet_that_astropy_reads_with_units(archive: ArchiveServer, tmp_path: Any) -> None:
    query = "SELECT coord_ra, tract FROM dp02_dc2_catalogs.Object WHERE tract = 3637"
    body = ask(archive, query, FORMAT="parquet", MAXREC="5").content
    metadata = pq.read_schema(io.BytesIO(body)).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    assert b'value="OVERFLOW"' in metadata[b"IVOA.VOTable-Parquet.content"]
    path = tmp_path / "result.parquet"
    path.write_bytes(body)
    table = Table.read(path, format="parquet.votable")
    assert len(table) == 5
    assert str(table["coord_ra"].unit) == "deg"


@pytest.mark.parametrize(
    ("key", "lines"),
    [
        ("csv", ['"a ""name""","n"', '"a ""quoted"" 12\' \ttext\nof two lines",7']),
        ("tsv", ['a "name"\tn', 'a "quoted" 12\'  text of two lines\t7']),
    ],
)
def test_quotes_are_doubled_in_csv_and_letters_like_others_in_tsv(
    archive: ArchiveServer, key: str, lines: list[str]
) -> None:
    query = (
        'SELECT TOP 1 \'a "quoted" 12\'\' \ttext\nof two lines\' AS "a ""name""", 7 AS n FROM tap_schema.tables'
    )
    answer = ask(archive, query, FORMAT=key)
    assert answer.ok, answer.text
    assert answer.text == "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"FORMAT": "fits"},
            "Unknown format 'fits'; expected one of application/x-votable+xml;serialization=binary2",
        ),
        ({"MAXREC": "-1"}, "MAXREC is '-1'; expected a whole number, 0 or more"),
        ({"MAXREC": "many"}, "MAXREC is 'many'"),
        ({"LANG": "SQL"}, "LANG is 'SQL'; expected ADQL, ADQL-2.0, ADQL-2.1"),
        ({"REQUEST": "getNothing"}, "REQUEST is 'getNothing'; expected doQuery"),
        ({"UPLOAD": "t,ftp://x"}, "expected name,param:part"),
        ({"QUERY": " "}, "QUERY is missing"),
        ({"QUERY": "SELECT nothing FROM tap_schema.tables"}, "Unknown column 'nothing' (line 1, column 8)"),
        ({"QUERY": "SELECT CAST(table_name AS INTEGER) FROM tap_schema.tables"}, "The database refused the query"),
        ({"QUERY": "SELECT schema_name, COUNT(*) FROM tap_schema.tables"}, "GROUP BY"),
    ],
    ids=str,
)
def test_wrong_request_gets_a_votable_that_says_why(
    archive: ArchiveServer, parameters: dict[str, str], message: str
) -> None:
    sent = {"LANG": "ADQL", "QUERY": "SELECT table_name FROM tap_schema.tables"} | parameters
    response = requests.get(f"{archive.url}/sync", params=sent, timeout=30)
    assert response.status_code == 400
    (info,) = read_votable(response.content).resources[0].infos
    assert (info.name, info.value) == ("QUERY_STATUS", "ERROR")
    assert message in info.content


@pytest.mark.parametrize("method", ["get", "post"])
def test_parameter_names_have_any_case(archive: ArchiveServer, method: str) -> None:
    parameters = {
        "query": "SELECT TOP 2 table_name FROM tap_schema.tables",
        "Lang": "adql",
        "responseFormat": "CSV",
    }
    sent, body = (parameters, None) if method == "get" else (None, parameters)
    response = requests.request(method, f"{archive.url}/sync", timeout=30, params=sent, data=body)
    assert response.text.splitlines()[0] == '"table_name"'
