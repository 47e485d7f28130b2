"""The ADQL that is sent: one literal area predicate, every column under its name, nothing of a user's words."""

from itertools import pairwise
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from photoz_assets.survey.queries import (
    WHOLE,
    Dialect,
    Strip,
    coadd_patches_query,
    matched_galaxies_count_query,
    matched_galaxies_query,
    skyinfo_count_query,
    skyinfo_query,
    tap_columns_query,
    tap_tables_query,
)
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.skymap import DC2_RINGS
from photoz_assets_tests.dp02 import DP02, MATCHED_GALAXIES


@pytest.mark.parametrize("box_function", [True, False])
def test_triple_join_has_one_area_predicate_and_the_exact_tract(*, box_function: bool) -> None:
    adql = matched_galaxies_query(DP02, 2897, Selection(), Dialect(box_function=box_function))
    assert adql.count("scisql_s2PtInBox") + adql.count("CONTAINS") == 1
    assert " AND obj.tract = 2897 AND ts.truth_type = 1 AND obj.detect_isPrimary = 1 " in adql
    assert "nanojansky" not in adql


def test_box_encloses_the_inner_region_of_the_tract() -> None:
    adql = matched_galaxies_query(DP02, 2897, Selection(), Dialect())
    assert "(obj.coord_ra, obj.coord_dec, 49.83050847, -44.62809918, 51.86440678, -43.14049586) = 1" in adql


def test_circle_has_the_tracts_centre() -> None:
    adql = matched_galaxies_query(DP02, 4431, Selection(), Dialect(box_function=False))
    assert "CIRCLE('ICRS', 55.65217391, -31.98347107, 1.06)" in adql


def test_bounds_are_written_with_all_digits() -> None:
    adql = matched_galaxies_query(DP02, 2897, Selection(bands=("r",)), Dialect())
    assert adql.endswith("obj.r_cModelFlux > 144.5439770745925 AND obj.r_cModelFlux < 575439.9373371566")


def test_select_list_is_the_contracts() -> None:
    statement = sqlglot.parse_one(matched_galaxies_query(DP02, 2897, Selection(), Dialect()), into=exp.Select)
    assert statement.named_selects == [column.name for column in MATCHED_GALAXIES.selected]


def test_flags_are_compared_as_the_service_can() -> None:
    assert " AND obj.detect_isPrimary = 1 AND " in matched_galaxies_query(DP02, 2897, Selection(), Dialect())
    adql = matched_galaxies_query(DP02, 2897, Selection(), Dialect(box_function=False, text_flags=True))
    assert " AND obj.detect_isPrimary = '1' AND " in adql


def test_table_names_are_quoted_as_literals() -> None:
    assert tap_columns_query(["a'b", "c"]).endswith("WHERE table_name IN ('a''b', 'c')")


def leaves(strip: Strip) -> list[Strip]:
    """Cut a strip as far as it goes."""
    return [leaf for half in strip.halves for leaf in leaves(half)] or [strip]


@pytest.mark.parametrize("tract", DP02.tracts[::20])
def test_strips_of_a_tract_touch_and_together_have_no_outer_limit(tract: int) -> None:
    box = DC2_RINGS.inner_box(tract)
    strips = [*leaves(Strip(0, 2)), *Strip(1, 2).halves]
    limits = [strip.conditions(box) for strip in strips]
    for southern, northern in pairwise(limits):
        assert southern[-1].replace("<", ">=") == northern[0]
    assert len(limits[0]) == len(limits[-1]) == 1
    assert WHOLE.conditions(box) == []


def test_strip_has_its_own_area_predicate_with_literals() -> None:
    adql = matched_galaxies_query(DP02, 2897, Selection(), Dialect(), Strip(1, 2))
    assert "(obj.coord_ra, obj.coord_dec, 49.83050847, -43.88429753, 51.86440678, -43.14049586) = 1" in adql
    assert " = 1 AND obj.coord_dec >= -43.88429752" in adql
    assert adql.count("scisql_s2PtInBox") == 1


def test_cutting_ends() -> None:
    assert len(leaves(WHOLE)) == 16


def test_adql_of_every_table_is_the_pinned_one_to_the_byte() -> None:
    pinned = (Path(__file__).parent / "adql.txt").read_text()
    third_of_four = WHOLE.halves[1].halves[0]
    made = {}
    for name, dialect in {
        "box": Dialect(),
        "circle": Dialect(box_function=False),
        "text flags": Dialect(box_function=False, text_flags=True),
    }.items():
        made[f"matched_galaxies 3638, {name}"] = matched_galaxies_query(DP02, 3638, Selection(), dialect)
        count = matched_galaxies_count_query(DP02, 3638, Selection(), dialect)
        made[f"count of matched_galaxies 3638, {name}"] = count
    made["matched_galaxies 3638, third strip of four"] = matched_galaxies_query(
        DP02, 3638, Selection(), Dialect(), third_of_four
    )
    made["skyinfo"], made["count of skyinfo"] = skyinfo_query(DP02), skyinfo_count_query(DP02)
    made["coadd_patches"], made["tap_tables"] = coadd_patches_query(DP02), tap_tables_query()
    made["tap_columns"] = tap_columns_query(["dp02_dc2_catalogs.Object"])
    assert "\n\n".join(f"-- {name}\n{adql}" for name, adql in made.items()) + "\n" == pinned
