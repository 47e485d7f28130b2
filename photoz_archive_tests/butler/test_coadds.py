"""A repository with the coadd that the notebook gets, as DP0.2 has it and as every client can get it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from photoz_archive.butler.coadds import StoredAs, finish, put_coadds
from photoz_archive.butler.repository import COLLECTION, SKYMAP
from photoz_archive.images.pixels import Coadd, SkyImages
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets.images.coadd import CoaddFile
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

Butler = pytest.importorskip("lsst.daf.butler", reason="the extra butler is not installed").Butler

TRACT, PATCH, BAND = FIELD_TRACTS[0], 17, "r"
# A patch is 4200 x 4200.
BOX = PixelBox(13_000, 9_000, 13_120, 9_080)


@pytest.fixture(scope="module")
def drawn() -> Coadd:
    return SkyImages(density=DENSITY).coadd(TRACT, PATCH, 2, BOX)


def with_coadd(folder: Path, repository: Path, drawn: Coadd, stored_as: StoredAs) -> Path:
    shutil.copytree(repository, folder)
    with Butler.from_config(
        str(folder), collections=COLLECTION, run=f"{COLLECTION}/simulated", writeable=True
    ) as writer:
        put_coadds(writer, SKYMAP, [(BAND, drawn)], stored_as)
    finish(folder)
    return folder


@pytest.mark.parametrize("stored_as", StoredAs)
def test_coadd_has_the_pixels_and_the_sky_of_the_archive(
    tmp_path: Path, repository: Path, drawn: Coadd, stored_as: StoredAs
) -> None:
    if stored_as is StoredAs.MASKED:
        pytest.importorskip("lsst.images", reason="lsst-images is not installed; it needs Python 3.12")
    root = with_coadd(tmp_path / "repository", repository, drawn, stored_as)
    with Butler.from_config(str(root), collections=COLLECTION) as butler:
        place = butler.getURI("deepCoadd", dataId={"tract": TRACT, "patch": PATCH, "band": BAND})
        with CoaddFile.open(place.ospath) as file:
            coadd = file.read()
    assert coadd.box == BOX
    np.testing.assert_allclose(coadd.image, drawn.image, rtol=1e-4, atol=1e-4)
    expected = DC2_RINGS.pixel_to_sky(TRACT, BOX.left, BOX.low)
    found = coadd.wcs.all_pix2world(0, 0, 0)
    assert [float(angle) for angle in found] == pytest.approx(
        [float(angle) for angle in expected], abs=1e-3 / 3600
    )


def test_coadd_as_dp02_has_it_needs_the_stack(tmp_path: Path, repository: Path, drawn: Coadd) -> None:
    root = with_coadd(tmp_path / "repository", repository, drawn, StoredAs.EXPOSURE)
    with Butler.from_config(str(root), collections=COLLECTION) as butler:
        kind = butler.get_dataset_type("deepCoadd")
        assert (kind.storageClass_name, set(kind.dimensions.required)) == (
            "ExposureF",
            {"skymap", "tract", "patch", "band"},
        )
        with pytest.raises(ImportError, match=r"lsst\.obs"):
            butler.get("deepCoadd", dataId={"tract": TRACT, "patch": PATCH, "band": BAND})


def test_line_of_the_notebook_gets_the_coadd(tmp_path: Path, repository: Path, drawn: Coadd) -> None:
    pytest.importorskip("lsst.images", reason="lsst-images is not installed; it needs Python 3.12")
    root = with_coadd(tmp_path / "repository", repository, drawn, StoredAs.MASKED)
    with Butler.from_config(str(root), collections=COLLECTION) as butler:
        coadd = butler.get("deepCoadd", dataId={"tract": TRACT, "patch": PATCH, "band": BAND})
    np.testing.assert_allclose(coadd.image.array, drawn.image, rtol=1e-4, atol=1e-4)
