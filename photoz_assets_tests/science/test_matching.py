"""The match of redshifts with objects: the pairs that others find, one rule for which are taken, and chance."""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from astropy import units
from astropy.coordinates import SkyCoord, search_around_sky

from photoz_assets.science.matching import ChanceMatches, Match, chance_matches, find_pairs, match
from photoz_assets.survey.matching import Matching

ARCSEC = 1 / 3600


def placed(ra: Any, dec: Any) -> pa.Table:
    return pa.table({"object_id": np.arange(len(ra)), "ra": np.asarray(ra, float), "dec": np.asarray(dec, float)})


def redshifts(ra: Any, dec: Any, *, grade: Any = 4, kind: Any = "s") -> pa.Table:
    rows = len(ra)
    return pa.table(
        {
            "sz_id": [f"z{number:05d}" for number in range(rows)],
            "sz_ra": np.asarray(ra, float),
            "sz_dec": np.asarray(dec, float),
            "sz_grade": np.broadcast_to(grade, rows).astype(np.int32),
            "sz_type": [kind] * rows if isinstance(kind, str) else list(kind),
        }
    )


def matched(objects: pa.Table, of_others: pa.Table, matching: Matching | None = None) -> Match:
    with duckdb.connect() as connection:
        connection.register("objects", objects)
        connection.register("redshifts", of_others)
        return match(connection, matching or Matching())


@pytest.mark.parametrize("dec", [0.0, -44.0, 89.9999], ids=["equator", "south", "pole"])
def test_pairs_are_those_that_astropy_finds_also_across_the_zero_of_right_ascension_and_at_the_pole(
    dec: float,
) -> None:
    rng = np.random.default_rng(1)
    size_deg = 60 * ARCSEC
    ra = (rng.uniform(-size_deg, size_deg, 3000) / np.cos(np.radians(dec))) % 360
    latitude = np.minimum(dec + rng.uniform(-size_deg, size_deg, 3000), 90.0)
    objects, others = (
        SkyCoord(ra[part] * units.deg, latitude[part] * units.deg) for part in (slice(2000), slice(2000, None))
    )
    theirs = search_around_sky(objects, others, 0.75 * units.arcsec)
    with duckdb.connect() as connection:
        connection.register("o", placed(ra[:2000], latitude[:2000]))
        connection.register("r", placed(ra[2000:], latitude[2000:]).rename_columns(["redshift_id", "ra", "dec"]))
        found = connection.table(find_pairs(connection, "o", "r", 0.75)).order("ALL").fetchnumpy()
    order = np.lexsort((theirs[1], theirs[0]))
    assert len(order) > 50
    np.testing.assert_array_equal(found["object_id"], theirs[0][order])
    np.testing.assert_array_equal(found["redshift_id"], theirs[1][order])
    np.testing.assert_allclose(found["distance_arcsec"], theirs[2].arcsec[order], atol=1e-6)


def test_each_redshift_is_matched_with_the_object_that_astropy_finds_nearest() -> None:
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(53, 53.3, 20_000), rng.uniform(-28.3, -28, 20_000)
    near = rng.choice(20_000, 500, replace=False)
    others_ra = ra[near] + rng.normal(0, 0.1, 500) * ARCSEC
    others_dec = dec[near] + rng.normal(0, 0.1, 500) * ARCSEC
    found = matched(placed(ra, dec), redshifts(others_ra, others_dec))
    index, distance, _ = SkyCoord(others_ra * units.deg, others_dec * units.deg).match_to_catalog_sky(
        SkyCoord(ra * units.deg, dec * units.deg)
    )
    theirs = {(int(index[row]), f"z{row:05d}") for row in np.flatnonzero(distance.arcsec <= 0.75)}
    # Where two redshifts have one nearest object, one of them is taken.
    assert set(zip(found.pairs["object_id"].to_pylist(), found.pairs["sz_id"].to_pylist(), strict=True)) <= theirs
    assert found.pairs.num_rows == len({number for number, _ in theirs})
    assert sorted(found.distances_arcsec) == pytest.approx(
        sorted(distance.arcsec[distance.arcsec <= 0.75]), abs=1e-6
    )


@pytest.mark.parametrize(
    ("grades", "types", "offsets_arcsec", "taken", "both_ways"),
    [
        ((3, 4), ("s", "s"), (0.1, 0.5), "z00001", False),
        ((4, 4), ("p", "s"), (0.1, 0.5), "z00001", False),
        ((4, 4), ("s", "s"), (0.5, 0.1), "z00001", True),
        ((4, 4), ("s", "s"), (0.3, 0.3), "z00000", True),
        ((4, 4), ("g", "p"), (0.5, 0.1), "z00000", False),
    ],
    ids=["grade before distance", "type before distance", "nearest", "name at a tie", "grism before photometry"],
)
def test_of_an_objects_redshifts_the_best_is_taken(
    grades: tuple[int, int],
    types: tuple[str, str],
    offsets_arcsec: tuple[float, float],
    taken: str,
    both_ways: bool,  # noqa: FBT001 - a case of the table
) -> None:
    dec = [-28 + offset * ARCSEC for offset in offsets_arcsec]
    found = matched(placed([53.0], [-28.0]), redshifts([53.0, 53.0], dec, grade=np.array(grades), kind=types))
    [row] = found.pairs.to_pylist()
    assert row["sz_id"] == taken
    assert row["sz_is_nearest_both_ways"] is both_ways
    assert row["sz_neighbours"] == 1


def test_a_redshift_goes_to_its_nearest_object_alone_and_says_how_many_there_were() -> None:
    objects = placed([53.0, 53.0, 53.0], [-28.0, -28 + 0.6 * ARCSEC, -28 + 1.5 * ARCSEC])
    found = matched(objects, redshifts([53.0], [-28 + 0.2 * ARCSEC]))
    [row] = found.pairs.to_pylist()
    assert (row["object_id"], row["sz_neighbours"], row["sz_is_nearest_both_ways"]) == (0, 2, True)
    assert row["sz_distance_arcsec"] == pytest.approx(0.2, abs=1e-6)
    assert matched(objects, redshifts([53.0], [-28 - 2 * ARCSEC])).pairs.num_rows == 0


def expected(
    objects: pa.Table, of_others: pa.Table, rows: int, magnitudes: Any = 22.0
) -> tuple[ChanceMatches, pa.Table]:
    """Return what is expected of a match within 1 arcsec, and its pairs."""
    with duckdb.connect() as connection:
        mag = np.broadcast_to(magnitudes, objects.num_rows)
        connection.register("objects", objects.append_column("mag", pa.array(mag)))
        connection.register("redshifts", of_others)
        found = match(connection, Matching(radius_arcsec=1.0))
        chance = chance_matches(
            connection,
            Matching(radius_arcsec=1.0),
            found,
            redshifts=rows,
            magnitude="mag",
            edges=(0.0, 21.0, 23.0),
        )
        return chance, found.pairs


def false_pairs(pairs: pa.Table, there: Any, owners: Any) -> int:
    """Count the pairs whose redshift is another source's; object n is source there[n], redshift n owners[n]'s."""
    numbers = [int(name[1:]) for name in pairs["sz_id"].to_pylist()]
    return int((there[pairs["object_id"].to_numpy()] != owners[numbers]).sum())


def test_expected_share_of_false_matches_is_the_true_one() -> None:
    """A crowded field, of which the own object of a third of the redshifts is missing: 100 objects an arcmin^2."""
    rng = np.random.default_rng(3)
    rows, side_deg = 30_000, 0.5
    ra, dec = rng.uniform(0, side_deg, 90_000), rng.uniform(-side_deg / 2, side_deg / 2, 90_000)
    owners = rng.choice(90_000, rows, replace=False)
    gone = owners[: rows // 3]
    others_ra = ra[owners] + rng.normal(0, 0.15, rows) * ARCSEC
    others_dec = dec[owners] + rng.normal(0, 0.15, rows) * ARCSEC
    there = np.delete(np.arange(90_000), gone)
    objects = placed(ra[there], dec[there])
    found, pairs = expected(objects, redshifts(others_ra, others_dec), rows)
    _, distance, _ = SkyCoord(others_ra * units.deg, others_dec * units.deg).match_to_catalog_sky(
        SkyCoord(ra[there] * units.deg, dec[there] * units.deg)
    )
    false = false_pairs(pairs, there, owners)
    assert false > 300
    assert found.false_share == pytest.approx(false / len(pairs), rel=0.2)
    assert found.match_share == pytest.approx((distance.arcsec <= 1.0).mean())
    [(low, false_here, in_bin)] = [row for row in found.by_magnitude if row[2]]
    assert (low, in_bin) == (21.0, len(pairs))
    assert false_here / in_bin == pytest.approx(found.false_share)


def test_objects_that_images_show_as_one_are_expected_too() -> None:
    """Of two sources nearer than 1.2 arcsec the brighter is an object; the other's redshift falls on it.

    Half of the bright sources have redshifts: that object often has one of its own, which is taken.
    """
    rng = np.random.default_rng(4)
    rows, side_deg = 60_000, 0.25
    ra, dec = rng.uniform(0, side_deg, rows), rng.uniform(-side_deg / 2, side_deg / 2, rows)
    mag = 26 - rng.exponential(1.2, rows)
    places = SkyCoord(ra * units.deg, dec * units.deg)
    first, second, _, _ = search_around_sky(places, places, 1.2 * units.arcsec)
    lost = np.unique(np.where(mag[first] > mag[second], first, second)[first != second])
    there = np.setdiff1d(np.arange(rows), lost)
    own = rng.choice(np.flatnonzero(mag < 25), 13_000, replace=False)
    others_ra, others_dec = (each[own] + rng.normal(0, 0.07, len(own)) * ARCSEC for each in (ra, dec))
    found, pairs = expected(placed(ra[there], dec[there]), redshifts(others_ra, others_dec), len(own), mag[there])
    false = false_pairs(pairs, there, own)
    assert false > 150
    assert found.false_share == pytest.approx(false / len(pairs), rel=0.2)
    assert sum(each for _, each, _ in found.by_magnitude) / len(pairs) == pytest.approx(found.false_share)


def test_nothing_to_match_has_no_false_share() -> None:
    found, _ = expected(placed([], []), redshifts([53.0], [-28.0]), 1)
    assert (found.false_share, found.match_share, found.shifted_share) == (None, 0.0, 0.0)
