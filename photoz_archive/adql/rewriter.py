"""Rewrites ADQL's expressions as DuckDB's: functions, regions and numbers. The tree is changed in place."""

import math

from sqlglot import exp

from photoz_archive.adql.errors import AdqlError
from photoz_archive.adql.functions import FUNCTIONS
from photoz_archive.adql.nearness import bound_latitudes

_LARGEST_LONG = 2**63 - 1


def rewrite(query: exp.Expr) -> None:
    """Rewrite every function call and number literal of a resolved query.

    Raises
    ------
    AdqlError
        A region stands where none can, or a number is out of range.
    """
    bound_latitudes(query)
    for literal in list(query.find_all(exp.Literal)):
        _rewrite_number(literal)
    # Inner calls first, so that a function finds its arguments in DuckDB's words.
    for call in reversed(list(query.find_all(exp.Anonymous))):
        function = FUNCTIONS[call.name.upper()]
        if function.build is None:
            continue
        built = function.build(call)
        if function.predicate:
            _place_predicate(call, built)
        else:
            call.replace(built)
    for call in query.find_all(exp.Anonymous):
        function_left = FUNCTIONS.get(call.name.upper())
        if function_left is not None and function_left.build is None:
            raise AdqlError.at(call, f"{call.name.upper()} can stand only inside CONTAINS, INTERSECTS or DISTANCE")


def _place_predicate(call: exp.Expr, predicate: exp.Expr) -> None:
    """Put a boolean where ADQL has 1 or 0; ``= 1`` becomes the boolean itself, which DuckDB can push down."""
    comparison = call.parent
    if isinstance(comparison, exp.EQ):
        other = comparison.expression if comparison.this is call else comparison.this
        if isinstance(other, exp.Literal) and not other.is_string and other.name == "1":
            comparison.replace(exp.paren(predicate))
            return
    call.replace(exp.cast(exp.paren(predicate), exp.DType.INT))


def _rewrite_number(literal: exp.Literal) -> None:
    """Write a number with a point or exponent as a double, which DuckDB would take for a DECIMAL."""
    if literal.is_string:
        return
    if literal.is_int:
        if int(literal.name) > _LARGEST_LONG:
            raise AdqlError.at(literal, f"Number {literal.name} is out of range")
        return
    value = float(literal.name)
    if not math.isfinite(value):
        raise AdqlError.at(literal, f"Number {literal.name} is out of range")
    text = repr(value)
    literal.set("this", text if "e" in text else f"{text}e0")
