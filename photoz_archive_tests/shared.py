"""What the tests of both packages share: the embedded archive with the tracts of the seed's field, by TAP and Butler.

A plugin of pytest, named in the conftest of the root: as one, its archive is one for both.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from photoz_archive.butler.repository import make_repository
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.store import SkyStore

# The seed's field touches these three.
FIELD_TRACTS = (3637, 3638, 3831)
DENSITY = 0.004

DiskEvent = tuple[str, int]
StrPath = str | os.PathLike[str]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what the developer's shell says out of the tests."""
    for name in (
        "PHOTOZ_RELEASE",
        "PHOTOZ_PHOTOMETRY",
        "PHOTOZ_SPECZ",
        "PHOTOZ_MATCH_RADIUS",
        "PHOTOZ_TAP_URL",
        "PHOTOZ_TAP_TOKEN",
        "ACCESS_TOKEN",
        "PHOTOZ_ARCHIVE_DENSITY",
        "PHOTOZ_BUTLER_REPOSITORY",
        "BUTLER_RUBIN_ACCESS_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(tmp_path / "lake"))
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DIR", str(tmp_path / "archive"))


@pytest.fixture(scope="session")
def sky_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made tracts that all archives share, also those of the other processes of `make test`.

    What the archives keep is keyed by density, and each of them keeps its jobs apart.
    """
    own = tmp_path_factory.getbasetemp()
    # pytest-xdist puts each process's own folder into one of all of them.
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "sky"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def archive(sky_folder: Path) -> Iterator[ArchiveServer]:
    """The embedded archive with the tracts of the seed's field; tests leave it as they found it."""
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS) as server:
        yield server


@pytest.fixture(scope="session")
def repository(sky_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Butler repository with two of the archive's tracts; tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("butler") / "repository"
    make_repository(folder, SkyStore(sky_folder / "sky", density=DENSITY), FIELD_TRACTS[:2])
    return folder


@pytest.fixture
def disk_events(monkeypatch: pytest.MonkeyPatch) -> list[DiskEvent]:
    """What is flushed, renamed and made, in this order, by inode."""
    seen: list[DiskEvent] = []
    fsync, rename, mkdir = os.fsync, os.replace, os.mkdir

    def flushed(descriptor: int) -> None:
        fsync(descriptor)
        seen.append(("flush", os.fstat(descriptor).st_ino))

    def renamed(source: StrPath, destination: StrPath) -> None:
        rename(source, destination)
        seen.append(("rename", Path(destination).stat().st_ino))

    def made(path: StrPath, mode: int = 0o777) -> None:
        mkdir(path, mode)
        seen.append(("make", Path(path).stat().st_ino))

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "mkdir", made)
    return seen


def assert_put_in_place(place: Path, events: Sequence[DiskEvent]) -> None:
    """See that what is in a place was on the disk before it was put there, and its folder after."""
    put_there = max(number for number, event in enumerate(events) if event == ("rename", place.stat().st_ino))
    assert ("flush", place.stat().st_ino) in events[:put_there]
    assert ("flush", place.parent.stat().st_ino) in events[put_there:]


def hiding(folder: Path, *modules: str) -> Path:
    """Make a folder that, put first on PYTHONPATH, hides modules and what lies below them from a process."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == hidden or name.startswith(hidden + ".") for hidden in {modules!r}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
    )
    return folder


def with_path(folder: Path) -> str:
    """Return PYTHONPATH with a folder before what it has."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
