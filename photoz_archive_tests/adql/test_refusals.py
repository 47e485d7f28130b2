"""Whatever is no ADQL, or not this archive's, is refused before it reaches the database, with a reason."""

import re

import pytest

from photoz_archive.adql.catalog import Catalog
from photoz_archive.adql.errors import AdqlError
from photoz_archive.adql.translator import translate
from photoz_archive.service.footprint import SkyFootprint
from photoz_assets.survey.skymap import DC2_RINGS

FOOTPRINTS = {
    "dp02_dc2_catalogs": SkyFootprint(DC2_RINGS, frozenset({3637, 3638}), lambda object_id: object_id >> 48)
}

FILES_AND_SETTINGS = [
    (
        "SELECT * FROM read_parquet('x.parquet')",
        "Functions cannot stand for a table; expected schema.table (line 1, column 15)",
    ),
    (
        "SELECT * FROM read_csv('x.csv')",
        "Functions cannot stand for a table; expected schema.table (line 1, column 15)",
    ),
    (
        "SELECT * FROM read_text('/etc/passwd')",
        "Functions cannot stand for a table; expected schema.table (line 1, column 15)",
    ),
    ("SELECT * FROM glob('/*')", "Functions cannot stand for a table; expected schema.table (line 1, column 15)"),
    (
        "SELECT * FROM duckdb_settings()",
        "Functions cannot stand for a table; expected schema.table (line 1, column 15)",
    ),
    (
        "SELECT * FROM duckdb_secrets()",
        "Functions cannot stand for a table; expected schema.table (line 1, column 15)",
    ),
    (
        "SELECT * FROM pragma_database_list()",
        "Functions cannot stand for a table; expected schema.table (line 1, column 15)",
    ),
    (
        "SELECT * FROM sqlite_master",
        "Unknown table 'sqlite_master'; TAP_SCHEMA.tables lists those there are (line 1, column 15)",
    ),
    (
        "SELECT * FROM information_schema.tables",
        "Unknown table 'information_schema.tables'; did you mean tap_schema.tables? (line 1, column 34)",
    ),
    (
        "SELECT * FROM pg_catalog.pg_tables",
        "Unknown table 'pg_catalog.pg_tables'; TAP_SCHEMA.tables lists those there are (line 1, column 26)",
    ),
    (
        "SELECT * FROM 'file.parquet'",
        "Unknown table 'file.parquet'; TAP_SCHEMA.tables lists those there are (line 1, column 15)",
    ),
    (
        'SELECT * FROM "file.parquet"',
        "Unknown table 'file.parquet'; TAP_SCHEMA.tables lists those there are (line 1, column 15)",
    ),
    (
        "SELECT * FROM '/etc/passwd'",
        "Unknown table '/etc/passwd'; TAP_SCHEMA.tables lists those there are (line 1, column 15)",
    ),
    (
        "SELECT * FROM main.scan_0",
        "Unknown table 'main.scan_0'; TAP_SCHEMA.tables lists those there are (line 1, column 20)",
    ),
    (
        "SELECT * FROM scan_0",
        "Unknown table 'scan_0'; TAP_SCHEMA.tables lists those there are (line 1, column 15)",
    ),
    (
        "SELECT * FROM other.tap_schema.tables",
        "CATALOG is not supported in TABLE of ADQL here (line 1, column 32)",
    ),
    (
        "SELECT getenv('HOME') FROM tap_schema.tables",
        "Unknown function getenv; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    (
        "SELECT current_setting('threads') FROM tap_schema.tables",
        "Unknown function current_setting; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    (
        "SELECT read_text('/etc/passwd') FROM tap_schema.tables",
        "Unknown function read_text; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    (
        "SELECT query('SELECT 1') FROM tap_schema.tables",
        "Unknown function query; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    (
        "SELECT * FROM query_table('tables')",
        "Functions cannot stand for a table; expected schema.table (line 1, column 15)",
    ),
    (
        "SELECT adql_ab_mag(1.0) FROM tap_schema.tables",
        "Unknown function adql_ab_mag; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    (
        "SELECT version() FROM tap_schema.tables",
        "Unknown function version; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
]

STATEMENTS = [
    ("COPY tap_schema.tables TO 'x.csv'", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("COPY (SELECT 1) TO 'x.csv'", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("ATTACH 'x.db' AS x", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("INSTALL httpfs", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("LOAD httpfs", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("PRAGMA database_list", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("SET threads = 1", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("CALL pragma_version()", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("EXPORT DATABASE 'x'", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    (
        "CREATE TABLE x AS SELECT * FROM tap_schema.tables",
        "Expected a query that begins with SELECT or WITH (line 1, column 1)",
    ),
    ("CREATE MACRO f(x) AS x", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("DROP TABLE tap_schema.tables", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("DELETE FROM tap_schema.tables", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    (
        "INSERT INTO tap_schema.tables SELECT * FROM tap_schema.tables",
        "Expected a query that begins with SELECT or WITH (line 1, column 1)",
    ),
    (
        "UPDATE tap_schema.tables SET utype = 'x'",
        "Expected a query that begins with SELECT or WITH (line 1, column 1)",
    ),
    ("SELECT * INTO x FROM tap_schema.tables", "INTO is not supported in SELECT of ADQL here (line 1, column 8)"),
    (
        "EXPLAIN SELECT * FROM tap_schema.tables",
        "Expected a query that begins with SELECT or WITH (line 1, column 1)",
    ),
    ("DESCRIBE tap_schema.tables", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("SHOW TABLES", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("SUMMARIZE tap_schema.tables", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("FROM tap_schema.tables", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("SELECT * FROM (FROM tap_schema.tables) t", "Expected SELECT before each FROM (line 1, column 8)"),
    ("TABLE tap_schema.tables", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    ("VALUES (1), (2)", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
    (
        "SELECT table_name FROM tap_schema.tables; DROP TABLE tap_schema.tables",
        "Syntax error at 'tap_schema': expected an operator, a comma, the next clause or the end of the query (line 1, column 54)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables; SELECT 1 FROM tap_schema.tables",
        "Expected one SELECT query, got 2 statements",
    ),
    ("", "Expected one SELECT query, got 0 statements"),
    ("   -- only a comment", "Expected one SELECT query, got 0 statements"),
    ("*", "Expected a query that begins with SELECT or WITH (line 1, column 1)"),
]

OTHER_DIALECTS = [
    (
        "SELECT table_name::varchar FROM tap_schema.tables",
        "Syntax error at ':': expected an operator, a comma, the next clause or the end of the query (line 1, column 18)",
    ),
    (
        "SELECT TRY_CAST(table_name AS INTEGER) FROM tap_schema.tables",
        "Unknown function TRY_CAST; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    (
        "SELECT * EXCLUDE (utype) FROM tap_schema.tables",
        "EXCEPT is not supported in STAR of ADQL here (line 1, column 8)",
    ),
    (
        "SELECT * REPLACE (1 AS utype) FROM tap_schema.tables",
        "REPLACE is not supported in STAR of ADQL here (line 1, column 8)",
    ),
    (
        "SELECT COLUMNS('.*') FROM tap_schema.tables",
        "Unknown function COLUMNS; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    ("SELECT [1, 2] FROM tap_schema.tables", "ARRAY is not supported in ADQL here (line 1, column 9)"),
    ("SELECT {'a': 1} FROM tap_schema.tables", "STRUCT is not supported in ADQL here (line 1, column 14)"),
    ("SELECT table_name[1] FROM tap_schema.tables", "BRACKET is not supported in ADQL here (line 1, column 8)"),
    (
        "SELECT x -> x FROM tap_schema.tables",
        "Syntax error at '>': expected a value or a column before and after it (line 1, column 11)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables QUALIFY 1 = 1",
        "Syntax error at '1': expected an operator, a comma, the next clause or the end of the query (line 1, column 50)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables TABLESAMPLE 10%",
        "Syntax error at '10': expected an operator, a comma, the next clause or the end of the query (line 1, column 54)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables USING SAMPLE 3",
        "Syntax error at 'USING': expected an operator, a comma, the next clause or the end of the query (line 1, column 42)",
    ),
    (
        "SELECT DISTINCT ON (table_name) table_name FROM tap_schema.tables",
        "ON is not supported in DISTINCT of ADQL here (line 1, column 21)",
    ),
    (
        "SELECT COUNT(*) OVER () FROM tap_schema.tables",
        "Window functions (OVER) are no part of ADQL (line 1, column 8)",
    ),
    (
        "SELECT COUNT(*) FILTER (WHERE 1 = 1) FROM tap_schema.tables",
        "Syntax error at '(': expected an operator, a comma, the next clause or the end of the query (line 1, column 24)",
    ),
    (
        "SELECT MAX(table_name ORDER BY utype) FROM tap_schema.tables",
        "A query or an ORDER BY is not supported in MAX (line 1, column 8)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables WHERE table_name SIMILAR TO 'x'",
        "Syntax error at 'SIMILAR': expected an operator, a comma, the next clause or the end of the query (line 1, column 59)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables WHERE table_name ~ 'x'",
        "Syntax error at '~': expected an operator, a comma, the next clause or the end of the query (line 1, column 59)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables WHERE table_name GLOB 'x'",
        "Syntax error at 'GLOB': expected an operator, a comma, the next clause or the end of the query (line 1, column 59)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables WHERE table_index = ANY (SELECT 1 FROM tap_schema.tables)",
        "Unknown function ANY; expected one of ADQL's or of /capabilities (line 1, column 62)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables WHERE table_index = ?",
        "Parameters are no part of ADQL; write the value (line 1, column 48)",
    ),
    ("SELECT table_name FROM tap_schema.tables WHERE table_index = $1", "Unknown column '$1' (line 1, column 62)"),
    (
        "SELECT table_index % 2 FROM tap_schema.tables",
        "The operator % is no part of ADQL; write MOD(x, y) (line 1, column 8)",
    ),
    (
        "SELECT table_index & 2 FROM tap_schema.tables",
        "BITWISEAND is not supported in ADQL here (line 1, column 8)",
    ),
    (
        "SELECT CASE WHEN 1 = 1 THEN 1 END FROM tap_schema.tables",
        "Syntax error at '1': expected an operator, a comma, the next clause or the end of the query (line 1, column 18)",
    ),
    (
        "SELECT INTERVAL 1 DAY FROM tap_schema.tables",
        "Syntax error at '1': expected an operator, a comma, the next clause or the end of the query (line 1, column 17)",
    ),
    ("SELECT CURRENT_DATE FROM tap_schema.tables", "Unknown column 'CURRENT_DATE' (line 1, column 8)"),
    (
        "SELECT table_name FROM tap_schema.tables FETCH FIRST 3 ROWS ONLY",
        "Syntax error at 'FIRST': expected an operator, a comma, the next clause or the end of the query (line 1, column 48)",
    ),
    ("SELECT TOP 10 PERCENT table_name FROM tap_schema.tables", "Unknown column 'PERCENT' (line 1, column 15)"),
    (
        "SELECT TOP (SELECT 1 FROM tap_schema.tables) table_name FROM tap_schema.tables",
        "Expected a whole number of rows (line 1, column 20)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables FOR UPDATE",
        "Syntax error at 'UPDATE': expected an operator, a comma, the next clause or the end of the query (line 1, column 46)",
    ),
    (
        "SELECT t.table_name FROM tap_schema.tables t ASOF JOIN tap_schema.columns c ON 1 = 1",
        "Syntax error at 'ASOF': expected an operator, a comma, the next clause or the end of the query (line 1, column 46)",
    ),
    (
        "SELECT t.table_name FROM tap_schema.tables t SEMI JOIN tap_schema.columns c ON 1 = 1",
        "Syntax error at 'SEMI': expected an operator, a comma, the next clause or the end of the query (line 1, column 46)",
    ),
    (
        "SELECT t.table_name FROM tap_schema.tables t, LATERAL (SELECT 1 FROM tap_schema.columns) c",
        "Functions cannot stand for a table; expected schema.table (line 1, column 47)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables PIVOT (COUNT(*) FOR schema_name IN ('a'))",
        "Syntax error at '(': expected ) (line 1, column 54)",
    ),
    (
        "SELECT table_name FROM tap_schema.tables t(a, b)",
        "COLUMNS is not supported in TABLEALIAS of ADQL here (line 1, column 42)",
    ),
    (
        "SELECT UNNEST(table_name) FROM tap_schema.tables",
        "Unknown function UNNEST; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
    (
        "SELECT schema_name FROM tap_schema.tables GROUP BY ROLLUP (schema_name)",
        "Unknown function ROLLUP; expected one of ADQL's or of /capabilities (line 1, column 52)",
    ),
    (
        "SELECT schema_name FROM tap_schema.tables GROUP BY ALL",
        "ALL is not supported in GROUP of ADQL here (line 1, column 8)",
    ),
    ("SELECT table_name FROM tap_schema.tables ORDER BY ALL", "Unknown column 'ALL' (line 1, column 51)"),
    (
        "SELECT X'4142' FROM tap_schema.tables",
        "Syntax error at \"'4142'\": expected an operator, a comma, the next clause or the end of the query (line 1, column 9)",
    ),
    (
        "SELECT CAST(table_name AS BLOB) FROM tap_schema.tables",
        "KIND is not supported in DATATYPE of ADQL here (line 1, column 13)",
    ),
]


REFUSED = [*FILES_AND_SETTINGS, *STATEMENTS, *OTHER_DIALECTS]


@pytest.mark.parametrize(("query", "message"), REFUSED, ids=[query for query, _ in REFUSED])
def test_query_that_is_no_adql_is_refused(catalog: Catalog, query: str, message: str) -> None:
    with pytest.raises(AdqlError) as refusal:
        translate(query, catalog, FOOTPRINTS)
    assert str(refusal.value) == message


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
    (
        "SELECT nonsense(1) FROM tap_schema.tables",
        "Unknown function nonsense; expected one of ADQL's or of /capabilities (line 1, column 8)",
    ),
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
        "Unknown function BOX; write POLYGON, or scisql_s2PtInBox where it is offered (line 1, column 83)",
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
def test_query_that_is_wrong_is_explained(catalog: Catalog, query: str, message: str) -> None:
    with pytest.raises(AdqlError, match=re.escape(message)):
        translate(query, catalog, FOOTPRINTS)


def test_scisql_function_of_a_service_without_it_is_unknown(catalog: Catalog) -> None:
    query = "SELECT scisql_nanojanskyToAbMag(1.0) FROM tap_schema.tables"
    with pytest.raises(AdqlError, match="Unknown function scisql_nanojanskyToAbMag"):
        translate(query, catalog, FOOTPRINTS, scisql=False)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT x FROM (SELECT 1 AS x FROM tap_schema.tables) t",
        "WITH t AS (SELECT 1 AS x FROM tap_schema.tables) SELECT x FROM t",
        "SELECT 1 AS x FROM tap_schema.tables UNION SELECT 2 FROM tap_schema.tables",
        "SELECT table_name FROM tap_schema.tables WHERE table_index IN (SELECT 1 FROM tap_schema.columns)",
    ],
)
def test_subquery_of_a_service_without_it_is_refused(catalog: Catalog, query: str) -> None:
    with pytest.raises(AdqlError, match="not supported here"):
        translate(query, catalog, FOOTPRINTS, subqueries=False)
