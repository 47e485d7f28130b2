"""Translates ADQL text into a checked query over named scans; a query enters here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from photoz_archive.adql import allowlist, grammar
from photoz_archive.adql.catalog import Catalog
from photoz_archive.adql.errors import AdqlError
from photoz_archive.adql.functions import FUNCTIONS, FunctionKind
from photoz_archive.adql.resolver import Resolver
from photoz_archive.adql.rewriter import rewrite
from photoz_archive.adql.scopes import OutputColumn, Scan
from photoz_archive.adql.tract_pruning import (
    Footprint,
    Reachable,
    Uploads,
    reachable_tracts,
    restricts_one_area,
)

_NO_UPLOADS: Final[Uploads] = MappingProxyType({})


@dataclass(frozen=True)
class Translation:
    """A query that may run.

    ``tree`` is DuckDB's, with a placeholder for each scan; ``used`` names the columns that it needs of each;
    ``top`` is the row limit that the query itself sets; ``one_area`` tells whether Qserv could leave chunks out.
    """

    tree: exp.Query
    columns: tuple[OutputColumn, ...]
    used: Mapping[Scan, tuple[str, ...]]
    reachable: Mapping[Scan, Reachable]
    top: int | None
    one_area: bool

    def sql(self, relations: Mapping[Scan, exp.Query], limit: int) -> str:
        """Write the DuckDB SQL with each scan's rows in its place and at most ``limit`` rows."""
        tree = self.tree.copy()
        for table in list(tree.find_all(exp.Table)):
            scan = table.meta.get("scan")
            if isinstance(scan, Scan):
                table.replace(exp.Subquery(this=relations[scan].copy(), alias=table.args["alias"].copy()))
        rows = limit if self.top is None else min(limit, self.top)
        # By its name, sqlglot loads the dialect at first use and lets other threads have it half made.
        return str(tree.limit(rows, copy=False).sql(dialect=DuckDB))


def translate(
    text: str,
    catalog: Catalog,
    footprints: Mapping[str, Footprint],
    *,
    scisql: bool = True,
    subqueries: bool = True,
    uploads: Uploads = _NO_UPLOADS,
) -> Translation:
    """Turn ADQL into a query that DuckDB can run, or say why not.

    Parameters
    ----------
    footprints
        Where the rows of the tables of a sky lie, by the tables' schema in lower case.
    scisql
        Whether Rubin's scisql functions exist.
    subqueries
        Whether subqueries, set operations and WITH exist.
    uploads
        The rows of those of the catalog's tables that the request brings along.

    Raises
    ------
    AdqlError
        The query is no ADQL, names what does not exist, or uses what the service does not support.
    """
    query = grammar.parse(text)
    allowlist.check(query)
    if not scisql:
        _refuse_scisql(query)
    if not subqueries:
        _refuse_subqueries(query)
    resolver = Resolver(catalog)
    try:
        columns = resolver.query(query)
        reachable = reachable_tracts(query, footprints, uploads)
        one_area = restricts_one_area(query)
        rewrite(query)
    except RecursionError as error:
        raise AdqlError("The query is nested too deeply") from error
    limit = query.args.get("limit")
    return Translation(
        tree=query,
        columns=columns,
        used={scan: tuple(names) for scan, names in resolver.used.items()},
        reachable=reachable,
        top=int(limit.expression.name) if limit is not None else None,
        one_area=one_area,
    )


def _refuse_scisql(query: exp.Query) -> None:
    for call in query.find_all(exp.Anonymous):
        if FUNCTIONS[call.name.upper()].kind is FunctionKind.SCISQL:
            raise AdqlError.at(call, f"Unknown function {call.name}")


def _refuse_subqueries(query: exp.Query) -> None:
    for node in query.walk():
        if isinstance(node, (exp.SetOperation, exp.CTE)) or (isinstance(node, exp.Select) and node is not query):
            raise AdqlError.at(node, "Subqueries, WITH and set operations are not supported here")
