"""Reads published schemas with their own library and writes what it found: a process of its own.

``python -m photoz_archive.service.felis_reader dp02_dc2 dp1`` prints JSON, as ``official`` reads it.
"""

import gc
import sys
from typing import Any, Final

import yaml
from felis.datamodel import Column, ForeignKeyConstraint, Schema, Table
from felis.types import FelisType

from photoz_archive.adql.catalog import ColumnFacts, TableFacts
from photoz_archive.service.official import SCHEMAS, ForeignKey, OfficialSchema

_PACKAGED: Final = "resource://lsst.sdm.schemas/{name}.yaml"
_STANDARD: Final = {"tap_schema": "resource://felis/config/tap_schema/tap_schema_std.yaml"}
# Ids are what constraints name columns by; columns that a release has from another file are put in.
_CONTEXT: Final = {"id_generation": True, "dereference_resources": True}


def read(name: str) -> OfficialSchema:
    """Read a published schema, by the name of its file without the ending."""
    schema = Schema.from_uri(_STANDARD.get(name, _PACKAGED.format(name=name)), context=_CONTEXT)
    listed = schema.name.lower()
    return OfficialSchema(
        name=listed,
        description=schema.description,
        tables=tuple(
            TableFacts(
                schema=listed,
                name=table.name,
                columns=tuple(_column(column) for column in table.columns),
                description=table.description,
                table_index=table.tap_table_index,
            )
            for table in schema.tables
        ),
        keys=tuple(
            _key(schema, table, constraint)
            for table in schema.tables
            for constraint in table.constraints
            if isinstance(constraint, ForeignKeyConstraint)
        ),
    )


def _column(column: Column) -> ColumnFacts:
    """Return what TAP_SCHEMA says of a column."""
    return ColumnFacts(
        name=column.name,
        datatype=FelisType.felis_type(column.datatype.value).votable_name,
        arraysize=str(column.votable_arraysize) if column.votable_arraysize else None,
        xtype=column.votable_xtype,
        unit=column.ivoa_unit or column.fits_tunit or None,
        ucd=column.ivoa_ucd or None,
        utype=column.votable_utype or None,
        principal=column.tap_principal or 0,
        std=column.tap_std or 0,
        column_index=column.tap_column_index,
        description=column.description or None,
    )


def _key(schema: Schema[Any], table: Table, key: ForeignKeyConstraint) -> ForeignKey:
    sources, targets = (
        [schema.find_object_by_id(number, Column) for number in ids]
        for ids in (key.columns, key.referenced_columns)
    )
    target_table = schema.get_table_by_column(targets[0])
    return ForeignKey(
        key_id=key.name,
        from_table=f"{schema.name.lower()}.{table.name}",
        target_table=f"{schema.name.lower()}.{target_table.name}",
        columns=tuple((source.name, target.name) for source, target in zip(sources, targets, strict=True)),
        description=key.description,
    )


def main() -> None:
    """Read the schemas that the command line names."""
    # It ends before its garbage would fill the memory, and collecting takes a fifth of its time.
    gc.disable()
    # The library parses in Python what the same parser in C reads in a fifth of the time.
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    sys.stdout.buffer.write(SCHEMAS.dump_json(tuple(read(name) for name in sys.argv[1:]), exclude_defaults=True))


if __name__ == "__main__":
    main()
