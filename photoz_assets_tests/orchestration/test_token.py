"""Where the token goes: to the archive that the environment names, whatever a run's configuration says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets.orchestration.resources import ButlerResource
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.tap.faulty_server import Answer, FaultyServer

TOKEN = "gt-token-of-the-user"  # noqa: S105 - nobody's


@pytest.fixture
def elsewhere() -> Iterator[FaultyServer]:
    """Another listener, of which a run's configuration speaks."""
    with FaultyServer().running() as server:
        server.answer("GET", "/tap/capabilities", Answer(status=404))
        yield server


def test_run_configured_for_another_origin_asks_without_the_token(
    archive: ArchiveServer, elsewhere: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOZ_TAP_URL", archive.url)
    monkeypatch.setenv("PHOTOZ_TAP_TOKEN", TOKEN)
    run = Runs(f"{elsewhere.base}/tap", tmp_path / "lake")("tap_tables")
    assert not run.success
    assert elsewhere.requests
    assert [request for request in elsewhere.requests if TOKEN in str(request)] == []


@pytest.mark.parametrize("variable", ["BUTLER_RUBIN_ACCESS_TOKEN", "ACCESS_TOKEN"])
def test_run_configured_for_another_repository_is_refused_while_there_is_a_token(
    elsewhere: FaultyServer, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, TOKEN)
    runs = Runs("http://127.0.0.1:9/tap", tmp_path / "lake")
    run = runs("butler_collections", butler=ButlerResource(repository=elsewhere.base), job="refresh_butler")
    assert "is another than PHOTOZ_BUTLER_REPOSITORY" in run.failure
    assert elsewhere.requests == []
