"""The Dagster page of ``photoz ui``: what another origin's page asks is refused, and the atlas lies beside it."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
import requests

from photoz_assets.atlas.site import build_atlas
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.assets.atlas import atlas_path
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.page import CHROMIUM, chromium, opened

# What comes from elsewhere, by what tells so.
FROM_ELSEWHERE: Final = {
    "another name or address as Host": (
        {"Host": "photoz.example"},
        {"Host": "127.0.0.1.photoz.example"},
        {"Host": "192.0.2.1"},
        {"Host": "[::1"},
        {"Host": ""},
    ),
    "another Origin": (
        {"Origin": "http://photoz.example"},
        {"Origin": "http://127.0.0.1:9"},
        {"Origin": "null"},
    ),
    "a request that the browser calls cross-site": ({"Sec-Fetch-Site": "cross-site"},),
}
WAYS: Final = ("GET", "POST", "WebSocket")
PHOTOZ = Path(sys.executable).with_name("photoz")
TRACT: Final = DP02.tracts[0]
ATLAS: Final = f"{atlas_path(DP02)}/index.html"
DEFINITIONS: Final = f"""
import dagster as dg

@dg.asset(metadata={{"atlas": dg.MetadataValue.url("{ATLAS}")}})
def one(): ...

defs = dg.Definitions(assets=[one])
"""
# A mutation alone, and one behind a query.
SPELLINGS: Final = (
    "mutation { setAutoMaterializePaused(paused: false) }",
    "query A{version} mutation B{setAutoMaterializePaused(paused:false)}",
)
# Paused is what a new instance is.
PAUSE = "mutation { setAutoMaterializePaused(paused: %s) }"
PAUSED = "{ instance { autoMaterializePaused } }"
# Tries each of these by which a page can ask a server of another origin, and ends when all have come to their end.
ASKED_BY_A_PAGE: Final = ("an image", "fetch with and without CORS", "a WebSocket", "forms by GET and by POST")
ATTACK = """
<title>attacking</title><iframe name="frame"></iframe>
<form id="get" method="get" target="frame" action="{page}/graphql"><input name="query" value="{mutation}"></form>
<form id="post" method="post" target="frame" action="{page}/graphql?query={mutation}"><input name="a"></form>
<script>
const url = "{page}/graphql", query = "{mutation}", body = JSON.stringify({{query}});
const image = new Promise(done => {{
    const asking = new Image();
    asking.onload = asking.onerror = done;
    asking.src = url + "?query=" + encodeURIComponent(query);
}});
const socket = new Promise(done => {{
    const asking = new WebSocket(url.replace("http", "ws"), "graphql-ws");
    asking.onopen = () => done("open");
    asking.onerror = () => done("refused");
}});
const ask = (mode, type) =>
    fetch(url, {{method: "POST", mode, body, headers: {{"Content-Type": type}}}}).catch(String);
const framed = form => new Promise(done => {{
    document.querySelector("iframe").onload = done;
    document.getElementById(form).submit();
}});
Promise.all([image, ask("no-cors", "text/plain"), ask("cors", "application/json"), socket])
    .then(async found => {{
        await framed("get");
        await framed("post");
        document.title = "attacked: socket " + found[3];
    }});
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page with one asset, as ``photoz ui`` serves it, beside a lake with an atlas."""
    folder = tmp_path_factory.mktemp("ui")
    build_atlas(Lake(folder / "lake"), replace(DP02, tracts=(TRACT,)), {})
    (folder / "definitions.py").write_text(DEFINITIONS)
    (folder / "workspace.yaml").write_text("load_from:\n  - python_file: {relative_path: definitions.py}\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    settings = {"DAGSTER_HOME": str(folder / "home"), "PHOTOZ_DATA_DIR": str(folder / "lake")}
    with subprocess.Popen(
        [str(PHOTOZ), "ui", "--port", port, "--workspace", "workspace.yaml"],
        cwd=folder,
        env=os.environ | settings | {"PHOTOZ_TAP_URL": "http://127.0.0.1:9/tap"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("The Dagster UI is at" in line for line in process.stdout)
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        reader.join(60)


def _paused(page: str) -> bool:
    answer = requests.post(f"{page}/graphql", json={"query": PAUSED}, timeout=30).json()
    return bool(answer["data"]["instance"]["autoMaterializePaused"])


@pytest.mark.slow
@pytest.mark.parametrize("headers", [each for kind in FROM_ELSEWHERE.values() for each in kind], ids=str)
@pytest.mark.parametrize("method", WAYS)
def test_what_comes_from_elsewhere_is_refused(page: str, method: str, headers: dict[str, str]) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = requests.request(
        "GET" if method == "WebSocket" else method,
        f"{page}/graphql",
        json={"query": PAUSED} if method == "POST" else None,
        headers=headers | (upgrade if method == "WebSocket" else {}),
        timeout=30,
    )
    assert answer.status_code == 403
    assert method == "WebSocket" or answer.text.startswith("Refused: ")


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_mutation_by_get_is_refused_and_a_query_is_not(page: str, spelling: str) -> None:
    def get(**parameters: str) -> requests.Response:
        return requests.get(f"{page}/graphql", params=parameters, timeout=30)

    assert get(query=spelling, operationName="B").status_code == 403
    assert _paused(page)
    assert get(query="{ version }").json()["data"]["version"]


@pytest.mark.slow
def test_scripts_and_other_names_of_this_machine_are_answered(page: str) -> None:
    port = page.rpartition(":")[2]
    for headers in ({"Host": f"localhost:{port}"}, {"Host": "localhost:8080"}, {"Origin": page}, {}):
        assert requests.get(f"{page}/server_info", headers=headers, timeout=30).ok


@contextmanager
def _listener(text: str) -> Iterator[int]:
    """Serve one page on a port of its own, for every name of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("attacker", ["127.0.0.1", "localhost"], ids=["same site", "cross site"])
def test_page_of_another_origin_changes_nothing_and_the_own_page_does(page: str, attacker: str) -> None:
    attack = ATTACK.format(page=page, mutation=PAUSE % "false")
    with _listener(attack) as port, chromium() as browser:
        shown = browser.new_page()
        shown.goto(f"http://{attacker}:{port}/")
        shown.wait_for_function("document.title.startsWith('attacked')")
        assert shown.title() == "attacked: socket refused"
        assert _paused(page)
        shown.goto(page)
        for wanted in ("false", "true"):
            asked = json.dumps({"query": PAUSE % wanted})
            headers = '{"Content-Type": "application/json"}'
            shown.evaluate(
                f"fetch('/graphql', {{method: 'POST', headers: {headers}, body: '{asked}'}}).then(a => a.text())"
            )
            assert _paused(page) == (wanted == "true")


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["/atlas/dp1/index.html", "/atlas/dp02/..%2F..%2Fgraphql?query={version}"])
def test_below_the_atlases_is_nothing_but_their_files(page: str, missing: str) -> None:
    cross_site = {"Sec-Fetch-Site": "cross-site"}
    answer = requests.get(f"{page}{missing}", headers=cross_site, timeout=30)
    assert answer.status_code == 404
    assert ("has no atlas yet: materialize the asset atlas" in answer.text) == ("/dp1/" in missing)
    assert requests.get(f"{page}{ATLAS}", headers=cross_site, timeout=30).ok


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_link_of_the_asset_opens_the_atlas_which_may_ask_nothing_of_the_page(page: str) -> None:
    with chromium() as browser, opened(browser) as shown:
        shown.goto(f"{page}/assets/one?view=overview")
        with shown.expect_popup() as opening:
            shown.get_by_role("link", name=ATLAS).click()
        atlas = opening.value
        assert atlas.url == f"{page}{ATLAS}"
        atlas.locator("#jump").fill(str(TRACT))
        atlas.keyboard.press("Enter")
        atlas.wait_for_url(f"**/tracts/{TRACT}/index.html")
        assert atlas.locator(".top").evaluate("top => getComputedStyle(top).display") == "flex"
        asked = json.dumps({"query": PAUSE % "false"})
        ask = f"""fetch("/graphql", {{
            method: "POST", mode: "no-cors", body: '{asked}', headers: {{"Content-Type": "text/plain"}}
        }}).then(answer => answer.type, String)"""
        assert atlas.evaluate(ask) == "opaque"
        assert _paused(page)
