"""What a contract is: the columns of one stored table, each with its type, unit, UCD and origin."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a stored table.

    ``source`` is what is selected for it, as ``alias.column`` or an ADQL expression; it is None where the column
    is computed here. ``derived_from`` names the columns that it comes from: ``asset.column`` of stored tables,
    ``schema.table.column`` of the archive's.
    """

    name: str
    type: pa.DataType
    description: str
    unit: str | None = None
    ucd: str | None = None
    nullable: bool = True
    source: str | None = None
    derived_from: tuple[str, ...] = ()

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
