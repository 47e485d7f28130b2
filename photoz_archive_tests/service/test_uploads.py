"""Tables that a request brings along: read whatever their serialization, joined by position, refused in one line."""

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pyvo
import requests
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from astropy.units import arcsec

from photoz_archive.service.jobs import JobStore
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.conftest import SkyRows
from photoz_archive_tests.service.test_disk import error_of
from photoz_archive_tests.service.test_jobs import wait_for
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS

SELECT_ALL = "SELECT * FROM TAP_UPLOAD.mine"
PAIRS = (
    "SELECT t.id, o.objectId FROM dp02_dc2_catalogs.Object AS o JOIN TAP_UPLOAD.mine AS t "
    "ON DISTANCE(POINT('ICRS', o.coord_ra, o.coord_dec), POINT('ICRS', t.ra, t.dec)) < {radius} "
    "WHERE o.detect_isPrimary = 1"
)
RADIUS_ARCSEC = 1.0
CELLS = "<TR><TD>1</TD></TR>"
INT = '<FIELD name="a" datatype="int"/>'


def table(fields: str = INT, data: str = f"<TABLEDATA>{CELLS}</TABLEDATA>") -> str:
    return f"<TABLE>{fields}<DATA>{data}</DATA></TABLE>"


def document(content: str) -> bytes:
    return f"<VOTABLE><RESOURCE>{content}</RESOURCE></VOTABLE>".encode()


def stream(container: str, rows: bytes) -> str:
    text = base64.b64encode(rows).decode()
    return f'<{container}><STREAM encoding="base64">{text}</STREAM></{container}>'


def written(rows: Table, serialization: str = "binary2") -> bytes:
    file = io.BytesIO()
    rows.write(file, format="votable", tabledata_format=serialization)
    return file.getvalue()


def ask(server: ArchiveServer, query: str, documents: Mapping[str, bytes], **parameters: Any) -> requests.Response:
    named = [f"{name},param:{name}" for name in documents]
    sent = {"LANG": "ADQL", "QUERY": query, "UPLOAD": named, "FORMAT": "csv", **parameters}
    files = {name: (name, content) for name, content in documents.items()}
    return requests.post(f"{server.url}/sync", data=sent, files=files, timeout=60)


def values(column: Any) -> list[Any]:
    """Return a column with None for what is missing, whatever stands for it."""
    plain = [None if value is np.ma.masked or value in {"", b""} else value for value in np.ma.asarray(column)]
    return [None if value != value else value for value in plain]  # noqa: PLR0124 - NaN is not itself


@pytest.mark.parametrize("serialization", ["tabledata", "binary", "binary2"])
def test_every_serialization_and_datatype_comes_back_as_it_was_sent(
    archive: ArchiveServer, serialization: str
) -> None:
    sent = Table(
        {
            "flag": np.array([True, False, True]),
            "small": np.array([-3, 0, 7], np.int16),
            "byte": np.array([0, 7, 255], np.uint8),
            # In the others, astropy has no NULL for whole numbers.
            "id": MaskedColumn(
                np.array([2**62, -1, 5], np.int64), mask=[False, serialization == "binary2", False]
            ),
            "ra": np.array([61.5, np.nan, 62.25]),
            "z": np.array([0.1, 0.2, np.nan], np.float32),
            "name": MaskedColumn(["a & b", "", "c"], mask=[False, True, False]),
            "num": np.array([1, 2, 3], np.int32),
            "Survey_Name": ["x", "yy", "zzz"],
        }
    )
    sent["ra"].unit, sent["ra"].description = "deg", "Right ascension"
    answer = ask(archive, SELECT_ALL, {"mine": written(sent, serialization)}, FORMAT="votable/td")
    assert answer.ok, answer.text
    got = Table.read(io.BytesIO(answer.content), format="votable")
    assert (got["ra"].unit, got["ra"].description) == ("deg", "Right ascension")
    assert {name: got[name].dtype.kind for name in ("flag", "byte", "id", "z")} == {
        "flag": "b",
        "byte": "i",
        "id": "i",
        "z": "f",
    }
    assert {name: values(got[name]) for name in got.colnames} == {
        name: values(sent[name]) for name in sent.colnames
    }


@pytest.mark.parametrize(
    ("field", "data", "expected"),
    [
        ('<FIELD name="a" datatype="char" arraysize="4"/>', stream("BINARY", b"ab\0\0wxyz"), ["ab", "wxyz"]),
        (
            '<FIELD name="a" datatype="unicodeChar" arraysize="*"/>',
            stream("BINARY", b"\0\0\0\2\0a\0b\0\0\0\0"),
            ["ab", ""],
        ),
        ('<FIELD name="a" datatype="char"/>', "<TABLEDATA><TR><TD>x</TD></TR></TABLEDATA>", ["x"]),
        (
            '<FIELD name="a" datatype="int"><VALUES null="-9"/></FIELD>',
            "<TABLEDATA><TR><TD>-9</TD></TR><TR><TD>0x1F</TD></TR></TABLEDATA>",
            ["", "31"],
        ),
        (
            '<FIELD name="a" datatype="short"><VALUES null="-9"/></FIELD>',
            stream("BINARY", b"\xff\xf7\0\5"),
            ["", "5"],
        ),
        ('<FIELD name="a" datatype="boolean"/>', stream("BINARY2", b"\0T\0?\x80T"), ["true", "", ""]),
        (INT, "<TABLEDATA/>", []),
    ],
)
def test_values_are_read_as_the_standard_has_them(
    archive: ArchiveServer, field: str, data: str, expected: list[str]
) -> None:
    answer = ask(archive, 'SELECT a, 1 AS "last" FROM TAP_UPLOAD.mine', {"mine": document(table(field, data))})
    assert [line.removesuffix(",1").strip('"') for line in answer.text.splitlines()[1:]] == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no element found"),
        (b"id,ra,dec\n1,2,3\n", "syntax error"),
        (b"<html><body/></html>", "it is no VOTable, but html"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><VOTABLE/>', "document type"),
        (document(""), "it holds no table"),
        (document(table() + table()), "more than one table"),
        (document("<TABLE/>"), "no table with columns"),
        (document(table(INT * 2)), "two columns are called 'a'"),
        (document(table('<FIELD name=" " datatype="int"/>')), "a FIELD has no name"),
        (document(table('<FIELD name="a" datatype="floatComplex"/>')), "has the datatype 'floatComplex'"),
        (document(table('<FIELD name="a" datatype="double" arraysize="2"/>')), r"holds arrays \(arraysize '2'\)"),
        (document(table('<FIELD name="a" datatype="char" arraysize="4x2"/>')), "holds arrays"),
        (document(table(data="<TABLEDATA><TR/></TABLEDATA>")), "row 1 has 0 cells for 1 columns"),
        (
            document(table(data=f"<TABLEDATA>{CELLS}<TR><TD>1.5</TD></TR></TABLEDATA>")),
            "row 2 of column 'a' is '1.5'",
        ),
        (document(table(data="<TABLEDATA><TR><TD>3000000000</TD></TR></TABLEDATA>")), "out of range for int"),
        (document(table(data="<FITS/>")), "its rows are in FITS"),
        (document(table(data='<BINARY><STREAM href="http://x/y"/></BINARY>')), "STREAM is not in the document"),
        (document(table(data='<BINARY><STREAM encoding="base64">?!</STREAM></BINARY>')), "no base64"),
        (document(table(data=stream("BINARY", b"\0\0\0\1\0\0"))), "ends within a row"),
        (
            document(table('<FIELD name="a" datatype="char" arraysize="*"/>', stream("BINARY", b"\0\0\0\7ab"))),
            "ends within a row",
        ),
        (
            document(
                table('<FIELD name="a" datatype="int"><VALUES null="x"/></FIELD>', stream("BINARY", b"\0\0\0\1"))
            ),
            "the null of column 'a' is 'x'",
        ),
        (
            document(table('<FIELD name="a" datatype="char" arraysize="2"/>', stream("BINARY", b"\xff\xfe"))),
            "row 1 of column 'a' is no text",
        ),
    ],
)
def test_table_that_cannot_be_taken_is_refused_in_one_line(
    archive: ArchiveServer, content: bytes, words: str
) -> None:
    answer = ask(archive, SELECT_ALL, {"mine": content})
    assert answer.status_code == 400
    message = error_of(answer)
    assert message.startswith("The table TAP_UPLOAD.mine cannot be read: ")
    assert "\n" not in message
    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("upload", "words"),
    [
        ("mine,file:///etc/passwd", "expected name,param:part"),
        ("mine,http://127.0.0.1:1/x.vot", "cannot be fetched from http://127.0.0.1:1/x.vot"),
        ("mine", "expected name,param:part"),
        ("a.b,param:mine", "calls a table 'a.b'"),
        ("1st,param:mine", "calls a table '1st'"),
        ("mine,param:mine;MINE,param:mine", "two tables"),
        ("mine,param:yours", "the part 'yours', which the request lacks"),
    ],
)
def test_upload_that_names_no_table_of_the_request_is_refused(
    archive: ArchiveServer, upload: str, words: str
) -> None:
    answer = ask(archive, SELECT_ALL, {"mine": document(table())}, UPLOAD=upload)
    assert answer.status_code == 400
    assert words in error_of(answer)


def test_table_is_fetched_from_a_url(archive: ArchiveServer) -> None:
    url = f"{archive.url}/sync?LANG=ADQL&MAXREC=2&QUERY=SELECT+table_name+FROM+tap_schema.tables"
    answer = ask(archive, SELECT_ALL, {}, UPLOAD=f"mine,{url}")
    assert answer.ok, answer.text
    assert len(answer.text.splitlines()) == 3


def test_table_of_another_request_is_unknown(archive: ArchiveServer) -> None:
    assert ask(archive, SELECT_ALL, {"mine": document(table())}).ok
    assert "Unknown table 'TAP_UPLOAD.mine'" in error_of(ask(archive, SELECT_ALL, {"other": document(table())}))


def test_request_over_the_limit_is_refused_and_the_limit_is_declared(sky_folder: Path) -> None:
    long = document(table(data=f"<TABLEDATA>{CELLS * 10_000}</TABLEDATA>"))
    profile = Profile(upload_bytes=100_000)
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile) as server:
        limits = pyvo.dal.TAPService(server.url).get_tap_capability().uploadlimit
        assert (limits.hard.content, limits.hard.unit) == (100_000, "byte")
        answer = ask(server, SELECT_ALL, {"mine": long})
        assert answer.status_code == 400
        assert "more than 100000 bytes" in error_of(answer)
        assert ask(server, SELECT_ALL, {"mine": document(table())}).ok


def test_service_without_uploads_declares_none_and_says_so(sky_folder: Path) -> None:
    profile = Profile(upload_bytes=None)
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile) as server:
        assert not pyvo.dal.TAPService(server.url).upload_methods
        assert "UPLOAD is not supported" in error_of(ask(server, SELECT_ALL, {"mine": document(table())}))


@pytest.fixture(scope="module")
def redshifts(sky_rows: SkyRows) -> Table:
    """Positions near some primary objects of all tracts, and as many anywhere."""
    rng = np.random.default_rng(3)
    near = sky_rows.objects.loc[lambda rows: rows.detect_isPrimary].sample(300, random_state=1)
    shift = rng.normal(0, 0.5 / 3600, (2, len(near)))
    dec = np.concatenate([near.coord_dec + shift[1], rng.uniform(-37.5, -36, 300)])
    ra = np.concatenate([near.coord_ra + shift[0], rng.uniform(60, 63, 300)])
    return Table({"id": np.arange(600), "ra": ra, "dec": dec})


@pytest.fixture(scope="module")
def pairs(sky_rows: SkyRows, redshifts: Table) -> set[tuple[int, int]]:
    """The pairs within the radius, by astropy."""
    objects = sky_rows.objects.loc[lambda rows: rows.detect_isPrimary]
    sky, mine = (
        SkyCoord(np.asarray(ra, float), np.asarray(dec, float), unit="deg")
        for ra, dec in ((objects.coord_ra, objects.coord_dec), (redshifts["ra"], redshifts["dec"]))
    )
    first, second, _, _ = sky.search_around_sky(mine, RADIUS_ARCSEC * arcsec)
    return set(zip(redshifts["id"][first].tolist(), objects.objectId.to_numpy()[second].tolist(), strict=True))


@pytest.mark.parametrize(
    "condition",
    [
        "DISTANCE(POINT('ICRS', o.coord_ra, o.coord_dec), POINT('ICRS', t.ra, t.dec)) < {r}",
        "{r} >= DISTANCE(t.ra, t.dec, o.coord_ra, o.coord_dec)",
        "scisql_angSep(o.coord_ra, o.coord_dec, t.ra, t.dec) < {r}",
        "CONTAINS(POINT('ICRS', o.coord_ra, o.coord_dec), CIRCLE('ICRS', t.ra, t.dec, {r})) = 1",
        "scisql_s2PtInCircle(o.coord_ra, o.coord_dec, t.ra, t.dec, {r}) = 1",
    ],
)
def test_match_by_position_gives_the_pairs_that_astropy_finds(
    archive: ArchiveServer, redshifts: Table, pairs: set[tuple[int, int]], condition: str
) -> None:
    query = (
        "SELECT t.id, o.objectId FROM dp02_dc2_catalogs.Object AS o, TAP_UPLOAD.mine AS t "
        f"WHERE o.detect_isPrimary = 1 AND {condition.format(r=RADIUS_ARCSEC / 3600)}"
    )
    answer = ask(archive, query, {"mine": written(redshifts)})
    got = pd.read_csv(io.StringIO(answer.text))
    assert len(pairs) > 200
    assert set(got.itertuples(index=False, name=None)) == pairs
    assert len(got) == len(pairs)


def test_job_runs_on_the_tables_that_it_brought_and_keeps_none_of_them(
    archive: ArchiveServer, sky_folder: Path, redshifts: Table, pairs: set[tuple[int, int]]
) -> None:
    service = pyvo.dal.TAPService(archive.url)
    job = service.submit_job(PAIRS.format(radius=RADIUS_ARCSEC / 3600), uploads={"mine": redshifts})
    [kept] = sky_folder.glob(f"servers/*/jobs/{job.job_id}/uploads/mine")
    job.run()
    wait_for(job.url, "COMPLETED")
    assert len(pyvo.dal.AsyncTAPJob(job.url).fetch_result()) == len(pairs)
    assert not kept.exists()


def test_pending_job_has_its_tables_when_the_server_starts_again(tmp_path: Path) -> None:
    before = JobStore(tmp_path, execution_duration=60).create({"UPLOAD": "t,param:t"}, {"t": b"<VOTABLE/>"})
    again = JobStore(tmp_path, execution_duration=60)
    assert again.uploads(again.get(before.id)) == {"t": b"<VOTABLE/>"}


def test_table_posted_to_a_pending_job_counts(archive: ArchiveServer) -> None:
    created = requests.post(f"{archive.url}/async", data={"QUERY": SELECT_ALL, "FORMAT": "csv"}, timeout=30)
    files = {"part": ("part", document(table()))}
    sent = {"UPLOAD": "mine,param:part"}
    assert requests.post(f"{created.url}/parameters", data=sent, files=files, timeout=30).ok
    requests.post(f"{created.url}/phase", data={"PHASE": "RUN"}, timeout=30)
    wait_for(created.url, "COMPLETED")
    assert requests.get(f"{created.url}/results/result", timeout=30).text.split() == ['"a"', "1"]


@pytest.mark.parametrize(
    ("query", "tracts"),
    [
        (PAIRS.format(radius=0.0002), {"3637"}),
        (PAIRS.format(radius=0.0002).replace("detect_isPrimary = 1", "tract = 3638"), set()),
        ("SELECT o.objectId FROM dp02_dc2_catalogs.Object AS o JOIN TAP_UPLOAD.mine AS t USING (tract)", {"3638"}),
    ],
)
def test_match_makes_only_the_tracts_that_its_table_reaches(
    used_folder: Path, query: str, tracts: set[str]
) -> None:
    mine = Table({"id": [1], "ra": [61.5], "dec": [-38.0], "tract": [3638]})
    with ArchiveServer(used_folder, density=0.001, tracts=FIELD_TRACTS) as server:
        assert ask(server, query, {"mine": written(mine)}).ok
    assert {folder.name for folder in used_folder.glob("sky/*/*") if folder.is_dir()} == tracts
