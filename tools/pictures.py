"""Renew the pictures of the README and the docs from a demo of their own: ``make pictures``.

Needs Chromium and some minutes. Those of benchmarks (performance, fidelity) are made by the benchmarks.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import FloatRect, Page

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.page import ROOT, chromium, command, opened, serving, settings, too_bright

_IMAGES: Final = ROOT / "docs" / "images"
_COLOURS: Final = 256
_VIEW_WIDTH: Final = 1400
_LOOKS: Final = 60
# Where the demo happened to run says nothing to a reader.
_WITHOUT_FOLDER: Final = """folder => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(folder, "...");
}"""
_REFUSED_TRACT: Final = 3639
# The tract in the middle of the field, as crowded as the real sky.
_PIXELS_TRACT: Final = 3831
_PIXELS_DENSITY: Final = 1.0

# Files below the lake's figures, and how wide a page shows them.
_FIGURES: Final = {
    "sky_map": ("sky_map/sky_map.png", 840),
    "r_magnitudes": ("field_diagnostics/r_magnitudes.png", 900),
    "tract": ("diagnostics/tract=3638/contact_sheet.png", 1400),
    "survey_state": ("survey_diagnostics/state.png", 900),
}
# The first page of the lake's atlas.
_ATLAS: Final = "atlas"
_PIXELS: Final = {
    "field_image": ("field_image/field_image.png", 900),
    "stamps": (f"stamps/tract={_PIXELS_TRACT}/stamps.png", 1000),
    "deep_coadd": ("deep_coadd/deep_coadd.png", 900),
}


@dataclass(frozen=True, kw_only=True)
class View:
    """A view of the page: where it is, a text to wait for, a filter of columns, and the piece to keep of it."""

    at: str
    shows: str
    columns: str | None = None
    width: int = 1600
    height: int = 1000
    piece: FloatRect | None = None


_VIEWS: Final = {
    "ui-graph": View(
        at="matched_galaxies?view=lineage&lineageScope=neighbors&lineageDepth=2",
        shows="field_diagnostics",
        width=1900,
        height=1400,
        piece={"x": 250, "y": 165, "width": 1590, "height": 1230},
    ),
    "ui-columns": View(
        at="matched_galaxies?view=overview",
        shows="Measured cModel flux in u [nJy]",
        columns="_r",
        width=1900,
        height=1160,
    ),
    "ui-tract": View(at="matched_galaxies?view=partitions&partition=3638", shows="density_per_deg2"),
    "ui-checks": View(at="matched_galaxies?view=checks&checkDetail=magnitude_cuts", shows="bad_rows"),
}
_AFTER_THE_REFUSAL: Final = {
    "ui-failed-check": View(
        at="matched_galaxies?view=checks&checkDetail=magnitude_cuts",
        shows="offending_rows",
        width=1800,
        height=900,
    ),
}


PICTURES: Final = frozenset({*_VIEWS, *_AFTER_THE_REFUSAL, *_FIGURES, *_PIXELS, _ATLAS})


def main() -> None:
    """Run the demo, look at it, have a tract refused, look again."""
    with tempfile.TemporaryDirectory(prefix="photoz-") as name:
        folder = Path(name)
        environment = settings(folder)
        subprocess.run([command("photoz"), "demo"], cwd=ROOT, env=environment, check=True)
        look_at_atlas(folder / "lake" / "atlas" / "index.html")
        with serving(environment) as address:
            _look(address, _VIEWS, folder)
            with ArchiveServer(folder / "archive", faults=Faults(rewrite=too_bright)) as archive:
                refused = environment | {"PHOTOZ_TAP_URL": archive.url}
                _materialize(refused, "matched_galaxies", _REFUSED_TRACT, check=False)
            _materialize(environment, "survey_diagnostics")
            _look(address, _AFTER_THE_REFUSAL, folder)
        _keep_figures(_FIGURES, folder)
    with tempfile.TemporaryDirectory(prefix="photoz-") as name:
        draw_pixels(Path(name))


def draw_pixels(folder: Path) -> None:
    """Keep pictures of a dense sky's pixels, from a lake and an archive below a folder."""
    environment = settings(folder)
    with ArchiveServer(folder / "archive", density=_PIXELS_DENSITY, tracts=(_PIXELS_TRACT,)) as archive:
        environment |= {"PHOTOZ_TAP_URL": archive.url}
        for asset in ("matched_galaxies", "stamps"):
            _materialize(environment, asset, _PIXELS_TRACT)
        _materialize(environment, "field_image")
    _look_at_coadd(environment, folder / "butler")
    _keep_figures(_PIXELS, folder)


def _look_at_coadd(environment: dict[str, str], repository: Path) -> None:
    """Draw the notebook's coadd, out of a repository with the dense sky."""
    pixels = ["--density", str(_PIXELS_DENSITY), "--tracts", str(_PIXELS_TRACT), "--images", "4226:17"]
    made = [command("photoz-butler"), "--repository", str(repository), *pixels]
    subprocess.run(made, cwd=ROOT, env=environment, check=True)
    _materialize(environment | {"PHOTOZ_BUTLER_REPOSITORY": str(repository)}, "deep_coadd")


def look_at_atlas(index: Path) -> None:
    """Keep a picture of the top of an atlas' first page."""
    with chromium() as browser, opened(browser, width=1200, height=1120) as page:
        page.goto(index.as_uri())
        _keep(_ATLAS, Image.open(BytesIO(_still(page, None))), 1000)


def _keep_figures(figures: dict[str, tuple[str, int]], folder: Path) -> None:
    for picture, (figure, width) in figures.items():
        _keep(picture, Image.open(folder / "lake" / "figures" / figure), width)


def _materialize(environment: dict[str, str], asset: str, tract: int | None = None, *, check: bool = True) -> None:
    chosen = ["--select", asset, *(["--partition", str(tract)] if tract else [])]
    arguments = ["asset", "materialize", "-m", "photoz_assets.definitions", *chosen]
    subprocess.run([command("dagster"), *arguments], cwd=ROOT, env=environment, check=check)


def _look(address: str, views: dict[str, View], folder: Path) -> None:
    with chromium() as browser:
        for name, view in views.items():
            with opened(browser, width=view.width, height=view.height) as page:
                page.goto(f"{address}/assets/{view.at}")
                page.get_by_text(view.shows).last.wait_for()
                if view.columns:
                    page.get_by_placeholder("Filter columns").fill(view.columns)
                _still(page, view.piece)
                page.evaluate(_WITHOUT_FOLDER, str(folder))
                _keep(name, Image.open(BytesIO(_still(page, view.piece))), _VIEW_WIDTH)


def _still(page: Page, piece: FloatRect | None) -> bytes:
    """Look until two looks in a row are the same: nothing loads, moves or fades any more."""
    before = b""
    for _ in range(_LOOKS):
        if (seen := page.screenshot(clip=piece, animations="disabled")) == before:
            return seen
        before = seen
        page.wait_for_timeout(1000)
    raise TimeoutError(f"{page.url} does not come to rest")


def _keep(name: str, picture: Image.Image, width: int) -> None:
    """Write a picture of few colours, those of small things among them, and no more pixels than a page shows."""
    size = (width, round(picture.height * width / picture.width))
    small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    path = _IMAGES / f"{name}.png"
    small.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
