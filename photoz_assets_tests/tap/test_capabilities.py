from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings

from photoz_assets.tap.capabilities import Capabilities, parse_capabilities
from photoz_assets.tap.errors import ArchiveError, Protocol
from photoz_assets_tests.tap.documents import error_document, mutated
from photoz_assets_tests.tap.uws import PLAIN_LIMITS, RUBIN_LIMITS, capabilities

INPUTS: Final = Path(__file__).parent / "inputs"


def test_capabilities_of_rubin_offer_the_box_and_no_row_limit() -> None:
    body = capabilities(
        functions=("scisql_s2PtInBox(ra DOUBLE, ...) -> INTEGER", "scisql_angSep(a DOUBLE) -> DOUBLE"),
        formats=("application/x-votable+xml", "application/vnd.apache.parquet"),
        limits=RUBIN_LIMITS,
    )
    found = parse_capabilities(body)
    assert found.has_box
    assert found.functions == {"scisql_s2ptinbox", "scisql_angsep"}
    assert (found.default_rows, found.most_rows) == (None, None)
    assert found.response_format is None
    assert found.parquet_format == "application/vnd.apache.parquet"


def test_capabilities_of_a_plain_service_offer_binary2_by_its_name() -> None:
    format_name = "application/x-votable+xml;serialization=BINARY2"
    found = parse_capabilities(capabilities(formats=("text/csv", format_name), limits=PLAIN_LIMITS))
    assert not found.has_box
    assert (found.default_rows, found.most_rows) == (2000, 16_000_000)
    assert found.response_format == format_name
    assert found.parquet_format is None


def output(ivo_id: str, *names: str) -> str:
    mime, *aliases = names
    more = "".join(f"<alias>{alias}</alias>" for alias in aliases)
    return f'<outputFormat ivo-id="ivo://ivoa.net/std/{ivo_id}"><mime>{mime}</mime>{more}</outputFormat>'


def offering(*outputs: str) -> Capabilities:
    body = capabilities(formats=("x",)).decode()
    return parse_capabilities(
        body.replace("<outputFormat><mime>x</mime></outputFormat>", "".join(outputs)).encode()
    )


VOTABLE: Final = "application/x-votable+xml"


@pytest.mark.parametrize(
    ("name", "is_binary2"),
    [
        (f"{VOTABLE};serialization=binary2", True),
        (f"{VOTABLE}; serialization=BINARY2", True),
        (f"{VOTABLE};version=1.4;serialization=BINARY2", True),
        ('Application/X-VOTable+XML ; Serialization="Binary2" ; charset=utf-8', True),
        ("text/xml;serialization=BINARY2", True),
        ("votable/b2", True),
        ("VOTable/B2", True),
        ("votable-binary2", True),
        ("votable/b3", False),
        (VOTABLE, False),
        (f"{VOTABLE};content=serialization=BINARY2", False),
        (f"{VOTABLE};serialization=BINARY22", False),
        ("text/csv;serialization=BINARY2", False),
        ("text/csv", False),
    ],
)
def test_capabilities_know_binary2_by_the_parameters_of_its_name(name: str, is_binary2: bool) -> None:  # noqa: FBT001  (pytest's way)
    found = parse_capabilities(capabilities(formats=("text/csv", name)))
    assert found.response_format == (name if is_binary2 else None)


@pytest.mark.parametrize("ivo_id", ["TAPRegExt#output-votable-binary2", "TAPREGEXT#Output-VOTable-Binary2"])
@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("votable/odd",), "votable/odd"),
        ((VOTABLE, "votable/b2"), "votable/b2"),
        ((VOTABLE, "mine"), "mine"),
        ((f"{VOTABLE};serialization=BINARY2", "votable/b2"), f"{VOTABLE};serialization=BINARY2"),
    ],
)
def test_capabilities_of_binary2_by_its_identifier_are_asked_for_by_a_name_of_its_own(
    ivo_id: str, names: tuple[str, ...], asked: str
) -> None:
    default = output("TAPRegExt#output-votable-td", VOTABLE, "votable")
    assert offering(default, output(ivo_id, *names)).response_format == asked


@pytest.mark.parametrize(
    "name", ["application/vnd.apache.parquet", "Application/Parquet;version=2", "application/x-parquet", "Parquet"]
)
def test_capabilities_know_parquet_in_any_spelling(name: str) -> None:
    assert parse_capabilities(capabilities(formats=(VOTABLE, name))).parquet_format == name


TABLEDATA: Final = output("TAPRegExt#output-votable-td", f"{VOTABLE};serialization=TABLEDATA", "votable/td")
BINARY: Final = output("TAPRegExt#output-votable-binary", f"{VOTABLE};serialization=BINARY", "votable/b")
BINARY2: Final = output("TAPRegExt#output-votable-binary2", f"{VOTABLE};serialization=BINARY2", "votable/b2")
PLAIN: Final = f"<outputFormat><mime>{VOTABLE}</mime></outputFormat>"
PARQUET: Final = "<outputFormat><mime>application/vnd.apache.parquet</mime></outputFormat>"
CSV: Final = "<outputFormat><mime>text/csv</mime></outputFormat>"


@pytest.mark.parametrize(
    ("outputs", "asked"),
    [
        ((PARQUET, CSV, TABLEDATA, BINARY, BINARY2), f"{VOTABLE};serialization=BINARY2"),
        ((PARQUET, CSV, TABLEDATA, BINARY), f"{VOTABLE};serialization=BINARY"),
        ((PARQUET, CSV, TABLEDATA), f"{VOTABLE};serialization=TABLEDATA"),
        ((PLAIN, TABLEDATA), f"{VOTABLE};serialization=TABLEDATA"),
        ((PARQUET, CSV, PLAIN), None),
        ((CSV, PARQUET), "application/vnd.apache.parquet"),
        ((CSV,), None),
        ((), None),
        ((output("TAPRegExt#output-votable-td", "text/xml"),), "text/xml"),
    ],
)
def test_capabilities_tell_the_best_format_that_the_service_has(
    outputs: tuple[str, ...], asked: str | None
) -> None:
    assert offering(*outputs).response_format == asked


LIMIT: Final = "<outputLimit><default {}>{}</default><hard {}>{}</hard></outputLimit>"


@pytest.mark.parametrize(
    ("limits", "rows"),
    [
        (LIMIT.format('unit="row"', "2000", 'unit="row"', "unlimited"), (2000, None)),
        (LIMIT.format('unit="ROW"', " 2000\n", 'unit="row"', "${tap.hard}"), (2000, None)),
        (LIMIT.format("", "2000", 'unit="byte"', "7"), (None, None)),
        (LIMIT.format('unit="row"', "many", 'unit="row"', "-1"), (None, None)),
        (LIMIT.format('unit="row"', "0", 'unit="row"', "9" * 5000), (None, None)),
        ('<x:outputLimit xmlns:x="urn:mine"><x:default unit="row">5</x:default></x:outputLimit>', (None, None)),
        ("<outputLimit/>", (None, None)),
        ("<executionDuration><default unit='row'>600</default></executionDuration>", (None, None)),
        ("<uploadLimit><hard unit='row'>5</hard></uploadLimit>" + PLAIN_LIMITS, (2000, 16_000_000)),
    ],
)
def test_capabilities_have_the_row_limits_that_are_numbers_of_rows(
    limits: str, rows: tuple[int | None, int | None]
) -> None:
    found = parse_capabilities(capabilities(limits=limits))
    assert (found.default_rows, found.most_rows) == rows


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b' xsi:type="tr:TableAccess"', b""),
        (b' xsi:type="vs:ParamHTTP" role="std"', b' xsi:type="nothing"'),
        (b' standardID="ivo://ivoa.net/std/TAP"', b""),
        (b'"ivo://ivoa.net/std/TAP"', b'"IVO://ivoa.net/std/tap#aux"'),
        (b' ivo-id="ivo://ivoa.net/std/ADQL#v2.0"', b""),
        (b'<version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version>', b""),
        (b"<language>", b"<executionDuration><hard>${no.limit}</hard></executionDuration><language>"),
        (b"<language>", b'<m:more xmlns:m="urn:mine"><m:mime>votable/b2</m:mime></m:more><language>'),
        (b"<outputFormat>", b"<outputFormat/><outputFormat><mime/></outputFormat><outputFormat>"),
        (b"<capability ", b'<capability/><capability standardID="ivo://ivoa.net/std/VOSI#tables"/><capability '),
        (b"std/TAPRegExt#features-udf", b"std/tapregext#FEATURES-UDF"),
    ],
)
def test_capabilities_that_are_odd_where_nothing_is_used_are_read(old: bytes, new: bytes) -> None:
    body = capabilities(functions=("f(a DOUBLE) -> DOUBLE",), formats=("votable/b2",), limits=PLAIN_LIMITS)
    assert old in body
    found = parse_capabilities(body.replace(old, new))
    assert (found.functions, found.response_format) == (frozenset({"f"}), "votable/b2")
    assert (found.default_rows, found.most_rows) == (2000, 16_000_000)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("without_type", None),
        ("placeholder", None),
        ("unlimited", None),
        ("binary2_by_alias", f"{VOTABLE};version=1.4;serialization=BINARY2"),
    ],
)
def test_capabilities_of_a_service_are_read(name: str, asked: str | None) -> None:
    found = parse_capabilities((INPUTS / f"capabilities_{name}.xml").read_bytes())
    assert found.response_format == asked
    assert (found.default_rows, found.most_rows) == (2000 if name == "unlimited" else None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>404</html>",
        b"<capabilities/>",
        error_document("no"),
        capabilities().replace(b"ivo://ivoa.net/std/TAP", b"ivo://ivoa.net/std/SIA"),
        capabilities().replace(b'"ivo://ivoa.net/std/TAP"', b'""').replace(b"tr:TableAccess", b"vs:Other"),
        b'<!DOCTYPE c [<!ENTITY a "b">]>' + capabilities(),
    ],
)
def test_capabilities_that_are_none_are_refused(body: bytes) -> None:
    with pytest.raises(Protocol):
        parse_capabilities(body)


@settings(max_examples=300, deadline=None)
@given(body=mutated(capabilities(functions=("f(x) -> y",), limits=PLAIN_LIMITS)))
def test_capabilities_however_damaged_raise_nothing_but_our_errors(body: bytes) -> None:
    with suppress(ArchiveError):
        parse_capabilities(body)
