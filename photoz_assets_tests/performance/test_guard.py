"""Guards on what does not depend on the machine's speed: memory against rows, and the number of queries."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import pyvo

from photoz_archive.service.server import ArchiveServer
from photoz_assets.lake.audit import MEMORY_LIMIT, audit
from photoz_assets.lake.staging import ROW_GROUP_ROWS
from photoz_assets.science.figures import figures_of
from photoz_assets.science.statistics import band_statistics, sample_summary
from photoz_assets.survey.checks import Scope, StatisticRule
from photoz_assets.survey.queries import Dialect, matched_galaxies_query
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import COLUMNS, DIAGNOSTICS, DP02, MATCHED_GALAXIES
from photoz_assets_tests.memory import within_memory
from photoz_assets_tests.samples import galaxies

TRACT = 3638
# Batches and the row group that is gathered are full at both; only what grows with the rows may differ.
FEW_COPIES, MANY_COPIES = 15, 75
# As Arrow columns, the rows between the two take some 70 MiB.
GROWTH_LIMIT_MIB = 35

_STAGE = """
import json, sys
from pathlib import Path

import pandas  # with the first array, Arrow would load it

from photoz_assets.science.photometry import with_magnitudes
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.releases.dp02 import RELEASE
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import stage
from photoz_assets.tap import votable

def memory(name):
    return int(Path("/proc/self/status").read_text().partition(name + ":")[2].split()[0]) / 1024

def chunks(path):
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk

document, folder, whole = sys.argv[1:]
before = memory("VmRSS")
spec = matched_galaxies_spec(RELEASE)
answered = votable.decode(chunks(document), spec.selected_schema)
batches = (with_magnitudes(batch, spec, RELEASE) for batch in answered)
if whole == "whole":
    batches = list(batches)
staged = stage(Lake(Path(folder)), spec, batches, lambda: Provenance(table="", code_version=""))
print(json.dumps({"rows": staged.rows, "mib": memory("VmHWM") - before}))
"""


@pytest.fixture(scope="module")
def answer(archive: ArchiveServer) -> bytes:
    """What the archive answers for a tract: a VOTable in BINARY2."""
    service = pyvo.dal.TAPService(archive.url)
    query = service.create_query(matched_galaxies_query(DP02, TRACT, Selection(), Dialect()), maxrec=100_000)
    return bytes(query.execute_stream().read())


def _repeated(answer: bytes, copies: int, path: Path) -> None:
    """Write the answer with its rows repeated three times so many."""
    match = re.fullmatch(rb"(.*<STREAM[^>]*>)(.*)(</STREAM>.*)", answer, re.DOTALL)
    assert match is not None
    head, body, tail = match.groups()
    # Base64 can be joined only where three bytes end.
    three = base64.b64encode(base64.b64decode(body) * 3)
    with path.open("wb") as file:
        file.write(head)
        file.writelines(three for _ in range(copies))
        file.write(tail)


def _peak_mib(answer: bytes, copies: int, folder: Path, *, whole: bool = False) -> float:
    """Stage a repeated answer in a process of its own; give its peak memory above the imports."""
    document = folder / f"{copies}.vot"
    _repeated(answer, copies, document)
    command = [sys.executable, "-c", _STAGE, str(document), str(folder), "whole" if whole else "batches"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["rows"] > copies * 3000
    return float(found["mib"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak memory in /proc")
def test_memory_of_staging_does_not_grow_with_the_rows(answer: bytes, tmp_path: Path) -> None:
    few, many = (_peak_mib(answer, copies, tmp_path) for copies in (FEW_COPIES, MANY_COPIES))
    assert many - few < GROWTH_LIMIT_MIB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak memory in /proc")
def test_reading_the_whole_result_into_memory_would_fail_the_guard(answer: bytes, tmp_path: Path) -> None:
    few, many = (_peak_mib(answer, copies, tmp_path, whole=True) for copies in (FEW_COPIES, MANY_COPIES))
    assert many - few > GROWTH_LIMIT_MIB


def test_audit_asks_one_pass_over_the_rows_one_for_the_keys_and_one_a_rule_of_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    sql = duckdb.DuckDBPyConnection.sql

    def counted(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
        asked.append(query)
        return sql(connection, query)

    monkeypatch.setattr(duckdb.DuckDBPyConnection, "sql", counted)
    path = tmp_path / "tract.parquet"
    pq.write_table(galaxies(500), path)
    rules = MATCHED_GALAXIES.rules(Scope(Selection(), TRACT))
    verdicts = audit(path, rules, spill=tmp_path / "spill")
    assert all(verdict.passed for verdict in verdicts)
    assert sum("FROM staged" in query for query in asked) == 2 + sum(
        isinstance(rule, StatisticRule) for rule in rules
    )


@pytest.fixture(scope="module")
def many_galaxies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 1,200,000 galaxies, each with keys of its own."""
    path = tmp_path_factory.mktemp("many") / "tract.parquet"
    keys = "mt_match_objectId + 1000000 * copy AS mt_match_objectId, mt_id_truth_type || copy AS mt_id_truth_type"
    table = galaxies(20_000)
    connection = duckdb.connect()
    connection.register("once", table)
    rows = connection.sql(f"SELECT * EXCLUDE copy REPLACE ({keys}) FROM once, range(60) AS copies(copy)")
    rows.write_parquet(str(path), row_group_size=ROW_GROUP_ROWS)
    return path


def test_audit_of_many_rows_keeps_its_memory_limit(many_galaxies: Path, tmp_path: Path) -> None:
    # More values of the statistics than the limit holds, which DuckDB enforces by an error.
    assert MEMORY_LIMIT == "128MB"
    rows = pq.read_metadata(many_galaxies).num_rows
    rules = MATCHED_GALAXIES.rules(Scope(Selection(), TRACT))
    assert 8 * rows * sum(len(rule.expressions) for rule in rules if isinstance(rule, StatisticRule)) > 95e6
    verdicts = audit(many_galaxies, rules, spill=tmp_path / "spill")
    assert [verdict.check for verdict in verdicts if not verdict.passed] == []


def test_statistics_and_counts_of_many_rows_hold_one_quantity_at_a_time(many_galaxies: Path) -> None:
    connection = duckdb.connect(config={"memory_limit": "64MB", "temp_directory": ""})
    rows = connection.read_parquet(str(many_galaxies))
    one_quantity = 8 * pq.read_metadata(many_galaxies).num_rows
    with within_memory(one_quantity + 20_000_000):
        summary = sample_summary(rows, COLUMNS)
        found = band_statistics(rows, summary, DIAGNOSTICS, COLUMNS)
        for figure in figures_of(COLUMNS).values():
            figure.count(rows)
    assert found.column("num_galaxies").to_pylist() == [summary.num_galaxies] * 6 == [1_200_000] * 6
