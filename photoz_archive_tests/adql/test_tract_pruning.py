"""Which tracts a query can reach: never too few, and few where its constants say so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoz_archive.adql.catalog import Catalog
from photoz_archive.adql.translator import translate
from photoz_archive.service.footprint import SkyFootprint
from photoz_archive.service.official import OfficialSchema
from photoz_archive.service.schema import load_schema
from photoz_assets.survey.releases import dp02
from photoz_assets.survey.skymap import DC2_RINGS

SCHEMA = "dp02_dc2_catalogs"
ALL = frozenset(dp02.RELEASE.tracts)
FOOTPRINT = SkyFootprint(DC2_RINGS, ALL, lambda object_id: object_id >> 48)
FOOTPRINTS = {"dp02_dc2_catalogs": FOOTPRINT}
FIELD = {3637, 3638, 3831}
CONE = "CONTAINS(POINT('ICRS', {lon}, {lat}), CIRCLE('ICRS', 62, -37, 0.5)) = 1"
JOIN = (
    f"FROM {SCHEMA}.MatchesTruth AS mt "
    f"JOIN {SCHEMA}.TruthSummary AS ts ON mt.id_truth_type = ts.id_truth_type "
    f"JOIN {SCHEMA}.Object AS obj ON mt.match_objectId = obj.objectId "
)


def reachable(query: str, catalog: Catalog) -> dict[str, set[int] | None]:
    """Return the tracts of each table of a query; None stands for all."""
    found = translate(query, catalog, FOOTPRINTS).reachable
    return {scan.table.name: None if tracts is None else set(tracts) for scan, tracts in found.items()}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("tract = 3637", {3637}),
        ("3637 = tract", {3637}),
        ("tract = 1", set()),
        ("tract IN (3637, 3638, 1)", {3637, 3638}),
        ("tract BETWEEN 3637 AND 3639", {3637, 3638, 3639}),
        ("tract > 5072", {5073, 5074}),
        ("tract >= 5072 AND tract < 5074", {5072, 5073}),
        ("tract = 3637 OR tract = 3638", {3637, 3638}),
        ("(tract = 3637 OR tract = 3638) AND tract <> 3637", {3637, 3638}),
        (f"objectId = {3637 << 48 | 12345}", {3637}),
        (f"objectId IN ({3637 << 48}, {3831 << 48 | 7})", {3637, 3831}),
        ("objectId = 7", set()),
        ("detect_isPrimary = 1 AND " + CONE.format(lon="coord_ra", lat="coord_dec"), FIELD),
        ("detect_isPrimary = 1 AND scisql_s2PtInCircle(coord_ra, coord_dec, 62, -37, 0.5) = 1", FIELD),
        ("detect_isPrimary = TRUE AND scisql_s2PtInCircle(coord_ra, coord_dec, 62, -37, 0.4 + 0.1) = 1", FIELD),
        ("detect_isPrimary = 1 AND scisql_s2PtInBox(coord_ra, coord_dec, 50.5, -44, 51, -43.5) = 1", {2897}),
        (
            "detect_isPrimary = 1 AND coord_ra BETWEEN 50.5 AND 51 AND coord_dec > -44 AND coord_dec < -43.5",
            {2897},
        ),
        (
            "detect_isPrimary = 1 AND CONTAINS(POINT(coord_ra, coord_dec), POLYGON(50.6, -43.9, 51, -43.9, 50.8, -43.7)) = 1",
            {2897},
        ),
    ],
)
def test_condition_on_objects_narrows_the_tracts(catalog: Catalog, condition: str, expected: set[int]) -> None:
    assert reachable(f"SELECT 1 FROM {SCHEMA}.Object WHERE {condition}", catalog) == {"Object": expected}


@pytest.mark.parametrize(
    "condition",
    [
        "1 = 1",
        "tract <> 3637",
        "NOT tract = 3637",
        "tract = 3637 OR patch = 3",
        "tract = patch",
        "tract + 0 = 3637",
        "patch = 3637",
        "tract IN (SELECT lsst_tract FROM dp02_dc2_catalogs.CoaddPatches)",
        "CONTAINS(POINT(coord_dec, coord_ra), CIRCLE(62, -37, 0.5)) = 1",
        "CONTAINS(POINT(coord_ra, coord_dec), CIRCLE(62, -37, 0.5)) = 0",
        "CONTAINS(POINT(coord_ra, coord_dec), CIRCLE(coord_ra, -37, 0.5)) = 1",
    ],
)
def test_condition_that_says_nothing_of_tracts_reaches_all(catalog: Catalog, condition: str) -> None:
    assert reachable(f"SELECT 1 FROM {SCHEMA}.Object WHERE {condition}", catalog)["Object"] is None


def test_objects_that_need_not_be_primary_are_looked_for_in_the_tracts_around(catalog: Catalog) -> None:
    found = reachable(
        f"SELECT 1 FROM {SCHEMA}.Object WHERE {CONE.format(lon='coord_ra', lat='coord_dec')}", catalog
    )["Object"]
    assert found is not None
    assert found > FIELD


def test_truths_lie_in_the_tract_around_them(catalog: Catalog) -> None:
    assert reachable(f"SELECT 1 FROM {SCHEMA}.TruthSummary WHERE {CONE.format(lon='ra', lat='dec')}", catalog) == {
        "TruthSummary": FIELD
    }


@pytest.mark.parametrize(
    "condition",
    [
        CONE.format(lon="ts.ra", lat="ts.dec"),
        "obj.detect_isPrimary = 1 AND " + CONE.format(lon="obj.coord_ra", lat="obj.coord_dec"),
    ],
    ids=["on truths", "on objects"],
)
def test_equal_keys_pass_the_tracts_on(catalog: Catalog, condition: str) -> None:
    found = reachable(f"SELECT 1 {JOIN} WHERE {condition}", catalog)
    assert found == {"MatchesTruth": FIELD, "TruthSummary": FIELD, "Object": FIELD}


def test_equal_keys_in_where_pass_the_tracts_on(catalog: Catalog) -> None:
    query = (
        f"SELECT 1 FROM {SCHEMA}.Object AS o, {SCHEMA}.MatchesTruth AS m "
        "WHERE m.match_objectId = o.objectId AND o.tract = 3637"
    )
    assert reachable(query, catalog) == {"Object": {3637}, "MatchesTruth": {3637}}


def test_other_equal_columns_pass_nothing_on(catalog: Catalog) -> None:
    query = (
        f"SELECT 1 FROM {SCHEMA}.Object AS o JOIN {SCHEMA}.MatchesTruth AS m ON m.match_count = o.patch "
        "WHERE o.tract = 3637"
    )
    assert reachable(query, catalog) == {"Object": {3637}, "MatchesTruth": None}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("JOIN", {"Object": {3637}, "MatchesTruth": {3637}}),
        ("LEFT JOIN", {"Object": {3637}, "MatchesTruth": {3637}}),
        ("RIGHT JOIN", {"Object": {3637}, "MatchesTruth": None}),
        ("FULL JOIN", {"Object": {3637}, "MatchesTruth": None}),
    ],
)
def test_outer_join_keeps_the_rows_of_its_side(
    catalog: Catalog, kind: str, expected: dict[str, set[int] | None]
) -> None:
    query = (
        f"SELECT 1 FROM {SCHEMA}.Object AS o {kind} {SCHEMA}.MatchesTruth AS m "
        "ON m.match_objectId = o.objectId WHERE o.tract = 3637"
    )
    assert reachable(query, catalog) == expected


def test_condition_in_on_of_an_outer_join_keeps_the_other_side_whole(catalog: Catalog) -> None:
    query = (
        f"SELECT 1 FROM {SCHEMA}.Object AS o LEFT JOIN {SCHEMA}.MatchesTruth AS m "
        "ON m.match_objectId = o.objectId AND o.tract = 3637"
    )
    assert reachable(query, catalog)["Object"] is None


def test_each_select_has_its_own_tracts(catalog: Catalog) -> None:
    query = (
        f"SELECT tract FROM {SCHEMA}.Object WHERE tract = 3637 "
        f"UNION SELECT t.n FROM (SELECT COUNT(*) AS n FROM {SCHEMA}.Object WHERE tract = 3638) AS t"
    )
    found = translate(query, catalog, FOOTPRINTS).reachable.values()
    assert sorted(map(set, filter(None, found)), key=min) == [{3637}, {3638}]


def test_names_in_lower_case_reach_as_far(listing: tuple[OfficialSchema, ...]) -> None:
    query = f"SELECT 1 {JOIN} WHERE obj.detect_isprimary = 1 AND {CONE.format(lon='obj.coord_ra', lat='obj.coord_dec')}"
    plain = load_schema(listing, {}, lower_case=True, booleans_as_short=True).catalog
    found = translate(query, plain, FOOTPRINTS, scisql=False).reachable.values()
    assert [None if tracts is None else set(tracts) for tracts in found] == [FIELD] * 3


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("scisql_s2PtInBox(obj.coord_ra, obj.coord_dec, 1, -2, 3, 4) = 1", True),
        ("scisql_s2PtInBox(obj.coord_ra, obj.coord_dec, 1, -2, 2 + 1, 4) = 1", False),
        (
            f"{CONE.format(lon='ts.ra', lat='ts.dec')} AND {CONE.format(lon='obj.coord_ra', lat='obj.coord_dec')}",
            False,
        ),
        ("obj.tract = 3637", False),
    ],
)
def test_qserv_needs_one_area_of_literals(catalog: Catalog, condition: str, expected: bool) -> None:  # noqa: FBT001 (parametrized)
    translation = translate(f"SELECT 1 {JOIN} WHERE {condition}", catalog, FOOTPRINTS)
    assert translation.one_area is expected


@given(ra=st.floats(48, 76), dec=st.floats(-45, -26), radius=st.floats(0.001, 2), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_circle_and_box_reach_every_tract_that_can_hold_a_row(
    ra: float, dec: float, radius: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    angle, distance = rng.uniform(0, 2 * np.pi, 200), radius * np.sqrt(rng.random(200)) * 0.999
    decs = dec + distance * np.sin(angle)
    ras = ra + distance * np.cos(angle) / np.cos(np.radians(decs)) * 0.999
    inside = FOOTPRINT.in_circle(ra, dec, radius, primary=True)
    assert {int(t) for t in DC2_RINGS.tract_of(ras, decs)} & ALL <= inside
    box = FOOTPRINT.in_box(float(ras.min()), float(decs.min()), float(ras.max()), float(decs.max()), primary=False)
    tracts = np.repeat(dp02.RELEASE.tracts, 200).reshape(len(dp02.RELEASE.tracts), 200)
    held = (
        DC2_RINGS.patch_of(
            tracts.ravel(), np.tile(ras, len(dp02.RELEASE.tracts)), np.tile(decs, len(dp02.RELEASE.tracts))
        )
        >= 0
    )
    holders = set(tracts[held.reshape(tracts.shape).any(axis=1), 0].tolist())
    assert holders <= box
    assert holders <= FOOTPRINT.in_circle(ra, dec, radius, primary=False)


def test_box_across_right_ascension_zero_is_small() -> None:
    sky = SkyFootprint(DC2_RINGS, frozenset(range(DC2_RINGS.num_tracts)), lambda object_id: object_id)
    found = sky.in_box(359.5, 10.0, 0.5, 10.3, primary=True)
    assert found == {int(t) for t in DC2_RINGS.tract_of([359.6, 0.4, 359.6, 0.4], [10.1, 10.1, 10.2, 10.2])}
