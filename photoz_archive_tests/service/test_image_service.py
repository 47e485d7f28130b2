"""Images by the protocols of the VO: found in ObsCore, linked, cut, and kept from whoever may not have them."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
import pytest
import pyvo
import requests
from astropy import units
from astropy.io import fits
from astropy.io.votable import parse as parse_votable
from astropy.wcs import WCS
from defusedxml import ElementTree
from pyvo.dal.adhoc import DatalinkResults, SodaQuery

from photoz_archive.images.files import NJY_PER_COUNT
from photoz_archive.images.pixels import Coadd, SkyImages
from photoz_archive.service.faults import Faults
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

TRACT, PATCH = 3638, 24
RA, DEC = (float(angle) for angle in DC2_RINGS.pixel_to_sky(TRACT, 14_000.0, 13_000.0))
RADIUS_DEG = 3 / 3600
IDENTIFIER = f"ivo://photoz_assets/simulated/dp02?deepCoadd_calexp/{TRACT}/{PATCH}/r"
CIRCLE = f"{RA} {DEC} {RADIUS_DEG}"
ASKED = {"ID": IDENTIFIER, "CIRCLE": CIRCLE}
TOKEN = {"Authorization": "Bearer gt-right"}


def url(server: ArchiveServer, path: str) -> str:
    return server.url.removesuffix("/tap") + path


def cut(server: ArchiveServer, *, headers: dict[str, str] | None = None, **sent: str) -> requests.Response:
    asked = ASKED | sent
    return requests.get(
        url(server, "/cutout/sync"), params=asked, headers=headers, timeout=30, allow_redirects=False
    )


def opened(content: bytes) -> Any:
    return fits.open(io.BytesIO(content))


@pytest.fixture
def faulty(archive: ArchiveServer) -> Iterator[ArchiveServer]:
    yield archive
    archive.faults = Faults()


@pytest.fixture(scope="module")
def rubin(sky_folder: Path) -> Iterator[dict[str, ArchiveServer]]:
    """Two servers after Rubin's manner, one of whose URLs have expired when they are given."""
    with ExitStack() as running:
        profile = replace(Profile.rubin(), cutouts_per_minute=4)
        kinds = {"rubin": profile, "expired": replace(profile, signed_url_seconds=-2)}
        yield {
            name: running.enter_context(
                ArchiveServer(sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=kind, token="gt-right")  # noqa: S106 (of a test)
            )
            for name, kind in kinds.items()
        }


def test_pyvo_finds_an_image_follows_its_links_and_cuts_it(tap: pyvo.dal.TAPService) -> None:
    query = f"""
        SELECT * FROM dp02_dc2_catalogs.ObsCore WHERE lsst_band = 'r' AND dataproduct_subtype = 'lsst.deepCoadd_calexp'
        AND calib_level = 3 AND CONTAINS(POINT('ICRS', {RA}, {DEC}), s_region) = 1 ORDER BY lsst_tract
    """
    found = tap.run_sync(query)
    assert [(row["lsst_tract"], row["lsst_patch"]) for row in found] == [(TRACT, PATCH)]
    links = found[0].getdatalink()
    assert isinstance(links, DatalinkResults)
    service = links.get_adhocservice_by_id("cutout-sync")
    soda = SodaQuery.from_resource(links, service)
    soda.circle = (RA * units.deg, DEC * units.deg, RADIUS_DEG * units.deg)
    content = soda.execute_stream().read()
    soda.raise_if_error()
    with opened(content) as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "IMAGE"]
        assert file[0].header["SIMULATD"]
        x, y = WCS(file["IMAGE"].header).all_world2pix(RA, DEC, 0)
        box = PixelBox(14_000 - 15, 13_000 - 15, 14_000 + 16, 13_000 + 16)
        assert file["IMAGE"].data.shape == box.shape
        assert [float(x), float(y)] == pytest.approx([15, 15], abs=1e-5)
        drawn = SkyImages(density=DENSITY).coadd(TRACT, PATCH, BANDS.index("r"), box)
        np.testing.assert_allclose(file["IMAGE"].data * NJY_PER_COUNT, drawn.image, rtol=1e-6, atol=1e-6)


def test_standard_table_of_images_has_the_same_rows(tap: pyvo.dal.TAPService) -> None:
    count = "SELECT COUNT(*) AS n, COUNT(DISTINCT obs_publisher_did) AS ids FROM {}.ObsCore"
    for schema in ("ivoa", "dp02_dc2_catalogs"):
        [row] = tap.run_sync(count.format(schema))
        assert (row["n"], row["ids"]) == (157 * 49 * 6, 157 * 49 * 6)
    [edge] = tap.run_sync(
        "SELECT s_xel1, s_xel2 FROM ivoa.ObsCore WHERE lsst_tract=3638 AND lsst_patch=3 AND lsst_band='u'"
    )
    assert (edge["s_xel1"], edge["s_xel2"]) == (4200, 4100)


def test_position_in_the_border_of_patches_is_in_both(tap: pyvo.dal.TAPService) -> None:
    ra, dec = DC2_RINGS.pixel_to_sky(TRACT, 12_050, 14_000)
    rows = tap.run_sync(
        f"SELECT lsst_patch AS p FROM ivoa.ObsCore WHERE lsst_band='i' AND 1 = CONTAINS(POINT({ra}, {dec}), s_region)"
    )
    assert sorted(row["p"] for row in rows) == [23, 24]


def test_exposure_says_the_flux_of_a_count_and_names_its_planes(archive: ArchiveServer) -> None:
    with opened(cut(archive, CUTOUTDETAIL="Exposure").content) as file:
        assert [hdu.name for hdu in file] == ["IMAGE", "IMAGE", "MASK", "VARIANCE", "PhotoCalib"]
        assert file["PhotoCalib"].data["calibrationMean"][0] == pytest.approx(57.544, abs=1e-3)
        assert file["MASK"].header["MP_DETECTED"] == 5
        assert (file[1].header["CRVAL1A"], file[1].header["CRVAL2A"]) == (14_000 - 15, 13_000 - 15)


def test_polygon_is_its_bounding_box_cut_at_the_edge_of_the_image(archive: ArchiveServer) -> None:
    left = DC2_RINGS.patch_box(PATCH).left
    corners = DC2_RINGS.pixel_to_sky(TRACT, [left - 20.0, left + 9, left + 9], [12_500.0, 12_500, 12_510])
    text = " ".join(str(float(angle)) for corner in zip(*corners, strict=True) for angle in corner)
    for stencil in ({"POLYGON": text}, {"POS": f"POLYGON {text}"}):
        answer = requests.post(url(archive, "/cutout/sync"), data={"ID": IDENTIFIER, **stencil}, timeout=30)
        with opened(answer.content) as file:
            assert file["IMAGE"].data.shape == (11, 10)


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"ID": IDENTIFIER}, 422, "0 stencils"),
        ({"CIRCLE": CIRCLE}, 422, "ID was given 0 times"),
        (ASKED | {"POS": f"CIRCLE {CIRCLE}"}, 422, "2 stencils"),
        ({"ID": IDENTIFIER, "POS": "RANGE 1 2 3 4"}, 422, "'RANGE' is no stencil"),
        ({"ID": IDENTIFIER, "CIRCLE": "62 -37"}, 422, "a radius above 0"),
        ({"ID": IDENTIFIER, "CIRCLE": "62 -37 -1"}, 422, "a radius above 0"),
        ({"ID": IDENTIFIER, "CIRCLE": "62 -97 1"}, 422, "no place on the sky"),
        ({"ID": IDENTIFIER, "CIRCLE": "62 x 1"}, 422, "expected numbers"),
        ({"ID": IDENTIFIER, "CIRCLE": "nan 0 1"}, 422, "no place on the sky"),
        ({"ID": IDENTIFIER, "POLYGON": "1 2 3 4"}, 422, "three or more corners"),
        ({"ID": IDENTIFIER, "CIRCLE": "10 20 0.01"}, 422, "do not overlap"),
        ({"ID": IDENTIFIER, "CIRCLE": "242 37 0.01"}, 422, "do not overlap"),
        (ASKED | {"CUTOUTDETAIL": "All"}, 422, "expected Image, MaskedImage, Exposure"),
        (ASKED | {"ID": IDENTIFIER.replace("3638", "1")}, 404, "there is no image"),
        (ASKED | {"ID": f"{IDENTIFIER}'"}, 404, "there is no image"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_odd_cutout_is_refused_in_one_line(
    archive: ArchiveServer, sent: dict[str, str], status: int, words: str
) -> None:
    answer = requests.get(url(archive, "/cutout/sync"), params=sent, timeout=30)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("UsageError: ")
    assert words in answer.text
    assert answer.text.count("\n") == 1


def test_links_of_several_images_and_of_one_that_is_not_there(archive: ArchiveServer) -> None:
    asked = [("ID", IDENTIFIER), ("ID", IDENTIFIER.replace("/r", "/i")), ("ID", "ivo://elsewhere/x")]
    links = DatalinkResults.from_result_url(f"{url(archive, '/datalink/links')}?{urlencode(asked)}").to_table()
    assert list(links["semantics"]) == ["#this", *["#cutout"] * 3] * 2 + ["#this"]
    assert links["error_message"][-1].startswith("NotFoundFault: ")
    assert set(links["ID"]) == {value for _, value in asked}


def test_whole_image_is_linked_by_a_signed_url_that_takes_no_token(rubin: dict[str, ArchiveServer]) -> None:
    asked = requests.get(
        url(rubin["rubin"], "/datalink/links"), params={"ID": IDENTIFIER}, headers=TOKEN, timeout=30
    )
    links = DatalinkResults(parse_votable(io.BytesIO(asked.content)))
    [link] = [link for link in links if link.semantics == "#this"]
    assert urlsplit(link.access_url).hostname == "localhost"
    assert requests.get(link.access_url, headers=TOKEN, timeout=30).status_code == 401
    with opened(requests.get(link.access_url, timeout=60).content) as file:
        assert [hdu.name for hdu in file] == ["IMAGE", "IMAGE", "MASK", "VARIANCE", "PhotoCalib"]
        assert file[1].data.shape == DC2_RINGS.patch_box(PATCH).shape
    other = link.access_url.replace(f"%2F{PATCH}%2F", "%2F25%2F")
    assert other != link.access_url
    assert requests.get(other, timeout=30).status_code == 403


def test_services_are_declared(archive: ArchiveServer) -> None:
    for path in ("/tap/capabilities", "/cutout/capabilities"):
        document = ElementTree.fromstring(requests.get(url(archive, path), timeout=30).content)
        declared = {e.get("standardID"): e.findtext("interface/accessURL") for e in document.iter("capability")}
        assert declared["ivo://ivoa.net/std/SODA#sync-1.0"] == url(archive, "/cutout/sync")
    model = pyvo.dal.TAPService(archive.url).get_tap_capability().datamodels
    assert [str(m.ivo_id) for m in model] == ["ivo://ivoa.net/std/ObsCore#core-1.1"]


def test_rubins_cutout_is_elsewhere_and_the_token_must_not_go_there(rubin: dict[str, ArchiveServer]) -> None:
    server = rubin["rubin"]
    assert cut(server).status_code == 401
    assert requests.get(url(server, "/cutout/capabilities"), timeout=30).ok
    moved = cut(server, headers=TOKEN)
    assert moved.status_code == 303
    place = moved.headers["location"]
    assert place.startswith("http://localhost:")
    assert requests.get(place, headers=TOKEN, timeout=30).status_code == 401
    with opened(requests.get(place, timeout=30).content) as file:
        assert file["IMAGE"].data.shape == (31, 31)
    query = dict(parse_qsl(urlsplit(place).query))
    for change in ({"ID": IDENTIFIER.replace("/r", "/i")}, {"Expires": "9999999999"}, {"Signature": ""}):
        forged = urlsplit(place)._replace(query=urlencode(query | change)).geturl()
        assert requests.get(forged, timeout=30).status_code == 403


def test_signed_url_expires(rubin: dict[str, ArchiveServer]) -> None:
    late = requests.get(cut(rubin["expired"], headers=TOKEN).headers["location"], timeout=30)
    assert late.status_code == 403
    assert "this URL has expired" in late.text


def test_cutouts_have_a_quota_with_a_date_to_come_back(rubin: dict[str, ArchiveServer]) -> None:
    answers = [cut(rubin["expired"], headers=TOKEN) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {303, 429}
    assert answers[-1].status_code == 429
    seconds = (parsedate_to_datetime(answers[-1].headers["retry-after"]) - datetime.now(UTC)).total_seconds()
    assert 40 < seconds < 62
    # TAP has a quota of its own.
    assert requests.get(f"{rubin['expired'].url}/tables", headers=TOKEN, timeout=30).ok


def test_token_without_the_scope_of_images_is_told_so(faulty: ArchiveServer) -> None:
    faulty.faults = Faults(no_image_scope=True)
    for answer in (cut(faulty), requests.get(url(faulty, "/datalink/links"), params=ASKED, timeout=30)):
        assert answer.status_code == 403
        assert 'error="insufficient_scope", scope="read:image"' in answer.headers["www-authenticate"]
    assert requests.get(f"{faulty.url}/tables", timeout=30).ok


def test_faults_reach_the_pixels(faulty: ArchiveServer) -> None:
    whole = cut(faulty).content

    def shifted(coadd: Coadd) -> Coadd:
        return replace(coadd, box=replace(coadd.box, left=coadd.box.left + 1, right=coadd.box.right + 1))

    faulty.faults = Faults(rewrite_coadd=shifted)
    with opened(whole) as right, opened(cut(faulty).content) as wrong:
        assert wrong["IMAGE"].header["CRPIX1"] == right["IMAGE"].header["CRPIX1"] - 1
        np.testing.assert_array_equal(wrong["IMAGE"].data, right["IMAGE"].data)
    faulty.faults = Faults(truncate_after_bytes=4000)
    assert cut(faulty).content == whole[:4000]
