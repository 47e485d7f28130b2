"""A window of the field: put together across patches, pixel by pixel, from what the archive cuts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from photoz_archive.images.pixels import SkyImages
from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import DENSITY
from photoz_assets.images.cutouts import CutoutSource
from photoz_assets.images.field import FieldWindow, read_field
from photoz_assets.images.stamp import StampError
from photoz_assets.lake.layout import Lake
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox
from photoz_assets.tap.client import TapClient
from photoz_assets_tests.dp02 import DP02

TRACT = 3638
# Where four patches meet.
RA, DEC = (float(angle) for angle in DC2_RINGS.pixel_to_sky(TRACT, 12_000.0, 12_000.0))


@pytest.fixture
def source(archive: ArchiveServer, tmp_path: Path) -> CutoutSource:
    lake = Lake(tmp_path / "lake")
    return CutoutSource(client=TapClient(archive.url), release=DP02, lake=lake, folder=lake.cutouts / "here")


def window(source: CutoutSource) -> FieldWindow:
    return read_field(source, RA, DEC, width_arcmin=1.5, bands=("r",), log=lambda _: None)


def test_window_over_four_patches_has_each_pixel_where_it_is(source: CutoutSource) -> None:
    found = window(source)
    assert (found.tract, found.box) == (TRACT, PixelBox(11_775, 11_775, 12_226, 12_226))
    images = SkyImages(density=DENSITY)
    for patch, corner in (
        (16, (11_775, 11_775)),
        (17, (12_226, 11_775)),
        (23, (11_775, 12_226)),
        (24, (12_226, 12_226)),
    ):
        left, right = sorted((corner[0], 12_000))
        low, high = sorted((corner[1], 12_000))
        part = PixelBox(left, low, right, high)
        drawn = images.coadd(TRACT, patch, BANDS.index("r"), part).image
        np.testing.assert_allclose(found.planes["r"][part.slices(found.box)], drawn, rtol=1e-4, atol=0.2)


def test_piece_that_lies_off_the_tracts_pixels_is_refused(archive: ArchiveServer, source: CutoutSource) -> None:
    window(source)
    for kept in source.folder.glob("field*"):
        kept.unlink()
    far = PixelBox(20_000, 20_000, 20_010, 20_010)
    archive.faults = Faults(
        rewrite_coadd=lambda coadd: replace(coadd, box=far, image=coadd.image[:10, :10], mask=coadd.mask[:10, :10])
    )
    try:
        with pytest.raises(StampError, match="is of another place"):
            window(source)
    finally:
        archive.faults = Faults()
