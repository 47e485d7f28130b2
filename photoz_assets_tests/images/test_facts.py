"""What a whole coadd is like, measured strip by strip."""

from pathlib import Path

import numpy as np
import pytest

from photoz_archive.images.files import Detail, coadd_file
from photoz_archive.images.pixels import MASK_PLANES
from photoz_archive.images.pixels import Coadd as Drawn
from photoz_assets.images.coadd import CoaddFile
from photoz_assets.images.facts import CoaddFacts, coadd_facts
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

# More rows than a strip has.
BOX = PixelBox(11_900, 7900, 12_600, 9000)
FWHM_PIXELS = 3.8


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CoaddFacts:
    """The facts of a field of stars in noise, with a corner that has no data."""
    rng = np.random.default_rng(4)
    image = rng.normal(0, 2, BOX.shape)
    y, x = np.mgrid[-10:11, -10:11]
    for row in range(60, 1060, 100):
        for column in range(60, 660, 100):
            dx, dy = rng.uniform(-0.5, 0.5, 2)
            star = 1000 * np.exp(-4 * np.log(2) * ((x - dx) ** 2 + (y - dy) ** 2) / FWHM_PIXELS**2)
            image[row - 10 : row + 11, column - 10 : column + 11] += star
    mask = np.where(image > 6, 1 << MASK_PLANES.index("DETECTED"), 0).astype(np.int32)
    mask[:100, :140] |= 1 << MASK_PLANES.index("NO_DATA")
    image[:100, :140] = np.nan
    plane = image.astype(np.float32)
    drawn = Drawn(tract=4226, patch=17, box=BOX, image=plane, mask=mask, variance=np.ones_like(plane))
    path: Path = tmp_path_factory.mktemp("facts") / "coadd.fits"
    path.write_bytes(coadd_file(drawn, Detail.EXPOSURE))
    with CoaddFile.open(str(path)) as file:
        return coadd_facts(file)


def test_place_noise_and_width_are_those_of_the_field(facts: CoaddFacts) -> None:
    assert facts.box == BOX
    middle = DC2_RINGS.pixel_to_sky(4226, (BOX.left + BOX.right - 1) / 2, (BOX.low + BOX.high - 1) / 2)
    assert facts.centre_deg == pytest.approx([float(angle) for angle in middle], abs=1e-6 / 3600)
    assert facts.noise == pytest.approx(2, rel=0.03)
    assert facts.psf_fwhm_pixels == pytest.approx(FWHM_PIXELS, rel=0.05)
    assert facts.njy_per_unit == pytest.approx(57.544, rel=1e-5)


def test_shares_of_the_mask_are_of_all_strips(facts: CoaddFacts) -> None:
    assert set(facts.shares) == {"DETECTED", "NO_DATA"}
    assert facts.shares["NO_DATA"] == pytest.approx(100 * 140 / (1100 * 700))


def test_picture_is_the_image_averaged(facts: CoaddFacts) -> None:
    assert facts.picture_step == 2
    assert facts.picture.shape == (550, 350)
    assert np.isnan(facts.picture[:50, :70]).all()
    assert facts.picture[30 + 50, 30 + 50] > 100
