"""The Dagster page in a real browser: the graph, a tract launched from it, its checks, figures and columns."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
TRACT = "3638"
LOADING_MS = 60_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a fresh instance and lake, with the embedded archive beside it."""
    folder = tmp_path_factory.mktemp("page")
    home = folder / "home"
    home.mkdir()
    shutil.copy(ROOT / "deploy" / "dagster.yaml", home)
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DAGSTER_HOME": str(home),
        "PHOTOZ_DATA_DIR": str(folder / "lake"),
        "PHOTOZ_ARCHIVE_DIR": str(folder / "archive"),
        "PHOTOZ_ARCHIVE_DENSITY": "0.004",
    }
    port = _free_port()
    command = [str(Path(sys.executable).with_name("photoz")), "ui", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(process.stdout or []))
        reader.start()
        try:
            deadline = time.monotonic() + 120
            while not any(f"The Dagster UI is at http://127.0.0.1:{port}" in line for line in said):
                assert process.poll() is None, "".join(said)
                assert time.monotonic() < deadline, "".join(said)
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            reader.join(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(LOADING_MS)
    expect.set_options(timeout=LOADING_MS)
    yield opened
    opened.close()


def test_graph_shows_the_four_groups(page: Page, address: str) -> None:
    page.goto(f"{address}/asset-groups")
    for group in ("archive", "sky", "galaxies", "diagnostics"):
        expect(page.get_by_text(group, exact=True).first).to_be_attached()


def test_tract_launched_from_the_page_turns_green_with_checks_and_figures(page: Page, address: str) -> None:
    page.goto(f"{address}/locations/photoz_assets.definitions/jobs/refresh_tracts")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    page.keyboard.type(TRACT)
    page.get_by_text("Select all (1)").click()
    page.keyboard.press("Escape")
    # Leaving the page before the answer would take the launch back.
    with page.expect_response(lambda response: "mutation Launch" in (response.request.post_data or "")):
        page.get_by_role("button", name="Launch").last.click()

    page.goto(f"{address}/runs")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=120_000)

    page.goto(f"{address}/assets/matched_galaxies?view=checks")
    for check in ("complete", "contract", "magnitude_cuts", "true_primary_galaxies", "unique_matches"):
        expect(page.get_by_text(check, exact=True).first).to_be_attached()
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    expect(page.get_by_text("Failed")).to_have_count(0)

    page.goto(f"{address}/assets/diagnostics?view=partitions&partition={TRACT}")
    page.get_by_text(re.compile("Show Markdown")).first.click()
    picture = page.locator('img[src^="data:image/avif"]').first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 200


def test_columns_show_their_units_and_lead_back_to_the_archive(page: Page, address: str) -> None:
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{address}/assets/matched_galaxies?view=overview")
    expect(page.get_by_text("Measured cModel flux in u [nJy]").first).to_be_attached()
    expect(page.get_by_text(re.compile("dp02_dc2_catalogs[.]Object[.]u_cModelFlux")).first).to_be_attached()
    page.goto(f"{address}/assets/dp02_dc2_catalogs/Object?view=overview")
    expect(page.get_by_text("coord_ra", exact=True).first).to_be_attached()
    page.goto(f"{address}/automation")
    for schedule in ("refresh_archive_weekly", "refresh_tracts_daily"):
        expect(page.get_by_text(schedule, exact=True).first).to_be_attached()
    assert errors == []
