"""Which tracts a query can reach: read off its constants, so that only their rows need to exist.

An answer may be too large but never too small. Each use of a sky table has its own set; None stands for all
tracts. Sets shrink by the conditions of WHERE and ON that speak of constants, and pass from table to table
along equal keys, because an object, its truth and its match lie in one tract.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlglot import exp

from photoz_archive.adql.catalog import TableFacts
from photoz_archive.adql.geometry import constant, shape_arguments, shape_name, unit_vectors
from photoz_archive.adql.nearness import Nearness, nearness
from photoz_archive.adql.scopes import Scan

Number = int | float
Tracts = frozenset[int]
Reachable = Tracts | None
FloatArray = NDArray[np.float64]
# The rows of the tables that a request brings along.
Uploads = Mapping[TableFacts, pa.Table]


class Footprint(Protocol):
    """Where the rows of the sky's tables lie. Angles in degrees, ICRS.

    ``primary`` narrows the answer to rows inside their tract's inner region.
    """

    @property
    def tracts(self) -> Tracts:
        """All tracts of the sky."""

    def of_object(self, object_id: int) -> Tracts:
        """Return the tract of an object id; empty where no tract has it."""

    def in_circle(self, lon: float, lat: float, radius: float, *, primary: bool) -> Tracts:
        """Return the tracts that can have rows within ``radius`` of a position."""

    def near(self, lon: FloatArray, lat: FloatArray, radius: float, *, primary: bool) -> Tracts | None:
        """Return the tracts that can have rows within ``radius`` of any of many positions; None for all."""

    def in_box(self, lon_min: float, lat_min: float, lon_max: float, lat_max: float, *, primary: bool) -> Tracts:
        """Return the tracts that can have rows in a box, whose ``lon_max`` may be the smaller across RA 0."""


# What a column says about tracts, by table and column in lower case: a service may spell them either way.
# Equal columns of one kind hold rows of one tract.
_KINDS: Final = {
    ("object", "tract"): "tract",
    ("coaddpatches", "lsst_tract"): "tract",
    ("object", "objectid"): "object",
    ("object", "parentobjectid"): "object",
    ("matchestruth", "match_objectid"): "object",
    ("matchestruth", "id_truth_type"): "truth",
    ("truthsummary", "id_truth_type"): "truth",
}
# The rows of these lie in their tract's inner region.
_INNER_TABLES: Final = frozenset({"truthsummary"})
_POSITIONS: Final = {"object": ("coord_ra", "coord_dec"), "truthsummary": ("ra", "dec")}

_COMPARISONS: Final[dict[type[exp.Expr], Callable[[float, float], bool]]] = {
    exp.EQ: lambda a, b: a == b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
}
_MIRRORED: Final = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE, exp.EQ: exp.EQ}


def reachable_tracts(
    query: exp.Expr, footprints: Mapping[str, Footprint], uploads: Uploads
) -> dict[Scan, Reachable]:
    """Return for each scan of a resolved, not yet rewritten query the tracts that it can reach.

    ``footprints`` are those of the schemas that have a sky, whose names are in lower case.
    """
    found: dict[Scan, Reachable] = {}
    for select in query.find_all(exp.Select):
        found.update(_SelectPruning(select, footprints, uploads).sets())
    return found


class _SelectPruning:
    """The tracts that the tables in one FROM clause can reach."""

    def __init__(self, select: exp.Select, footprints: Mapping[str, Footprint], uploads: Uploads) -> None:
        self._footprints = footprints
        self._uploads = uploads
        joins = select.args.get("joins") or []
        self._sides = [_scan(select.args["from_"].this), *(_scan(join.this) for join in joins)]
        self._sets: dict[Scan, Reachable] = {scan: None for scan in self._sides if scan is not None}
        self._conditions: list[tuple[exp.Expr, frozenset[Scan]]] = list(self._restrictions(select, joins))
        self._primary = {
            scan
            for condition, targets in self._conditions
            if (scan := _primary_scan(condition)) is not None and scan in targets
        } | {scan for scan in self._sets if scan.table.name.lower() in _INNER_TABLES}

    def sets(self) -> dict[Scan, Reachable]:
        for condition, targets in self._conditions:
            for scan in targets:
                if (footprint := self._footprints.get(scan.table.schema.lower())) is not None:
                    pruning = _ScanPruning(scan, footprint, self._uploads, scan in self._primary)
                    self._narrow(scan, pruning.of(condition))
        links = [
            link
            for condition, targets in self._conditions
            for link in _links(condition, targets)
            if link[0].table.schema == link[1].table.schema
        ]
        # A set can shrink once for each table between it and the constant.
        for _ in self._sets:
            for source, target in links:
                if source in self._sets:
                    self._narrow(target, self._sets[source])
        return self._sets

    def _restrictions(
        self, select: exp.Select, joins: list[exp.Join]
    ) -> Iterator[tuple[exp.Expr, frozenset[Scan]]]:
        """Yield each condition with the scans whose rows it can rule out.

        ON of an outer join rules out rows of the side that it may fill with NULL, never of the other.
        """
        if where := select.args.get("where"):
            for condition in _conjuncts(where.this):
                yield condition, frozenset(self._sets)
        for position, join in enumerate(joins, start=1):
            on = join.args.get("on")
            left = frozenset(scan for scan in self._sides[:position] if scan is not None)
            right = frozenset(scan for scan in self._sides[position : position + 1] if scan is not None)
            targets = {"LEFT": right, "RIGHT": left, "FULL": frozenset()}.get(join.side, left | right)
            for condition in _conjuncts(on) if on is not None else ():
                yield condition, targets

    def _narrow(self, scan: Scan, found: Reachable) -> None:
        if found is not None:
            current = self._sets[scan]
            self._sets[scan] = found if current is None else current & found


@dataclass(frozen=True)
class _ScanPruning:
    """The tracts in which the rows of one scan can meet conditions; ``primary`` tells whether they are primary."""

    scan: Scan
    footprint: Footprint
    uploads: Uploads
    primary: bool

    def of(self, condition: exp.Expr) -> Reachable:
        """Return the tracts in which a row can satisfy ``condition``."""
        found: Reachable = None
        match condition:
            case exp.Paren():
                found = self.of(condition.this)
            case exp.And():
                found = _both(self.of(condition.left), self.of(condition.right))
            case exp.Or():
                found = _either([self.of(condition.left), self.of(condition.right)])
            case exp.In() if condition.expressions:
                values = [constant(value) for value in condition.expressions]
                found = _either([self._of_value(condition.this, exp.EQ, value) for value in values])
            case exp.Between():
                low = self._of_value(condition.this, exp.GTE, constant(condition.args["low"]))
                found = _both(low, self._of_value(condition.this, exp.LTE, constant(condition.args["high"])))
            case exp.EQ() | exp.GT() | exp.GTE() | exp.LT() | exp.LTE():
                found = _both(self._of_comparison(condition), self._of_nearness(nearness(condition)))
        return found

    def _of_comparison(self, condition: exp.Binary) -> Reachable:
        operator, left, right = type(condition), condition.left, condition.right
        if constant(left) is not None:
            operator, left, right = _MIRRORED[operator], right, left
        value = constant(right)
        if operator is exp.EQ and value == 1 and isinstance(left, exp.Anonymous):
            return self._of_region(left)
        if operator is exp.EQ and value is None:
            return _both(self._of_uploaded(left, right), self._of_uploaded(right, left))
        return self._of_value(left, operator, value)

    def _of_value(self, column: exp.Expr, operator: type[exp.Expr], value: Number | None) -> Reachable:
        if value is None or not isinstance(column, exp.Column) or column.meta.get("scan") != self.scan:
            return None
        kind = _kind(column, self.scan)
        if kind == "tract":
            holds = _COMPARISONS[operator]
            return frozenset(tract for tract in self.footprint.tracts if holds(tract, value))
        if kind == "object" and operator is exp.EQ and isinstance(value, int):
            return self.footprint.of_object(value)
        return self._of_coordinate(column.name, operator, value)

    def _of_coordinate(self, name: str, operator: type[exp.Expr], value: float) -> Reachable:
        lon_name, lat_name = _POSITIONS.get(self.scan.table.name.lower(), ("", ""))
        if name not in {lon_name, lat_name}:
            return None
        low = value if operator in {exp.EQ, exp.GT, exp.GTE} else None
        high = value if operator in {exp.EQ, exp.LT, exp.LTE} else None
        if name == lat_name:
            box = (0.0, -90.0 if low is None else low, 360.0, 90.0 if high is None else high)
        else:
            box = (0.0 if low is None else low, -90.0, 360.0 if high is None else high, 90.0)
        return self.footprint.in_box(*box, primary=self.primary)

    def _of_region(self, call: exp.Anonymous) -> Reachable:
        """Return the tracts of a region with constant arguments around the scan's own position."""
        region = _region(call)
        if region is None:
            return None
        position, shape, arguments = region
        if not _is_position(position, self.scan):
            return None
        values = [constant(argument) for argument in arguments]
        numbers = [value for value in values if value is not None]
        if len(numbers) != len(values):
            return None
        if shape == "CIRCLE":
            return self.footprint.in_circle(*numbers, primary=self.primary)
        if shape == "BOX":
            return self.footprint.in_box(*numbers, primary=self.primary)
        return self.footprint.in_circle(*_bounding_circle(numbers), primary=self.primary)

    def _of_nearness(self, near: Nearness | None) -> Reachable:
        """Return the tracts of a row that lies near positions of a table that the request brings along."""
        if near is None:
            return None
        for mine, others in ((near.first, near.second), (near.second, near.first)):
            if _is_position(list(mine), self.scan):
                lon, lat = map(self._uploaded, others)
                if lon is not None and lat is not None:
                    ra, dec = (values.cast(pa.float64()).to_numpy(zero_copy_only=False) for values in (lon, lat))
                    return self.footprint.near(ra, dec, near.radius, primary=self.primary)
        return None

    def _of_uploaded(self, column: exp.Expr, other: exp.Expr) -> Reachable:
        """Return the tracts of a row whose key equals one of a table that the request brings along."""
        values = self._uploaded(other)
        if values is None or not pa.types.is_integer(values.type) or _scan(column) != self.scan:
            return None
        keys = values.unique().drop_null().to_pylist()
        kind = _kind(column, self.scan)
        if kind == "tract":
            return self.footprint.tracts & frozenset(keys)
        return frozenset[int]().union(*map(self.footprint.of_object, keys)) if kind == "object" else None

    def _uploaded(self, column: exp.Expr) -> pa.Array | None:
        """Return the numbers of a column that the request brings along, None for any other expression."""
        scan = _scan(column)
        rows = None if scan is None else self.uploads.get(scan.table)
        values = None if rows is None else rows.column(column.name).combine_chunks()
        return values if values is not None and pa.types.is_primitive(values.type) else None


def restricts_one_area(query: exp.Expr) -> bool:
    """Return whether the conditions that every row must meet hold exactly one region, its arguments literals.

    That is the only form in which Qserv leaves chunks out.
    """
    select = query.find(exp.Select)
    where = select.args.get("where") if select is not None else None
    conditions = _conjuncts(where.this) if where is not None else ()
    regions = [
        region
        for condition in conditions
        if isinstance(condition, exp.EQ) and isinstance(condition.left, exp.Anonymous)
        if (region := _region(condition.left)) is not None
    ]
    return len(regions) == 1 and all(_is_plain_number(argument) for argument in regions[0][2])


def _is_plain_number(node: exp.Expr) -> bool:
    return isinstance(node.this if isinstance(node, exp.Neg) else node, exp.Literal)


def _both(left: Reachable, right: Reachable) -> Reachable:
    if left is None or right is None:
        return right if left is None else left
    return left & right


def _either(parts: list[Reachable]) -> Reachable:
    known = [part for part in parts if part is not None]
    return frozenset[int]().union(*known) if len(known) == len(parts) else None


def _scan(node: exp.Expr) -> Scan | None:
    scan = node.meta.get("scan")
    return scan if isinstance(scan, Scan) else None


def _kind(column: exp.Expr, scan: Scan) -> str | None:
    return _KINDS.get((scan.table.name.lower(), column.name.lower()))


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(condition, exp.Paren):
        yield from _conjuncts(condition.this)
    elif isinstance(condition, exp.And):
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    else:
        yield condition


def _links(condition: exp.Expr, targets: frozenset[Scan]) -> Iterator[tuple[Scan, Scan]]:
    """Yield (from, to) where equal keys bind the tracts of ``to`` to those of ``from``."""
    if isinstance(condition, exp.EQ):
        left, right = condition.left, condition.right
        a, b = _scan(left), _scan(right)
        if a is not None and b is not None and _kind(left, a) is not None and _kind(left, a) == _kind(right, b):
            yield from ((source, target) for source, target in ((a, b), (b, a)) if target in targets)


def _primary_scan(condition: exp.Expr) -> Scan | None:
    """Return the scan of which ``condition`` keeps primary rows alone, or None."""
    if isinstance(condition, exp.EQ) and condition.left.name.lower() == "detect_isprimary":
        value = condition.right
        if constant(value) == 1 or (isinstance(value, exp.Boolean) and value.this):
            return _scan(condition.left)
    return None


def _region(call: exp.Anonymous) -> tuple[list[exp.Expr], str, list[exp.Expr]] | None:
    """Return the position, the shape's name and its arguments of a region predicate, or None."""
    arguments = call.expressions
    match call.name.upper():
        case "CONTAINS":
            shape = shape_name(arguments[1])
            if shape_name(arguments[0]) == "POINT" and shape in {"CIRCLE", "POLYGON"}:
                return shape_arguments(arguments[0]), shape, shape_arguments(arguments[1])
            return None
        case "SCISQL_S2PTINBOX":
            return arguments[:2], "BOX", arguments[2:]
        case "SCISQL_S2PTINCIRCLE":
            return arguments[:2], "CIRCLE", arguments[2:]
        case "SCISQL_S2PTINCPOLY":
            return arguments[:2], "POLYGON", arguments[2:]
    return None


def _is_position(position: list[exp.Expr], scan: Scan) -> bool:
    names = tuple(column.name for column in position if isinstance(column, exp.Column))
    return names == _POSITIONS.get(scan.table.name.lower()) and all(_scan(column) == scan for column in position)


def _bounding_circle(vertices: list[Number]) -> tuple[float, float, float]:
    """Return centre and radius, in degrees, of a circle around the vertices of a convex polygon."""
    corners = unit_vectors(np.asarray(vertices, dtype=float).reshape(-1, 2))
    x, y, z = centre = corners.sum(axis=0) / np.linalg.norm(corners.sum(axis=0))
    radius = np.degrees(np.arccos(np.clip(corners @ centre, -1, 1))).max()
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arcsin(z))), float(radius)
