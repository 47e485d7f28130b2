"""What tests share: runs of the real definitions against the embedded archive."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import click
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.environment import StoreUrl
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import locked
from photoz_assets.lake.opening import open_lake
from photoz_assets_tests.effort import SOAK
from photoz_assets_tests.object_store import BUCKET, ObjectStore, running_object_store
from photoz_assets_tests.postgres import Database, running_database
from photoz_assets_tests.runs import Published, Runs

# The density of the archive that has all tracts: making one takes time that hardly depends on its rows.
THIN = 0.002
# The files that take longest, longest first. `make test` hands out files in this order: a long one that came last
# would keep one process busy while the others have nothing left to do.
LONGEST: Final = (
    "orchestration/test_page.py",
    "commands/test_demo.py",
    "test_docs.py",
    "reliability/test_kills.py",
    "orchestration/test_automation.py",
    "reliability/test_archive_faults.py",
    "commands/test_ui.py",
    "orchestration/test_processes.py",
    "reliability/test_daemon.py",
    "reliability/test_injection.py",
    "orchestration/test_tract.py",
    "science/test_figures.py",
    "reliability/test_fuzz.py",
    "tap/test_votable_fuzz.py",
    "orchestration/test_butler.py",
    "orchestration/test_event_log.py",
    "reliability/test_security.py",
    "performance/test_guard.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the others, and the tests of a file, keep their order."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is tried again be tried again at once: the jitter of the delays is always zero."""
    monkeypatch.setattr("photoz_assets.tap.retry.random", SimpleNamespace(random=lambda: 0.0))


@pytest.fixture
def runs(archive: ArchiveServer, tmp_path: Path, at_once: None) -> Runs:  # noqa: ARG001 - it is in force
    """Runs of the real definitions against the archive, on a lake and an instance of their own."""
    return Runs(archive.url, tmp_path / "lake")


@pytest.fixture(scope="session")
def published(archive: ArchiveServer, sky_folder: Path) -> Published:
    """A lake with the archive's listings and the field's tracts, one for all processes; tests only read it."""
    lake = sky_folder / "published"
    with locked(sky_folder / "published.lock"):
        if not lake.exists():
            runs = Runs(archive.url, sky_folder / "publishing")
            assert runs("tap_tables", "tap_columns", "skyinfo", "tracts", "patches").success
            assert all(runs("matched_galaxies", tract=tract).success for tract in FIELD_TRACTS)
            runs.lake.root.rename(lake)
    return Published(archive.url, Lake(lake))


@pytest.fixture
def filled(runs: Runs, published: Published) -> Runs:
    """Runs on a copy of the published lake: what a test changes, it may change."""
    shutil.copytree(published.lake.root, runs.lake.root)
    return runs


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real server with an empty bucket."""
    with running_object_store(tmp_path_factory.mktemp("object_store")) as running:
        yield running


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A Postgres server."""
    with running_database() as running:
        yield running


@pytest.fixture
def place(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> StoreUrl:
    """A prefix of the test's own in the bucket."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    return StoreUrl(BUCKET, re.sub(r"\W+", "-", request.node.name))


@pytest.fixture
def machine(place: StoreUrl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Lake]:
    """Open that lake as on a machine of a name, with a disk of its own."""

    def open_there(name: str) -> Lake:
        monkeypatch.setenv("PHOTOZ_WORK_DIR", str(tmp_path / name))
        return open_lake(place)

    return open_there


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Say how far a long test has come, to whoever waits for it."""

    def say(text: str) -> None:
        if SOAK:
            with capfd.disabled():
                click.echo(f"    {text}")

    return say
