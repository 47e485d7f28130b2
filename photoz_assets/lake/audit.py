"""The audit: what the rows of a staged table must satisfy, asked of DuckDB.

One pass counts what breaks the row rules, one query the values of keys that repeat. A statistic may be an exact
quantile, which holds the values of its quantity: as many as fit the limit share a query.
The rules are the caller's; this knows how to count what breaks them and to show some of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb

from photoz_assets.lake.tables import open_tables
from photoz_assets.survey.checks import KeyRule, RowRule, Rule, StatisticRule, Verdict

# Spilling to the staging folder, this is enough for ten times the galaxies of a full tract.
MEMORY_LIMIT: Final = "128MB"
# Eight bytes each, of which a quantile needs up to twice as many while it gathers them.
_HELD_VALUES: Final = 4_000_000
SHOWN_ROWS: Final = 5
# Of more values than these, all good, a summary gives the range.
_LISTED_VALUES: Final = 3


@contextmanager
def _reader(path: Path, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    try:
        open_tables(connection, [path]).create_view("staged")
        yield connection
    finally:
        connection.close()


def audit(path: Path, rules: Sequence[Rule], *, spill: Path) -> list[Verdict]:
    """Hold a Parquet file against rules, spilling what exceeds the memory limit into the folder ``spill``.

    Returns
    -------
    list[Verdict]
        One verdict a rule: row rules, key rules, statistics, in their orders. A table without rows breaks none.
    """
    rows = [rule for rule in rules if isinstance(rule, RowRule)]
    keys = [rule for rule in rules if isinstance(rule, KeyRule)]
    statistics = [rule for rule in rules if isinstance(rule, StatisticRule)]
    with _reader(path, spill) as connection:
        broken = _broken_rows(connection, rows)
        total = broken["num_rows"]
        repeated = _repeated_values(connection, [column for rule in keys for column in rule.columns])
        return [
            *(_row_verdict(connection, rule, broken) for rule in rows),
            *(_key_verdict(connection, rule, repeated, total) for rule in keys),
            *(_statistic_verdict(rule, _statistics(connection, rule, total), total) for rule in statistics),
        ]


def _broken_rows(connection: duckdb.DuckDBPyConnection, rules: Sequence[RowRule]) -> dict[str, int]:
    """Count the rows that break each rule, by its check, and all rows, in one pass."""
    broken = [f'count(*) FILTER (WHERE {_breaks(rule)}) AS "{rule.check}"' for rule in rules]
    return _rows(connection.sql(f"SELECT {', '.join(['count(*) AS num_rows', *broken])} FROM staged"))[0]


def _repeated_values(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> dict[str, int]:
    """Count the values of each column that stand in more than one row, in one query."""
    if not columns:
        return {}
    counts = [
        f'(SELECT count(*) FROM (SELECT 1 FROM staged GROUP BY "{column}" HAVING count(*) > 1)) AS "{column}"'
        for column in columns
    ]
    return _rows(connection.sql(f"SELECT {', '.join(counts)}"))[0]


def _statistics(connection: duckdb.DuckDBPyConnection, rule: StatisticRule, total: int) -> dict[str, Any]:
    """Compute a rule's aggregates, as many in a query as may hold the values of all rows."""
    named = [f'{sql} AS "{name}"' for name, sql in rule.expressions.items()]
    at_once = max(1, _HELD_VALUES // max(total, 1))
    found: dict[str, Any] = {}
    for first in range(0, len(named), at_once):
        found |= _rows(connection.sql(f"SELECT {', '.join(named[first : first + at_once])} FROM staged"))[0]
    return found


def _breaks(rule: RowRule) -> str:
    return f"({rule.condition}) IS NOT TRUE"


def _rows(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def _row_verdict(connection: duckdb.DuckDBPyConnection, rule: RowRule, counts: Mapping[str, Any]) -> Verdict:
    broken, total = counts[rule.check], counts["num_rows"]
    shown: list[dict[str, Any]] = []
    if broken:
        columns = ", ".join(f'"{column}"' for column in rule.shown)
        shown = _rows(connection.sql(f"SELECT {columns} FROM staged WHERE {_breaks(rule)} LIMIT {SHOWN_ROWS}"))
    return Verdict(
        check=rule.check,
        passed=not broken,
        summary=f"{broken:,} of {total:,} rows fail" if broken else f"all {total:,} rows pass",
        numbers={"rows": total, "bad_rows": broken},
        limits=rule.limits,
        rows=shown,
    )


def _key_verdict(
    connection: duckdb.DuckDBPyConnection, rule: KeyRule, counts: Mapping[str, int], total: int
) -> Verdict:
    shown: list[dict[str, Any]] = []
    for column in rule.columns:
        if counts[column]:
            groups = f'SELECT "{column}", count(*) AS num_rows FROM staged GROUP BY ALL HAVING count(*) > 1'
            shown += _rows(connection.sql(f"{groups} LIMIT {SHOWN_ROWS}"))
    repeated = {column: counts[column] for column in rule.columns if counts[column]}
    found = ", ".join(f"{count:,} of {column}" for column, count in repeated.items())
    return Verdict(
        check=rule.check,
        passed=not repeated,
        summary=f"repeated values in {total:,} rows: {found or 'none'}",
        numbers={"rows": total, "repeated_values": sum(repeated.values())},
        limits={"unique": list(rule.columns)},
        rows=shown[:SHOWN_ROWS],
    )


def _statistic_verdict(rule: StatisticRule, values: Mapping[str, Any], total: int) -> Verdict:
    measured = {name: values[name] for name in rule.inside if values[name] is not None}
    outside = {
        name: value
        for name, value in measured.items()
        if not rule.inside[name][0] <= value <= rule.inside[name][1]
    }
    if outside:
        summary = f"outside the limits: {_listed(outside)}"
    elif len(measured) > _LISTED_VALUES:
        least, most = min(measured.values()), max(measured.values())
        summary = f"inside the limits: {len(measured)} values, {least:.4g} .. {most:.4g}"
    else:
        summary = f"inside the limits: {_listed(measured) or 'nothing to measure'}"
    return Verdict(
        check=rule.check,
        passed=not outside,
        summary=summary,
        numbers={"rows": total, **values},
        limits={name: f"{low:g} .. {high:g}" for name, (low, high) in rule.inside.items()},
    )


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name} = {f'{value:,}' if isinstance(value, int) else f'{value:.4g}'}" for name, value in values.items()
    )
