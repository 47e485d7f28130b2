"""The match of redshifts with objects by position, and how many of its pairs chance makes.

All pairs within the radius are found by a grid of cells in the space of the unit sphere, in DuckDB: no pole and no
zero of right ascension is special there. One rule takes pairs of them (``Matching``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoz_assets.survey.expressions import separation_arcsec
from photoz_assets.survey.matching import Matching

# Where redshifts are moved to, eastwards and northwards in arcsec: far from their own galaxy, near its field.
SHIFTS_ARCSEC: Final = ((10.0, 0.0), (0.0, 17.0), (-23.0, 0.0), (0.0, -30.0))
FARTHEST_SHIFT_ARCSEC: Final = 30.0

# Seven circles, six of them around one, cover one twice as wide; this of it without touching their edges.
AROUND: Final = tuple((math.cos(turn) * 3**0.5, math.sin(turn) * 3**0.5) for turn in np.arange(6) * math.pi / 3)
REACH: Final = 1.9

# Far above what rounding makes of a distance, far below any that matters.
_SLACK: Final = 1e-6

_UNIT_VECTOR: Final = (
    "cos(radians(dec)) * cos(radians(ra))",
    "cos(radians(dec)) * sin(radians(ra))",
    "sin(radians(dec))",
)

Connection = duckdb.DuckDBPyConnection
FloatArray = NDArray[np.float64]


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
        Of the pairs that were taken, those whose redshift is expected to be another source's; None where there are
        no pairs.
    by_magnitude
        The lower edge of each bin, how many of the pairs in it are expected to be false, and how many there are.
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
    """Repeat the match of ``match`` with the redshifts moved, and say how many of its pairs are false.

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
    A pair is false where the redshift's own source is no object here and another object lies within the radius.
    The source is missing for one of two reasons:

    - It was not detected, or left out by the cuts. With c the share of the redshifts whose source is there,
      m = c + (1 - c) p: those without are the unmatched ones times 1 / (1 - p), and p of them are matched.
    - It is blended: a brighter object lies so near that images show the two as one. A fainter one does not hide
      it, but is hidden by it. So nothing but a brighter object can take its redshift.

    Each moved redshift stands for a source that chance has put there. It counts if it had no match, or where what
    it meets is brighter than its own match; and it makes a false pair if it is taken: the redshifts that the
    object has compete with it by the match's rule. The formula p (1 - m) / (m (1 - p)) is the first reason alone,
    and of redshifts, not of pairs: a blend's redshift often falls on an object that has a better one, and two of
    one source make one pair.

    It assumes that images resolve no sources nearer than the radius (about an arcsecond from the ground; beyond
    that it counts too many), and that whoever measured the redshifts did, or chose targets from images that do, as
    a space telescope's. Surveys that chose them from images like these have fewer blends. Neighbours are as many
    as 10 to 30 arcsec away, so that galaxies bound to each other come on top. The place of a blend lies between
    its sources, for which a small radius finds somewhat more of them.
    """
    shifts = " UNION ALL ".join(
        f"SELECT {{'sz_id': sz_id, 'shift': {number}}} AS redshift_id, {moved(shift)} FROM redshifts"
        for number, shift in enumerate(SHIFTS_ARCSEC)
    )
    pairs = find_pairs(connection, "objects", f"({shifts})", matching.radius_arcsec)
    matched, trials = len(found.distances_arcsec), len(SHIFTS_ARCSEC) * redshifts
    met = connection.execute(f"SELECT count(DISTINCT redshift_id) FROM {pairs}").fetchall()[0][0]
    p = min(1.0, met / trials) if trials else 0.0
    connection.register("taken_pairs", found.pairs)
    magnitudes = connection.sql(
        f"SELECT {magnitude} AS mag FROM taken_pairs JOIN objects USING (object_id)"
    ).fetchnumpy()["mag"]
    false = connection.sql(
        f"""
        WITH own AS (SELECT sz_id, {magnitude} AS own_mag FROM nearest JOIN objects USING (object_id)),
        hidden AS (
            SELECT redshift_id.shift AS shift, object_id, redshift_id.sz_id AS sz_id,
                distance_arcsec AS sz_distance_arcsec, {magnitude} AS mag, own_mag IS NULL AS is_unmatched
            FROM {pairs} JOIN objects USING (object_id) LEFT JOIN own ON own.sz_id = redshift_id.sz_id
            WHERE own_mag IS NULL OR {magnitude} < own_mag
            QUALIFY row_number() OVER (PARTITION BY redshift_id ORDER BY distance_arcsec, object_id) = 1
        ),
        rivals AS (
            SELECT *, true AS is_moved FROM hidden
            UNION ALL BY NAME
            SELECT shift, object_id, sz_id, sz_distance_arcsec, false AS is_moved
            FROM (SELECT DISTINCT shift, object_id FROM hidden) JOIN nearest USING (object_id)
        ),
        taken AS (
            FROM rivals JOIN redshifts USING (sz_id)
            QUALIFY row_number() OVER (PARTITION BY shift, object_id ORDER BY {matching.order}) = 1
        )
        SELECT mag, is_unmatched FROM taken WHERE is_moved
        """
    ).fetchnumpy()
    unmatched_weight = 1 / (1 - p) if p < 1 else 1.0
    expected = np.where(false["is_unmatched"], unmatched_weight, 1.0) / len(SHIFTS_ARCSEC)
    bins = [*edges, np.inf]
    false_by_bin = np.histogram(false["mag"], bins, weights=expected)[0]
    pairs_by_bin = np.histogram(magnitudes, bins)[0]
    return ChanceMatches(
        match_share=matched / redshifts if redshifts else 0.0,
        shifted_share=p,
        false_share=min(1.0, float(expected.sum()) / len(magnitudes)) if len(magnitudes) else None,
        by_magnitude=[
            (low, float(number_false), int(number))
            for low, number_false, number in zip(edges, false_by_bin, pairs_by_bin, strict=True)
        ],
    )
