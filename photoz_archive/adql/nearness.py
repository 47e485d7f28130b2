"""Conditions that two positions lie near each other: what a match of two tables by their places joins on."""

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from photoz_archive.adql.geometry import constant, shape_arguments, shape_name

_MIRRORED: Final = (exp.GT, exp.GTE)
_PREDICATES: Final = frozenset({"CONTAINS", "SCISQL_S2PTINCIRCLE"})
_DISTANCES: Final = frozenset({"DISTANCE", "SCISQL_ANGSEP"})
_CORNERS: Final = 4


@dataclass(frozen=True)
class Nearness:
    """Two positions, as longitude and latitude each, that are at most ``radius`` degrees apart."""

    first: tuple[exp.Expr, exp.Expr]
    second: tuple[exp.Expr, exp.Expr]
    radius: float


def nearness(condition: exp.Expr) -> Nearness | None:
    """Return what a condition demands, if it is that two positions are less than a constant apart.

    The condition is one of a query that is not yet rewritten.
    """
    if not isinstance(condition, (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ)):
        return None
    call, other = condition.left, condition.right
    if isinstance(condition, _MIRRORED) or (isinstance(condition, exp.EQ) and not isinstance(call, exp.Anonymous)):
        call, other = other, call
    if not isinstance(call, exp.Anonymous):
        return None
    if isinstance(condition, exp.EQ):
        numbers, radius = _of_predicate(call) if constant(other) == 1 else ([], None)
    else:
        numbers, radius = _of_distance(call), constant(other)
    if radius is None or len(numbers) != _CORNERS:
        return None
    return Nearness((numbers[0], numbers[1]), (numbers[2], numbers[3]), float(radius))


def _of_distance(call: exp.Anonymous) -> list[exp.Expr]:
    """Return the four numbers of a distance, or others where it is none."""
    if call.name.upper() not in _DISTANCES:
        return []
    return [
        number
        for argument in call.expressions
        for number in (shape_arguments(argument) if shape_name(argument) == "POINT" else [argument])
    ]


def _of_predicate(call: exp.Anonymous) -> tuple[list[exp.Expr], float | None]:
    """Return the two positions of a point in a circle as four numbers, and the circle's radius."""
    name, arguments = call.name.upper(), call.expressions
    if name == "CONTAINS" and [shape_name(argument) for argument in arguments] == ["POINT", "CIRCLE"]:
        arguments = [number for shape in arguments for number in shape_arguments(shape)]
    if name not in _PREDICATES or len(arguments) != _CORNERS + 1:
        return [], None
    return arguments[:_CORNERS], constant(arguments[_CORNERS])


def bound_latitudes(query: exp.Expr) -> None:
    """Say of each distance that a row's match demands how far apart its latitudes may be, which it implies.

    A database that can join by bands of latitude need not try all pairs. The tree is changed in place.
    """
    for condition in list(query.find_all(exp.LT, exp.LTE, exp.GT, exp.GTE)):
        near = nearness(condition)
        if near is not None and _is_demanded(condition):
            # The slack is what a sum of two doubles may lose.
            reach = exp.Literal.number(repr(near.radius + 1e-9))
            latitude, other = near.first[1], near.second[1]
            condition.replace(
                exp.and_(
                    exp.GTE(this=latitude.copy(), expression=exp.Sub(this=other.copy(), expression=reach.copy())),
                    exp.LTE(this=latitude.copy(), expression=exp.Add(this=other.copy(), expression=reach.copy())),
                    condition.copy(),
                )
            )


def _is_demanded(condition: exp.Expr) -> bool:
    """Return whether each row of a join or a result has to meet a condition: NULL is then as good as no."""
    around = condition.parent
    while isinstance(around, (exp.And, exp.Paren)):
        around = around.parent
    return isinstance(around, (exp.Where, exp.Join))
