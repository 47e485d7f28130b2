"""The functions that a query may call: one table, from the ADQL name to its DuckDB expression."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sqlglot import exp

from photoz_archive.adql import geometry
from photoz_archive.adql.errors import AdqlError
from photoz_archive.adql.geometry import macro

Builder = Callable[[exp.Anonymous], exp.Expr]


class FunctionKind(Enum):
    """Where a function comes from, which decides how it is declared."""

    AGGREGATE = auto()
    STANDARD = auto()
    STRING = auto()
    GEOMETRY = auto()
    SCISQL = auto()


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function that a query may call.

    ``build`` turns the call, its arguments rewritten already, into a DuckDB expression. It is None for a
    shape, which the function around it consumes. A ``predicate`` builds a boolean, which ADQL compares with 1.
    """

    signature: str
    kind: FunctionKind
    arguments: range
    build: Builder | None
    predicate: bool = False
    description: str = ""

    @property
    def name(self) -> str:
        """The name as in the signature."""
        return self.signature.partition("(")[0]

    @property
    def is_aggregate(self) -> bool:
        """True where the function takes a group of rows."""
        return self.kind is FunctionKind.AGGREGATE

    def accepts(self, count: int) -> bool:
        """Return whether the function can be called with ``count`` arguments."""
        return count in self.arguments


_MANY: Final = 1000


def _native(name: str) -> Builder:
    return lambda call: macro(name, *call.expressions)


def _simple(
    signature: str, kind: FunctionKind, duckdb_name: str, least: int = 1, most: int | None = None
) -> Function:
    most = least if most is None else most
    return Function(signature=signature, kind=kind, arguments=range(least, most + 1), build=_native(duckdb_name))


def _truncate(call: exp.Anonymous) -> exp.Expr:
    x, *digits = call.expressions
    return macro("adql_truncate", x, digits[0] if digits else exp.Literal.number(0))


def _coordinate(index: int) -> Builder:
    def build(call: exp.Anonymous) -> exp.Expr:
        point = call.expressions[0]
        if geometry.shape_name(point) != "POINT":
            raise AdqlError.at(call, f"{call.name.upper()} expects a POINT")
        return geometry.shape_arguments(point)[index].copy()

    return build


def _scisql_polygon(call: exp.Anonymous) -> exp.Expr:
    lon, lat, *vertices = call.expressions
    if len(vertices) % 2:
        raise AdqlError.at(call, f"{call.name} expects pairs of longitude and latitude")
    return geometry.in_convex_polygon(lon, lat, vertices, call)


_AGGREGATES: Final = tuple(
    _simple(f"{name}(expression)", FunctionKind.AGGREGATE, name) for name in ("AVG", "COUNT", "MAX", "MIN", "SUM")
)

_STANDARD: Final = (
    *(
        _simple(f"{name}(x)", FunctionKind.STANDARD, name)
        for name in ("ABS", "ATAN", "COS", "DEGREES", "EXP", "FLOOR", "RADIANS", "SIN", "TAN")
    ),
    *(
        _simple(f"{name}(x)", FunctionKind.STANDARD, f"adql_{name.lower()}")
        for name in ("ACOS", "ASIN", "COT", "LOG10", "SQRT")
    ),
    _simple("LOG(x)", FunctionKind.STANDARD, "adql_ln"),
    _simple("CEILING(x)", FunctionKind.STANDARD, "CEIL"),
    _simple("ATAN2(y, x)", FunctionKind.STANDARD, "ATAN2", 2),
    _simple("MOD(x, y)", FunctionKind.STANDARD, "MOD", 2),
    _simple("POWER(x, y)", FunctionKind.STANDARD, "POW", 2),
    _simple("PI()", FunctionKind.STANDARD, "PI", 0),
    # The seed that ADQL lets a query give is taken, and has no meaning.
    Function(
        signature="RAND(seed)", kind=FunctionKind.STANDARD, arguments=range(2), build=lambda _: macro("RANDOM")
    ),
    _simple("ROUND(x, digits)", FunctionKind.STANDARD, "ROUND", 1, 2),
    Function(signature="TRUNCATE(x, digits)", kind=FunctionKind.STANDARD, arguments=range(1, 3), build=_truncate),
    _simple("COALESCE(value, ...)", FunctionKind.STANDARD, "COALESCE", 1, _MANY),
)

_STRINGS: Final = (
    _simple("LOWER(text)", FunctionKind.STRING, "LOWER"),
    _simple("UPPER(text)", FunctionKind.STRING, "UPPER"),
    _simple("CONCAT(text, ...)", FunctionKind.STRING, "CONCAT", 1, _MANY),
)

_GEOMETRY: Final = (
    Function(signature="POINT(ra, dec)", kind=FunctionKind.GEOMETRY, arguments=range(2, 4), build=None),
    Function(signature="CIRCLE(ra, dec, radius)", kind=FunctionKind.GEOMETRY, arguments=range(2, 5), build=None),
    Function(signature="POLYGON(ra, dec, ...)", kind=FunctionKind.GEOMETRY, arguments=range(3, _MANY), build=None),
    Function(
        signature="CONTAINS(point, region)",
        kind=FunctionKind.GEOMETRY,
        arguments=range(2, 3),
        build=geometry.contains,
        predicate=True,
    ),
    Function(
        signature="INTERSECTS(region, region)",
        kind=FunctionKind.GEOMETRY,
        arguments=range(2, 3),
        build=geometry.intersects,
        predicate=True,
    ),
    Function(
        signature="DISTANCE(point, point)",
        kind=FunctionKind.GEOMETRY,
        arguments=range(2, 5),
        build=geometry.distance,
    ),
    Function(signature="COORD1(point)", kind=FunctionKind.GEOMETRY, arguments=range(1, 2), build=_coordinate(0)),
    Function(signature="COORD2(point)", kind=FunctionKind.GEOMETRY, arguments=range(1, 2), build=_coordinate(1)),
)


def _scisql(
    signature: str, count: int, duckdb_name: str, description: str, *, predicate: bool = False
) -> Function:
    return Function(
        signature=signature,
        kind=FunctionKind.SCISQL,
        arguments=range(count, count + 1),
        build=_native(duckdb_name),
        predicate=predicate,
        description=description,
    )


_SCISQL: Final = (
    _scisql(
        "scisql_s2PtInBox(lon DOUBLE, lat DOUBLE, lonMin DOUBLE, latMin DOUBLE, lonMax DOUBLE, latMax DOUBLE)",
        6,
        "adql_in_box",
        "1 where the position lies in the box of longitudes and latitudes, in degrees, edges included; else 0",
        predicate=True,
    ),
    _scisql(
        "scisql_s2PtInCircle(lon DOUBLE, lat DOUBLE, centreLon DOUBLE, centreLat DOUBLE, radius DOUBLE)",
        5,
        "adql_in_circle",
        "1 where the position lies in the circle, in degrees, edge included; else 0",
        predicate=True,
    ),
    Function(
        signature="scisql_s2PtInCPoly(lon DOUBLE, lat DOUBLE, vertexLon DOUBLE, vertexLat DOUBLE, ...)",
        kind=FunctionKind.SCISQL,
        arguments=range(8, _MANY),
        build=_scisql_polygon,
        predicate=True,
        description="1 where the position lies in the convex polygon, in degrees; else 0",
    ),
    _scisql(
        "scisql_angSep(lon1 DOUBLE, lat1 DOUBLE, lon2 DOUBLE, lat2 DOUBLE)",
        4,
        "adql_separation",
        "Angle between two positions, all in degrees",
    ),
    _scisql(
        "scisql_nanojanskyToAbMag(flux DOUBLE)",
        1,
        "adql_ab_mag",
        "AB magnitude of a flux in nJy: 31.4 - 2.5 log10(flux); NULL where the flux is not positive",
    ),
    _scisql(
        "scisql_nanojanskyToAbMagSigma(flux DOUBLE, fluxSigma DOUBLE)",
        2,
        "adql_ab_mag_sigma",
        "Error of the AB magnitude of a flux with error, both in nJy: 2.5 / ln(10) * fluxSigma / flux",
    ),
    _scisql(
        "scisql_abMagToNanojansky(mag DOUBLE)",
        1,
        "adql_flux",
        "Flux in nJy of an AB magnitude: 10^((31.4 - mag) / 2.5)",
    ),
    _scisql(
        "scisql_abMagToNanojanskySigma(mag DOUBLE, magSigma DOUBLE)",
        2,
        "adql_flux_sigma",
        "Error, in nJy, of the flux of an AB magnitude with error: flux * magSigma * ln(10) / 2.5",
    ),
)

FUNCTIONS: Final = {
    function.name.upper(): function for function in (*_AGGREGATES, *_STANDARD, *_STRINGS, *_GEOMETRY, *_SCISQL)
}
