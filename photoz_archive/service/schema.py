"""What TAP_SCHEMA says: the listed schemas as a catalog and as tables of rows.

As in Rubin's own services, ``datatype`` holds VOTable datatypes, seven kinds of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from photoz_archive.adql.catalog import Catalog, ColumnFacts, TableFacts
from photoz_archive.service.official import ForeignKey, OfficialSchema

# Director keys of Rubin's database.
_INDEXED: Final = frozenset({"objectId", "id_truth_type"})

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class ArchiveSchema:
    """All that TAP_SCHEMA holds; ``descriptions`` of its schemas by name."""

    descriptions: dict[str, str | None]
    catalog: Catalog
    keys: tuple[ForeignKey, ...]

    def tap_schema(self) -> dict[str, Columns]:
        """Return the five tables of TAP_SCHEMA by their names, with the columns that the catalog gives them."""
        contents: dict[str, Iterable[dict[str, Any]]] = {
            "schemas": self._schema_rows(),
            "tables": self._table_rows(),
            "columns": self._column_rows(),
            "keys": ({**asdict(key), "utype": None} for key in self.keys),
            "key_columns": (
                {"key_id": key.key_id, "from_column": source, "target_column": target}
                for key in self.keys
                for source, target in key.columns
            ),
        }
        return {name: self._columns(name, list(rows)) for name, rows in contents.items()}

    def _columns(self, name: str, rows: list[dict[str, Any]]) -> Columns:
        facts = self.catalog.find("tap_schema", name)
        if facts is None:
            raise LookupError(f"the listing lacks tap_schema.{name}")
        return {column.name: [row[column.name] for row in rows] for column in facts.columns}

    def _schema_rows(self) -> Iterator[dict[str, Any]]:
        for index, (name, description) in enumerate(self.descriptions.items()):
            yield {"schema_name": name, "utype": None, "description": description, "schema_index": index}

    def _table_rows(self) -> Iterator[dict[str, Any]]:
        for table in self.catalog.tables:
            yield {
                "schema_name": table.schema,
                "table_name": table.qualified_name,
                "table_type": "table",
                "utype": None,
                "description": table.description,
                "table_index": table.table_index,
            }

    def _column_rows(self) -> Iterator[dict[str, Any]]:
        for table in self.catalog.tables:
            for column in sorted(table.columns, key=lambda c: c.name.lower()):
                size = (column.arraysize or "").rstrip("*")
                yield {
                    **asdict(column),
                    "table_name": table.qualified_name,
                    "column_name": column.adql_name,
                    "size": int(size) if size else None,
                }


def load_schema(
    listing: Sequence[OfficialSchema],
    identities: Mapping[str, str],
    *,
    lower_case: bool = False,
    booleans_as_short: bool = False,
) -> ArchiveSchema:
    """Spell a listing as a service has it: schemas and tables by name, whatever their case.

    Parameters
    ----------
    listing
        The schemas to list.
    identities
        What the schemas of the data say of themselves, as their descriptions, by their names.
    lower_case
        Name everything in lower case.
    booleans_as_short
        Give flags the datatype ``short``.
    """

    def spell(name: str) -> str:
        return name.lower() if lower_case else name

    def column(schema: str, facts: ColumnFacts) -> ColumnFacts:
        datatype = "short" if booleans_as_short and facts.datatype == "boolean" else facts.datatype
        return replace(
            facts,
            name=spell(facts.name),
            description=_plain(facts.description),
            datatype=datatype,
            # All of TAP_SCHEMA is standard (TAP 1.1 sec. 4.2), also where the official schema forgets to say so.
            std=1 if schema == "tap_schema" else facts.std,
            indexed=int(facts.name in _INDEXED),
        )

    descriptions: dict[str, str | None] = {}
    tables: list[TableFacts] = []
    keys: list[ForeignKey] = []
    for schema in sorted(listing, key=lambda schema: schema.name):
        descriptions[schema.name] = identities.get(schema.name, schema.description)
        for table in sorted(schema.tables, key=lambda table: table.name.lower()):
            tables.append(
                replace(
                    table,
                    name=spell(table.name),
                    columns=tuple(column(schema.name, facts) for facts in table.columns),
                )
            )
            taken = {key.key_id for key in keys}
            keys += [
                replace(
                    key,
                    # Two releases may call a key by one name.
                    key_id=key.key_id if key.key_id not in taken else f"{schema.name}.{key.key_id}",
                    from_table=spell(key.from_table),
                    target_table=spell(key.target_table),
                    columns=tuple((spell(a), spell(b)) for a, b in key.columns),
                )
                for key in schema.keys
                if key.from_table == table.qualified_name
            ]
    return ArchiveSchema(descriptions, Catalog(tuple(tables)), tuple(keys))


def _plain(description: str | None) -> str | None:
    """Return a description in ASCII, which is all that a VOTable's char holds; DP2's have signs of derivatives."""
    return None if description is None else description.replace("∂", "d").encode("ascii", "replace").decode()
