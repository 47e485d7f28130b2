"""What TAP_SCHEMA says: the packaged extract of the official schema as a catalog and as tables of rows.

The extract follows Rubin's own services: VOTable datatypes, seven kinds of them, in ``datatype``.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Any, Final

import pyarrow as pa

from photoz_archive.adql.catalog import Catalog, ColumnFacts, TableFacts

DATA_SCHEMA: Final = "dp02_dc2_catalogs"
SKY_TABLES: Final = ("Object", "TruthSummary", "MatchesTruth")

# Director keys of Rubin's database.
_INDEXED: Final = frozenset({"objectId", "id_truth_type"})

_ARROW_TYPES: Final = {"char": pa.string(), "int": pa.int32()}


@dataclass(frozen=True)
class ForeignKey:
    """A declared join: columns of ``from_table`` that name rows of ``target_table``."""

    key_id: str
    from_table: str
    target_table: str
    columns: tuple[tuple[str, str], ...]
    description: str | None


@dataclass(frozen=True)
class ArchiveSchema:
    """All that TAP_SCHEMA holds; ``descriptions`` of its schemas by name."""

    descriptions: dict[str, str]
    catalog: Catalog
    keys: tuple[ForeignKey, ...]

    def rows(self) -> dict[str, pa.Table]:
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
        return {name: self._arrow_table(name, list(rows)) for name, rows in contents.items()}

    def _arrow_table(self, name: str, rows: list[dict[str, Any]]) -> pa.Table:
        facts = self.catalog.find("tap_schema", name)
        if facts is None:
            raise LookupError(f"the schema extract lacks tap_schema.{name}")
        fields = [pa.field(column.name, _ARROW_TYPES[column.datatype]) for column in facts.columns]
        return pa.Table.from_pylist(rows, schema=pa.schema(fields))

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


def load_schema(identity: str, *, lower_case: bool = False, booleans_as_short: bool = False) -> ArchiveSchema:
    """Read the packaged extract.

    Parameters
    ----------
    identity
        What the schema of the data says of itself, as its description.
    lower_case
        Name everything in lower case.
    booleans_as_short
        Give flags the datatype ``short``.
    """
    text = files("photoz_archive.data").joinpath("dp02_dc2_schema.json").read_text(encoding="utf-8")
    extract = json.loads(text)

    def spell(name: str) -> str:
        return name.lower() if lower_case else name

    def column(schema: str, values: list[Any]) -> ColumnFacts:
        facts = ColumnFacts(**dict(zip(extract["column_fields"], values, strict=True)))
        datatype = "short" if booleans_as_short and facts.datatype == "boolean" else facts.datatype
        return replace(
            facts,
            name=spell(facts.name),
            datatype=datatype,
            # All of TAP_SCHEMA is standard (TAP 1.1 sec. 4.2), also where the extract forgets to say so.
            std=1 if schema == "tap_schema" else facts.std,
            indexed=int(facts.name in _INDEXED),
        )

    descriptions, tables, keys = {}, [], []
    for schema in sorted(extract["schemas"], key=lambda s: str(s["name"])):
        name = schema["name"]
        descriptions[name] = identity if name == DATA_SCHEMA else schema["description"]
        for table in sorted(schema["tables"], key=lambda t: str(t["name"]).lower()):
            facts = TableFacts(
                schema=name,
                name=spell(table["name"]),
                columns=tuple(column(name, values) for values in table["columns"]),
                description=table["description"],
                table_index=table["index"],
            )
            tables.append(facts)
            keys += [
                ForeignKey(
                    key_id,
                    facts.qualified_name,
                    spell(target),
                    tuple((spell(a), spell(b)) for a, b in pairs),
                    description,
                )
                for key_id, target, pairs, description in table["keys"]
            ]
    return ArchiveSchema(descriptions, Catalog(tuple(tables)), tuple(keys))
