"""What a name can mean inside one SELECT: its tables, subqueries and their columns."""

from dataclasses import dataclass, field

from sqlglot import exp

from photoz_archive.adql.catalog import ColumnFacts, TableFacts, close_names
from photoz_archive.adql.errors import AdqlError


@dataclass(frozen=True)
class Scan:
    """One use of a catalog table in a query; ``index`` tells two uses of one table apart."""

    index: int
    table: TableFacts

    @property
    def placeholder(self) -> str:
        """The name that stands for the rows in the tree, until they are known."""
        return f"scan_{self.index}"


@dataclass(frozen=True)
class OutputColumn:
    """A column of a query's or subquery's result; ``facts`` where it is a plain column of a table."""

    name: str
    facts: ColumnFacts | None = None
    scan: Scan | None = None


@dataclass(frozen=True)
class Source:
    """A table or subquery in a FROM clause under the alias that the rewritten tree gives it."""

    alias: str
    columns: tuple[OutputColumn, ...]

    def find(self, identifier: exp.Identifier) -> OutputColumn | None:
        """Return the column that ``identifier`` names, or None."""
        return find_column(self.columns, identifier)


@dataclass
class Scope:
    """The sources of one SELECT, and those of the queries around it."""

    parent: "Scope | None" = None
    sources: list[Source] = field(default_factory=list)
    # Columns joined by USING or NATURAL: the unqualified name means the left one.
    merged: dict[str, Source] = field(default_factory=dict)

    def add(self, source: Source, node: exp.Expr) -> None:
        """Take a source in.

        Raises
        ------
        AdqlError
            The alias stands for another source already.
        """
        if any(existing.alias == source.alias for existing in self.sources):
            raise AdqlError.at(node, f"Two tables are called {source.alias!r}; give one of them an alias")
        self.sources.append(source)

    def resolve(self, column: exp.Column) -> tuple[Source, OutputColumn]:
        """Find what a column reference means, here or in a query around this one.

        Raises
        ------
        AdqlError
            The name means nothing, or more than one thing.
        """
        scope: Scope | None = self
        while scope is not None:
            found = scope.candidates(column)
            if len(found) > 1:
                tables = " and ".join(source.alias for source, _ in found)
                raise AdqlError.at(column, f"Column {column.name!r} is in {tables}; write which one")
            if found:
                return found[0]
            scope = scope.parent
        raise self._unknown(column)

    def source(self, identifier: exp.Identifier) -> Source:
        """Return the source of that alias.

        Raises
        ------
        AdqlError
            No source has it.
        """
        alias = identifier.name.lower()
        for source in self.sources:
            if source.alias == alias:
                return source
        raise AdqlError.at(identifier, f"No table in FROM is called {identifier.name!r}")

    def candidates(self, column: exp.Column) -> list[tuple[Source, OutputColumn]]:
        """Return each source of this scope that has the column, with the column."""
        name = column.this
        if column.table:
            sources = [s for s in self.sources if s.alias == column.table.lower()]
        elif (left := self.merged.get(name.name.lower())) is not None:
            sources = [left]
        else:
            sources = self.sources
        return [(source, found) for source in sources if (found := source.find(name)) is not None]

    def _unknown(self, column: exp.Column) -> AdqlError:
        aliases = [source.alias for source in self.sources]
        if column.table and column.table.lower() not in aliases and self.parent is None:
            expected = ", ".join(aliases) or "none"
            return AdqlError.at(column, f"No table in FROM is called {column.table!r}; there is {expected}")
        sources = [s for s in self.sources if not column.table or s.alias == column.table.lower()]
        names = [c.name for source in sources for c in source.columns]
        close = close_names(column.name, names)
        advice = f"; did you mean {' or '.join(close)}?" if close else ""
        place = f" in {column.table}" if column.table else ""
        return AdqlError.at(column, f"Unknown column {column.name!r}{place}{advice}")


def find_column(columns: tuple[OutputColumn, ...], identifier: exp.Identifier) -> OutputColumn | None:
    """Return the column that ``identifier`` names: exactly if it is quoted, else whatever its case."""
    name = identifier.name
    if identifier.args.get("quoted"):
        return next((column for column in columns if column.name == name), None)
    return next((column for column in columns if column.name.lower() == name.lower()), None)
