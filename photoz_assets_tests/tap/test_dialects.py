"""Dialects of TAP: a made-up service of each form, from its capabilities to its rows, its errors and its cuts.

The documents are made here, by what is publicly known of the services' forms. ``docs/reliability.md`` lists them.
"""

import gzip
import struct
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pytest

from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import ArchiveError, Truncated
from photoz_assets_tests.tap.documents import binary, binary2, by_hand
from photoz_assets_tests.tap.faulty_server import Answer, Clock, FaultyServer

SCHEMA: Final = pa.schema(
    [("id", pa.int64()), ("z", pa.float32()), ("flag", pa.bool_()), ("band", pa.string()), ("n", pa.int32())]
)
ROWS: Final = [
    {"id": 2**60, "z": 0.5, "flag": True, "band": "u", "n": 7},
    {"id": -3, "z": None, "flag": False, "band": "i", "n": None},
]
VOTABLE: Final = "application/x-votable+xml"
STANDARD: Final = "ivo://ivoa.net/std/TAPRegExt#output-votable"
COMPLAINT: Final = "no such column: redshift"
OVERFLOW: Final = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'
FIELDS: Final = {
    "id": '<FIELD name="id" datatype="long"/>',
    "z": '<FIELD name="z" datatype="float"/>',
    "flag": '<FIELD name="flag" datatype="boolean"/>',
    "band": '<FIELD name="band" datatype="char" arraysize="*"/>',
    "n": '<FIELD name="n" datatype="int"/>',
}


def fields(**changed: str) -> str:
    """Write the FIELDs of the columns; some in another form."""
    return "".join((FIELDS | changed).values())


def formats(*outputs: tuple[str, str, str]) -> str:
    """Write output formats: an IVO id, a media type, an alias, of which the first and the last may be missing."""
    return "".join(
        f"<outputFormat{f' ivo-id={chr(34)}{ivo_id}{chr(34)}' if ivo_id else ''}><mime>{mime}</mime>"
        f"{f'<alias>{alias}</alias>' if alias else ''}</outputFormat>"
        for ivo_id, mime, alias in outputs
    )


def offering(
    outputs: str, *, kind: str = ' xsi:type="tr:TableAccess"', limits: str = "", others: str = "", inside: str = ""
) -> bytes:
    """Write a service's capabilities around what it says of TAP; ``others`` are those beside it."""
    return (
        '<cap:capabilities xmlns:cap="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
        'xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{others}'
        f'<capability standardID="ivo://ivoa.net/std/TAP"{kind}>{inside}{outputs}{limits}</capability>'
        "</cap:capabilities>"
    ).encode()


def text(value: bytes) -> bytes:
    """Write a text of variable length."""
    return struct.pack(">I", len(value)) + value


def binary_rows(*, null_z: float = float("nan"), null_n: int = -99) -> bytes:
    """Write the rows in BINARY, which has NULL as a number alone."""
    first = struct.pack(">qf", 2**60, 0.5) + b"T" + text(b"u") + struct.pack(">i", 7)
    return first + struct.pack(">qf", -3, null_z) + b"F" + text(b"i") + struct.pack(">i", null_n)


def binary2_rows(*, fixed: int | None = None) -> bytes:
    """Write the rows in BINARY2, their texts of a fixed length and padded where it is given."""
    first, second = (text(each) if fixed is None else each.ljust(fixed, b"\0") for each in (b"u", b"i"))
    return (
        b"\0" + struct.pack(">qf", 2**60, 0.5) + b"T" + first + struct.pack(">i", 7)
        + b"\x48" + struct.pack(">qf", -3, float("nan")) + b"F" + second + struct.pack(">i", 0)
    )  # fmt: skip


def cells(*, yes: str = "true", no: str = "false", null_z: str = "", null_n: str = "", sign: str = "") -> str:
    """Write the rows as TABLEDATA."""
    rows = [(f"{sign}{2**60}", "0.5", yes, "u", "7"), ("-3", null_z, no, "i", null_n)]
    lines = "\n".join(f"<TR>{''.join(f'<TD>{cell}</TD>' for cell in row)}</TR>" for row in rows)
    return f"<DATA>\n<TABLEDATA>\n{lines}\n</TABLEDATA></DATA>"


def failed(message: str) -> str:
    """Write how a job's document tells of an error."""
    told = f"<{{p}}message>{message}</{{p}}message>"
    return f'<{{p}}errorSummary type="fatal" hasDetail="true">{told}</{{p}}errorSummary>'


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A form of service: what it says of itself and its jobs, and how it sends rows.

    Attributes
    ----------
    form
        What of the form is tried, in words.
    capabilities, asked
        What it declares, and the format that it is to be asked for, None for its default.
    fields, data, before, after
        Of its results; ``after`` stands behind the table of one that it has cut off, ``end`` of any.
    wrapped
        How it sends a result's bytes, with which headers.
    results, found_at, detour
        What the job's document says of its results, where the result is, and where it is sent on to from there.
    error, error_document
        What the document of a failed job says, and what lies at its ``/error``.
    jobs_path, prefix, in_job
        Where its jobs are, the prefix of their elements and what else stands in them.
    sync_at
        Where a synchronous query is sent on to, None for nowhere.
    """

    form: str
    capabilities: bytes
    asked: str | None
    data: str
    fields: str = field(default_factory=fields)
    before: str = '<INFO name="QUERY_STATUS" value="OK"/>'
    after: str = OVERFLOW
    end: str = ""
    namespace: str = "http://www.ivoa.net/xml/VOTable/v1.3"
    encoding: str = "utf-8"
    packed: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    results: str = '<{p}result id="result" xlink:href="http://{host}/tap/async/7/results/result"/>'
    found_at: str = "/tap/async/7/results/result"
    detour: str | None = None
    error: str = failed(COMPLAINT)
    error_document: bytes = b""
    jobs_path: str = "/tap/async"
    prefix: str = "uws:"
    in_job: str = ""
    sync_at: str | None = None

    def job(self, phase: str, host: str) -> bytes:
        """Write the document of its job."""
        said = {"COMPLETED": f"<{{p}}results>{self.results}</{{p}}results>", "ERROR": self.error}.get(phase, "")
        xmlns = "xmlns:uws" if self.prefix else "xmlns"
        document = (
            f'<{{p}}job {xmlns}="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><{{p}}jobId>7</{{p}}jobId>'
            f"<{{p}}phase>{phase}</{{p}}phase>{self.in_job}{said}</{{p}}job>"
        )
        return document.replace("{p}", self.prefix).replace("{host}", host).encode()

    def result(self, *, is_cut: bool = False) -> Answer:
        """Answer with its rows."""
        after = f"{self.after if is_cut else ''}{self.end}"
        document = by_hand(self.fields, self.data, before=self.before, after=after).decode()
        body = document.replace("http://www.ivoa.net/xml/VOTable/v1.3", self.namespace).encode(self.encoding)
        for _ in range(self.packed):
            body = gzip.compress(body, mtime=0)
        return Answer(body=body, headers=self.headers)


DIALECTS: Final = {
    "DaCHS": Dialect(
        form="a stylesheet, a description and many INFO elements before the table, PARAM and GROUP in it, a "
        "resource of another kind after it; BINARY with `VALUES null`; IVO ids in another case; jobs at another "
        "path, elements without a prefix",
        capabilities=offering(
            formats(
                (f"{STANDARD}-td", f"{VOTABLE};serialization=TABLEDATA", "text/xml"),
                (f"{STANDARD}-binary".replace("RegExt", "RegEXT"), f"{VOTABLE};serialization=BINARY", "votable/b"),
            ),
            limits='<outputLimit><default unit="row">20000</default><hard unit="row">16000</hard></outputLimit>',
        ),
        asked=f"{VOTABLE};serialization=BINARY",
        before="<?xml-stylesheet href='/static/to_html.xsl' type='text/xsl'?>"
        '<DESCRIPTION>A survey &amp; more</DESCRIPTION><INFO name="server_software" value="a server/2.9"/>'
        '<INFO name="QUERY_STATUS" value="OK">All is well</INFO>'
        '<INFO name="legal" value="Free for all">See the &lt;page&gt;.</INFO>',
        fields='<DESCRIPTION>Rows</DESCRIPTION><GROUP ID="ndx"><PARAM name="frame" datatype="char" arraysize="4" '
        'value="ICRS"/></GROUP><PARAM name="epoch" datatype="double" value="2000.0"/>'
        + fields(
            n='<FIELD name="n" datatype="int"><DESCRIPTION>A count</DESCRIPTION><VALUES null="-99"/></FIELD>'
        ),
        data=binary(binary_rows()),
        end='</RESOURCE><RESOURCE type="meta" utype="adhoc:service"><PARAM name="standardID" datatype="char" '
        'arraysize="*" value="ivo://ivoa.net/std/DataLink#links-1.1"/>',
        results='<result id="result" xlink:href="http://{host}/__system__/tap/run/async/7/results/result"/>',
        found_at="/__system__/tap/run/async/7/results/result",
        jobs_path="/__system__/tap/run/async",
        prefix="",
        in_job='<quote xsi:nil="true"/><executionDuration>7200</executionDuration>',
    ),
    "vollt": Dialect(
        form="BINARY2 beside a default of BINARY, no limit as -1, links relative to the list of jobs, INFO "
        "elements with the query",
        capabilities=offering(
            formats(
                (f"{STANDARD}-binary", VOTABLE, "votable"),
                (f"{STANDARD}-binary2", f"{VOTABLE};serialization=BINARY2", "votable/b2"),
                (f"{STANDARD}-td", f"{VOTABLE};serialization=TABLEDATA", "votable/td"),
            ),
            limits='<outputLimit><default unit="row">-1</default></outputLimit>',
        ),
        asked=f"{VOTABLE};serialization=BINARY2",
        before='<INFO name="QUERY_STATUS" value="OK"/><INFO name="QUERY" value="SELECT TOP 2 &quot;id&quot;"/>',
        data=binary2(binary2_rows()),
        results='<uws:result id="result" xlink:type="simple" xlink:href="7/results/result" mime-type="x"/>',
    ),
    "VizieR": Dialect(
        form="`votable/b2` as the only name of BINARY2, a media type that two formats share; results packed with "
        "gzip without a word of it, coordinate systems, names with slashes in links, NULL of integers declared "
        "beside the null bits; white space around the links of jobs",
        capabilities=offering(formats(("", VOTABLE, "votable"), (f"{STANDARD}-binary2", VOTABLE, "votable/b2"))),
        asked="votable/b2",
        before='<INFO name="QUERY_STATUS" value="OK"/><COOSYS ID="H_2015.500" system="ICRS" epoch="2015.5"/>',
        fields=fields(
            z='<FIELD name="z" ID="_z" datatype="float" ref="H_2015.500" precision="E4" unit="---">'
            '<LINK href="http://{host}/viz-bin/page?-source=I/355/&amp;-out=z"/></FIELD>',
            n='<FIELD name="n" datatype="int"><VALUES null="-2147483648"/></FIELD>',
        ),
        data=binary2(binary2_rows()),
        packed=1,
        results='<uws:result id="result" xlink:href="\n  http://{host}/tap/async/7/results/result\n "/>',
    ),
    "CADC": Dialect(
        form="kinds of login, no types and placeholders that nobody filled in among the capabilities; TABLEDATA "
        "with NaN, an INFO after the table; queries and results sent on by 303, X-VO headers, empty elements",
        capabilities=offering(
            formats(("", VOTABLE, "votable"), ("", f"{VOTABLE};serialization=tabledata", "votable-td")),
            kind="",
            limits="<executionDuration><default>${tap.maxExecutionDuration}</default></executionDuration>",
            others='<capability standardID="ivo://ivoa.net/std/VOSI#availability"><interface/></capability>',
            inside='<interface xsi:type="vs:ParamHTTP" role="std" version="1.1"><accessURL>x</accessURL>'
            '<securityMethod standardID="ivo://ivoa.net/sso#tls-with-certificate"/></interface>',
        ),
        asked=f"{VOTABLE};serialization=tabledata",
        data=cells(null_z="NaN"),
        end='<INFO name="placeholder" value="ignore"/>',
        headers={"X-VO-Authenticated": "false", "Content-Type": f"{VOTABLE};charset=UTF-8"},
        detour="/minoc/files/7.xml",
        sync_at="/tap/sync/7/run",
        in_job="<uws:ownerId xsi:nil='true'/><uws:runId/>",
    ),
    "Gaia": Dialect(
        form="formats such as `votable_gzip` that do not tell their form; results packed with gzip, with a "
        "Content-Encoding; elements of a namespace of its own in jobs, which are never listed",
        capabilities=offering(
            formats(
                ("", "application/x-votable+gzip", "votable_gzip"),
                ("", VOTABLE, "votable"),
                ("", "application/fits", "fits"),
            ),
            limits='<outputLimit><default unit="row">3000000</default><hard unit="byte">-1</hard></outputLimit>',
        ),
        asked=None,
        fields=fields(id='<FIELD name="ID" datatype="long" ucd="meta.id;meta.main" utype="x:y"/>'),
        data=binary2(binary2_rows()),
        packed=1,
        headers={"Content-Encoding": "gzip", "Content-Type": "application/x-votable+gzip"},
        in_job='<uwsx:meta xmlns:uwsx="http://esa.example/uws"><uwsx:phaseId>3</uwsx:phaseId></uwsx:meta>'
        '<uws:parameters><uws:parameter id="maxRec">100</uws:parameter></uws:parameters>',
        error=failed(f"Error 500: {COMPLAINT}"),
    ),
    "IRSA": Dialect(
        form="few formats, of which none tells its form, a default of BINARY; Latin-1 in a description, NULL of a "
        "float as a number; synchronous queries sent on; white space in errors",
        capabilities=offering(formats(("", VOTABLE, "votable"), ("", "text/csv", "csv"))),
        asked=None,
        fields=fields(
            z='<FIELD name="z" datatype="float"><DESCRIPTION>d\u00e9calage</DESCRIPTION>'
            '<VALUES null="-9.9"/></FIELD>',
            n='<FIELD name="n" datatype="int"><VALUES null="-99"/></FIELD>',
        ),
        data=binary(binary_rows(null_z=-9.9)),
        encoding="latin-1",
        sync_at="/TAP/sync/result",
        error=f"<uws:errorSummary><uws:message>\n  ERROR: {COMPLAINT}\n</uws:message></uws:errorSummary>",
    ),
    "HEASARC": Dialect(
        form="VOTable 1.1 with TABLEDATA, names in capital letters, flags as numbers, a sign before numbers, the "
        "status after the table; no limit as a word; a result of another name at another place; the reason of a "
        "failure in a document of its own",
        capabilities=offering(
            formats((f"{STANDARD}-td", VOTABLE, "votable")),
            limits='<outputLimit><hard unit="row">unlimited</hard></outputLimit>',
        ),
        asked=VOTABLE,
        fields=fields(flag='<FIELD name="flag" datatype="short"/>')
        .replace('name="id"', 'name="ID"')
        .replace('name="z"', 'name="Z"'),
        data=cells(yes="1", no="0", sign="+"),
        namespace="http://www.ivoa.net/xml/VOTable/v1.1",
        before="",
        end='<INFO name="QUERY_STATUS" value="OK"/>',
        results='<uws:result id="main" xlink:href="http://{host}/files/7.vot"/>',
        found_at="/files/7.vot",
        error="",
        error_document=by_hand("", "", before=f'<INFO name="QUERY_STATUS" value="ERROR">{COMPLAINT}</INFO>'),
    ),
    "NOIRLab": Dialect(
        form="plain XML as the only format, a language that is declared before it; several results with one name, "
        "links under a double slash; the status in another case, flags as T and F",
        capabilities=offering(
            formats(("", "text/xml", ""), ("", f"{VOTABLE};content=datalink", "")),
            inside='<language><name>ADQL</name><version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version></language>',
        ),
        asked=None,
        before='<INFO name="query_status" value="ok"/>',
        data=cells(yes="T", no="F"),
        after='<INFO name="Query_Status" value="Overflow"></INFO>',
        results='<uws:result id="diag" xlink:href="query:parse:5"/>'
        '<uws:result id="diag" xlink:href="uws:executing:10"/><uws:result id="result" xlink:href="http://{host}//tap/async/7/results/result"/>',
        in_job='<uws:quote xsi:nil="true"/><uws:startTime xsi:nil="true"></uws:startTime>',
    ),
    "Rubin": Dialect(
        form="a limit in bytes; BINARY2 in lines of 64 characters, IDs beside names, texts of fixed length "
        "padded with zeros; the count of rows and the progress in the job, results sent on to a store",
        capabilities=offering(
            formats(
                (f"{STANDARD}-binary2", f"{VOTABLE};serialization=BINARY2", "votable/b2"),
                ("", "application/vnd.apache.parquet", "parquet"),
            ),
            limits='<outputLimit><default unit="byte">3221225472</default></outputLimit>',
        ),
        asked=f"{VOTABLE};serialization=BINARY2",
        fields=fields(
            id='<FIELD ID="col_0" name="id" datatype="long" ucd="meta.id"/>',
            z='<FIELD ID="col_1" name="z" datatype="float" unit=""/>',
            band='<FIELD ID="col_3" name="band" datatype="char" arraysize="4"/>',
        ),
        data=binary2(binary2_rows(fixed=4)),
        results='<uws:result id="rowcount" xlink:href="final:2"/>'
        '<uws:result id="result" xlink:href="http://{host}/tap/results/result_7.xml"/>',
        found_at="/tap/results/result_7.xml",
        detour="/bucket/result_7.xml",
        in_job="<uws:jobInfo><tapQueryInfo><totalItems>9</totalItems></tapQueryInfo></uws:jobInfo>",
        error=failed(f"IllegalArgumentException: {COMPLAINT}"),
    ),
}


@dataclass(frozen=True)
class Service:
    """A server that speaks a dialect, and a client of it."""

    server: FaultyServer
    client: TapClient
    dialect: Dialect

    def answer(self, phase: str = "COMPLETED", *, is_cut: bool = False) -> None:
        """Say how jobs end, and whether results are cut off."""
        said, host = self.dialect, self.server.base.partition("//")[2]
        job = f"{said.jobs_path}/7"
        waiting, ended = (Answer(body=said.job(each, host)) for each in ("PENDING", phase))
        self.server.answer("GET", "/tap/capabilities", Answer(body=said.capabilities))
        self.server.answer("POST", "/tap/async", Answer(status=303, headers={"Location": job}))
        self.server.answer("GET", job, waiting, waiting, ended)
        self.server.answer("POST", f"{job}/phase", Answer(status=303, headers={"Location": job}))
        self.server.answer("DELETE", job, Answer())
        if said.error_document:
            self.server.answer("GET", f"{job}/error", Answer(body=said.error_document))
        result = said.result(is_cut=is_cut)
        self.server.answer("GET", said.found_at, self._sent_on(said.detour, result))
        self.server.answer("POST", "/tap/sync", self._sent_on(said.sync_at, result))

    def _sent_on(self, path: str | None, result: Answer) -> Answer:
        if path is None:
            return result
        self.server.answer("GET", path, result)
        return Answer(status=303, headers={"Location": f"{self.server.base}{path}"})

    def rows(self) -> list[dict[str, object]]:
        """Run a job and fetch its rows."""
        with self.client.submit("SELECT 1", maxrec=100) as job:
            job.run()
            job.wait(60)
            return [row for batch in job.fetch(SCHEMA) for row in batch.to_pylist()]


@pytest.fixture(params=DIALECTS)
def service(request: pytest.FixtureRequest, server: FaultyServer, clock: Clock) -> Service:
    """A service of each dialect."""
    client = TapClient(f"{server.base}/tap", clock=clock, sleep=clock.sleep)
    return Service(server, client, DIALECTS[request.param])


def test_rows_of_a_job_are_those_that_the_service_holds(service: Service) -> None:
    service.answer()
    assert service.rows() == ROWS
    asked = service.server.asked("POST", "/tap/async")[0].parameters
    assert asked.get("RESPONSEFORMAT") == service.dialect.asked


def test_rows_of_a_synchronous_query_are_those_that_the_service_holds(service: Service) -> None:
    service.answer()
    assert [row for batch in service.client.query("SELECT 1", SCHEMA) for row in batch.to_pylist()] == ROWS


def test_result_that_the_service_cut_off_is_none(service: Service) -> None:
    service.answer(is_cut=True)
    with pytest.raises(Truncated, match="OVERFLOW"):
        service.rows()


def test_error_of_the_service_is_told_in_one_line_with_its_words(service: Service) -> None:
    service.answer("ERROR")
    with pytest.raises(ArchiveError) as error:
        service.rows()
    assert COMPLAINT in str(error.value)
    assert "\n" not in str(error.value)
    assert service.server.asked("DELETE", f"{service.dialect.jobs_path}/7")
