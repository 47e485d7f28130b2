"""The packaged schema has not drifted from the official one."""

import json
from importlib import resources
from typing import Any

import pyarrow as pa
import pytest
import yaml

from photoz_assets.embedded_archive.sky import columns as sky_columns

ARROW_TYPES = {
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "char",
}
TABLES = ("Object", "TruthSummary", "MatchesTruth", "CoaddPatches")


@pytest.fixture(scope="module")
def official() -> dict[str, dict[str, Any]]:
    text = (resources.files("lsst.sdm.schemas") / "dp02_dc2.yaml").read_text()
    return {
        table["name"]: {
            "description": table["description"],
            "columns": {col["name"]: col for col in table["columns"]},
        }
        for table in yaml.load(text, Loader=yaml.CSafeLoader)["tables"]
    }


@pytest.fixture(scope="module")
def packaged() -> dict[str, dict[str, Any]]:
    extract = json.loads((resources.files("photoz_assets.data") / "dp02_dc2_schema.json").read_text())
    [schema] = [schema for schema in extract["schemas"] if schema["name"] == "dp02_dc2_catalogs"]
    return {
        table["name"]: {
            "description": table["description"],
            "columns": {
                column["name"]: column
                for column in (dict(zip(extract["column_fields"], row, strict=False)) for row in table["columns"])
            },
        }
        for table in schema["tables"]
    }


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_those_of_the_official_schema(
    table: str, official: dict[str, dict[str, Any]], packaged: dict[str, dict[str, Any]]
) -> None:
    assert packaged[table]["description"] == official[table]["description"]
    for name, column in packaged[table]["columns"].items():
        expected = official[table]["columns"][name]
        assert column["datatype"] == {"string": "char", "text": "char"}.get(
            expected["datatype"], expected["datatype"]
        )
        assert (column["ucd"] or None) == expected.get("ivoa:ucd")
        assert (column["unit"] or None) == (expected.get("ivoa:unit") or expected.get("fits:tunit"))
        assert column["description"] == expected.get("description")


def test_every_column_of_the_sky_is_of_the_official_type(official: dict[str, dict[str, Any]]) -> None:
    for table, schema in (
        ("Object", sky_columns.OBJECT),
        ("TruthSummary", sky_columns.TRUTH_SUMMARY),
        ("MatchesTruth", sky_columns.MATCHES_TRUTH),
    ):
        for field in schema:
            expected = official[table]["columns"][field.name]["datatype"]
            assert ARROW_TYPES[field.type] == {"string": "char", "text": "char"}.get(expected, expected), (
                field.name
            )


def test_truth_and_match_tables_are_whole(official: dict[str, dict[str, Any]]) -> None:
    assert set(sky_columns.TRUTH_SUMMARY.names) == set(official["TruthSummary"]["columns"])
    assert set(sky_columns.MATCHES_TRUTH.names) == set(official["MatchesTruth"]["columns"])
