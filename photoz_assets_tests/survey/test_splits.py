"""Splits and draws are what the page of their module says, today and in ten years."""

import hashlib

import duckdb
import numpy as np
import pytest

from photoz_assets.survey.sampling import SPLITS, Sampling
from photoz_assets.survey.splits import SplitKeys, draw_of, followed_up, split_of

KEYS = SplitKeys(galaxy="galaxy", patch="patch", tract="tract")
NUMBER = 20_000


def _uniform(text: str) -> float:
    """The number in [0, 1) as the module describes it, without its SQL."""
    return (int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "little") >> 11) / 2**53  # noqa: S324 - no secret


@pytest.fixture(scope="module")
def galaxies() -> duckdb.DuckDBPyRelation:
    return duckdb.connect().sql(
        "SELECT i || '_1' AS galaxy, i % 49 AS patch, 3637 + i % 3 AS tract, 20 + i % 7 AS mag "
        f"FROM range({NUMBER}) t(i)"
    )


def test_splits_and_draws_are_pinned() -> None:
    [row] = (
        duckdb.connect()
        .sql("SELECT '123_1' AS galaxy, 4 AS patch, 3638 AS tract")
        .project(f"{split_of(Sampling(), KEYS)}, {draw_of(Sampling(), KEYS)}, {draw_of(Sampling(seed=2), KEYS)}")
        .fetchall()
    )
    assert row == ("training", 0.41857462986717386, 0.6514238579494408)


@pytest.mark.parametrize(
    ("split_by", "key"),
    [("galaxy", "{galaxy}"), ("patch", "{tract}/{patch}"), ("tract", "{tract}")],
)
def test_split_and_draw_follow_from_the_key_and_the_seed_alone(
    galaxies: duckdb.DuckDBPyRelation, split_by: str, key: str
) -> None:
    sampling = Sampling(seed=7, split_by=split_by)
    rows = galaxies.project(f"*, {split_of(sampling, KEYS)}, {draw_of(sampling, KEYS)}").limit(500).fetchall()
    for galaxy, patch, tract, _, split, draw in rows:
        number = _uniform(f"split:7:{key.format(galaxy=galaxy, patch=patch, tract=tract)}")
        assert split == SPLITS[0 if number < 0.5 else 1 if number < 0.7 else 2]
        assert draw == _uniform(f"draw:7:{galaxy}")


def test_splits_have_their_shares_and_draws_know_nothing_of_them(galaxies: duckdb.DuckDBPyRelation) -> None:
    drawn = galaxies.project(
        f"{split_of(Sampling(), KEYS)} AS split, {draw_of(Sampling(), KEYS)} AS draw"
    ).fetchnumpy()
    for split, share in zip(SPLITS, Sampling().fractions, strict=True):
        draws = drawn["draw"][drawn["split"] == split]
        # Five standard deviations of a binomial and of a mean of uniform numbers.
        assert len(draws) == pytest.approx(NUMBER * share, abs=5 * np.sqrt(NUMBER * share * (1 - share)))
        assert draws.mean() == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / len(draws)))


def test_followed_up_are_as_many_as_the_completeness_says(galaxies: duckdb.DuckDBPyRelation) -> None:
    deep = Sampling(completeness_limit_mag=23.0, completeness_width_mag=0.5)
    shares = dict(
        galaxies.project(f"mag, {followed_up(deep, KEYS, 'mag')} AS held")
        .aggregate("mag, avg(held::INTEGER)", "mag")
        .fetchall()
    )
    for mag, share in shares.items():
        assert share == pytest.approx(1 / (1 + np.exp((mag - 23) / 0.5)), abs=5 * 0.5 / np.sqrt(NUMBER / 7))


def test_without_a_limit_all_are_followed_up_and_with_one_none_without_a_magnitude() -> None:
    def marked(sampling: Sampling) -> list[tuple[bool]]:
        rows = duckdb.connect().sql(
            "SELECT * FROM (VALUES ('1', NULL::DOUBLE), ('2', 99::DOUBLE), ('3', 1)) t(galaxy, mag)"
        )
        return rows.project(followed_up(sampling, KEYS, "mag")).fetchall()

    assert marked(Sampling(completeness_limit_mag=None)) == [(True,), (True,), (True,)]
    steep = Sampling(completeness_limit_mag=23.0, completeness_width_mag=1e-3)
    assert marked(steep) == [(False,), (False,), (True,)]
