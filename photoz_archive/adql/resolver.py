"""Resolves names: every table becomes a numbered scan, every column a qualified, quoted one.

The tree is changed in place; afterwards each ``exp.Column`` of a catalog table carries its scan in
``meta["scan"]``, which ``tract_pruning`` reads.
"""

from typing import Final

from sqlglot import exp

from photoz_archive.adql.catalog import Catalog, TableFacts
from photoz_archive.adql.errors import AdqlError
from photoz_archive.adql.scopes import OutputColumn, Scan, Scope, Source, find_column

_Named = dict[str, tuple[OutputColumn, ...]]


class Resolver:
    """Resolves one query; ``scans`` holds the tables that it uses and ``used`` the columns of each."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.scans: list[Scan] = []
        self.used: dict[Scan, dict[str, None]] = {}

    def query(
        self, node: exp.Expr, outer: Scope | None = None, named: _Named | None = None
    ) -> tuple[OutputColumn, ...]:
        """Resolve a SELECT or set operation and return its columns.

        Raises
        ------
        AdqlError
            A name means nothing or too much, or the two sides of a set operation do not fit.
        """
        named = dict(named or {})
        for cte in _with_queries(node):
            named[cte.alias.lower()] = self.query(cte.this, None, named)
            cte.args["alias"].set("this", exp.to_identifier(cte.alias.lower(), quoted=True))
        if isinstance(node, exp.Subquery):
            return self.query(node.this, outer, named)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer, named)
        return _SelectResolver(self, node, Scope(parent=outer), named).resolve()

    def scan(self, table: TableFacts) -> Scan:
        """Add one use of ``table``."""
        scan = Scan(len(self.scans), table)
        self.scans.append(scan)
        self.used[scan] = {}
        return scan

    def table(self, node: exp.Table) -> TableFacts:
        """Find the catalog table that ``node`` names.

        Raises
        ------
        AdqlError
            There is none.
        """
        schema, name = node.db, node.name
        found = self._catalog.find(schema, name)
        if found is None:
            wanted = f"{schema}.{name}" if schema else name
            close = self._catalog.suggestions(wanted)
            advice = f"did you mean {' or '.join(close)}?" if close else "TAP_SCHEMA.tables lists those there are"
            raise AdqlError.at(node, f"Unknown table {wanted!r}; {advice}")
        return found

    def _set_operation(
        self, node: exp.SetOperation, outer: Scope | None, named: _Named
    ) -> tuple[OutputColumn, ...]:
        left = self.query(node.this, outer, named)
        right = self.query(node.expression, outer, named)
        if len(left) != len(right):
            raise AdqlError.at(
                node,
                f"The two sides of {type(node).__name__.upper()} have {len(left)} and {len(right)} columns",
            )
        for ordered in node.args["order"].expressions if node.args.get("order") else ():
            _order_by_output(ordered, left)
        return tuple(
            OutputColumn(a.name, a.facts if b.facts and a.facts and _same_type(a, b) else None)
            for a, b in zip(left, right, strict=True)
        )


class _SelectResolver:
    """Resolves one SELECT."""

    def __init__(self, resolver: Resolver, select: exp.Expr, scope: Scope, named: _Named) -> None:
        self._resolver = resolver
        self._select = select
        self._scope = scope
        self._named = named

    def resolve(self) -> tuple[OutputColumn, ...]:
        select = self._select
        from_ = select.args.get("from_")
        if from_ is None:
            raise AdqlError.at(select, "Expected a FROM clause")
        self._source(from_.this)
        for join in select.args.get("joins") or []:
            self._join(join)
        output = self._select_list()
        for clause in ("where", "having"):
            if select.args.get(clause):
                self._expression(select.args[clause])
        self._group(output)
        self._order(output)
        return output

    def _source(self, node: exp.Expr) -> Source:
        """Take the table or subquery ``node`` into the scope, under a lower-case quoted alias."""
        if isinstance(node, exp.Subquery):
            if not node.alias:
                raise AdqlError.at(node, "A subquery in FROM needs an alias")
            source = Source(node.alias.lower(), self._resolver.query(node.this, None, self._named))
        elif isinstance(node, exp.Table):
            source = self._table(node)
        else:
            raise AdqlError.at(node, "Expected a table or a subquery in FROM")
        self._scope.add(source, node)
        node.set("alias", exp.TableAlias(this=exp.to_identifier(source.alias, quoted=True)))
        return source

    def _table(self, node: exp.Table) -> Source:
        alias = (node.alias or node.name).lower()
        if not node.db and node.name.lower() in self._named:
            node.set("this", exp.to_identifier(node.name.lower(), quoted=True))
            return Source(alias, self._named[node.name.lower()])
        table = self._resolver.table(node)
        scan = self._resolver.scan(table)
        node.set("this", exp.to_identifier(scan.placeholder))
        node.set("db", None)
        node.meta["scan"] = scan
        return Source(alias, tuple(OutputColumn(facts.name, facts, scan) for facts in table.columns))

    def _join(self, join: exp.Join) -> None:
        before = list(self._scope.sources)
        right = self._source(join.this)
        shared = list(join.args.get("using") or [])
        if join.args.get("method") == "NATURAL":
            shared = [
                exp.to_identifier(column.name, quoted=True)
                for column in right.columns
                if any(find_column(s.columns, exp.to_identifier(column.name)) for s in before)
            ]
            join.set("method", None)
        if shared:
            self._merge(join, shared, before, right)
        elif join.args.get("on"):
            self._expression(join.args["on"])
        elif join.side or join.kind == "INNER":
            raise AdqlError.at(join, "A JOIN needs ON, USING or NATURAL")

    def _merge(self, join: exp.Join, shared: list[exp.Identifier], before: list[Source], right: Source) -> None:
        """Write USING and NATURAL as the equalities that they mean."""
        if join.side in {"RIGHT", "FULL"}:
            raise AdqlError.at(join, f"USING and NATURAL are not supported in a {join.side} JOIN; write ON")
        conditions = []
        for identifier in shared:
            name = exp.Column(this=identifier)
            left_source, left_column = Scope(sources=before, merged=self._scope.merged).resolve(name)
            right_column = right.find(identifier)
            if right_column is None:
                raise AdqlError.at(identifier, f"Unknown column {identifier.name!r} in {right.alias}")
            self._scope.merged[identifier.name.lower()] = left_source
            conditions.append(
                exp.EQ(
                    this=self._reference(left_source, left_column),
                    expression=self._reference(right, right_column),
                )
            )
        join.set("using", None)
        join.set("on", exp.and_(*conditions))

    def _select_list(self) -> tuple[OutputColumn, ...]:
        """Expand the stars, resolve the expressions and give each item a quoted name of its own."""
        items: list[exp.Expr] = []
        output: list[OutputColumn] = []
        names: set[str] = set()
        for position, item in enumerate(self._expanded_items(), start=1):
            value, name = (item.this, item.alias) if isinstance(item, exp.Alias) else (item, None)
            column: OutputColumn | None = None
            if isinstance(value, exp.Column):
                column = self._scope.resolve(value)[1]
            name = _distinct_name(name or _default_name(value, position), names)
            wrapped = exp.Alias(this=value, alias=exp.to_identifier(name, quoted=True))
            self._expression(wrapped)
            items.append(wrapped)
            output.append(OutputColumn(name, column.facts if column else None, column.scan if column else None))
        self._select.set("expressions", items)
        return tuple(output)

    def _expanded_items(self) -> list[exp.Expr]:
        items: list[exp.Expr] = []
        for item in self._select.expressions:
            if isinstance(item, exp.Star):
                sources = self._scope.sources
                merged = self._scope.merged
            elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
                sources, merged = [self._scope.source(item.args["table"])], {}
            else:
                items.append(item)
                continue
            items.extend(
                self._bare_reference(source, column)
                for source in sources
                for column in source.columns
                if merged.get(column.name.lower(), source) is source
            )
        if not items:
            raise AdqlError.at(self._select, "Expected a list of columns, or *, after SELECT")
        return items

    def _expression(self, node: exp.Expr) -> None:
        """Resolve the columns and subqueries of an expression, clause or select item."""
        if isinstance(node, (exp.Query, exp.Subquery)):
            columns = self._resolver.query(node, self._scope, self._named)
            if len(columns) != 1 and not isinstance(node.parent, exp.Exists):
                raise AdqlError.at(node, f"A subquery here needs one column; it has {len(columns)}")
            return
        if isinstance(node, exp.Column):
            source, column = self._scope.resolve(node)
            node.replace(self._reference(source, column, node))
            return
        for child in list(node.iter_expressions()):
            self._expression(child)

    def _group(self, output: tuple[OutputColumn, ...]) -> None:
        group = self._select.args.get("group")
        for item in group.expressions if group else ():
            if isinstance(item, exp.Column) and not item.table:
                position = _position(item.this, output)
                if position is not None and not self._names_column(item):
                    item.replace(exp.Literal.number(position))
                    continue
            self._expression(item)

    def _order(self, output: tuple[OutputColumn, ...]) -> None:
        order = self._select.args.get("order")
        for ordered in order.expressions if order else ():
            if isinstance(ordered.this, exp.Literal) or (
                isinstance(ordered.this, exp.Column)
                and not ordered.this.table
                and _position(ordered.this.this, output) is not None
            ):
                _order_by_output(ordered, output)
            else:
                self._expression(ordered)

    def _names_column(self, column: exp.Column) -> bool:
        return any(source.find(column.this) is not None for source in self._scope.sources)

    def _bare_reference(self, source: Source, column: OutputColumn) -> exp.Column:
        return exp.column(
            exp.to_identifier(column.name, quoted=True), table=exp.to_identifier(source.alias, quoted=True)
        )

    def _reference(self, source: Source, column: OutputColumn, original: exp.Column | None = None) -> exp.Column:
        """Build the qualified reference, note its use, and keep where the original stood in the query."""
        reference = self._bare_reference(source, column)
        if original is not None:
            reference.this.meta.update(original.this.meta)
        if column.scan is not None:
            self._resolver.used[column.scan][column.name] = None
            reference.meta["scan"] = column.scan
        return reference


_POSITION_MISSING: Final = "Expected the number of a column of the SELECT list, from 1 to {count}"


def _order_by_output(ordered: exp.Ordered, output: tuple[OutputColumn, ...]) -> None:
    """Sort by a column of the result: by its number, or by its name, which becomes its number."""
    key = ordered.this
    if isinstance(key, exp.Literal):
        if key.is_string or not (key.is_int and 1 <= int(key.name) <= len(output)):
            raise AdqlError.at(ordered, _POSITION_MISSING.format(count=len(output)))
        return
    position = _position(key.this, output) if isinstance(key, exp.Column) and not key.table else None
    if position is None:
        raise AdqlError.at(ordered, "ORDER BY after a set operation expects a name or number of its columns")
    ordered.set("this", exp.Literal.number(position))


def _position(identifier: exp.Identifier, output: tuple[OutputColumn, ...]) -> int | None:
    found = find_column(output, identifier)
    return None if found is None else output.index(found) + 1


def _with_queries(node: exp.Expr) -> list[exp.CTE]:
    with_ = node.args.get("with_")
    return list(with_.expressions) if with_ else []


def _default_name(value: exp.Expr, position: int) -> str:
    if isinstance(value, exp.Column):
        return value.name
    if isinstance(value, exp.Anonymous):
        return value.name.lower()
    return f"column_{position}"


def _distinct_name(name: str, taken: set[str]) -> str:
    """Return ``name``, or it with a number where another column has it in any case already."""
    candidate, number = name, 1
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate.lower())
    return candidate


def _same_type(a: OutputColumn, b: OutputColumn) -> bool:
    return a.facts is not None and b.facts is not None and a.facts.datatype == b.facts.datatype
