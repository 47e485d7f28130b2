"""The reader of coadds: a box in nJy, in its place on the sky; and one line for each file that is none."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from photoz_archive.images.files import Detail, coadd_file
from photoz_archive.images.pixels import MASK_PLANES
from photoz_archive.images.pixels import Coadd as Drawn
from photoz_assets.images.coadd import Coadd, CoaddError, CoaddFile
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

TRACT = 4226
# At the edge of the tract, where coadds are smaller.
BOX = PixelBox(0, 7900, 1000, 8700)
PART = PixelBox(700, 8100, 750, 8150)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    rng = np.random.default_rng(1)
    image = rng.normal(0, 2, BOX.shape).astype(np.float32)
    mask = np.zeros(BOX.shape, np.int32)
    mask[210:220, 710:720] = 1 << MASK_PLANES.index("DETECTED")
    image[mask != 0] = 500
    return Drawn(tract=TRACT, patch=14, box=BOX, image=image, mask=mask, variance=image**2)


@pytest.fixture(scope="module")
def folder(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coadd as DP0.2 has it, and as later releases have it."""
    folder = tmp_path_factory.mktemp("coadds")
    (folder / "counts.fits").write_bytes(coadd_file(drawn, Detail.EXPOSURE))
    (folder / "njy.fits").write_bytes(coadd_file(drawn, Detail.MASKED_IMAGE, compressed=True, in_njy=True))
    return folder


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """A server of files that gives ranges and counts bytes, and that knows one signature."""

    sent: list[int]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path, _, query = self.path.partition("?")
        if query != "Signature=right":
            self.send_error(403)
            return
        content = (Path(self.directory) / path.lstrip("/")).read_bytes()
        first, last = 0, len(content) - 1
        if asked := self.headers.get("Range"):
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            last = min(last, len(content) - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if with_body:
            self.wfile.write(content[first : last + 1])
            self.sent.append(last - first + 1)


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[str, list[int]]]:
    sent: list[int] = []
    handler = type("Handler", (_Ranges,), {"sent": sent})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


def read(source: Path | str, box: PixelBox | None = PART) -> Coadd:
    with CoaddFile.open(str(source)) as file:
        return file.read(box)


@pytest.mark.parametrize(("name", "unit"), [("counts.fits", 57.5440), ("njy.fits", 1.0)])
def test_box_is_read_in_nanojansky_wherever_the_file_says_its_unit(
    folder: Path, drawn: Drawn, name: str, unit: float
) -> None:
    coadd = read(folder / name)
    where = PART.slices(BOX)
    assert coadd.box == PART
    np.testing.assert_allclose(coadd.image, drawn.image[where], rtol=1e-5)
    np.testing.assert_allclose(coadd.variance, drawn.variance[where], rtol=1e-5)
    np.testing.assert_array_equal(coadd.is_set("DETECTED"), drawn.mask[where] != 0)
    assert not coadd.is_set("A_PLANE_THAT_IS_NOT_THERE").any()
    assert coadd.njy_per_unit == pytest.approx(unit, rel=1e-5)


@pytest.mark.parametrize("name", ["counts.fits", "njy.fits"])
def test_box_is_where_the_skymap_has_it(folder: Path, name: str) -> None:
    wcs = read(folder / name).wcs
    ra, dec = wcs.all_pix2world(3, 4, 0)
    expected = DC2_RINGS.pixel_to_sky(TRACT, PART.left + 3, PART.low + 4)
    assert [float(ra), float(dec)] == pytest.approx([float(angle) for angle in expected], abs=1e-3 / 3.6e6)


def test_box_that_reaches_beyond_the_coadd_is_cut_and_none_is_refused(folder: Path) -> None:
    beyond = PixelBox(-20, 8690, 10, 8720)
    coadd = read(folder / "counts.fits", beyond)
    assert (coadd.box, coadd.image.shape) == (PixelBox(0, 8690, 10, 8700), (10, 10))
    with pytest.raises(CoaddError, match="has no pixel of PixelBox"):
        read(folder / "counts.fits", PixelBox(2000, 8000, 2010, 8010))


def test_noise_is_that_of_pixels_without_light(folder: Path, drawn: Drawn, tmp_path: Path) -> None:
    assert read(folder / "counts.fits").noise == pytest.approx(2, rel=0.1)
    nothing = replace(drawn, mask=np.full(BOX.shape, 1 << MASK_PLANES.index("NO_DATA"), np.int32))
    (tmp_path / "nothing.fits").write_bytes(coadd_file(nothing, Detail.EXPOSURE))
    assert np.isnan(read(tmp_path / "nothing.fits").noise)


def test_ranges_of_a_signed_url_are_read_and_no_more(served: tuple[str, list[int]], drawn: Drawn) -> None:
    url, sent = served
    with CoaddFile.open(f"{url}/counts.fits?Signature=right") as file:
        image = file.read_image(PART)
    np.testing.assert_allclose(image, drawn.image[PART.slices(BOX)], rtol=1e-5)
    # Of 9.6 MB: the headers of the planes, the last table, and 50 rows of one plane.
    assert sum(sent) < 1_000_000


def test_url_that_has_expired_is_told_without_its_permission(served: tuple[str, list[int]]) -> None:
    with pytest.raises(CoaddError, match=r"counts\.fits cannot be read: ") as told:
        read(f"{served[0]}/counts.fits?Signature=expired")
    assert "expired" not in str(told.value)
    assert "\n" not in str(told.value)


def _html(_: bytes) -> bytes:
    return b"<!DOCTYPE html><html><body>Sign in</body></html>"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_html, "cannot be read: "),
        (lambda content: content[:0], "cannot be read: "),
        (lambda content: content[: len(content) // 2], "is no coadd: it lacks VARIANCE|cannot be read: "),
        (lambda content: content.replace(b"'VARIANCE'", b"'NOTHING '"), "is no coadd: it lacks VARIANCE"),
        (
            lambda content: content.replace(b"'PhotoCalib'", b"'SomeCalib '"),
            "neither BUNIT = nJy nor a PhotoCalib",
        ),
    ],
    ids=["a page", "empty", "cut off", "without variance", "without calibration"],
)
def test_file_that_is_no_whole_coadd_is_told_in_one_line(
    folder: Path, tmp_path: Path, damage: object, words: str
) -> None:
    assert callable(damage)
    path = tmp_path / "coadd.fits"
    path.write_bytes(damage((folder / "counts.fits").read_bytes()))
    with pytest.raises(CoaddError, match=words) as told:
        read(path)
    assert "\n" not in str(told.value)
    with pytest.raises(CoaddError, match="cannot be read: "):
        read(tmp_path / "no such file.fits")


def test_calibration_that_is_no_number_is_told(drawn: Drawn, tmp_path: Path) -> None:
    path = tmp_path / "coadd.fits"
    path.write_bytes(coadd_file(drawn, Detail.EXPOSURE))
    with fits.open(path, mode="update") as file:
        file["PhotoCalib"].data["calibrationMean"][0] = np.nan
    with pytest.raises(CoaddError, match="a PhotoCalib of nan nJy: expected a number above 0"):
        read(path)
