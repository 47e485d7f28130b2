"""Pairs and absorbers against all pairs worked out one by one."""

import numpy as np
import pytest

from photoz_archive.sky.crowding import absorbers, close_pairs


@pytest.mark.parametrize("radius", [0.5, 3.0, 40.0])
def test_close_pairs_are_those_of_all_distances(radius: float) -> None:
    x, y = np.random.default_rng(1).uniform(-50, 50, (2, 400))
    first, second = close_pairs(x, y, radius)
    found = sorted(zip(np.minimum(first, second).tolist(), np.maximum(first, second).tolist(), strict=True))
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    expected = np.argwhere(np.triu(distance < radius, k=1)).tolist()
    assert [list(pair) for pair in found] == expected


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_points_have_no_pairs(count: int) -> None:
    first, second = close_pairs(np.zeros(count), np.zeros(count), 1.0)
    assert len(first) == len(second) == 0


def test_lone_source_absorbs_itself() -> None:
    assert absorbers(np.array([0.0, 10.0]), np.zeros(2), np.array([1.0, 2.0]), 1.0).tolist() == [0, 1]


def test_source_goes_to_the_brightest_of_its_brighter_neighbours() -> None:
    x = np.array([0.0, 0.9, -0.9])
    assert absorbers(x, np.zeros(3), np.array([1.0, 2.0, 3.0]), 1.0).tolist() == [2, 1, 2]


def test_source_follows_its_absorber_on() -> None:
    x = np.array([0.0, 0.9, 1.8, 2.7])
    assert absorbers(x, np.zeros(4), np.array([1.0, 2.0, 3.0, 4.0]), 1.0).tolist() == [3, 3, 3, 3]


def test_equally_bright_neighbours_leave_one_of_them() -> None:
    into = absorbers(np.array([0.0, 0.5]), np.zeros(2), np.ones(2), 1.0)
    assert len(set(into.tolist())) == 1
