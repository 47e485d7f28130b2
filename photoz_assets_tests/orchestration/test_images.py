"""The asset of a coadd: its facts and its picture, out of a real repository, without the LSST stack."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from photoz_archive.butler.coadds import StoredAs, finish, put_coadds
from photoz_archive.butler.repository import COLLECTION, RUN, SKYMAP
from photoz_archive.images.pixels import SkyImages
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets.lake.provenance import read_provenance
from photoz_assets.orchestration.resources import ButlerResource
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox
from photoz_assets_tests.runs import Run, Runs

Butler = pytest.importorskip("lsst.daf.butler", reason="the extra butler is not installed").Butler

TRACT, PATCH = FIELD_TRACTS[0], 17
WHICH = {"tract": TRACT, "patch": PATCH, "band": "r"}
# A patch is 4200 x 4200.
BOX = PixelBox(13_000, 9_000, 13_300, 9_200)


@pytest.fixture
def butler(tmp_path: Path, repository: Path) -> ButlerResource:
    """A repository that holds a coadd as DP0.2 has it."""
    folder = tmp_path / "repository"
    shutil.copytree(repository, folder)
    drawn = SkyImages(density=DENSITY).coadd(TRACT, PATCH, 2, BOX)
    with Butler.from_config(str(folder), collections=COLLECTION, run=RUN, writeable=True) as writer:
        put_coadds(writer, SKYMAP, [("r", drawn)], StoredAs.EXPOSURE)
    finish(folder)
    return ButlerResource(repository=str(folder))


def look(runs: Runs, butler: ButlerResource, **which: int | str) -> Run:
    return runs("deep_coadd", butler=butler, config={"deep_coadd": WHICH | which}, job="look_at_coadd")


def test_coadd_is_described_and_shown_and_a_failure_leaves_both(runs: Runs, butler: ButlerResource) -> None:
    run = look(runs, butler)
    assert run.success
    path = runs.lake.table("deep_coadd")
    [row] = pq.read_table(path).to_pylist()
    assert {name: row[name] for name in WHICH} == WHICH
    assert (row["left"], row["low"], row["width"], row["height"]) == (13_000, 9_000, 300, 200)
    middle = DC2_RINGS.pixel_to_sky(TRACT, 13_149.5, 9_099.5)
    assert [row["ra"], row["dec"]] == pytest.approx([float(angle) for angle in middle], abs=1e-3 / 3.6e6)
    assert row["unit_flux"] == pytest.approx(57.544, rel=1e-4)
    assert row["noise"] == pytest.approx(2, rel=0.2)
    assert row["psf_fwhm"] is None
    assert "simulated" in str(read_provenance(path).repository)
    picture = runs.lake.figure("deep_coadd", "deep_coadd")
    assert "embedded archive, simulated" in Image.open(picture).info["Description"]
    assert "data:image" in run.metadata("deep_coadd")["figures"]

    before = path.read_bytes()
    failed = look(runs, butler, band="i")
    assert not failed.success
    assert "cannot give deepCoadd of tract 3637, patch 17, band i" in failed.failure
    assert "\n" not in failed.failure
    assert path.read_bytes() == before


def test_coadd_that_is_damaged_is_told_in_one_line(runs: Runs, butler: ButlerResource) -> None:
    [file] = Path(str(butler.repository)).rglob("deepCoadd*.fits")
    file.write_bytes(b"<!DOCTYPE html><html><body>Sign in</body></html>")
    failed = look(runs, butler)
    assert not failed.success
    assert "cannot be read: " in failed.failure
    assert not runs.lake.table("deep_coadd").exists()
