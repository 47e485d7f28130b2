"""TAP_SCHEMA is Rubin's own, and says that what it describes is simulated."""

import csv
import hashlib
import sys
from collections import Counter
from importlib.resources import files
from typing import Any

import astropy.units as u
import pyarrow as pa
import pytest
import pyvo
import requests
import yaml
from defusedxml import ElementTree

from photoz_archive.service.fields import PRIMITIVES
from photoz_archive.service.schema import ArchiveSchema
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.columns import COADD_PATCHES, MATCHES_TRUTH, OBJECT, PRIMARY_OBJECT, TRUTH_SUMMARY

# Lakes are told apart by these descriptions: with others, every lake of the embedded archive would be foreign.
DESCRIPTIONS = "2a0b68e917688196"


def published(name: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a schema as its file has them."""
    text = (files("lsst.sdm.schemas") / f"{name}.yaml").read_text(encoding="utf-8")
    return {table["name"]: table for table in yaml.load(text, Loader=yaml.CSafeLoader)["tables"]}


@pytest.mark.parametrize(
    ("file", "name", "elsewhere", "added"),
    [
        ("dp02_dc2", "dp02_dc2_catalogs", {"ObsCore"}, set()),
        # ObsCore as its standard has it.
        ("dp02_obscore", "ivoa", set(), {"access_estsize", "pol_states"}),
        ("dp1", "dp1", set(), set()),
    ],
)
def test_tables_and_columns_are_those_that_rubin_publishes(
    schema: ArchiveSchema, file: str, name: str, elsewhere: set[str], added: set[str]
) -> None:
    official = published(file)
    listed = {table.name: table for table in schema.catalog.tables if table.schema == name}
    assert set(listed) == set(official) - elsewhere
    for table in listed.values():
        columns = official[table.name]["columns"]
        held = OBJECT if name == "dp02_dc2_catalogs" else PRIMARY_OBJECT
        kept = [c for c in columns if table.name != "Object" or c["name"] in held.names]
        assert (table.description, table.table_index) == (
            official[table.name]["description"],
            official[table.name]["tap:table_index"],
        )
        assert added <= {c.name for c in table.columns}
        published_columns = [c for c in table.columns if c.name not in added]
        assert [
            (c.name, c.description, c.unit, c.ucd, c.column_index, c.principal) for c in published_columns
        ] == [
            (
                column["name"],
                column.get("description") or None,
                column.get("ivoa:unit") or column.get("fits:tunit"),
                column.get("ivoa:ucd"),
                column.get("tap:column_index"),
                column.get("tap:principal", 0),
            )
            for column in kept
        ]


def test_listing_has_the_tables_that_rubins_service_lists(schema: ArchiveSchema) -> None:
    counted = Counter(table.schema for table in schema.catalog.tables)
    others = {"ivoa": 1, "tap_schema": 5, "dp01_dc2_catalogs": 5, "uws": 1}
    assert counted == {"dp02_dc2_catalogs": 11, "dp1": 12, "dp2": 16, **others}
    assert sum(len(table.columns) for table in schema.catalog.tables) == 2254


def test_descriptions_by_which_lakes_know_their_archive_have_not_changed(schema: ArchiveSchema) -> None:
    later = {"dp1", "dp2"}
    described = sorted((t.qualified_name, t.description) for t in schema.catalog.tables if t.schema not in later)
    assert hashlib.sha256(repr(described).encode()).hexdigest()[:16] == DESCRIPTIONS


def test_server_has_not_loaded_the_library_that_reads_the_official_schemas(archive: ArchiveServer) -> None:
    assert requests.get(f"{archive.url}/tables", timeout=30).ok
    assert "felis" not in sys.modules


@pytest.mark.parametrize(
    ("table", "stored"),
    [
        ("Object", OBJECT),
        ("TruthSummary", TRUTH_SUMMARY),
        ("MatchesTruth", MATCHES_TRUTH),
        ("CoaddPatches", COADD_PATCHES),
    ],
)
def test_described_columns_are_those_that_the_sky_has(
    schema: ArchiveSchema, table: str, stored: pa.Schema
) -> None:
    facts = schema.catalog.find("dp02_dc2_catalogs", table)
    assert facts is not None
    assert {c.name: PRIMITIVES[c.datatype].arrow for c in facts.columns} == {f.name: f.type for f in stored}


def test_every_unit_is_one_that_astropy_knows(schema: ArchiveSchema) -> None:
    units = {column.unit for table in schema.catalog.tables for column in table.columns if column.unit}
    # So the official schema has it, of forces in DP2's table of orbits.
    for unit in units - {"m2.t-1"}:
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


def test_every_listed_table_can_be_queried(archive: ArchiveServer, tap: pyvo.dal.TAPService) -> None:
    listed: dict[str, list[str]] = {}
    found = tap.search("SELECT table_name, column_name FROM tap_schema.columns")
    for table, column in zip(found["table_name"], found["column_name"], strict=True):
        listed.setdefault(table, []).append(column.strip('"'))
    assert len(listed) == 51
    for table, columns in listed.items():
        query = {"LANG": "ADQL", "QUERY": f"SELECT TOP 1 * FROM {table}", "FORMAT": "csv"}
        response = requests.get(f"{archive.url}/sync", params=query, timeout=30)
        assert response.ok, response.text
        [header, *_] = csv.reader(response.text.splitlines())
        assert sorted(header) == sorted(columns)


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
