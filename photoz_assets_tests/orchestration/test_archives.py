"""Other archives: a plain standard service gives the same tables; two archives never share a lake."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets_tests.runs import Published, Runs

TRACT = 3638


PROFILES = {
    "plain": Profile.plain(),
    "plain with booleans": replace(Profile.plain(), booleans_as_short=False),
    "rubin": Profile.rubin(),
}


@pytest.fixture(scope="module", params=PROFILES)
def other(request: pytest.FixtureRequest, sky_folder: Path) -> Iterator[ArchiveServer]:
    """The same sky behind a service that behaves otherwise."""
    profile = PROFILES[request.param]
    token = "a-token" if request.param == "rubin" else None
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=profile, token=token) as server:
        yield server


def test_service_of_another_kind_gives_the_same_tables(
    other: ArchiveServer, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOZ_TAP_TOKEN", "a-token")
    monkeypatch.setenv("PHOTOZ_TAP_URL", other.url)
    theirs = Runs(other.url, tmp_path / "other")
    run = theirs("tap_tables", "tap_columns", "skyinfo", "matched_galaxies", tract=TRACT)
    assert run.success, run.failure
    assert all(check.passed for check in run.checks.values() if check.name != "known_tracts")
    for asset, tract, keys in (
        ("matched_galaxies", TRACT, ["mt_match_objectId"]),
        ("skyinfo", None, ["tract", "patch"]),
    ):
        tables = [
            pq.ParquetFile(lake.table(asset, tract)).read().sort_by([(key, "ascending") for key in keys])
            for lake in (published.lake, theirs.lake)
        ]
        assert tables[0].schema.equals(tables[1].schema)
        assert tables[0].to_pydict() == tables[1].to_pydict()
    counts = [pq.read_metadata(lake.table("tap_columns")).num_rows for lake in (published.lake, theirs.lake)]
    assert counts[0] == counts[1] > 100


@pytest.fixture(scope="module")
def denser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveServer]:
    """An archive with another sky."""
    folder = tmp_path_factory.mktemp("denser")
    with ArchiveServer(folder, density=2 * DENSITY, tracts=(TRACT,)) as server:
        yield server


def test_tract_of_another_archive_is_refused_and_the_lake_stays(filled: Runs, denser: ArchiveServer) -> None:
    before = filled.lake.table("matched_galaxies", TRACT).read_bytes()
    run = Runs(denser.url, filled.lake.root)("matched_galaxies", tract=TRACT)
    assert not run.success
    assert f"density {DENSITY}" in run.failure
    assert f"density {2 * DENSITY}" in run.failure
    assert "PHOTOZ_DATA_DIR" in run.failure
    assert filled.lake.table("matched_galaxies", TRACT).read_bytes() == before
    listing = Runs(denser.url, filled.lake.root)("tap_tables")
    assert not listing.success


def test_same_archive_at_another_port_is_the_same_archive(filled: Runs, sky_folder: Path) -> None:
    with ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS) as again:
        assert again.url != filled.url
        assert Runs(again.url, filled.lake.root)("matched_galaxies", tract=3637).success
