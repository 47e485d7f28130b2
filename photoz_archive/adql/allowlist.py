"""What may stand in a query's tree: classes of nodes and, for each, the parts that it may have.

Whatever is not listed is refused, so that a construct of some other dialect that the parser happens to read
never reaches the database. Which functions may be called stands in ``functions``.
"""

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from photoz_archive.adql.catalog import close_names
from photoz_archive.adql.errors import AdqlError
from photoz_archive.adql.functions import FUNCTIONS

_BINARY: Final = frozenset({"this", "expression"})
_UNARY: Final = frozenset({"this"})

_ALLOWED_PARTS: Final[dict[type[exp.Expr], frozenset[str]]] = {
    exp.Select: frozenset(
        [
            "with_",
            "expressions",
            "distinct",
            "limit",
            "from_",
            "joins",
            "where",
            "group",
            "having",
            "order",
            "offset",
        ]
    ),
    exp.Union: frozenset(["with_", "this", "expression", "distinct", "order", "offset"]),
    exp.Except: frozenset(["with_", "this", "expression", "distinct", "order", "offset"]),
    exp.Intersect: frozenset(["with_", "this", "expression", "distinct", "order", "offset"]),
    exp.Subquery: frozenset(["this", "alias"]),
    exp.With: frozenset(["expressions"]),
    exp.CTE: frozenset(["this", "alias"]),
    exp.From: _UNARY,
    exp.Join: frozenset(["this", "side", "kind", "method", "on", "using"]),
    exp.Table: frozenset(["this", "db", "alias"]),
    exp.TableAlias: _UNARY,
    exp.Identifier: frozenset(["this", "quoted"]),
    exp.Column: frozenset(["this", "table", "db"]),
    exp.Star: frozenset(),
    exp.Alias: frozenset(["this", "alias"]),
    exp.Where: _UNARY,
    exp.Group: frozenset(["expressions"]),
    exp.Having: _UNARY,
    exp.Order: frozenset(["expressions"]),
    exp.Ordered: frozenset(["this", "desc", "nulls_first"]),
    exp.Limit: frozenset(["expression"]),
    exp.Offset: frozenset(["expression"]),
    exp.Distinct: frozenset(["expressions"]),
    exp.Literal: frozenset(["this", "is_string"]),
    exp.Boolean: _UNARY,
    exp.Null: frozenset(),
    exp.Paren: _UNARY,
    exp.Not: _UNARY,
    exp.Neg: _UNARY,
    exp.Exists: _UNARY,
    exp.In: frozenset(["this", "expressions", "query"]),
    exp.Between: frozenset(["this", "low", "high"]),
    exp.Cast: frozenset(["this", "to"]),
    exp.DataType: frozenset(["this", "expressions", "nested"]),
    exp.DataTypeParam: _UNARY,
    exp.Anonymous: frozenset(["this", "expressions"]),
    **dict.fromkeys((exp.And, exp.Or, exp.Is), _BINARY),
    **dict.fromkeys((exp.Like, exp.ILike), _BINARY | {"negate"}),
    exp.DPipe: _BINARY | {"safe"},
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), _BINARY),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), _BINARY),
    exp.Div: _BINARY | {"typed", "safe"},
}

# What people type who are used to another dialect, with what to do instead.
_ADVICE: Final[dict[type[exp.Expr], str]] = {
    exp.Window: "window functions (OVER) are no part of ADQL",
    exp.Case: "CASE is no part of ADQL",
    exp.Placeholder: "parameters are no part of ADQL; write the value",
    exp.Mod: "the operator % is no part of ADQL; write MOD(x, y)",
    exp.Into: "a query cannot write; remove INTO",
}

# Functions of ADQL that are not here, with what to write instead.
_FUNCTION_ADVICE: Final = {
    "BOX": "write POLYGON, or scisql_s2PtInBox where it is offered",
    "REGION": "write CIRCLE or POLYGON",
    "AREA": "areas are not computed here",
    "CENTROID": "write the centre itself",
    "COORDSYS": "all positions are ICRS",
    "IN_UNIT": "TAP_SCHEMA.columns has each column's unit",
}

_JOIN_KINDS: Final = frozenset({"", "INNER", "OUTER", "CROSS"})
_JOIN_METHODS: Final = frozenset({"", "NATURAL"})
_CAST_TYPES: Final = frozenset(
    {
        exp.DType.SMALLINT,
        exp.DType.INT,
        exp.DType.BIGINT,
        exp.DType.FLOAT,
        exp.DType.DOUBLE,
        exp.DType.CHAR,
        exp.DType.VARCHAR,
        exp.DType.TIMESTAMP,
    }
)


def check(query: exp.Query) -> None:
    """Refuse a tree that holds anything which is not on the list.

    Raises
    ------
    AdqlError
        Names the first such part and, where that is known, what ADQL has instead.
    """
    try:
        for node in query.walk(bfs=False):
            _check_node(node)
    except RecursionError as error:
        raise AdqlError("The query is nested too deeply") from error


def _check_node(node: exp.Expr) -> None:
    parts = _ALLOWED_PARTS.get(type(node))
    if parts is None:
        advice = _ADVICE.get(type(node), f"{_words(type(node).__name__)} is not supported in ADQL here")
        raise AdqlError.at(node, advice[0].upper() + advice[1:])
    for part, value in node.args.items():
        if part not in parts and value not in (None, False, []):
            raise AdqlError.at(
                node, f"{_words(part)} is not supported in {_words(type(node).__name__)} of ADQL here"
            )
    special = _SPECIAL_CHECKS.get(type(node))
    if special is not None:
        special(node)


def _check_table(node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Identifier):
        raise AdqlError.at(node, "Functions cannot stand for a table; expected schema.table")


def _check_join(node: exp.Expr) -> None:
    if node.args.get("kind", "") not in _JOIN_KINDS or node.args.get("method", "") not in _JOIN_METHODS:
        raise AdqlError.at(node, "Expected INNER, LEFT, RIGHT, FULL, CROSS or NATURAL JOIN")


def _check_limit(node: exp.Expr) -> None:
    count = node.args["expression"]
    if not (isinstance(count, exp.Literal) and count.is_int):
        raise AdqlError.at(node, "Expected a whole number of rows")


def _check_cast(node: exp.Expr) -> None:
    if node.args["this"] not in _CAST_TYPES:
        raise AdqlError.at(
            node.parent or node,
            "CAST expects SMALLINT, INTEGER, BIGINT, REAL, DOUBLE PRECISION, CHAR, VARCHAR or TIMESTAMP",
        )


def _check_function(node: exp.Expr) -> None:
    name = node.this
    function = FUNCTIONS.get(name.upper()) if isinstance(name, str) else None
    if function is None:
        raise AdqlError.at(node, f"Unknown function {node.name}; {_advice(node.name)}")
    arguments = node.expressions
    if not function.accepts(len(arguments)):
        raise AdqlError.at(node, f"{function.signature} got {len(arguments)} arguments")
    for argument in arguments:
        if isinstance(argument, exp.Distinct) and not function.is_aggregate:
            raise AdqlError.at(node, f"DISTINCT is not supported in {function.name}")
        if isinstance(argument, exp.Star) and function.name != "COUNT":
            raise AdqlError.at(node, f"{function.name}(*) is not supported; only COUNT(*) is")
        if isinstance(argument, (exp.Order, exp.Limit, exp.Query)):
            raise AdqlError.at(node, f"A query or an ORDER BY is not supported in {function.name}")


def _advice(name: str) -> str:
    advice = _FUNCTION_ADVICE.get(name.upper())
    if advice is not None:
        return advice
    close = close_names(name, [function.name for function in FUNCTIONS.values()], likeness=0.75)
    return f"did you mean {' or '.join(close)}?" if close else "expected one of ADQL's or of /capabilities"


def _check_column(node: exp.Expr) -> None:
    if isinstance(node.parent, exp.Anonymous) and isinstance(node.this, exp.Star):
        raise AdqlError.at(node, "table.* is not supported as an argument")


_SPECIAL_CHECKS: Final[dict[type[exp.Expr], Callable[[exp.Expr], None]]] = {
    exp.Table: _check_table,
    exp.Join: _check_join,
    exp.Limit: _check_limit,
    exp.Offset: _check_limit,
    exp.DataType: _check_cast,
    exp.Anonymous: _check_function,
    exp.Column: _check_column,
}


def _words(name: str) -> str:
    """Return the word in a query that stands for a class or part of sqlglot."""
    return name.rstrip("_").replace("_", " ").upper()
