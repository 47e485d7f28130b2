"""A contract's columns as Dagster shows them: types, units and UCDs of a definition, lineage of what was made."""

from collections.abc import Iterable

import dagster as dg

from photoz_assets.survey.table import Column, Contract


def column_schema(contract: Contract) -> dg.TableSchema:
    """Return a contract's columns as the UI's Columns tab shows them, with unit and UCD."""
    return dg.TableSchema(columns=[_shown_column(column, column.name) for column in contract])


def used_columns(table: str, contracts: Iterable[Contract]) -> dg.TableSchema:
    """Return the columns of an archive's table that contracts make a column of, in the contracts' words.

    Units and UCDs are those of the column that is asked for as it is; what is only aggregated or computed of has
    none of its own here.
    """
    found: dict[str, dg.TableColumn] = {}
    for contract in contracts:
        for column in contract:
            for origin in column.derived_from:
                origin_table, _, name = origin.rpartition(".")
                as_it_is = column.source is not None and column.source.rpartition(".")[2] == name
                if origin_table == table and (as_it_is or name not in found):
                    found[name] = _shown_column(column, name) if as_it_is else dg.TableColumn(name, type="")
    return dg.TableSchema(columns=list(found.values()))


def _shown_column(column: Column, name: str) -> dg.TableColumn:
    # Dagster's own page browses no lineage of columns: it stands in the metadata, and here for the eye.
    origins = column.derived_from
    came_from = f"{origins[0]} and {len(origins) - 1} more" if origins[1:] else "".join(origins)
    own = name == column.name
    facts = {"unit": column.unit, "ucd": column.ucd, "from": came_from if own else None}
    return dg.TableColumn(
        name=name,
        type=str(column.type),
        description=f"{column.description} [{column.unit}]" if column.unit else column.description,
        constraints=dg.TableColumnConstraints(nullable=column.nullable),
        tags={key: value for key, value in facts.items() if value},
    )


def column_lineage(contract: Contract, key: dg.AssetKey) -> dg.TableColumnLineage:
    """Return the columns, of stored tables or of the archive's, that each column of an asset comes from."""
    beside = key.path[:-1]

    def key_of(table: str) -> dg.AssetKey:
        # A table of the archive has its schema's name; one of the lake is of the asset's own release.
        return dg.AssetKey(table.split(".") if "." in table else [*beside, table])

    return dg.TableColumnLineage(
        {
            column.name: [
                dg.TableColumnDep(asset_key=key_of(table), column_name=name)
                for table, _, name in (origin.rpartition(".") for origin in column.derived_from)
            ]
            for column in contract
        }
    )
