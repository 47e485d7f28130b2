"""The service of a release is found by a platform's discovery document, and no token goes there."""

import json

import pytest

from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.tap.discovery import discover_tap, is_discovery
from photoz_assets.tap.errors import Missing, Protocol, Rejected, Transient
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.tap.faulty_server import Answer, FaultyServer

PATH = "/repertoire/discovery"


def _document(**taps: str) -> bytes:
    datasets = {
        name: {"description": "", "services": {"tap": {"url": url, "versions": {}}}} for name, url in taps.items()
    }
    return json.dumps({"applications": ["tap"], "datasets": datasets, "services": {}}).encode()


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://data.example/repertoire/discovery", True),
        (" https://data.example/repertoire/discovery/ ", True),
        ("https://data.example/api/tap", False),
        ("https://data.example/api/tap?from=/repertoire/discovery", False),
    ],
)
def test_url_of_a_discovery_document_is_told_from_that_of_a_service(url: str, *, is_one: bool) -> None:
    assert is_discovery(url) == is_one


def test_run_asks_the_service_that_the_document_names_for_its_release(
    server: FaultyServer, elsewhere: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, other = f"{server.base}/api/tap", f"{elsewhere.base}/api/tap"
    server.answer("GET", PATH, Answer(body=_document(dp02=served, dp77=other)))
    monkeypatch.setenv("PHOTOZ_TAP_URL", server.base + PATH)
    monkeypatch.setenv("PHOTOZ_TAP_TOKEN", "gt-secret")
    assert ArchiveResource().client(DP02, run_id="a", log=print).url == served
    [asked] = server.asked("GET", PATH)
    assert "authorization" not in {name.lower() for name in asked.headers}


def test_service_on_another_host_is_asked_without_the_token(
    server: FaultyServer, elsewhere: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{elsewhere.base}/api/tap"
    server.answer("GET", PATH, Answer(body=_document(dp02=other)))
    elsewhere.answer("GET", "/api/tap/capabilities", Answer(status=404))
    monkeypatch.setenv("PHOTOZ_TAP_URL", server.base + PATH)
    monkeypatch.setenv("PHOTOZ_TAP_TOKEN", "gt-secret")
    said: list[str] = []
    client = ArchiveResource().client(DP02, run_id="a", log=said.append)
    with pytest.raises(Missing):
        client.capabilities()
    [asked] = elsewhere.asked("GET", "/api/tap/capabilities")
    assert "authorization" not in {name.lower() for name in asked.headers}
    assert any("without the token" in line for line in said)


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (_document(dp88="https://data.example/api/tap"), Rejected, r"names no release 'dp02', but: dp88"),
        (b'{"datasets": {"dp02": {"services": {}}}}', Rejected, r"no TAP service of dp02"),
        (b"<html>sign in</html>", Protocol, "is no discovery document"),
        (b'{"applications": []}', Protocol, "is no discovery document"),
        (b'{"datasets": {"dp02": []}}', Protocol, "is no discovery document"),
    ],
)
def test_document_that_names_no_service_is_one_clear_line(
    server: FaultyServer, body: bytes, error: type[Exception], words: str
) -> None:
    server.answer("GET", PATH, Answer(body=body))
    with pytest.raises(error, match=words) as refused:
        discover_tap(server.base + PATH, "dp02", on_event=print)
    assert "\n" not in str(refused.value)


def test_platform_that_cannot_be_reached_is_one_clear_line(server: FaultyServer) -> None:
    server.answer("GET", PATH, Answer(status=401))
    with pytest.raises(Exception, match=PATH) as refused:
        discover_tap(server.base + PATH, "dp02", on_event=print)
    assert not isinstance(refused.value, Transient)
    assert "\n" not in str(refused.value)
