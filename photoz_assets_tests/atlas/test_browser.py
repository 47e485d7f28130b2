"""The atlas in a real browser: no complaint, no sideways scroll on a phone, the map by keyboard."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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
    wide = [tract for tract in range(skymap.num_tracts) if -60 < skymap.centre(tract)[1] < 5][:2_174]
    release = replace(dp2.RELEASE, tracts=tuple(wide))
    (tmp_path / "index.html").write_text(index_page(gather(Lake(tmp_path / "lake"), release, {}), [], {}))
    (tmp_path / "atlas.css").write_text(style_sheet())
    (tmp_path / "atlas.js").write_text(script())
    with opened(browser) as page:
        began = time.monotonic()
        page.goto((tmp_path / "index.html").as_uri())
        assert page.locator(".tracts a").count() == 2_174
        assert time.monotonic() - began < 5
