"""The audit: what every row of a staged table must satisfy, asked of DuckDB in one pass.

The rules are the caller's; this knows how to count what breaks them and to show some of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb

# Spilling to the staging folder, this is enough for a table of any length.
MEMORY_LIMIT: Final = "512MB"
SHOWN_ROWS: Final = 5

Limits = Mapping[str, float | int | str | Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check found: its numbers, the limits it was held against and some of the rows that break them."""

    check: str
    passed: bool
    summary: str
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    limits: Limits = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """A condition, in SQL, that every row must satisfy; NULL does not satisfy it."""

    check: str
    condition: str
    shown: tuple[str, ...]
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class KeyRule:
    """Columns each of which no two rows may share a value of."""

    check: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StatisticRule:
    """Aggregates, in SQL by name, each of which must lie inside its limits; NULL for want of rows does."""

    check: str
    expressions: Mapping[str, str]
    inside: Mapping[str, tuple[float, float]]


@contextmanager
def _reader(path: Path, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    try:
        # A relation's parameters, unlike a statement's, may hold any path.
        connection.read_parquet(str(path)).create_view("staged")
        yield connection
    finally:
        connection.close()


def audit(
    path: Path,
    *,
    spill: Path,
    rows: Sequence[RowRule],
    keys: Sequence[KeyRule],
    statistics: Sequence[StatisticRule],
) -> list[Verdict]:
    """Hold a Parquet file against rules, spilling what exceeds the memory limit into the folder ``spill``.

    Returns
    -------
    list[Verdict]
        One verdict a rule: row rules, key rules, statistics, in their orders. A table without rows breaks none.
    """
    with _reader(path, spill) as connection:
        counts = _one_pass(connection, rows, statistics)
        return [
            *(_row_verdict(connection, rule, counts) for rule in rows),
            *(_key_verdict(connection, rule, counts["num_rows"]) for rule in keys),
            *(_statistic_verdict(rule, counts) for rule in statistics),
        ]


def _one_pass(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[RowRule], statistics: Sequence[StatisticRule]
) -> dict[str, Any]:
    broken = [f'count(*) FILTER (WHERE {_breaks(rule)}) AS "{rule.check}"' for rule in rows]
    aggregates = [f'{sql} AS "{name}"' for rule in statistics for name, sql in rule.expressions.items()]
    relation = connection.sql(f"SELECT count(*) AS num_rows, {', '.join([*broken, *aggregates])} FROM staged")
    return _rows(relation)[0]


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
        summary=f"{broken} of {total} rows break it",
        numbers={"rows": total, "bad_rows": broken},
        limits=rule.limits,
        rows=shown,
    )


def _key_verdict(connection: duckdb.DuckDBPyConnection, rule: KeyRule, total: int) -> Verdict:
    shown: list[dict[str, Any]] = []
    repeated = 0
    for column in rule.columns:
        groups = connection.sql(
            f'SELECT "{column}", count(*) AS num_rows FROM staged GROUP BY ALL HAVING count(*) > 1'
        )
        [(found,)] = groups.count("*").fetchall()
        repeated += found
        shown += _rows(groups.limit(SHOWN_ROWS)) if found else []
    return Verdict(
        check=rule.check,
        passed=not repeated,
        summary=f"{repeated} values of {' or '.join(rule.columns)} stand in more than one of {total} rows",
        numbers={"rows": total, "repeated_values": repeated},
        limits={"unique": list(rule.columns)},
        rows=shown[:SHOWN_ROWS],
    )


def _statistic_verdict(rule: StatisticRule, counts: Mapping[str, Any]) -> Verdict:
    values = {name: counts[name] for name in rule.expressions}
    outside = [
        f"{name} = {values[name]:.4g}"
        for name, (low, high) in rule.inside.items()
        if values[name] is not None and not low <= values[name] <= high
    ]
    return Verdict(
        check=rule.check,
        passed=not outside,
        summary=f"outside its limits: {', '.join(outside)}" if outside else "inside its limits",
        numbers={"rows": counts["num_rows"], **values},
        limits={name: f"{low:g} .. {high:g}" for name, (low, high) in rule.inside.items()},
    )
