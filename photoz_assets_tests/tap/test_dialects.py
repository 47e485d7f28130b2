"""Dialects of TAP: a made-up service of each form, from its capabilities to the rows of a job."""

import gzip
import struct
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pytest

from photoz_assets.tap.client import TapClient
from photoz_assets_tests.tap.documents import binary, binary2, by_hand
from photoz_assets_tests.tap.faulty_server import Answer, Clock, FaultyServer

SCHEMA: Final = pa.schema([("id", pa.int64()), ("z", pa.float32()), ("flag", pa.bool_()), ("band", pa.string())])
ROWS: Final = [
    {"id": 2**60, "z": 0.5, "flag": True, "band": "u"},
    {"id": -3, "z": None, "flag": False, "band": "i"},
]
VOTABLE: Final = "application/x-votable+xml"
STANDARD: Final = "ivo://ivoa.net/std/TAPRegExt#output-votable"
FIELDS: Final = (
    '<FIELD name="id" datatype="long"/><FIELD name="z" datatype="float"/>'
    '<FIELD name="flag" datatype="boolean"/><FIELD name="band" datatype="char" arraysize="*"/>'
)


def formats(*outputs: tuple[str, str, str]) -> str:
    return "".join(
        f"<outputFormat{f' ivo-id={chr(34)}{ivo_id}{chr(34)}' if ivo_id else ''}><mime>{mime}</mime>"
        f"{f'<alias>{alias}</alias>' if alias else ''}</outputFormat>"
        for ivo_id, mime, alias in outputs
    )


def offering(outputs: str, *, kind: str = ' xsi:type="tr:TableAccess"', limits: str = "") -> bytes:
    return (
        '<cap:capabilities xmlns:cap="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
        'xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<capability standardID="ivo://ivoa.net/std/TAP"{kind}>{outputs}{limits}</capability></cap:capabilities>'
    ).encode()


def job(results: str, *, prefix: str = "uws:") -> bytes:
    xmlns = "xmlns:uws" if prefix else "xmlns"
    return (
        f'<{prefix}job {xmlns}="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<{prefix}jobId>7</{prefix}jobId><{prefix}phase>COMPLETED</{prefix}phase>"
        f"<{prefix}results>{results}</{prefix}results></{prefix}job>"
    ).encode()


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


BINARY_ROWS: Final = b"".join(
    [
        struct.pack(">qf", 2**60, 0.5) + b"T" + text(b"u"),
        struct.pack(">qf", -3, float("nan")) + b"F" + text(b"i"),
    ]
)
BINARY2_ROWS: Final = b"".join(
    [
        b"\0" + struct.pack(">qf", 2**60, 0.5) + b"T" + text(b"u"),
        b"\x40" + struct.pack(">qf", -3, 0) + b"F" + text(b"i"),
    ]
)
CELLS: Final = (
    "<DATA><TABLEDATA><TR><TD>{}</TD><TD>0.5</TD><TD>{}</TD><TD>u</TD></TR>"
    "<TR><TD>-3</TD><TD>{}</TD><TD>{}</TD><TD>i</TD></TR></TABLEDATA></DATA>"
)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A form of service: what it says of itself and its jobs, and how it sends rows."""

    capabilities: bytes
    asked: str | None
    results: str
    found_at: str
    rows: bytes
    jobs_path: str = "/tap/async"
    prefix: str = "uws:"


DACHS = Dialect(
    capabilities=offering(
        formats(
            (f"{STANDARD}-td", f"{VOTABLE};serialization=TABLEDATA", "text/xml"),
            (f"{STANDARD}-binary".replace("RegExt", "RegEXT"), f"{VOTABLE};serialization=BINARY", "votable/b"),
        ),
        limits='<outputLimit><default unit="row">20000</default><hard unit="row">16000000</hard></outputLimit>',
    ),
    asked=f"{VOTABLE};serialization=BINARY",
    results='<result id="result" xlink:href="http://{host}/__system__/tap/run/async/7/results/result"/>',
    found_at="/__system__/tap/run/async/7/results/result",
    rows=by_hand(FIELDS, binary(BINARY_ROWS), before='<INFO name="QUERY_STATUS" value="OK"/>'),
    jobs_path="/__system__/tap/run/async",
    prefix="",
)
VOLLT = Dialect(
    capabilities=offering(
        formats(
            (f"{STANDARD}-binary", VOTABLE, "votable"),
            (f"{STANDARD}-binary2", f"{VOTABLE};serialization=BINARY2", "votable/b2"),
            (f"{STANDARD}-td", f"{VOTABLE};serialization=TABLEDATA", "votable/td"),
        ),
        limits='<outputLimit><default unit="row">-1</default></outputLimit>',
    ),
    asked=f"{VOTABLE};serialization=BINARY2",
    results='<uws:result id="result" xlink:type="simple" xlink:href="7/results/result" mime-type="x"/>',
    found_at="/tap/async/7/results/result",
    rows=by_hand(FIELDS, binary2(BINARY2_ROWS)),
)
DEFAULT_BINARY = Dialect(
    capabilities=offering(formats(("", VOTABLE, "votable"), ("", "text/csv", "csv"))),
    asked=None,
    results='<uws:result id="result" xlink:href="http://{host}/tap/async/7/results/result"/>',
    found_at="/tap/async/7/results/result",
    rows=by_hand(
        FIELDS.replace(
            '"float"/>', '"float"><DESCRIPTION>d\u00e9calage</DESCRIPTION><VALUES null="-9.9"/></FIELD>'
        ),
        binary(BINARY_ROWS.replace(struct.pack(">f", float("nan")), struct.pack(">f", -9.9))),
    )
    .decode()
    .encode("latin-1"),
)
CADC = Dialect(
    capabilities=offering(
        formats(("", VOTABLE, "votable"), ("", f"{VOTABLE};serialization=tabledata", "votable-td")),
        kind="",
        limits="<executionDuration><default>${tap.maxExecutionDuration}</default></executionDuration>",
    ),
    asked=f"{VOTABLE};serialization=tabledata",
    results='<uws:result id="result" xlink:href="http://{host}/tap/async/7/results/result" />',
    found_at="/tap/async/7/results/result",
    rows=by_hand(FIELDS, CELLS.format(2**60, "true", "NaN", "false")),
)
PACKED = Dialect(
    capabilities=offering(formats(("", VOTABLE, "votable"), (f"{STANDARD}-binary2", VOTABLE, "votable/b2"))),
    asked="votable/b2",
    results='<uws:result id="result" xlink:href="\n  http://{host}/tap/async/7/results/result\n "/>',
    found_at="/tap/async/7/results/result",
    rows=gzip.compress(by_hand(FIELDS, binary2(BINARY2_ROWS)), mtime=0),
)
RELATIONAL = Dialect(
    capabilities=offering(
        formats((f"{STANDARD}-td", VOTABLE, "votable")),
        limits='<outputLimit><hard unit="row">unlimited</hard></outputLimit>',
    ),
    asked=VOTABLE,
    results='<uws:result id="main" xlink:href="http://{host}/files/7.vot"/>',
    found_at="/files/7.vot",
    rows=by_hand(
        FIELDS.replace('"boolean"', '"short"').replace('"id"', '"ID"'),
        CELLS.format(f"+{2**60}", "1", "", "0"),
        after='<INFO name="QUERY_STATUS" value="OK"/>',
    ).replace(b' type="results"', b""),
)
DIALECTS: Final = {
    "DaCHS: BINARY, jobs elsewhere": DACHS,
    "vollt: BINARY2 by its alias, relative links": VOLLT,
    "a default of BINARY, Latin-1 in a description, NULL as a number": DEFAULT_BINARY,
    "CADC: TABLEDATA, placeholders, no types": CADC,
    "gzip without saying so, a name that two formats share": PACKED,
    "flags as numbers, a result of another name, no limits": RELATIONAL,
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_service_of_every_dialect_is_understood(server: FaultyServer, clock: Clock, dialect: Dialect) -> None:
    host = server.base.partition("//")[2]
    job_path = f"{dialect.jobs_path}/7"
    results = dialect.results.replace("{host}", host)
    server.answer("GET", "/tap/capabilities", Answer(body=dialect.capabilities))
    server.answer("POST", "/tap/async", Answer(status=303, headers={"Location": job_path}))
    server.answer("GET", job_path, Answer(body=job(results, prefix=dialect.prefix)))
    server.answer("GET", dialect.found_at, Answer(body=dialect.rows))
    server.answer("DELETE", job_path, Answer())
    client = TapClient(f"{server.base}/tap", clock=clock, sleep=clock.sleep)
    with client.submit("SELECT 1", maxrec=100) as submitted:
        submitted.run()
        submitted.wait(60)
        rows = [row for batch in submitted.fetch(SCHEMA) for row in batch.to_pylist()]
    assert rows == ROWS
    assert server.asked("POST", "/tap/async")[0].parameters.get("RESPONSEFORMAT") == dialect.asked
