"""The atlas in a real browser: no complaint, no sideways scroll on a phone, the map by keyboard."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser

from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.atlas.facts import Standing, gather
from photoz_assets.atlas.pages import index_page, script, style_sheet
from photoz_assets.atlas.site import build_atlas
from photoz_assets.lake.layout import Lake
from photoz_assets.survey.releases import dp2
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.page import CHROMIUM, chromium, opened
from photoz_assets_tests.runs import Published

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

MANY: Final = 2_174
# From the navigation until all is loaded and something is painted, in ms; null before.
SHOWN_MS: Final = """() => {
    const [painted] = performance.getEntriesByName("first-contentful-paint");
    const {loadEventEnd} = performance.getEntriesByType("navigation")[0];
    return painted && loadEventEnd ? Math.max(painted.startTime, loadEventEnd) : null;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_atlas_is_walked_on_a_screen_and_on_a_phone(
    browser: Browser, published: Published, tmp_path: Path
) -> None:
    shutil.copytree(published.lake.root, tmp_path / "lake", ignore=shutil.ignore_patterns(".work"))
    standings = {tract: Standing("fresh", "current") for tract in DP02.tracts}
    first = build_atlas(Lake(tmp_path / "lake"), DP02, standings).index.as_uri()
    with opened(browser) as page:
        page.goto(first)
        page.locator(f'.tracts a[href="tracts/{FIELD_TRACTS[0]}/index.html"]').focus()
        assert f"Tract {FIELD_TRACTS[0]}: fresh" in page.locator(".readout").inner_text()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/tracts/{FIELD_TRACTS[0] + 1}/index.html")
        page.goto(first)
        page.get_by_text("Density", exact=True).click()
        assert page.locator(".legend-n").is_visible()
    with opened(browser, width=360, height=740) as phone:
        for address in (first, first.replace("index.html", f"tracts/{FIELD_TRACTS[0]}/index.html")):
            phone.goto(address)
            assert phone.evaluate("document.documentElement.scrollWidth") == 360


def test_two_thousand_tracts_are_shown_within_a_second(browser: Browser, tmp_path: Path) -> None:
    skymap = dp2.RELEASE.skymap
    wide = [tract for tract in range(skymap.num_tracts) if -60 < skymap.centre(tract)[1] < 5][:MANY]
    facts = gather(Lake(tmp_path / "lake"), replace(dp2.RELEASE, tracts=tuple(wide)), {})
    measured = [
        replace(
            tract,
            standing=Standing("fresh", "current"),
            galaxies=100_000 + tract.tract,
            density=45_000.0 + tract.tract,
            depth=27 + tract.tract % 97 / 200,
            scatter=0.02 + tract.tract % 53 / 1_000,
        )
        for tract in facts.tracts
    ]
    (tmp_path / "index.html").write_text(index_page(replace(facts, tracts=tuple(measured)), [], {}))
    (tmp_path / "atlas.css").write_text(style_sheet())
    (tmp_path / "atlas.js").write_text(script())
    with opened(browser) as page:

        def shown_ms() -> float:
            page.goto((tmp_path / "index.html").as_uri())
            return float(page.wait_for_function(SHOWN_MS).json_value())

        # Other work of the machine makes it slower, and nothing makes it faster.
        assert any(shown_ms() < 1_000 for _ in range(5))
        assert page.locator(".tracts a").count() == MANY
