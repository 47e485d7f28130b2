"""ADQL's regions and scisql's as predicates on longitude and latitude, in degrees of ICRS."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from photoz_archive.adql.errors import AdqlError

SHAPES: Final = frozenset({"POINT", "CIRCLE", "POLYGON"})
_SYSTEMS: Final = frozenset({"", "ICRS", "ICRS GEOCENTER", "ICRS BARYCENTER"})
_FORMS: Final[dict[str, tuple[str, Callable[[int], bool]]]] = {
    "POINT": ("POINT(ra, dec)", (2).__eq__),
    "CIRCLE": ("CIRCLE(ra, dec, radius)", (3).__eq__),
    "POLYGON": (
        "POLYGON(ra, dec, ra, dec, ra, dec, ...) with three or more vertices",
        range(6, 2000, 2).__contains__,
    ),
}
# A column of regions as text, the one that images have (ObsCore 1.1 sec. 4.1).
_REGIONS: Final = "s_region"
# Corners nearer than this, and sides flatter than this, count as none (radians).
_TOLERANCE: Final = 1e-12
_TRIANGLE: Final = 3
_ARITHMETIC: Final[dict[type[exp.Expr], Callable[[float, float], float]]] = {
    exp.Add: lambda a, b: a + b,
    exp.Sub: lambda a, b: a - b,
    exp.Mul: lambda a, b: a * b,
    exp.Div: lambda a, b: a / b if b else math.nan,
}


def constant(node: exp.Expr) -> int | float | None:
    """Return the value of an expression of number literals alone, else None; whole numbers stay exact."""
    if isinstance(node, exp.Paren):
        return constant(node.this)
    if isinstance(node, exp.Neg):
        value = constant(node.this)
        return None if value is None else -value
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.name) if node.is_int else float(node.name)
    operator = _ARITHMETIC.get(type(node))
    if operator is None or not isinstance(node, exp.Binary):
        return None
    left, right = constant(node.left), constant(node.right)
    return None if left is None or right is None else operator(left, right)


def shape_name(node: exp.Expr) -> str | None:
    """Return POINT, CIRCLE or POLYGON where ``node`` is such a constructor, else None."""
    name = node.name.upper() if isinstance(node, exp.Anonymous) else ""
    return name if name in SHAPES else None


def shape_arguments(node: exp.Expr) -> list[exp.Expr]:
    """Return a shape's numeric arguments: without the coordinate system, with each POINT as two numbers.

    Raises
    ------
    AdqlError
        The coordinate system is not ICRS, or the number of arguments does not make the shape.
    """
    arguments = list(node.expressions)
    if arguments and isinstance(arguments[0], exp.Literal) and arguments[0].is_string:
        system = arguments.pop(0).name
        if system.upper() not in _SYSTEMS:
            raise AdqlError.at(node, f"Coordinate system {system!r} is not supported; expected 'ICRS'")
    numbers = [
        number
        for argument in arguments
        for number in (shape_arguments(argument) if shape_name(argument) == "POINT" else [argument])
    ]
    form, count_fits = _FORMS[node.name.upper()]
    if not count_fits(len(numbers)):
        raise AdqlError.at(node, f"{node.name.upper()} got {len(numbers)} numbers; expected {form}, in degrees")
    return numbers


def contains(node: exp.Anonymous) -> exp.Expr:
    """Build CONTAINS(POINT, CIRCLE or POLYGON), or of a POINT in a column of regions, as a predicate."""
    inner, outer = node.expressions
    if shape_name(inner) == "POINT" and isinstance(outer, exp.Column) and outer.name.lower() == _REGIONS:
        return macro("adql_in_region", *shape_arguments(inner), outer)
    if shape_name(inner) != "POINT" or shape_name(outer) not in {"CIRCLE", "POLYGON"}:
        raise AdqlError.at(node, "CONTAINS expects a POINT and a CIRCLE or POLYGON")
    return _point_in(shape_arguments(inner), outer)


def intersects(node: exp.Anonymous) -> exp.Expr:
    """Build INTERSECTS of a POINT or CIRCLE with a CIRCLE, or of a POINT with a POLYGON, as a predicate."""
    first, second = sorted(node.expressions, key=lambda shape: shape_name(shape) != "POINT")
    kinds = shape_name(first), shape_name(second)
    if kinds[0] == "POINT" and kinds[1] in {"CIRCLE", "POLYGON"}:
        return _point_in(shape_arguments(first), second)
    if kinds == ("CIRCLE", "CIRCLE"):
        lon, lat, radius = shape_arguments(first)
        other_lon, other_lat, other_radius = shape_arguments(second)
        reach = exp.Add(this=exp.paren(radius), expression=exp.paren(other_radius))
        return macro("adql_in_circle", lon, lat, other_lon, other_lat, reach)
    raise AdqlError.at(node, "INTERSECTS expects two CIRCLEs, or a POINT and a CIRCLE or POLYGON")


def distance(node: exp.Anonymous) -> exp.Expr:
    """Build DISTANCE(POINT, POINT) or DISTANCE(ra, dec, ra, dec), in degrees."""
    arguments = node.expressions
    if all(shape_name(argument) == "POINT" for argument in arguments):
        arguments = [number for point in arguments for number in shape_arguments(point)]
    match arguments:
        case [lon, lat, other_lon, other_lat]:
            return macro("adql_separation", lon, lat, other_lon, other_lat)
        case _:
            raise AdqlError.at(node, "DISTANCE expects two POINTs or four numbers")


def in_convex_polygon(lon: exp.Expr, lat: exp.Expr, vertices: list[exp.Expr], node: exp.Expr) -> exp.Expr:
    """Build 'inside or on the edge of a convex polygon': on the inner side of every edge's great circle."""
    limits: list[exp.Expr] = []
    for x, y, z in polygon_normals(vertices, node).tolist():
        template = (
            f"{x!r} * COS(RADIANS(lat)) * COS(RADIANS(lon)) + {y!r} * COS(RADIANS(lat)) * SIN(RADIANS(lon))"
            f" + {z!r} * SIN(RADIANS(lat)) >= 0"
        )
        limits.append(exp.maybe_parse(template))
    predicate = exp.and_(*limits)
    for column in list(predicate.find_all(exp.Column)):
        column.replace((lon if column.name == "lon" else lat).copy())
    return predicate


def polygon_normals(vertices: list[exp.Expr], node: exp.Expr) -> NDArray[np.float64]:
    """Return the inward normals of a convex polygon's edges, shape (edges, 3).

    Raises
    ------
    AdqlError
        A vertex is no number, or the polygon is not convex or wider than a hemisphere.
    """
    values = [constant(vertex) for vertex in vertices]
    if any(value is None for value in values):
        raise AdqlError.at(node, "The vertices of a polygon must be numbers")
    corners = unit_vectors(np.asarray(values, dtype=float).reshape(-1, 2))
    distinct = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1) > _TOLERANCE
    corners = corners[distinct]
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    sides = normals @ corners.T
    for inward, heights in ((normals, sides), (-normals, -sides)):
        if len(corners) >= _TRIANGLE and (heights >= -_TOLERANCE).all():
            return inward
    raise AdqlError.at(
        node, "Expected a convex polygon of three or more distinct vertices, less than half the sky"
    )


def unit_vectors(positions_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors, shape (n, 3), of longitudes and latitudes in degrees, shape (n, 2)."""
    lon, lat = np.radians(positions_deg).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def macro(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """Call a DuckDB macro or function with copies of ``arguments``."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def _point_in(point: list[exp.Expr], region: exp.Expr) -> exp.Expr:
    lon, lat = point
    arguments = shape_arguments(region)
    if shape_name(region) == "CIRCLE":
        return macro("adql_in_circle", lon, lat, *arguments)
    return in_convex_polygon(lon, lat, arguments, region)
