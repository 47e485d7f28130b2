"""The atlas as files: every link answers, only what has changed is written, and no text becomes markup."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest
from pyarrow.parquet import read_metadata

from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.atlas.facts import Standing, gather
from photoz_assets.atlas.history import FILE, QualityEntry, kept_history
from photoz_assets.atlas.pages import index_page
from photoz_assets.atlas.site import build_atlas
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.survey.contracts.redshifts import METRICS
from photoz_assets.survey.releases import dp2
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.runs import Published, Runs
from photoz_assets_tests.samples import galaxies, store

TRACT: Final = FIELD_TRACTS[0]
MANY: Final = 2_174
READER: Final = re.compile(r'<div><dt>(\w+)</dt><dd><code tabindex="0">(.+)</code></dd></div>')
LINK: Final = re.compile(r'(?:href|src|action)="([^"]+)"')


def _standings(release: Release, **others: str) -> Mapping[int, Standing]:
    return {tract: Standing("fresh", "current") for tract in release.tracts} | {
        int(tract.removeprefix("t")): Standing(status, status) for tract, status in others.items()
    }


@pytest.fixture
def lake(published: Published, tmp_path: Path) -> Lake:
    shutil.copytree(published.lake.root, tmp_path / "lake", ignore=shutil.ignore_patterns(".work"))
    return Lake(tmp_path / "lake")


def _versions(lake: Lake) -> dict[str, tuple[int, int]]:
    pages = [path for path in lake.atlas.rglob("*") if path.is_file()]
    return {str(path.relative_to(lake.atlas)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in pages}


def _dead_links(lake: Lake) -> list[str]:
    dead: list[str] = []
    for page in lake.atlas.rglob("*.html"):
        links = (unquote(unescape(link)) for link in LINK.findall(page.read_text()) if link[0] != "#")
        files = (page.parent / link for link in links if not link.startswith("data:"))
        dead += [f"{page.relative_to(lake.atlas)}: {file}" for file in files if not file.is_file()]
    return dead


def test_every_tract_has_a_page_and_every_link_answers(lake: Lake) -> None:
    built = build_atlas(lake, DP02, _standings(DP02))
    assert len(built.written) == len(DP02.tracts) == 157
    assert _dead_links(lake) == []
    first = built.index.read_text()
    assert first.count("<polygon") == 157
    assert "embedded archive, simulated" in first
    page = (lake.atlas / "tracts" / str(TRACT) / "index.html").read_text()
    assert "https:" not in first + page
    assert page.count('class="mark passed"') == len(re.findall('class="mark ', page)) > 5


def test_changed_tract_rewrites_its_page_and_the_indexes_alone(lake: Lake) -> None:
    build_atlas(lake, DP02, _standings(DP02))
    before = _versions(lake)
    assert build_atlas(lake, DP02, _standings(DP02)).written == ()
    assert _versions(lake) == before
    assert build_atlas(lake, DP02, _standings(DP02, **{f"t{TRACT}": "stale"})).written == (TRACT,)
    after = _versions(lake)
    assert {page for page in after if after[page] != before[page]} == {
        "index.html",
        "tracts/index.html",
        f"tracts/{TRACT}/index.html",
    }


def test_figure_is_shown_with_its_words_and_goes_with_the_lakes(lake: Lake) -> None:
    from PIL import Image  # noqa: PLC0415 - here alone
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415 - as above

    figure = lake.figure("diagnostics", "<b>&", TRACT)
    figure.parent.mkdir(parents=True)
    words = PngInfo()
    words.add_text("Description", 'A "map" <script>')
    Image.new("RGB", (8, 4)).save(figure, pnginfo=words)
    build_atlas(lake, DP02, _standings(DP02))
    page = (lake.atlas / "tracts" / str(TRACT) / "index.html").read_text()
    assert 'width="8" height="4"' in page
    assert "A &#34;map&#34; &lt;script&gt;" in page
    assert "<b>" not in page
    assert _dead_links(lake) == []
    figure.unlink()
    build_atlas(lake, DP02, _standings(DP02))
    assert list(lake.atlas.glob("tracts/*/*.png")) == []


def test_line_of_each_reader_reads_the_tract(lake: Lake) -> None:
    build_atlas(lake, replace(DP02, tracts=(TRACT,)), {})
    page = (lake.atlas / "tracts" / str(TRACT) / "index.html").read_text()
    lines = {tool.lower(): unescape(line) for tool, line in READER.findall(page)}
    assert list(lines) == ["duckdb", "pandas", "polars", "astropy"]
    program = "\n".join(f"{line}\nprint(len(galaxies))" for line in lines.values())
    said = subprocess.check_output([sys.executable, "-c", program], cwd=lake.root, text=True)
    assert said.split() == [str(read_metadata(lake.table("matched_galaxies", TRACT)).num_rows)] * 4


def test_hostile_words_are_shown_as_text(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    said = "<script>alert(1)</script>"
    provenance = Provenance(
        table="matched_galaxies", code_version="1", tract=TRACT, selection=Selection(), run_id=said, adql=said
    )
    store(lake, galaxies(20, tract=TRACT), provenance)
    build_atlas(lake, DP02, _standings(DP02))
    page = (lake.atlas / "tracts" / str(TRACT) / "index.html").read_text()
    assert said not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_history_is_only_added_to(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    numbers = dict.fromkeys(METRICS, 0.1)
    first = QualityEntry(
        made="2026-01-01T00:00:00+00:00",
        run_id="a",
        estimator="x",
        num_galaxies=3,
        metrics=numbers,
        errors=numbers,
    )
    second = replace(first, made="2026-01-02T00:00:00+00:00")
    assert kept_history(lake, first) == kept_history(lake, first) == [first]
    before = (lake.atlas / FILE).read_text()
    (lake.atlas / FILE).write_text(f"{before}no JSON\n")
    assert kept_history(lake, second) == [first, second]
    assert (lake.atlas / FILE).read_text().startswith(f"{before}no JSON\n")
    assert kept_history(lake, None) == [first, second]


def test_two_thousand_tracts_fit_into_a_small_first_page(tmp_path: Path) -> None:
    skymap = dp2.RELEASE.skymap
    wide = [tract for tract in range(skymap.num_tracts) if -60 < skymap.centre(tract)[1] < 5][:MANY]
    release = replace(dp2.RELEASE, tracts=tuple(wide))
    first = index_page(gather(Lake(tmp_path), release, _standings(release)), [], {})
    assert len(first.encode()) < 2_000_000
    assert first.count("<polygon") == MANY


def test_asset_makes_the_atlas_and_names_its_address(runs: Runs, published: Published) -> None:
    shutil.copytree(published.lake.root, runs.lake.root, ignore=shutil.ignore_patterns(".work"))
    run = runs("atlas")
    assert run.success
    facts = run.metadata("atlas")
    assert facts["atlas"] == "/atlas/dp02/index.html"
    assert facts["index"] == str(runs.lake.atlas / "index.html")
    assert facts["tracts_written"] == 157
