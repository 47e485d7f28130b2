"""The Dagster page in a real browser, as a newcomer walks it: from the overview to a tract's figures."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets.definitions import build_definitions
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.page import CHROMIUM, chromium, opened, serving, settings, too_bright

TRACT, REFUSED_TRACT = "3638", "3637"
GROUPS = ("archive", "sky", "galaxies", "diagnostics", "butler")
SCHEDULES = ("refresh_archive_weekly", "refresh_tracts_daily")
GRAPH = """{
    assetNodes { id assetKey { path } isMaterializable }
    workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } }
}"""
LINEAGE = """query ($asset: [String!]!) {
    assetNodeOrError(assetKey: {path: $asset}) { ... on AssetNode { assetMaterializations(limit: 1) {
        metadataEntries { ... on TableColumnLineageMetadataEntry {
            lineage { columnName columnDeps { assetKey { path } columnName } }
        } }
    } } }
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def address(archive: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a fresh instance and lake."""
    with serving(settings(tmp_path_factory.mktemp("page"), PHOTOZ_TAP_URL=archive.url)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that at its end has not complained in the console."""
    with opened(browser) as page:
        yield page


@pytest.fixture(scope="module")
def tract(browser: Browser, address: str) -> str:
    """A tract that was launched from the page and has succeeded."""
    with opened(browser) as page:
        _launch(page, address, TRACT, ends_in="Success")
    return TRACT


@pytest.fixture
def refused_tract(page: Page, address: str, archive: ArchiveServer) -> Iterator[str]:
    """A tract that came with galaxies outside the cuts."""
    archive.faults = Faults(rewrite=too_bright)
    _launch(page, address, REFUSED_TRACT, ends_in="Failure")
    archive.faults = Faults()
    yield REFUSED_TRACT
    archive.faults = Faults()


def _launch(page: Page, address: str, tract: str, *, ends_in: str) -> None:
    """Launch a tract as a person does, follow its run to the end and read what the run says."""
    page.goto(f"{address}/locations/photoz_assets.definitions/jobs/refresh_tracts")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    page.keyboard.type(tract)
    page.get_by_text("Select all (1)").click()
    page.keyboard.press("Escape")
    # Leaving the page before the answer would take the launch back.
    with page.expect_response(lambda answer: "mutation Launch" in (answer.request.post_data or "")) as launched:
        page.get_by_role("button", name="Launch").last.click()
    run = launched.value.json()["data"]["launchPipelineExecution"]["run"]
    page.goto(f"{address}/runs/{run['id']}")
    expect(page.get_by_text(ends_in, exact=True).first).to_be_visible(timeout=120_000)
    expect(page.get_by_text("matched_galaxies").first).to_be_visible()


def _asked(address: str, query: str, **variables: Any) -> Any:
    answer = requests.post(f"{address}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    return answer["data"]


def test_overview_and_graph_show_every_group_and_asset_without_a_warning(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("Overview", exact=True).first).to_be_visible()
    found = _asked(address, GRAPH)
    [location] = found["workspaceOrError"]["locationEntries"]
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
    assert sum(node["isMaterializable"] for node in found["assetNodes"]) == len(
        build_definitions().resolve_asset_graph().materializable_asset_keys
    )

    page.goto(f"{address}/asset-groups")
    for group in GROUPS:
        expect(page.get_by_text(group, exact=True).last).to_be_visible()
    page.keyboard.press("Alt+e")
    expect(page.get_by_text("matched_galaxies", exact=True).first).to_be_visible()
    for node in found["assetNodes"]:
        # The sidebar lists the assets of groups that are open; what lies outside the window is not drawn.
        page.get_by_placeholder("Jump to").fill(node["assetKey"]["path"][-1])
        expect(page.get_by_text(node["assetKey"]["path"][-1], exact=True).first).to_be_visible()
    for sign in ("warning", "error", "warning_outline"):
        expect(page.get_by_role("img", name=sign, exact=True)).to_have_count(0)


def test_launched_tract_has_partition_checks_and_figures(page: Page, address: str, tract: str) -> None:
    page.goto(f"{address}/assets/matched_galaxies?view=partitions&partition={tract}")
    for fact in ("Materialized (1)", f"Missing ({len(DP02.tracts) - 1})", "density_per_deg2", "rows_declared"):
        expect(page.get_by_text(fact).first).to_be_visible()
    expect(page.get_by_text(re.compile("Unsynced"))).to_have_count(0)

    page.goto(f"{address}/assets/matched_galaxies?view=checks")
    for check in ("complete", "contract", "magnitude_cuts", "true_primary_galaxies", "unique_matches"):
        expect(page.get_by_text(check, exact=True).first).to_be_attached()
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    expect(page.get_by_text("Failed", exact=True)).to_have_count(0)

    page.goto(f"{address}/assets/diagnostics?view=partitions&partition={tract}")
    page.get_by_text(re.compile("Show Markdown")).first.click()
    picture = page.locator('img[src^="data:image/avif"]').first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 200
    assert "simulated" in str(picture.get_attribute("alt"))


@pytest.mark.usefixtures("tract")
def test_columns_show_their_units_and_lead_back_to_the_archive(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/matched_galaxies?view=overview")
    expect(page.get_by_text("Measured cModel flux in u [nJy]").first).to_be_attached()
    expect(page.get_by_text("unit: nJy").first).to_be_attached()
    expect(page.get_by_text(re.compile("dp02_dc2_catalogs[.]Object[.]u_cModelFlux")).first).to_be_attached()
    page.goto(f"{address}/assets/matched_galaxies?view=lineage")
    expect(page.get_by_text("Object", exact=True).first).to_be_visible()
    page.goto(f"{address}/assets/dp02_dc2_catalogs/Object?view=overview")
    expect(page.get_by_text("u_cModelFlux", exact=True).first).to_be_attached()

    # The open-source page draws no graph of columns: it is in what the page is made of.
    assert ("matched_galaxies", "obj_u_cModelFlux") in _came_from(address, "diagnostics", "median_flux_ratio")
    assert ("dp02_dc2_catalogs/Object", "u_cModelFlux") in _came_from(
        address, "matched_galaxies", "obj_u_cModelFlux"
    )


def _came_from(address: str, asset: str, column: str) -> set[tuple[str, str]]:
    """Ask from which columns the newest materialization of a column was made."""
    [made] = _asked(address, LINEAGE, asset=[asset])["assetNodeOrError"]["assetMaterializations"]
    [lineage] = [entry["lineage"] for entry in made["metadataEntries"] if "lineage" in entry]
    [origins] = [found["columnDeps"] for found in lineage if found["columnName"] == column]
    return {("/".join(origin["assetKey"]["path"]), origin["columnName"]) for origin in origins}


def test_schedules_stand_on_their_page_switched_off(page: Page, address: str) -> None:
    page.goto(f"{address}/automation")
    for schedule in SCHEDULES:
        expect(page.get_by_text(schedule, exact=True).first).to_be_visible()
    switches = page.get_by_role("switch")
    for number in range(switches.count()):
        expect(switches.nth(number)).not_to_be_checked()
    page.goto(f"{address}/locations/photoz_assets.definitions/schedules/refresh_tracts_daily")
    expect(page.get_by_text("refresh_tracts", exact=True).first).to_be_visible()


def test_failed_check_shows_what_failed_by_how_many_rows_and_which(
    page: Page, address: str, refused_tract: str
) -> None:
    page.goto(f"{address}/assets/matched_galaxies?view=checks&checkDetail=magnitude_cuts")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile(r"^3 of [\d,]+ rows fail$")).first).to_be_visible()
    expect(page.get_by_text(refused_tract, exact=True).first).to_be_visible()
    for column in ("mt_match_objectId", "obj_r_cModelMag"):
        expect(page.get_by_text(column, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded").first).to_be_visible()
