"""What ADQL means in DuckDB's words, and what the columns of its result are."""

import subprocess
import sys

import pytest
from sqlglot import exp

from photoz_archive.adql.catalog import Catalog
from photoz_archive.adql.translator import Translation, translate
from photoz_archive.service.footprint import SkyFootprint
from photoz_assets.survey.skymap import DC2_RINGS

FOOTPRINTS = {
    "dp02_dc2_catalogs": SkyFootprint(DC2_RINGS, frozenset({3637, 3638}), lambda object_id: object_id >> 48)
}


def sql(query: str, catalog: Catalog) -> str:
    return str(translated(query, catalog).tree.sql(dialect="duckdb"))


def translated(query: str, catalog: Catalog) -> Translation:
    return translate(query, catalog, FOOTPRINTS)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("t.TABLE_NAME", '"t"."table_name" AS "TABLE_NAME"'),
        ('t."table_name"', '"t"."table_name" AS "table_name"'),
        ("t.`table_name`", '"t"."table_name" AS "table_name"'),
        ("COUNT(*)", 'COUNT(*) AS "count"'),
        ("COUNT(DISTINCT utype) AS n", 'COUNT(DISTINCT "t"."utype") AS "n"'),
        ("2.5", '2.5e0 AS "column_1"'),
        ("144.5439770745925", '144.5439770745925e0 AS "column_1"'),
        ("1e3", '1000.0e0 AS "column_1"'),
        ("-3", '-3 AS "column_1"'),
        ("LOG(2)", 'ADQL_LN(2) AS "log"'),
        ("LOG10(2)", 'ADQL_LOG10(2) AS "log10"'),
        ("POWER(2, 3)", 'POW(2, 3) AS "power"'),
        ("TRUNCATE(2.567, 1)", 'ADQL_TRUNCATE(2.567e0, 1) AS "truncate"'),
        ("PI()", 'PI() AS "pi"'),
        ("'it''s'", "'it''s' AS \"column_1\""),
        ("'a' || utype", '\'a\' || "t"."utype" AS "column_1"'),
        ("CAST(table_index AS DOUBLE PRECISION)", 'CAST("t"."table_index" AS DOUBLE) AS "column_1"'),
        ("table_index AS minRA", '"t"."table_index" AS "minRA"'),
        (
            "DISTANCE(POINT('ICRS', 1, 2), POINT('ICRS', 3, 4))",
            'ADQL_SEPARATION(1, 2, 3, 4) AS "distance"',
        ),
        ("DISTANCE(1, 2, 3, 4)", 'ADQL_SEPARATION(1, 2, 3, 4) AS "distance"'),
        ("COORD1(POINT(1, 2))", '1 AS "coord1"'),
        (
            "CONTAINS(POINT(1, 2), CIRCLE(POINT(3, 4), 5))",
            'CAST((ADQL_IN_CIRCLE(1, 2, 3, 4, 5)) AS INT) AS "contains"',
        ),
    ],
)
def test_expression_becomes_duckdbs(catalog: Catalog, query: str, expected: str) -> None:
    assert sql(f"SELECT {query} FROM TAP_SCHEMA.tables AS t", catalog) == f'SELECT {expected} FROM scan_0 AS "t"'


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("CONTAINS(POINT('ICRS', o.coord_ra, o.coord_dec), CIRCLE('ICRS', 62, -37, 0.5)) = 1", "{circle}"),
        ("1 = CONTAINS(POINT('ICRS', o.coord_ra, o.coord_dec), CIRCLE('ICRS', 62, -37, 0.5))", "{circle}"),
        ("INTERSECTS(CIRCLE(62, -37, 0.5), POINT(o.coord_ra, o.coord_dec)) = 1", "{circle}"),
        ("scisql_s2PtInCircle(o.coord_ra, o.coord_dec, 62, -37, 0.5) = 1", "{circle}"),
        ("CONTAINS(POINT(o.coord_ra, o.coord_dec), CIRCLE(62, -37, 0.5)) = 0", "CAST({circle} AS INT) = 0"),
        ("NOT CONTAINS(POINT(o.coord_ra, o.coord_dec), CIRCLE(62, -37, 0.5)) = 1", "NOT {circle}"),
        ("o.detect_isPrimary = 1", '"o"."detect_isPrimary" = 1'),
        ("o.refExtendedness IS NOT NULL", 'NOT "o"."refExtendedness" IS NULL'),
        ("tract BETWEEN 1 AND 2 OR tract IN (3, 4)", '"o"."tract" BETWEEN 1 AND 2 OR "o"."tract" IN (3, 4)'),
        ("refBand LIKE 'g%' AND refBand ILIKE 'G'", '"o"."refBand" LIKE \'g%\' AND "o"."refBand" ILIKE \'G\''),
    ],
)
def test_condition_becomes_duckdbs(catalog: Catalog, condition: str, expected: str) -> None:
    circle = '(ADQL_IN_CIRCLE("o"."coord_ra", "o"."coord_dec", 62, -37, 0.5e0))'
    written = sql(f"SELECT o.tract FROM dp02_dc2_catalogs.Object AS o WHERE {condition}", catalog)
    assert written == f'SELECT "o"."tract" AS "tract" FROM scan_0 AS "o" WHERE {expected.format(circle=circle)}'


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT OBJECTID, coord_RA FROM dp02_dc2_catalogs.object", ["OBJECTID", "coord_RA"]),
        ("SELECT * FROM tap_schema.key_columns", ["key_id", "from_column", "target_column"]),
        ("SELECT k.*, 1 AS x FROM tap_schema.key_columns k", ["key_id", "from_column", "target_column", "x"]),
        ("SELECT tract, tract, TRACT FROM dp02_dc2_catalogs.Object", ["tract", "tract_2", "TRACT_3"]),
        ("SELECT MIN(tract), MAX(tract), tract + 1 FROM dp02_dc2_catalogs.Object", ["min", "max", "column_3"]),
        (
            "SELECT * FROM tap_schema.keys JOIN tap_schema.key_columns USING (key_id)",
            ["key_id", "from_table", "target_table", "utype", "description", "from_column", "target_column"],
        ),
        (
            "SELECT * FROM tap_schema.keys NATURAL JOIN tap_schema.key_columns",
            ["key_id", "from_table", "target_table", "utype", "description", "from_column", "target_column"],
        ),
        ("WITH a AS (SELECT tract AS t FROM dp02_dc2_catalogs.Object) SELECT * FROM a", ["t"]),
        ("SELECT tract FROM dp02_dc2_catalogs.Object UNION SELECT patch FROM dp02_dc2_catalogs.Object", ["tract"]),
    ],
)
def test_result_columns_keep_the_names_of_the_query(catalog: Catalog, query: str, names: list[str]) -> None:
    assert [column.name for column in translated(query, catalog).columns] == names


@pytest.mark.parametrize(
    ("query", "ucds"),
    [
        ("SELECT coord_ra AS x FROM dp02_dc2_catalogs.Object", ["pos.eq.ra;meta.main"]),
        ("SELECT o.x FROM (SELECT coord_ra AS x FROM dp02_dc2_catalogs.Object) o", ["pos.eq.ra;meta.main"]),
        ("WITH o AS (SELECT coord_ra FROM dp02_dc2_catalogs.Object) SELECT * FROM o", ["pos.eq.ra;meta.main"]),
        ("SELECT coord_ra + 0 AS x FROM dp02_dc2_catalogs.Object", [None]),
    ],
)
def test_plain_column_keeps_what_the_schema_says_of_it(
    catalog: Catalog, query: str, ucds: list[str | None]
) -> None:
    facts = [column.facts for column in translated(query, catalog).columns]
    assert [fact.ucd if fact else None for fact in facts] == ucds


def test_scan_needs_only_the_columns_that_are_used(catalog: Catalog) -> None:
    translation = translated(
        "SELECT o.tract AS a FROM dp02_dc2_catalogs.Object o WHERE o.patch = 3 ORDER BY a", catalog
    )
    assert list(translation.used.values()) == [("tract", "patch")]


@pytest.mark.parametrize(("limit", "expected"), [(10, 3), (2, 2)])
def test_smaller_of_top_and_limit_counts(catalog: Catalog, limit: int, expected: int) -> None:
    translation = translated("SELECT TOP 3 table_name FROM tap_schema.tables", catalog)
    rows = {scan: exp.select("1") for scan in translation.used}
    assert translation.sql(rows, limit).endswith(f"LIMIT {expected}")


def test_order_by_prefers_the_name_of_the_result(catalog: Catalog) -> None:
    query = "SELECT patch AS tract, tract AS patch FROM dp02_dc2_catalogs.Object o ORDER BY tract DESC, o.tract"
    assert sql(query, catalog).endswith('ORDER BY 1 DESC, "o"."tract" NULLS FIRST')


def test_correlated_subquery_sees_the_outer_table(catalog: Catalog) -> None:
    query = (
        "SELECT t.table_name FROM tap_schema.tables t WHERE EXISTS "
        "(SELECT 1 FROM tap_schema.columns c WHERE c.table_name = t.table_name)"
    )
    assert '"c"."table_name" = "t"."table_name"' in sql(query, catalog)


# sqlglot lists a dialect before it is whole; the wait holds it there for the other threads to find.
FIRST_QUERIES = """
import time
from concurrent.futures import ThreadPoolExecutor
from sqlglot import exp
from sqlglot.dialects import dialect
from photoz_archive.adql.translator import Translation

new_trie = dialect.new_trie
dialect.new_trie = lambda *words: (time.sleep(0.1), new_trie(*words))[1]
listed = exp.Array(expressions=[exp.Literal.string("a.parquet")])
rows = exp.Table(this=exp.Anonymous(this="read_parquet", expressions=[listed]))
first = Translation(exp.select("*").from_(rows), (), {}, {}, None, False)
with ThreadPoolExecutor(20) as pool:
    for sql in {sql.result() for sql in [(pool.submit(first.sql, {}, 5), time.sleep(0.02))[0] for _ in range(20)]}:
        print(sql)
"""


def test_queries_that_are_a_process_first_are_all_written_in_duckdb_s_words() -> None:
    ended = subprocess.run([sys.executable, "-c", FIRST_QUERIES], capture_output=True, text=True, check=True)
    assert ended.stdout == "SELECT * FROM READ_PARQUET(['a.parquet']) LIMIT 5\n"
