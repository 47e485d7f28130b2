"""What a table is: its columns, with type, unit, UCD and origin, its checks, and its place among the assets."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from photoz_assets.survey.checks import COMPLETE, CONTRACT, Check, RowRule, Rule, Scope, StatisticRule

# More differences than these between two tables are not worth a reader's time.
_LISTED_DIFFERENCES: Final = 8


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a stored table.

    ``source`` is what is selected for it, as ``alias.column`` or an ADQL expression; it is None where the column
    is computed here. ``derived_from`` names the columns that it comes from: ``asset.column`` of stored tables,
    ``schema.table.column`` of the archive's. ``inside`` is the range, both ends included, outside which a value
    makes no sense: a mark for a missing value, -99 say, that nobody declared as one.
    """

    name: str
    type: pa.DataType
    description: str
    unit: str | None = None
    ucd: str | None = None
    nullable: bool = True
    source: str | None = None
    derived_from: tuple[str, ...] = ()
    inside: tuple[float, float] | None = None

    @property
    def field(self) -> "pa.Field[pa.DataType]":
        """The column as an Arrow field that carries its unit, UCD and description as metadata.

        The field may hold NULL even where the contract forbids it: a staged file must be able to show the
        audit what is wrong with it.
        """
        facts = {"description": self.description, "unit": self.unit, "ucd": self.ucd}
        return pa.field(self.name, self.type, metadata={key: value for key, value in facts.items() if value})


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The columns of one stored table, in their order."""

    table: str
    columns: tuple[Column, ...]

    def __iter__(self) -> Iterator[Column]:
        """Yield the columns in their order."""
        return iter(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in their order."""
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the stored file."""
        return pa.schema([column.field for column in self.columns])

    @property
    def selected(self) -> tuple[Column, ...]:
        """The columns that are asked of the archive."""
        return tuple(column for column in self.columns if column.source)

    @property
    def selected_schema(self) -> pa.Schema:
        """The Arrow schema of what the archive answers."""
        return pa.schema([column.field for column in self.selected])

    @property
    def fingerprint(self) -> str:
        """A short digest of the columns' names, types, units and order; descriptions do not count."""
        facts = [f"{column.name} {column.type} {column.unit or ''}" for column in self.columns]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]

    def differences(self, schema: pa.Schema) -> str:
        """Return in words how a table's columns differ from the contract's, empty if they do not.

        Names, types, units and order count, descriptions do not. A field without any metadata says nothing of its
        unit: rows on their way carry none.

        Parameters
        ----------
        schema
            The table's Arrow schema. ``+`` marks a column that it lacks, ``-`` one that the contract lacks.
        """
        fields = {field.name: field for field in schema}
        found = [f"+ {name}" for name in self.names if name not in fields]
        found += [f"- {name}" for name in fields if name not in self.names]
        for column in self.columns:
            if (field := fields.get(column.name)) is not None:
                found += _column_differences(column, field)
        if not found and tuple(schema.names) != self.names:
            found = ["their order"]
        return _listed(found)


@dataclass(frozen=True, kw_only=True)
class TableSpec(Contract):
    """A contract and all else that makes a table of the lake an asset.

    Attributes
    ----------
    version
        The number of the code that makes it, raised whenever its columns or its values change; a test holds the
        columns against it.
    group, kinds
        Where it stands in the graph of assets, and by what it is made.
    by_tract
        Whether it has a file a tract.
    checks
        What must hold.
    """

    version: int
    group: str
    kinds: frozenset[str]
    by_tract: bool = False
    checks: tuple[Check, ...] = ()

    @property
    def code_version(self) -> str:
        """The version as Dagster and the provenance have it."""
        return str(self.version)

    def check(self, name: str) -> Check:
        """Return the check of that name.

        Raises
        ------
        KeyError
            The table has no such check.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"{self.table} has no check {name}")

    def has_check(self, name: str) -> bool:
        """Return whether the table has a check of that name."""
        return any(check.name == name for check in self.checks)

    def rules(self, scope: Scope) -> Sequence[Rule]:
        """Return the rules that the audit holds against the table's rows."""
        return [check.rule(scope) for check in self.checks if check.rule is not None]


def contract_check(columns: Iterable[Column], keys: Sequence[str] = ()) -> Check:
    """Return the blocking check ``contract``; ``keys`` are shown first of a row that breaks it."""
    columns = list(columns)
    required = [column.name for column in columns if not column.nullable]
    ranges = {column.name: column.inside for column in columns if column.inside is not None}
    known = [f'"{name}" IS NOT NULL' for name in required]
    sensible = [
        f'("{name}" IS NULL OR "{name}" BETWEEN {low!r} AND {high!r})' for name, (low, high) in ranges.items()
    ]
    rule = RowRule(
        check=CONTRACT,
        condition=" AND ".join(known + sensible),
        shown=tuple(dict.fromkeys([*keys, *required, *ranges])),
        limits={"not NULL": required} | {name: f"{low:g} .. {high:g}" for name, (low, high) in ranges.items()},
    )
    return Check(
        name=CONTRACT,
        description="Column names, types and order are the contract's, columns that must be known hold no NULL, "
        "and no value lies where its quantity cannot.",
        blocking=True,
        rule=lambda _: rule,
    )


def complete_check() -> Check:
    """Return the blocking check ``complete``, which is judged when a table is received."""
    return Check(
        name=COMPLETE,
        description="The stored rows are as many as the archive counts for the query.",
        blocking=True,
    )


def not_empty_check(what: str, *, blocking: bool) -> Check:
    """Return the check ``not_empty`` of a tract's table of galaxies, say, or objects."""
    rule = StatisticRule(check="not_empty", expressions={what: "count(*)"}, inside={what: (1, math.inf)})
    return Check(
        name="not_empty",
        description=f"The tract holds {what}; an empty one is a valid table, but rarely what is wanted.",
        blocking=blocking,
        rule=lambda _: rule,
    )


def _column_differences(column: Column, field: "pa.Field[pa.DataType]") -> Iterator[str]:
    if field.type != column.type:
        yield f"{column.name} {field.type} for {column.type}"
    if field.metadata:
        unit = field.metadata.get(b"unit", b"").decode()
        if unit != (column.unit or ""):
            yield f"{column.name} in {unit or 'no unit'} for {column.unit or 'no unit'}"


def _listed(found: list[str]) -> str:
    more = f" and {len(found) - _LISTED_DIFFERENCES} more" if len(found) > _LISTED_DIFFERENCES else ""
    return ", ".join(found[:_LISTED_DIFFERENCES]) + more
