"""``photoz tracts``: the archive's own list is kept in the lake, and the location has it as partitions."""

import json

import pytest
from click.testing import CliRunner

from photoz_archive.service.server import ArchiveServer
from photoz_assets import environment
from photoz_assets.commands.cli import main
from photoz_assets.definitions import build_definitions
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.tract_list import TractListError, keep_tracts, with_kept_tracts
from photoz_assets.orchestration.partitions import tract_partitions
from photoz_assets.survey.releases.dp2 import RELEASE as DP2
from photoz_assets.survey.releases.release import Release
from photoz_assets_tests.dp02 import DP02


@pytest.fixture
def lake() -> Lake:
    return open_lake(environment.data_dir())


@pytest.mark.parametrize(
    ("release", "known"), [(DP02, 3638), (DP2, 9812)], ids=lambda value: getattr(value, "name", None)
)
def test_list_of_the_archive_is_kept_and_read_when_the_location_loads(
    archive: ArchiveServer, lake: Lake, monkeypatch: pytest.MonkeyPatch, release: Release, known: int
) -> None:
    monkeypatch.setenv("PHOTOZ_TAP_URL", archive.url)
    monkeypatch.setenv("PHOTOZ_RELEASE", release.name)
    keep_tracts(lake, release, [known, 1])
    assert CliRunner().invoke(main, ["tracts"]).stdout == f"1\n{known}\n"
    updated = CliRunner().invoke(main, ["tracts", "--update"])
    assert updated.exit_code == 0, updated.output
    assert updated.stdout.split() == [str(tract) for tract in release.tracts]
    [line] = updated.stderr.splitlines()
    assert f"{len(release.tracts)} tracts of {release.title} are kept in {lake.tract_list}" in line
    assert line.endswith("gone: 1")
    assert with_kept_tracts(release, lake) is release, "the same list makes no other release"


@pytest.mark.parametrize("release", [DP02, DP2], ids=lambda release: release.name)
def test_partitions_are_those_of_the_list(lake: Lake, release: Release) -> None:
    kept = keep_tracts(lake, release, [3639, 3638])
    graph = build_definitions(release=release).resolve_asset_graph()
    [galaxies] = [key for key in graph.materializable_asset_keys if key.path[-1] == "matched_galaxies"]
    assert graph.get(galaxies).partitions_def == tract_partitions(kept)
    assert tract_partitions(kept).get_partition_keys() == ["3638", "3639"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"release": "dp02", "tracts": []}', '{"release": "dp02", "tracts": [-3]}', '["a"]', "\x00"],
)
def test_damaged_list_is_one_clear_line(lake: Lake, text: str) -> None:
    lake.root.mkdir(parents=True, exist_ok=True)
    lake.tract_list.write_text(text)
    with pytest.raises(TractListError, match=r"is no list of tracts: delete it"):
        with_kept_tracts(DP02, lake)
    refused = CliRunner().invoke(main, ["tracts"])
    assert refused.exit_code == 1
    assert str(lake.tract_list) in refused.output


def test_list_of_another_release_is_refused(lake: Lake) -> None:
    lake.root.mkdir(parents=True, exist_ok=True)
    lake.tract_list.write_text(json.dumps({"release": "other", "tracts": [3638]}))
    with pytest.raises(TractListError, match="tracts of other, not of dp02: set PHOTOZ_DATA_DIR"):
        with_kept_tracts(DP02, lake)
