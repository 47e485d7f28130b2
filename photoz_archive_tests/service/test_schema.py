"""TAP_SCHEMA is Rubin's own, and says that what it describes is simulated."""

from dataclasses import replace
from importlib.resources import files

import astropy.units as u
import pyarrow as pa
import pytest
import pyvo
import requests
from defusedxml import ElementTree
from felis.datamodel import Column, Schema

from photoz_archive.adql.catalog import ColumnFacts
from photoz_archive.service.fields import PRIMITIVES
from photoz_archive.service.schema import load_schema
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.columns import COADD_PATCHES, MATCHES_TRUTH, OBJECT, TRUTH_SUMMARY

SCHEMA = load_schema("simulated")
OFFICIAL = [
    (files("lsst.sdm.schemas") / "dp02_dc2.yaml", "dp02_dc2_catalogs", {"ObsCore"}),
    (files("lsst.sdm.schemas") / "dp02_obscore.yaml", "ivoa", set()),
    (files("felis") / "config/tap_schema/tap_schema_std.yaml", "tap_schema", set()),
]
# How VOTable calls the types that felis names otherwise.
CHARACTERS = {"string": "char", "text": "char", "timestamp": "char"}


def facts_of(column: Column) -> ColumnFacts:
    """Return what the official schema says of a column."""
    datatype = CHARACTERS.get(column.datatype.value, column.datatype.value)
    arraysize = str(column.votable_arraysize) if column.votable_arraysize else None
    return ColumnFacts(
        name=column.name,
        datatype=datatype,
        arraysize=arraysize or ("*" if column.datatype.value in CHARACTERS else None),
        xtype=column.votable_xtype or ("timestamp" if column.datatype.value == "timestamp" else None),
        unit=column.ivoa_unit or column.fits_tunit or None,
        ucd=column.ivoa_ucd or None,
        utype=column.votable_utype or None,
        principal=int(bool(column.tap_principal)),
        std=int(bool(column.tap_std)),
        column_index=column.tap_column_index,
        description=column.description or None,
    )


@pytest.mark.parametrize(("path", "name", "elsewhere"), OFFICIAL, ids=[name for _, name, _ in OFFICIAL])
def test_packaged_schema_has_not_drifted_from_the_official_one(path: str, name: str, elsewhere: set[str]) -> None:
    official = Schema.from_uri(str(path), context={"id_generation": True})
    ours = {table.name: table for table in SCHEMA.catalog.tables if table.schema == name}
    theirs = {table.name: table for table in official.tables if table.name not in elsewhere}
    assert set(ours) == set(theirs)
    for table_name, table in theirs.items():
        assert ours[table_name].description == table.description
        columns = {column.name: facts_of(column) for column in table.columns}
        if name == "tap_schema":
            # The standard has all of them; the official file forgets to say so of some.
            columns = {column: replace(facts, std=1) for column, facts in columns.items()}
        assert {c.name: replace(c, indexed=0) for c in ours[table_name].columns}.items() <= columns.items()
        if table_name != "Object":
            assert len(columns) == len(ours[table_name].columns)


@pytest.mark.parametrize(
    ("table", "stored"),
    [
        ("Object", OBJECT),
        ("TruthSummary", TRUTH_SUMMARY),
        ("MatchesTruth", MATCHES_TRUTH),
        ("CoaddPatches", COADD_PATCHES),
    ],
)
def test_described_columns_are_those_that_the_sky_has(table: str, stored: pa.Schema) -> None:
    facts = SCHEMA.catalog.find("dp02_dc2_catalogs", table)
    assert facts is not None
    assert {c.name: PRIMITIVES[c.datatype].arrow for c in facts.columns} == {f.name: f.type for f in stored}


def test_every_unit_is_one_that_astropy_knows() -> None:
    units = {column.unit for table in SCHEMA.catalog.tables for column in table.columns if column.unit}
    for unit in units:
        u.Unit(unit, format="vounit")


def test_schema_says_that_it_is_simulated_and_which_sky_it_is(tap: pyvo.dal.TAPService) -> None:
    query = "SELECT description FROM tap_schema.schemas WHERE schema_name = 'dp02_dc2_catalogs'"
    (description,) = tap.search(query)["description"]
    assert description.startswith("Embedded archive, simulated: a DC2-like sky (density 0.004, seed 1, version ")


def test_tap_schema_describes_itself(tap: pyvo.dal.TAPService) -> None:
    listed = tap.search(
        "SELECT table_name, column_name FROM tap_schema.columns WHERE table_name LIKE 'tap_schema.%'"
    )
    described: dict[str, set[str]] = {}
    for table, column in zip(listed["table_name"], listed["column_name"], strict=True):
        described.setdefault(table, set()).add(column)
    assert len(described) == 5
    for table, columns in described.items():
        # As a query has to write it: one of them is a word of ADQL.
        named = ", ".join(sorted(columns))
        assert {f.name for f in tap.search(f"SELECT TOP 1 {named} FROM {table}").fielddescs} == {
            column.strip('"') for column in columns
        }


def test_every_listed_table_can_be_queried(tap: pyvo.dal.TAPService) -> None:
    for table in tap.search("SELECT table_name FROM tap_schema.tables")["table_name"]:
        columns = tap.search(f"SELECT column_name FROM tap_schema.columns WHERE table_name = '{table}'")[
            "column_name"
        ]
        found = tap.search(f"SELECT TOP 1 * FROM {table}")
        assert sorted(f.name for f in found.fielddescs) == sorted(column.strip('"') for column in columns)


def test_vosi_tables_list_what_tap_schema_lists(archive: ArchiveServer, tap: pyvo.dal.TAPService) -> None:
    found = tap.search("SELECT table_name, column_name FROM tap_schema.columns")
    pairs = set(zip(found["table_name"], found["column_name"], strict=True))
    document = ElementTree.fromstring(requests.get(f"{archive.url}/tables", timeout=30).content)
    listed = {
        (table.findtext("name"), str(column.findtext("name")))
        for table in document.iter("table")
        for column in table.iter("column")
    }
    assert listed == pairs
    one = ElementTree.fromstring(
        requests.get(f"{archive.url}/tables/dp02_dc2_catalogs.MatchesTruth", timeout=30).content
    )
    assert len(list(one.iter("column"))) == 8
    assert requests.get(f"{archive.url}/tables/nowhere.Nothing", timeout=30).status_code == 404


def test_examples_are_queries_that_run(tap: pyvo.dal.TAPService) -> None:
    examples = tap.examples
    assert len(examples) >= 4
    for example in examples:
        assert len(example.execute()) > 0
