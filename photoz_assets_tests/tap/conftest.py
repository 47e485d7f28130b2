from collections.abc import Iterator

import pytest

from photoz_assets_tests.tap.faulty_server import Clock, FaultyServer


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[FaultyServer]:
    """A second server: another origin."""
    with FaultyServer().running() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()
