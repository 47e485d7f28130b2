"""``photoz query``: what it reads, what it refuses, and the rows in each format."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from photoz_assets.commands.cli import main
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.effort import effort
from photoz_assets_tests.samples import galaxies

PHOTOZ = Path(sys.executable).with_name("photoz")
FULL_TRACT_ROWS = 370_000
MIB = 1 << 20
# Says how much memory the command took at most, in KiB.
MEASURED = """
import resource, sys
from photoz_assets.commands.cli import main
main(sys.argv[1:], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.fixture(autouse=True)
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake with two tracts, and a current folder without ``.env``."""
    monkeypatch.chdir(tmp_path)
    lake = Lake(tmp_path / "lake")
    for tract in (3637, 3638):
        _publish(lake, tract, [galaxies(20, tract=tract)])
    return lake


def _publish(lake: Lake, tract: int, batches: list[pa.RecordBatch]) -> None:
    provenance = Provenance(
        table="matched_galaxies",
        code_version="1",
        tract=tract,
        selection=Selection(),
        created="2026-11-24T07:00:00.000+00:00",
    )
    publish(lake, stage(lake, MATCHED_GALAXIES, batches, partial(replace, provenance)))


def _query(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["query", *arguments])


def _refused(*arguments: str) -> str:
    refused = _query(*arguments)
    assert refused.exit_code == 1
    [line] = refused.output.strip().splitlines()
    return line


def test_query_prints_a_table_csv_or_json() -> None:
    ask = partial(_query, "SELECT tract, count(*) AS num FROM matched_galaxies GROUP BY ALL ORDER BY ALL")
    assert "3637" in ask().output
    assert ask("--format", "csv").output == "tract,num\n3637,20\n3638,20\n"
    assert json.loads(ask("--format", "json").output) == [
        {"tract": 3637, "num": 20},
        {"tract": 3638, "num": 20},
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "DESCRIBE matched_galaxies",
        "SHOW TABLES",
        "SUMMARIZE SELECT tract FROM matched_galaxies",
        "WITH few AS (FROM matched_galaxies LIMIT 3) SELECT tract FROM few",
        "VALUES ('tract')",
        "/* a comment */ SELECT tract FROM matched_galaxies;",
    ],
)
def test_every_statement_that_reads_is_answered(sql: str) -> None:
    answered = _query(sql, "--format", "csv")
    assert answered.exit_code == 0, answered.output
    assert re.search("tract|matched_galaxies", answered.output)


def test_columns_that_share_a_name_are_all_there() -> None:
    ask = partial(_query, "SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS b", "--format")
    assert ask("csv").output == "a,a,a_2,b\n1,2,3,4\n"
    named = [{"a": 1, "a_3": 2, "a_2": 3, "b": 4}]
    assert json.loads(ask("json").output) == named
    assert pq.read_table(pa.BufferReader(ask("parquet").stdout_bytes)).to_pylist() == named
    assert pa.ipc.open_file(ask("arrow").stdout_bytes).read_all().to_pylist() == named


def test_json_has_null_where_it_knows_no_number() -> None:
    sql = """
        SELECT 'inf'::DOUBLE AS a, ['-inf'::FLOAT, 1] AS b, {'c': 'nan'::DOUBLE} AS c,
            DATE '2026-11-24' AS d, 0.5 AS e
        UNION ALL SELECT 1, NULL, NULL, NULL, NULL ORDER BY a DESC
    """

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    assert json.loads(_query(sql, "--format", "json").output, parse_constant=refuse) == [
        {"a": None, "b": [None, 1.0], "c": {"c": None}, "d": "2026-11-24", "e": "0.5"},
        {"a": 1.0, "b": None, "c": None, "d": None, "e": None},
    ]


@pytest.mark.parametrize(("layout", "rows"), [("json", []), ("csv", "a\n")])
def test_answer_without_rows_is_whole(layout: str, rows: Any) -> None:
    said = _query("SELECT 1 AS a WHERE false", "--format", layout).output
    assert (json.loads(said) if layout == "json" else said) == rows


@pytest.mark.parametrize("layout", ["csv", "json", "parquet", "arrow"])
def test_rows_in_a_file_are_those_of_the_lake(lake: Lake, layout: str, tmp_path: Path) -> None:
    columns = "mt_id_truth_type, ts_redshift, tract"
    asked = f"SELECT {columns} FROM matched_galaxies ORDER BY ALL"
    file = tmp_path / "rows"
    assert _query(asked, "--format", layout, "--output", str(file)).exit_code == 0
    if layout == "arrow":
        rows = pa.ipc.open_file(file.read_bytes()).read_all()
        found = duckdb.from_arrow(rows).fetchall()
    else:
        found = duckdb.execute(f"FROM read_{layout}('{file}')").fetchall()
    pattern = lake.root / "matched_galaxies" / "*" / "*.parquet"
    assert len(found) == 40
    assert found == duckdb.execute(f"SELECT {columns} FROM '{pattern}' ORDER BY ALL").fetchall()
    assert {path.name for path in tmp_path.iterdir()} == {"lake", "rows"}


def test_arrow_in_a_pipe_is_a_stream(tmp_path: Path) -> None:
    written = subprocess.run(
        [str(PHOTOZ), "query", "SELECT tract FROM matched_galaxies", "--format", "arrow"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert pa.ipc.open_stream(written.stdout).read_all().num_rows == 40


def test_query_that_fails_leaves_a_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text("former")
    _refused(
        "SELECT CAST(mt_id_truth_type AS DATE) FROM matched_galaxies", "--format", "csv", "--output", str(file)
    )
    assert file.read_text() == "former"
    assert {path.name for path in tmp_path.iterdir()} == {"lake", "rows"}


def test_rows_that_a_format_cannot_hold_are_refused_in_one_line(tmp_path: Path) -> None:
    asked = [str(PHOTOZ), "query", "SELECT INTERVAL 1 DAY AS i", "--format", "parquet"]
    refused = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert "parquet" in line


def test_reader_that_has_seen_enough_ends_the_query_quietly(tmp_path: Path) -> None:
    asked = [str(PHOTOZ), "query", "SELECT * FROM range(1000000)", "--format", "csv"]
    with subprocess.Popen(asked, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as query:
        assert query.stdout is not None
        assert query.stderr is not None
        query.stdout.read(10)
        query.stdout.close()
        assert query.stderr.read() == b""


def test_query_that_fails_says_why_in_one_line_and_exits_with_1() -> None:
    line = _refused("SELECT * FROM galaxies")
    assert "galaxies does not exist" in line
    assert "the lake holds matched_galaxies" in line


def test_query_names_a_damaged_file_in_one_line_and_reads_the_others(lake: Lake) -> None:
    damaged = lake.table("matched_galaxies", 3637)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    answered = _query("SELECT 1 AS a", "--format", "csv")
    assert (answered.exit_code, answered.stdout) == (0, "a\n1\n")
    [line] = answered.stderr.splitlines()
    assert line.startswith("Warning: matched_galaxies has no view: ")
    assert str(damaged) in line
    assert _query("SELECT * FROM matched_galaxies").exit_code == 1


@pytest.mark.parametrize("name", ["a[b]", "a*b", "a?b", "a\\b", "tract=9"])
def test_query_reads_a_lake_of_any_name(lake: Lake, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(lake.root.rename(lake.root.with_name(name))))
    asked = "SELECT tract, count(*) AS n FROM matched_galaxies GROUP BY tract ORDER BY tract"
    assert _query(asked, "--format", "csv").output == "tract,n\n3637,20\n3638,20\n"


def test_query_of_an_empty_lake_says_how_to_fill_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(tmp_path / "none"))
    assert "photoz demo` fills it" in _refused("SELECT * FROM galaxies")


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{lake}/stolen.csv'",
        "COPY (PIVOT matched_galaxies ON tract USING count(*)) TO '{lake}/stolen.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/stolen.csv'",
        "ATTACH '{lake}/stolen.db'",
        "CREATE TABLE stolen AS SELECT 1",
        "INSTALL httpfs",
        "SET threads = 1",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SELECT 1; COPY (SELECT 1) TO '{lake}/stolen.csv'",
        "",
    ],
)
def test_statement_that_does_more_than_read_is_refused(sql: str, lake: Lake) -> None:
    before = _stored(lake)
    assert "takes one statement that reads" in _refused(sql.format(lake=lake.root))
    assert _stored(lake) == before


def _stored(lake: Lake) -> list[Path]:
    """List what lies in a lake besides what readers keep: names of its files, and what their footers say."""
    kept = (lake.readers, lake.footers)
    return sorted(path for path in lake.root.rglob("*") if not any(map(path.is_relative_to, kept)))


@pytest.mark.parametrize(
    "source",
    [
        "'{folder}/secret.csv'",
        "'{folder}/lake/../secret.csv'",
        "'{folder}/lakes/secret.parquet'",
        "read_text('{folder}/secret.csv')",
        "glob('{folder}/*')",
        "'http://127.0.0.1:9/secret.csv'",
        "'s3://bucket/secret.parquet'",
        "query('FROM ''{folder}/secret.csv''')",
    ],
)
def test_nothing_but_the_lake_is_read(source: str, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("token\ngt-1\n")
    line = _refused(f"SELECT * FROM {source.format(folder=tmp_path)}")
    assert "photoz query reads the lake alone" in line
    assert "gt-1" not in line


def test_lake_below_a_folder_with_any_name_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path / "it's [mine]" / ".." / "lake, 'ours'; --")
    _publish(lake, 3637, [galaxies(20, tract=3637)])
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(lake.root))
    (tmp_path / "it's [mine]").mkdir(exist_ok=True)
    answered = _query("SELECT count(*) AS n FROM matched_galaxies", "--format", "csv")
    assert answered.output == "n\n20\n"


def test_variables_of_the_program_are_no_tables() -> None:
    assert "does not exist" in _refused("SELECT * FROM sink")


@pytest.mark.slow
def test_memory_of_a_full_tract_is_bounded(lake: Lake, tmp_path: Path) -> None:
    _publish(lake, 3639, [galaxies(10_000, tract=3639)] * (FULL_TRACT_ROWS // 10_000))

    def most_bytes(layout: str, sql: str) -> int:
        asked = [sys.executable, "-c", MEASURED, "query", sql, "--format", layout, "--output", os.devnull]
        done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
        return int(done.stderr) * 1024

    # Twelve columns: their values as Python holds them, or as text, already take more than the limit.
    fluxes = "SELECT COLUMNS('obj_._cModelFlux(Err)?') FROM matched_galaxies"
    for sql in (fluxes, "SELECT * FROM matched_galaxies")[: effort(1, 2)]:
        for layout in ("csv", "parquet", "arrow")[: effort(1, 3)]:
            assert most_bytes(layout, sql) < most_bytes(layout, f"{sql} LIMIT 1") + 60 * MIB
