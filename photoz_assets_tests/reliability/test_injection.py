"""Words of the archive that mean something to a page or a terminal: they arrive as plain words, in one short line."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest
import requests
from dagster._core.test_utils import environ
from playwright.sync_api import Page, expect, sync_playwright

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets.lake.layout import Lake
from photoz_assets.survey.contracts.archive import TAP_TABLES
from photoz_assets.survey.queries import tap_tables_query
from photoz_assets.tap.retry import RetryPolicy
from photoz_assets_tests.reliability.proxy import (
    CAPABILITIES,
    POLL,
    RESULT,
    SUBMIT,
    SYNC,
    Fault,
    Forward,
    rewritten,
)
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.test_data_faults import first
from photoz_assets_tests.reliability.world import CANARY, TRACT, World
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.tap.documents import error_document, votable
from photoz_assets_tests.tap.faulty_server import Answer, Request
from photoz_assets_tests.tap.uws import job_document

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LONGEST: Final = 2000
MARK: Final = "struck"
MARKUP: Final = (
    "no: <script>window.struck=1</script> <img src=x onerror=window.struck=1> [x](javascript:window.struck=1) "
    "![x](http://127.0.0.1:9/struck.png) ``` | `\n\n# struck\n"
)
HOSTILE: Final = f"{MARKUP}\x1b[31mred\x1b[0m \u202e\x00 struck"
INJECTED = FaultRecord(
    "Security", "HTML, Markdown, escape sequences and 10 MB in what the archive says",
    "statuses, error documents, names of columns, descriptions and texts of rows",
    "in the GraphQL answers one plain line of at most 2000 characters each; no script runs on the page",
)  # fmt: skip
FAULTS = [INJECTED.fault]
WAYS: Final = [
    Fault(CAPABILITIES, Answer(status=400, body=HOSTILE.encode())),
    Fault(CAPABILITIES, Answer(status=302, headers={"Location": "ftp://" + MARK * 9000})),
    Fault(CAPABILITIES, Answer(body=HOSTILE.encode())),
    Fault(SUBMIT, Answer(body=error_document(escape(MARKUP)))),
    Fault(SUBMIT, Answer(status=400, body=HOSTILE.encode() * 100_000)),
    Fault(SUBMIT, Answer(status=400, body=f"no: {MARK} {CANARY} ".encode() * 9)),
    Fault(POLL, Answer(body=job_document("ERROR", error=escape(MARKUP)))),
    Fault(POLL, Answer(body=job_document("ERROR", error=escape(MARKUP) * 10_000))),
    Fault(POLL, Answer(body=job_document("ERROR", error=escape(MARKUP) * 50_000))),
    Fault(POLL, Answer(body=job_document(escape(MARKUP) * 1000))),
    Fault(RESULT, rewritten(rb'name="ts_redshift"', f'name="{escape(MARKUP)}"'.encode())),
    Fault(RESULT, rewritten(rb'name="ts_redshift"', f'name="{escape(MARKUP) * 10_000}"'.encode())),
    Fault(RESULT, Answer(body=HOSTILE.encode())),
]
EVENTS: Final = """
query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
  ... on MessageEvent { message }
  ... on ErrorEvent { error { ...Failure causes { ...Failure } errorChain { error { ...Failure } } } }
  ... on ExecutionStepFailureEvent { failureMetadata { description metadataEntries { ...Entry } } }
  ... on MaterializationEvent { description metadataEntries { ...Entry } }
  ... on ObservationEvent { description metadataEntries { ...Entry } }
  ... on AssetCheckEvaluationEvent { evaluation { description metadataEntries { ...Entry } } }
} } } }
fragment Failure on PythonError { message className stack }
fragment Entry on MetadataEntry {
  label description
  ... on TextMetadataEntry { text }
  ... on UrlMetadataEntry { url }
  ... on JsonMetadataEntry { jsonString }
  ... on TableMetadataEntry { table { records } }
}
"""


def _hostile_schema(request: Request, forward: Forward) -> Answer:
    """Describe schemas and tables in such words."""
    query = request.parameters.get("QUERY", "")
    if "FROM TAP_SCHEMA.schemas" in query:
        names = {"schema_name": ("char", "*", ["dp02_dc2_catalogs"])}
    elif query == tap_tables_query():
        names = {column.name: ("char", "*", ["dp02_dc2_catalogs"]) for column in TAP_TABLES.selected}
    else:
        return forward()
    return Answer(body=votable({**names, "description": ("unicodeChar", "*", [MARKUP * 500])}))


def _strings(answer: Any) -> Iterator[str]:
    """Yield all texts of an answer."""
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, dict | list):
        for each in answer.values() if isinstance(answer, dict) else answer:
            yield from _strings(each)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("nux: {enabled: false}\ntelemetry: {enabled: false}\n")
    return folder


@pytest.fixture
def struck_runs(world: World, one_tract: ArchiveServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of runs to which the archive says such things, with a home that remembers them."""
    monkeypatch.setattr(RetryPolicy, "delay_seconds", lambda *_, **__: None)
    runs, made = Runs(f"{world.proxy.base}/tap", world.lake.root), []
    named = {"PHOTOZ_TAP_TOKEN": CANARY, "PHOTOZ_TAP_URL": runs.url}
    with environ(named), dg.DagsterInstance.local_temp(str(home)) as instance:
        runs.instance = instance
        for way in WAYS:
            world.proxy.faults = [way]
            made.append(runs("matched_galaxies", tract=TRACT))
            assert not made[-1].success, way
        world.proxy.faults = []
        one_tract.faults = Faults(rewrite=first("mt_id_truth_type", MARKUP))
        made.append(runs("matched_galaxies", tract=TRACT))
        one_tract.faults = Faults()
        world.proxy.faults = [Fault(SYNC, _hostile_schema)]
        runs.lake = Lake(home.parent / "another")
        made.append(runs("tap_tables"))
        assert made[-1].success
    return [run.result.run_id for run in made]


@pytest.fixture
def address(struck_runs: list[str], home: Path) -> Iterator[str]:
    """A real webserver over what is remembered."""
    assert struck_runs
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DAGSTER_HOME": str(home),
        "PHOTOZ_TAP_TOKEN": CANARY,
    }
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "-m", "photoz_assets.definitions"]
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)], cwd=ROOT, env=variables, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + 120
            while not _answers(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert CANARY.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/server_info", timeout=10).ok
    except requests.ConnectionError:
        return False


def _check_plain(text: str) -> None:
    assert len(text) <= LONGEST, text[:3000]
    assert not [each for each in text.strip("\n") if unicodedata.category(each).startswith("C")], repr(text)


def _check_pages(address: str, run: str) -> None:
    """Look at what a browser makes of it, also of the Markdown that opens on a click."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{address}/runs/{run}")
        expect(page.get_by_text("onerror").first).to_be_attached(timeout=60_000)
        _check_page(page)
        page.goto(f"{address}/assets/matched_galaxies?view=partitions&partition={TRACT}")
        shown = page.get_by_role("row").filter(has_text="first_rows")
        shown.get_by_text(re.compile("Show Markdown")).first.click(timeout=60_000)
        expect(page.get_by_text("<script>window").first).to_be_visible(timeout=60_000)
        _check_page(page)
        browser.close()


def _check_page(page: Page) -> None:
    assert CANARY[:12] not in page.content()
    assert page.evaluate("window.struck") is None
    assert page.locator('img[src="x"], img[src*="struck"], a[href^="javascript"]').count() == 0


def test_words_of_the_archive_reach_the_page_as_plain_words(struck_runs: list[str], address: str) -> None:
    hostile = 0
    for run in struck_runs:
        asked = {"query": EVENTS, "variables": {"run": run}}
        answered = requests.post(f"{address}/graphql", json=asked, timeout=60)
        assert CANARY[:12] not in answered.text
        answer = answered.json()
        assert "errors" not in answer, answer
        for text in _strings(answer):
            if MARK in text:
                hostile += 1
                _check_plain(text)
    assert hostile > len(WAYS), "the words did come through"
    if CHROMIUM is not None:
        _check_pages(address, struck_runs[0])
    note(INJECTED)
