"""What the tests of faults share: an archive with one tract, and a lake that holds that tract's last good table."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import DENSITY
from photoz_assets.lake.layout import Lake
from photoz_assets_tests.reliability.world import TRACT, World, standing


@pytest.fixture(scope="session")
def one_tract(sky_folder: Path) -> Iterator[ArchiveServer]:
    """The embedded archive with one tract; tests leave it as they found it."""
    with ArchiveServer(sky_folder, density=DENSITY, tracts=(TRACT,)) as server:
        yield server


@pytest.fixture(scope="session")
def good_lake(one_tract: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with the tract's table, for copies of it."""
    lake = Lake(tmp_path_factory.mktemp("good") / "lake")
    with standing(one_tract.url, lake) as world:
        assert world.refresh().error is None
    return lake


@pytest.fixture(scope="session")
def truth(good_lake: Lake) -> pa.Table:
    """All rows of the tract."""
    with standing("http://nowhere", good_lake) as world:
        return world.rows()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake(tmp_path / "lake")


@pytest.fixture
def world(
    one_tract: ArchiveServer, good_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The archive behind a proxy, and a lake of its own; the archive's own faults are mended afterwards."""
    # Without jitter, the number of retries that a total time allows is the same each time.
    monkeypatch.setattr("photoz_assets.tap.retry.random.random", lambda: 0.5)
    shutil.copytree(good_lake.root, tmp_path / "lake")
    with standing(one_tract.url, Lake(tmp_path / "lake")) as opened:
        yield opened
    one_tract.faults = Faults()
