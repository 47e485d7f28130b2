"""Documents of forms that services send, made by hand, each with what is right (``inputs/expected.json``)."""

import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from photoz_assets.tap.capabilities import parse_capabilities
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.documents import parse_job
from photoz_assets.tap.errors import ArchiveError, Protocol, Truncated
from photoz_assets_tests.tap.faulty_server import Answer, Clock, FaultyServer
from photoz_assets_tests.tap.uws import capabilities

INPUTS: Final = Path(__file__).parent / "inputs"
EXPECTED: Final[dict[str, Any]] = json.loads((INPUTS / "expected.json").read_text())
RESULTS: Final = {name: each for name, each in EXPECTED.items() if isinstance(each["right"], dict)}
TYPES: Final = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


def queried(name: str, server: FaultyServer) -> pa.Table:
    """Answer a query with an input, and read it as the client does."""
    server.answer("GET", "/tap/capabilities", Answer(body=capabilities()))
    server.answer("POST", "/tap/sync", Answer(body=(INPUTS / name).read_bytes()))
    schema = pa.schema([(column, TYPES[kind]) for column, kind in EXPECTED[name]["asked"].items()])
    clock = Clock()
    batches = TapClient(f"{server.base}/tap", clock=clock, sleep=clock.sleep).query("SELECT 1", schema)
    return pa.Table.from_batches(list(batches), schema=schema)


@pytest.mark.parametrize("name", RESULTS)
def test_result_is_read_as_it_is_meant(name: str, server: FaultyServer) -> None:
    assert queried(name, server).to_pydict() == RESULTS[name]["right"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("error_inside_result.vot", ArchiveError, "column type mismatch in table x"),
        ("rows_fewer_than_nrows.vot", Truncated, r"1 row came, the table announces 7 \(nrows\)"),
        ("double_sign.vot", Protocol, r"'\+-5' is no number"),
    ],
)
def test_result_that_is_none_is_refused(
    name: str, error: type[ArchiveError], words: str, server: FaultyServer
) -> None:
    with pytest.raises(error, match=words):
        queried(name, server)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.startswith("job_")])
def test_link_to_a_result_is_followed(name: str) -> None:
    body = (INPUTS / name).read_bytes()
    assert parse_job(body, url="http://127.0.0.1:1/tap/async/21").result_url == EXPECTED[name]["right"]


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.startswith("capabilities_")])
def test_capabilities_tell_what_to_ask_for(name: str) -> None:
    assert parse_capabilities((INPUTS / name).read_bytes()).response_format == EXPECTED[name]["right"]


def test_every_input_is_tried() -> None:
    assert {path.name for path in INPUTS.iterdir()} == {*EXPECTED, "expected.json"}
    tried = [*RESULTS, "error_inside_result.vot", "rows_fewer_than_nrows.vot", "double_sign.vot"]
    tried += [name for name in EXPECTED if name.startswith(("job_", "capabilities_"))]
    assert sorted(tried) == sorted(EXPECTED)
