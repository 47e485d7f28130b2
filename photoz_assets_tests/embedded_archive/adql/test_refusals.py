"""Whatever is no ADQL, or not this archive's, is refused before it reaches the database, with a reason."""

import re

import pytest

from photoz_assets.embedded_archive.adql.errors import AdqlError
from photoz_assets.embedded_archive.adql.translator import translate
from photoz_assets.embedded_archive.service.footprint import SkyFootprint
from photoz_assets.embedded_archive.service.schema import load_schema

CATALOG = load_schema("simulated").catalog
FOOTPRINT = SkyFootprint(frozenset({3637, 3638}), lambda object_id: object_id >> 48)

FILES_AND_SETTINGS = [
    "SELECT * FROM read_parquet('x.parquet')",
    "SELECT * FROM read_csv('x.csv')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM 'file.parquet'",
    'SELECT * FROM "file.parquet"',
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM main.scan_0",
    "SELECT * FROM scan_0",
    "SELECT * FROM other.tap_schema.tables",
    "SELECT getenv('HOME') FROM tap_schema.tables",
    "SELECT current_setting('threads') FROM tap_schema.tables",
    "SELECT read_text('/etc/passwd') FROM tap_schema.tables",
    "SELECT query('SELECT 1') FROM tap_schema.tables",
    "SELECT * FROM query_table('tables')",
    "SELECT adql_ab_mag(1.0) FROM tap_schema.tables",
    "SELECT version() FROM tap_schema.tables",
]

STATEMENTS = [
    "COPY tap_schema.tables TO 'x.csv'",
    "COPY (SELECT 1) TO 'x.csv'",
    "ATTACH 'x.db' AS x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "SET threads = 1",
    "CALL pragma_version()",
    "EXPORT DATABASE 'x'",
    "CREATE TABLE x AS SELECT * FROM tap_schema.tables",
    "CREATE MACRO f(x) AS x",
    "DROP TABLE tap_schema.tables",
    "DELETE FROM tap_schema.tables",
    "INSERT INTO tap_schema.tables SELECT * FROM tap_schema.tables",
    "UPDATE tap_schema.tables SET utype = 'x'",
    "SELECT * INTO x FROM tap_schema.tables",
    "EXPLAIN SELECT * FROM tap_schema.tables",
    "DESCRIBE tap_schema.tables",
    "SHOW TABLES",
    "SUMMARIZE tap_schema.tables",
    "FROM tap_schema.tables",
    "SELECT * FROM (FROM tap_schema.tables) t",
    "TABLE tap_schema.tables",
    "VALUES (1), (2)",
    "SELECT table_name FROM tap_schema.tables; DROP TABLE tap_schema.tables",
    "SELECT table_name FROM tap_schema.tables; SELECT 1 FROM tap_schema.tables",
    "",
    "   -- only a comment",
    "*",
]

OTHER_DIALECTS = [
    "SELECT table_name::varchar FROM tap_schema.tables",
    "SELECT TRY_CAST(table_name AS INTEGER) FROM tap_schema.tables",
    "SELECT * EXCLUDE (utype) FROM tap_schema.tables",
    "SELECT * REPLACE (1 AS utype) FROM tap_schema.tables",
    "SELECT COLUMNS('.*') FROM tap_schema.tables",
    "SELECT [1, 2] FROM tap_schema.tables",
    "SELECT {'a': 1} FROM tap_schema.tables",
    "SELECT table_name[1] FROM tap_schema.tables",
    "SELECT x -> x FROM tap_schema.tables",
    "SELECT table_name FROM tap_schema.tables QUALIFY 1 = 1",
    "SELECT table_name FROM tap_schema.tables TABLESAMPLE 10%",
    "SELECT table_name FROM tap_schema.tables USING SAMPLE 3",
    "SELECT DISTINCT ON (table_name) table_name FROM tap_schema.tables",
    "SELECT COUNT(*) OVER () FROM tap_schema.tables",
    "SELECT COUNT(*) FILTER (WHERE 1 = 1) FROM tap_schema.tables",
    "SELECT MAX(table_name ORDER BY utype) FROM tap_schema.tables",
    "SELECT table_name FROM tap_schema.tables WHERE table_name SIMILAR TO 'x'",
    "SELECT table_name FROM tap_schema.tables WHERE table_name ~ 'x'",
    "SELECT table_name FROM tap_schema.tables WHERE table_name GLOB 'x'",
    "SELECT table_name FROM tap_schema.tables WHERE table_index = ANY (SELECT 1 FROM tap_schema.tables)",
    "SELECT table_name FROM tap_schema.tables WHERE table_index = ?",
    "SELECT table_name FROM tap_schema.tables WHERE table_index = $1",
    "SELECT table_index % 2 FROM tap_schema.tables",
    "SELECT table_index & 2 FROM tap_schema.tables",
    "SELECT CASE WHEN 1 = 1 THEN 1 END FROM tap_schema.tables",
    "SELECT INTERVAL 1 DAY FROM tap_schema.tables",
    "SELECT CURRENT_DATE FROM tap_schema.tables",
    "SELECT table_name FROM tap_schema.tables FETCH FIRST 3 ROWS ONLY",
    "SELECT TOP 10 PERCENT table_name FROM tap_schema.tables",
    "SELECT TOP (SELECT 1 FROM tap_schema.tables) table_name FROM tap_schema.tables",
    "SELECT table_name FROM tap_schema.tables FOR UPDATE",
    "SELECT t.table_name FROM tap_schema.tables t ASOF JOIN tap_schema.columns c ON 1 = 1",
    "SELECT t.table_name FROM tap_schema.tables t SEMI JOIN tap_schema.columns c ON 1 = 1",
    "SELECT t.table_name FROM tap_schema.tables t, LATERAL (SELECT 1 FROM tap_schema.columns) c",
    "SELECT table_name FROM tap_schema.tables PIVOT (COUNT(*) FOR schema_name IN ('a'))",
    "SELECT table_name FROM tap_schema.tables t(a, b)",
    "SELECT UNNEST(table_name) FROM tap_schema.tables",
    "SELECT schema_name FROM tap_schema.tables GROUP BY ROLLUP (schema_name)",
    "SELECT schema_name FROM tap_schema.tables GROUP BY ALL",
    "SELECT table_name FROM tap_schema.tables ORDER BY ALL",
    "SELECT X'4142' FROM tap_schema.tables",
    "SELECT CAST(table_name AS BLOB) FROM tap_schema.tables",
]


@pytest.mark.parametrize("query", [*FILES_AND_SETTINGS, *STATEMENTS, *OTHER_DIALECTS])
def test_query_that_is_no_adql_is_refused(query: str) -> None:
    with pytest.raises(AdqlError):
        translate(query, CATALOG, FOOTPRINT)


EXPLAINED = [
    (
        "SELECT tabel_name FROM tap_schema.tables",
        "Unknown column 'tabel_name'; did you mean table_name? (line 1, column 8)",
    ),
    (
        "SELECT *\nFROM tap_schema.tabels",
        "Unknown table 'tap_schema.tabels'; did you mean tap_schema.tables",
    ),
    ("SELECT * FROM Object", "Unknown table 'Object'; did you mean dp01_dc2_catalogs.object or dp02_dc2_catalogs"),
    ("SELECT t.* FROM tap_schema.tables", "No table in FROM is called 't'"),
    ("SELECT x.utype FROM tap_schema.tables t", "No table in FROM is called 'x'; there is t"),
    (
        "SELECT utype FROM tap_schema.tables t JOIN tap_schema.columns c ON t.table_name = c.table_name",
        "Column 'utype' is in t and c; write which one (line 1, column 8)",
    ),
    ("SELECT 1 FROM tap_schema.tables, tap_schema.tables", "Two tables are called 'tables'"),
    ('SELECT "TABLE_NAME" FROM tap_schema.tables', "Unknown column 'TABLE_NAME'; did you mean table_name"),
    (
        "SELECT table_name\nFROM tap_schema.tables\nLIMIT 5",
        "ADQL has no LIMIT: write SELECT TOP n, or send MAXREC (line 3, column 1)",
    ),
    ("SELECT 1", "Expected a FROM clause"),
    ("SELECT FROM tap_schema.tables", "Expected a list of columns"),
    ("SELECT 'abc FROM tap_schema.tables", "expected closed quotes"),
    ("SELECT (table_name FROM tap_schema.tables", "Syntax error at 'FROM'"),
    ("SELECT nonsense(1) FROM tap_schema.tables", "Unknown function nonsense (line 1, column 8)"),
    ("SELECT MOD(1) FROM tap_schema.tables", "MOD(x, y) got 1 arguments"),
    ("SELECT SUM(*) FROM tap_schema.tables", "SUM(*) is not supported; only COUNT(*) is"),
    ("SELECT UPPER(DISTINCT table_name) FROM tap_schema.tables", "DISTINCT is not supported in UPPER"),
    ("SELECT 99999999999999999999 FROM tap_schema.tables", "Number 99999999999999999999 is out of range"),
    ("SELECT 1e999 FROM tap_schema.tables", "Number 1e999 is out of range"),
    (
        "SELECT table_name FROM tap_schema.tables ORDER BY 2",
        "Expected the number of a column of the SELECT list, from 1 to 1",
    ),
    ("SELECT * FROM (SELECT 1 AS x FROM tap_schema.tables)", "A subquery in FROM needs an alias"),
    (
        "SELECT table_name FROM tap_schema.tables WHERE table_index IN (SELECT 1, 2 FROM tap_schema.columns)",
        "A subquery here needs one column; it has 2",
    ),
    (
        "SELECT table_name FROM tap_schema.tables UNION SELECT 1, 2 FROM tap_schema.tables",
        "The two sides of UNION have 1 and 2 columns",
    ),
    (
        "SELECT t.table_name FROM tap_schema.tables t LEFT JOIN tap_schema.columns c",
        "A JOIN needs ON, USING or NATURAL",
    ),
    (
        "SELECT 1 FROM dp02_dc2_catalogs.Object WHERE CONTAINS(POINT('GALACTIC', coord_ra, coord_dec), CIRCLE(1, 2, 3)) = 1",
        "Coordinate system 'GALACTIC' is not supported; expected 'ICRS'",
    ),
    (
        "SELECT 1 FROM dp02_dc2_catalogs.Object WHERE CONTAINS(POINT(coord_ra), CIRCLE(1, 2, 3)) = 1",
        "POINT(ra, dec) got 1 arguments",
    ),
    (
        "SELECT 1 FROM dp02_dc2_catalogs.Object WHERE CONTAINS(POINT('ICRS', coord_ra), CIRCLE(1, 2, 3)) = 1",
        "POINT got 1 numbers; expected POINT(ra, dec), in degrees",
    ),
    (
        "SELECT 1 FROM dp02_dc2_catalogs.Object WHERE CONTAINS(POINT(coord_ra, coord_dec), BOX(1, 2, 3, 4)) = 1",
        "Unknown function BOX",
    ),
    (
        "SELECT 1 FROM dp02_dc2_catalogs.Object WHERE CONTAINS(CIRCLE(1, 2, 3), CIRCLE(1, 2, 3)) = 1",
        "CONTAINS expects a POINT and a CIRCLE or POLYGON",
    ),
    (
        "SELECT 1 FROM dp02_dc2_catalogs.Object WHERE CONTAINS(POINT(coord_ra, coord_dec), POLYGON(0, 0, 2, 0, 1, 0.2, 1, 2)) = 1",
        "Expected a convex polygon",
    ),
    ("SELECT POINT(coord_ra, coord_dec) FROM dp02_dc2_catalogs.Object", "POINT can stand only inside CONTAINS"),
    ("SELECT " + "(" * 5000 + "1" + ")" * 5000 + " FROM tap_schema.tables", "nested too deeply"),
    ("SELECT 1 FROM tap_schema.tables -- " + "x" * 200_000, "expected at most 200000"),
]


@pytest.mark.parametrize(("query", "message"), EXPLAINED, ids=[message[:50] for _, message in EXPLAINED])
def test_query_that_is_wrong_is_explained(query: str, message: str) -> None:
    with pytest.raises(AdqlError, match=re.escape(message)):
        translate(query, CATALOG, FOOTPRINT)


def test_scisql_function_of_a_service_without_it_is_unknown() -> None:
    query = "SELECT scisql_nanojanskyToAbMag(1.0) FROM tap_schema.tables"
    with pytest.raises(AdqlError, match="Unknown function scisql_nanojanskyToAbMag"):
        translate(query, CATALOG, FOOTPRINT, scisql=False)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT x FROM (SELECT 1 AS x FROM tap_schema.tables) t",
        "WITH t AS (SELECT 1 AS x FROM tap_schema.tables) SELECT x FROM t",
        "SELECT 1 AS x FROM tap_schema.tables UNION SELECT 2 FROM tap_schema.tables",
        "SELECT table_name FROM tap_schema.tables WHERE table_index IN (SELECT 1 FROM tap_schema.columns)",
    ],
)
def test_subquery_of_a_service_without_it_is_refused(query: str) -> None:
    with pytest.raises(AdqlError, match="not supported here"):
        translate(query, CATALOG, FOOTPRINT, subqueries=False)
