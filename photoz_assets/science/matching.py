"""The match of redshifts with objects by position, and how many of its pairs chance makes.

All pairs within the radius are found by a grid of cells in the space of the unit sphere, in DuckDB: no pole and no
zero of right ascension is special there. One rule takes pairs of them (``Matching``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa

from photoz_assets.survey.expressions import separation_arcsec
from photoz_assets.survey.matching import Matching

# Where redshifts are moved to, eastwards and northwards in arcsec: far from their own galaxy, near its field.
SHIFTS_ARCSEC: Final = ((10.0, 0.0), (0.0, 17.0), (-23.0, 0.0), (0.0, -30.0))
FARTHEST_SHIFT_ARCSEC: Final = 30.0

# Far above what rounding makes of a distance, far below any that matters.
_SLACK: Final = 1e-6

_UNIT_VECTOR: Final = (
    "cos(radians(dec)) * cos(radians(ra))",
    "cos(radians(dec)) * sin(radians(ra))",
    "sin(radians(dec))",
)

Connection = duckdb.DuckDBPyConnection


def find_pairs(connection: Connection, objects: str, redshifts: str, radius_arcsec: float) -> str:
    """Find all pairs of an object and a redshift within a radius, both ends included.

    Parameters
    ----------
    connection
        Where the tables are, and where the pairs will be.
    objects
        A table or view with ``object_id``, ``ra`` and ``dec`` in degrees.
    redshifts
        One with ``redshift_id``, ``ra`` and ``dec``.
    radius_arcsec
        The radius.

    Returns
    -------
    str
        The name of a table with ``object_id``, ``redshift_id`` and ``distance_arcsec``.
    """
    # Cells are two radii wide: what lies within one is in the same cell or in the nearer neighbour, on each axis.
    width = 4 * math.sin(math.radians(radius_arcsec / 3600) / 2) * (1 + _SLACK)
    x, y, z = (f"{coordinate} / {width!r}" for coordinate in _UNIT_VECTOR)
    distance = separation_arcsec(("r.ra", "r.dec"), ("o.ra", "o.dec"))
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE pairs AS
        WITH o AS (
            SELECT object_id, ra, dec,
                floor({x})::INTEGER AS x, floor({y})::INTEGER AS y, floor({z})::INTEGER AS z
            FROM {objects}
        ),
        r AS (
            SELECT redshift_id, ra, dec, floor({x} + on_x)::INTEGER AS x, floor({y} + on_y)::INTEGER AS y,
                floor({z} + on_z)::INTEGER AS z
            FROM {redshifts}, unnest([-0.5, 0.5]) AS a(on_x), unnest([-0.5, 0.5]) AS b(on_y),
                unnest([-0.5, 0.5]) AS c(on_z)
        )
        SELECT object_id, redshift_id, {distance} AS distance_arcsec FROM o JOIN r USING (x, y, z)
        WHERE {distance} <= {radius_arcsec!r}
        """
    )
    return "pairs"


@dataclass(frozen=True, kw_only=True)
class Match:
    """A tract's match.

    Attributes
    ----------
    pairs
        ``object_id``, ``sz_id``, ``sz_distance_arcsec``, ``sz_neighbours`` and ``sz_is_nearest_both_ways`` of each
        pair that was taken; no object and no redshift stands in two.
    distances_arcsec
        Of each redshift that has an object within the radius, to the nearest one, whether or not that was given to
        another redshift.
    """

    pairs: pa.Table
    distances_arcsec: Sequence[float]


def match(connection: Connection, matching: Matching) -> Match:
    """Match the redshifts of the view ``redshifts`` with the objects of the view ``objects``.

    Parameters
    ----------
    connection
        With the views ``objects`` (``object_id``, ``ra``, ``dec`` in degrees) and ``redshifts`` (the columns of
        ``specz``; all of its rows count).
    matching
        The radius, and the rule by which pairs are taken.
    """
    redshifts = "(SELECT sz_id AS redshift_id, sz_ra AS ra, sz_dec AS dec FROM redshifts)"
    pairs = find_pairs(connection, "objects", redshifts, matching.radius_arcsec)
    # Of objects or redshifts at one distance, the lower name: the same pairs whatever the order of the rows.
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE nearest AS
        SELECT object_id, redshift_id AS sz_id, distance_arcsec AS sz_distance_arcsec,
            count(*) OVER (PARTITION BY redshift_id) AS sz_neighbours,
            row_number() OVER (PARTITION BY object_id ORDER BY distance_arcsec, redshift_id) = 1 AS is_nearest
        FROM {pairs}
        QUALIFY row_number() OVER (PARTITION BY redshift_id ORDER BY distance_arcsec, object_id) = 1
        """
    )
    taken = connection.sql(
        f"""
        SELECT object_id, sz_id, sz_distance_arcsec, sz_neighbours::INTEGER AS sz_neighbours,
            is_nearest AS sz_is_nearest_both_ways
        FROM nearest JOIN redshifts USING (sz_id)
        QUALIFY row_number() OVER (PARTITION BY object_id ORDER BY {matching.order}) = 1
        ORDER BY object_id
        """
    ).to_arrow_table()
    distances = [row[0] for row in connection.sql("SELECT sz_distance_arcsec FROM nearest").fetchall()]
    return Match(pairs=taken, distances_arcsec=distances)


def moved(shift_arcsec: tuple[float, float], ra: str = "sz_ra", dec: str = "sz_dec") -> str:
    """Return positions moved east and north on the sky, as two columns ``ra`` and ``dec`` in SQL, in degrees."""
    east, north = (shift / 3600 for shift in shift_arcsec)
    # Near a pole, where a second is far around, what is moved stays within the sphere.
    there = f"least(90, greatest(-90, {dec} + {north!r}))"
    return f"({ra} + {east!r} / greatest(cos(radians({dec})), 1e-6) + 360) % 360 AS ra, {there} AS dec"


@dataclass(frozen=True, kw_only=True)
class ChanceMatches:
    """How many of a match's pairs are expected to be false.

    Attributes
    ----------
    match_share
        The share m of the redshifts that have an object within the radius.
    shifted_share
        The share p of those that do once moved.
    false_share
        Of the matched: those that have no object of their own, p (1 - m) / (m (1 - p)), and those to which another
        object lies nearer than their own.
    by_magnitude
        The lower edge of each bin, how many pairs in it are expected to be false, and how many there are; of the
        first kind of false ones alone.
    """

    match_share: float
    shifted_share: float
    false_share: float | None
    by_magnitude: Sequence[tuple[float, float, int]]


def chance_matches(
    connection: Connection,
    matching: Matching,
    found: Match,
    *,
    redshifts: int,
    magnitude: str,
    edges: Sequence[float],
) -> ChanceMatches:
    """Repeat the match of ``match`` with the redshifts moved, and say how much of it chance has made.

    Parameters
    ----------
    connection
        The match's, with its views.
    matching, found
        The match.
    redshifts
        How many redshifts lie where there are observations: no other can be matched, by chance or not.
    magnitude
        A column of the view ``objects``.
    edges
        Of the bins of magnitude, ascending.

    Notes
    -----
    With c the share of redshifts whose own object is there, m = c + (1 - c) p: whoever lacks one is matched by
    chance. By the density that the moved redshifts find, an object lies within d of a position with a probability
    of 1 - (1 - p)^((d / r)^2); false pairs lie at random within the radius, and are taken out of that mean.
    """
    shifts = " UNION ALL ".join(
        f"SELECT sz_id || '/{number}' AS redshift_id, {moved(shift)} FROM redshifts"
        for number, shift in enumerate(SHIFTS_ARCSEC)
    )
    pairs = find_pairs(connection, "objects", f"({shifts})", matching.radius_arcsec)
    matched, trials = len(found.distances_arcsec), len(SHIFTS_ARCSEC) * redshifts
    nearest = (
        f"SELECT object_id FROM {pairs} "
        "QUALIFY row_number() OVER (PARTITION BY redshift_id ORDER BY distance_arcsec, object_id) = 1"
    )
    [by_chance] = connection.sql(f"SELECT count(*) FROM ({nearest})").fetchall()[0]
    m = matched / redshifts if redshifts else 0.0
    p = min(1.0, by_chance / trials) if trials else 0.0
    without = (1 - m) / (1 - p) if p < 1 else 1.0
    edges_sql = ", ".join(f"{edge!r}" for edge in edges)
    bins = f"list_sum([({magnitude} >= edge)::INTEGER for edge in [{edges_sql}]]) - 1"

    def by_bin(found_objects: str) -> dict[int, int]:
        binned = f"SELECT {bins}, count(*) FROM ({found_objects}) JOIN objects USING (object_id) GROUP BY 1"
        return dict(connection.sql(binned).fetchall())

    chance, matches = by_bin(nearest), by_bin("SELECT object_id FROM nearest")
    return ChanceMatches(
        match_share=m,
        shifted_share=p,
        false_share=_false_share(m, p, found.distances_arcsec, matching.radius_arcsec) if m else None,
        by_magnitude=[
            (low, without * chance.get(number, 0) / len(SHIFTS_ARCSEC), matches.get(number, 0))
            for number, low in enumerate(edges)
        ],
    )


def _false_share(m: float, p: float, distances_arcsec: Sequence[float], radius_arcsec: float) -> float:
    if p >= 1:
        return 1.0
    alone = min(1.0, p * (1 - m) / (m * (1 - p)))
    nearer: float = sum(1 - (1 - p) ** ((d / radius_arcsec) ** 2) for d in distances_arcsec) / len(
        distances_arcsec
    )
    at_random = 1 + p / math.log1p(-p) if p else 0.0
    return min(1.0, alone + max(0.0, nearer - alone * at_random))
