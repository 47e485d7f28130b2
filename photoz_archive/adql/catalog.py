"""The tables and columns that a query may name, and how their names are found.

Regular identifiers match whatever their case; delimited ones match exactly (ADQL 2.1 sec. 2.1.3).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

# Words of ADQL that the schemas here use as the names of columns.
_RESERVED: Final = frozenset({"size"})
# Names that are understood and not listed, by schema and table. Rubin's service has added this one to DP0.2, whose
# list of tables is part of what lakes know this archive by.
_OTHER_NAMES: Final = {("dp02_dc2_catalogs", "obscore"): ("ivoa", "obscore")}


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """What TAP_SCHEMA says of a column: VOTable ``datatype``, ``arraysize`` and ``xtype``, VOUnit, UCD."""

    name: str
    datatype: str
    arraysize: str | None = None
    xtype: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    principal: int = 0
    std: int = 0
    column_index: int | None = None
    indexed: int = 0
    description: str | None = None

    @property
    def adql_name(self) -> str:
        """The name as a query has to write it: in quotes where it is a word of ADQL (TAP 1.1 sec. 4.2)."""
        return f'"{self.name}"' if self.name in _RESERVED else self.name


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """A table that a query may name."""

    schema: str
    name: str
    columns: tuple[ColumnFacts, ...]
    description: str | None = None
    table_index: int | None = None

    @property
    def qualified_name(self) -> str:
        """The name to use in ADQL, ``schema.table``."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Catalog:
    """All tables that a query may name."""

    tables: tuple[TableFacts, ...]

    def find(self, schema: str, name: str) -> TableFacts | None:
        """Return the table of that name, listed or not, whatever the case of the two parts, or None."""
        wanted = (schema.lower(), name.lower())
        wanted = _OTHER_NAMES.get(wanted, wanted)
        return next((t for t in self.tables if (t.schema.lower(), t.name.lower()) == wanted), None)

    def suggestions(self, name: str) -> list[str]:
        """Return up to three qualified table names that resemble ``name``."""
        last_part = name.rpartition(".")[2]
        same_name = [t.qualified_name for t in self.tables if t.name.lower() == last_part.lower()]
        return same_name[:3] or close_names(name, [t.qualified_name for t in self.tables])


def close_names(name: str, candidates: Iterable[str], *, likeness: float = 0.6) -> list[str]:
    """Return up to three of ``candidates`` that resemble ``name`` whatever their case, the closest first."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    return [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=3, cutoff=likeness)]
