"""Stamps out of the embedded archive: chosen, cut once, held against the catalogue, and refused in one line."""

import multiprocessing
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from photoz_archive.images.pixels import Coadd, SkyImages
from photoz_archive.service.faults import Faults
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS
from photoz_assets.errors import PhotozError
from photoz_assets.images.audit import judge
from photoz_assets.images.choice import Choice, ChoiceError, Galaxy, choose, choose_controls, tracts_of
from photoz_assets.images.cutouts import CutoutSource, NoImageError, Window
from photoz_assets.images.sheet import Layout, Sheet, SheetError, make_sheet
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.quota import Quota
from photoz_assets.lake.writing import write_rows
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.dp2 import RELEASE as DP2
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox
from photoz_assets.survey.table import Column, TableSpec
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import Busy, Unauthorized
from photoz_assets_tests.dp02 import COLUMNS, DP02
from photoz_assets_tests.runs import Published

TRACT = FIELD_TRACTS[1]
TOKEN = "gt-right"  # noqa: S105 (of a test)
ONE = Choice(limit=1)
THREE = Choice(limit=3)


@pytest.fixture
def lake(published: Published, tmp_path: Path) -> Lake:
    """A lake with the galaxies of a tract, and no cutout."""
    lake = Lake(tmp_path / "galaxies")
    place = lake.table("matched_galaxies", TRACT)
    place.parent.mkdir(parents=True)
    shutil.copy(published.lake.table("matched_galaxies", TRACT), place)
    return lake


@pytest.fixture
def served(archive: ArchiveServer) -> Iterator[ArchiveServer]:
    yield archive
    archive.faults = Faults()


@pytest.fixture
def source(served: ArchiveServer, lake: Lake) -> CutoutSource:
    return CutoutSource(client=TapClient(served.url), release=DP02, lake=lake, folder=lake.cutouts / "here")


def counted(asked: list[tuple[int, int, PixelBox, float]]) -> Faults:
    """Note each cutout that the archive draws: where it is, and its first pixel's flux, which tells its band."""

    def note(coadd: Coadd) -> Coadd:
        asked.append((coadd.tract, coadd.patch, coadd.box, float(coadd.image[0, 0])))
        return coadd

    return Faults(rewrite_coadd=note)


def made(source: CutoutSource, choice: Choice = ONE, log: Callable[[str], None] = lambda _: None) -> Sheet:
    return make_sheet(source, TRACT, choice, Layout(), log)


def test_interrupted_sheet_goes_on_and_no_cutout_is_asked_for_twice(
    served: ArchiveServer, source: CutoutSource
) -> None:
    asked: list[tuple[int, int, PixelBox, float]] = []
    served.faults = counted(asked)
    before: list[str] = []

    def stop(line: str) -> None:
        before.append(line)
        if len(before) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(source, Choice(limit=3), stop)
    stopped = len(asked)
    again = replace(source, _scales={})
    sheet = made(again, Choice(limit=3))
    # Three bands of three galaxies, two of twelve controls, and the calibration of each band.
    assert 0 < stopped < len(asked) == 3 * 3 + 12 * 2 + 3
    assert len(set(asked)) == len(asked)
    assert (len(sheet.chosen), len(sheet.controls)) == (3, 12)
    assert [verdict.passed for verdict in sheet.verdicts] == [True, True], sheet.verdicts
    made(replace(source, _scales={}), Choice(limit=4))
    assert len(asked) == 3 * 3 + 12 * 2 + 3 + 3


def make_in_process(url: str, folder: Path) -> None:
    """Make a sheet of three galaxies, by a quota that the processes of the lake share."""
    lake = Lake(folder)
    quota = Quota(path=lake.quotas / "cutouts", per_minute=60)
    client = TapClient(url)
    made(CutoutSource(client=client, release=DP02, lake=lake, folder=lake.cutouts / "here", quota=quota), THREE)


def test_sheet_whose_process_is_killed_goes_on_and_asks_again_for_the_cutout_on_its_way_alone(
    served: ArchiveServer, lake: Lake
) -> None:
    asked: list[tuple[int, int, PixelBox, float]] = []
    context = multiprocessing.get_context("forkserver")
    first, second = (context.Process(target=make_in_process, args=(served.url, lake.root)) for _ in range(2))

    def note(coadd: Coadd) -> Coadd:
        asked.append((coadd.tract, coadd.patch, coadd.box, float(coadd.image[0, 0])))
        if len(asked) == 12:
            first.kill()
            first.join()
        return coadd

    served.faults = Faults(rewrite_coadd=note)
    first.start()
    first.join(120)
    assert (first.exitcode, len(asked)) == (-signal.SIGKILL, 12)
    second.start()
    second.join(120)
    assert second.exitcode == 0
    # Three bands of three galaxies, two of twelve controls, and the calibration of each band.
    assert len(set(asked)) == 3 * 3 + 12 * 2 + 3
    assert [cutout for cutout, times in Counter(asked).items() if times > 1] == [asked[11]]
    assert len((lake.quotas / "cutouts").read_text().split()) == len(asked) == len(set(asked)) + 1


def window_of(galaxy: Galaxy, band: str = "r") -> Window:
    return Window(tract=TRACT, patch=galaxy.patch, band=band, ra=galaxy.ra, dec=galaxy.dec, size_arcsec=12)


def test_kept_cutout_that_is_damaged_is_asked_for_again(lake: Lake, source: CutoutSource) -> None:
    [galaxy] = choose(lake, DP02, TRACT, ONE)
    place = source.folder / "1-r-12.fits"
    source.stamp(window_of(galaxy), "1")
    whole = place.read_bytes()
    place.write_bytes(whole[:3000])
    source.stamp(window_of(galaxy), "1")
    assert place.read_bytes() == whole


def test_galaxies_are_chosen_by_the_checks_by_turns_and_controls_stand_alone(lake: Lake) -> None:
    worst = choose(lake, DP02, TRACT, Choice(limit=6))
    assert len({galaxy.object_id for galaxy in worst}) == 6
    assert {galaxy.chosen_by for galaxy in worst} == {"coordinate_offsets", "flux_agreement"}
    controls = choose_controls(lake, DP02, TRACT, [])
    assert len(controls) == 12
    assert all(galaxy.signal_to_noise("r") > 20 for galaxy in controls)
    assert controls == choose_controls(lake, DP02, TRACT, [])


def test_what_is_chosen_is_no_control(lake: Lake) -> None:
    controls = choose_controls(lake, DP02, TRACT, [])
    others = choose_controls(lake, DP02, TRACT, controls[:3])
    assert others[:9] == controls[3:]
    assert not {galaxy.object_id for galaxy in others} & {galaxy.object_id for galaxy in controls[:3]}


def test_condition_in_sql_chooses_in_its_order(lake: Lake) -> None:
    bright, order = f"{COLUMNS.magnitude('r')} < 22 -- bright", f"{COLUMNS.redshift} DESC"
    found = choose(lake, DP02, TRACT, Choice(where=bright, order_by=order, limit=5))
    assert [galaxy.redshift for galaxy in found] == sorted((galaxy.redshift for galaxy in found), reverse=True)
    assert {galaxy.chosen_by for galaxy in found} == {"condition"}
    assert all((galaxy.fluxes["r"] or 0) > 10 ** ((31.4 - 22) / 2.5) for galaxy in found)


def test_outliers_of_the_estimates_are_among_the_worst_where_the_lake_has_them(lake: Lake) -> None:
    good, outlier = choose(lake, DP02, TRACT, Choice(where="true", limit=2))
    rows = pa.Table.from_pylist(
        [
            {"object_id": galaxy.object_id, "tract": TRACT, "redshift": galaxy.redshift, "z_median": estimate}
            for galaxy, estimate in ((good, good.redshift), (outlier, 7.0))
        ]
    )
    columns = tuple(Column(name=field.name, type=field.type, description="") for field in rows.schema)
    spec = TableSpec(
        table="photoz_estimates", columns=columns, version=1, group="photoz", kinds=frozenset({"parquet"})
    )
    write_rows(lake, spec, [rows], Provenance(table=spec.table, code_version="1"))
    found = choose(lake, DP02, TRACT, Choice(limit=24))
    assert [galaxy.object_id for galaxy in found if galaxy.chosen_by == "photoz_estimates"] == [outlier.object_id]


def shifted_wcs(coadd: Coadd) -> Coadd:
    box = coadd.box
    return replace(coadd, box=PixelBox(box.left + 1, box.low, box.right + 1, box.high))


def in_counts(coadd: Coadd) -> Coadd:
    return replace(coadd, image=coadd.image / np.float32(57.544))


def band_of(images: SkyImages, coadd: Coadd) -> int:
    return next(
        band
        for band in range(6)
        if np.array_equal(images.coadd(coadd.tract, coadd.patch, band, coadd.box).image, coadd.image)
    )


def swapped(images: SkyImages) -> Callable[[Coadd], Coadd]:
    def swap(coadd: Coadd) -> Coadd:
        other = {1: 2, 2: 1}.get(band := band_of(images, coadd), band)
        return images.coadd(coadd.tract, coadd.patch, other, coadd.box)

    return swap


def of_another_object(coadd: Coadd) -> Coadd:
    return replace(coadd, image=np.roll(coadd.image, 25, axis=0))


IMAGES = SkyImages(density=DENSITY)
ASTROMETRY, PHOTOMETRY = "image_astrometry", "image_photometry"


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        (shifted_wcs, {ASTROMETRY}),
        (in_counts, {PHOTOMETRY}),
        (swapped(IMAGES), {PHOTOMETRY}),
        (of_another_object, {PHOTOMETRY}),
    ],
    ids=["WCS off by a pixel", "counts for nJy", "bands swapped", "another object"],
)
def test_images_that_are_wrong_fail_a_check(
    served: ArchiveServer, source: CutoutSource, fault: Callable[[Coadd], Coadd], failed: set[str]
) -> None:
    served.faults = Faults(rewrite_coadd=fault)
    verdicts = made(source).verdicts
    assert {verdict.check for verdict in verdicts if not verdict.passed} == failed, verdicts


def test_too_few_controls_are_not_judged() -> None:
    verdicts = judge([])
    assert all(verdict.passed and "too few: 0 controls" in verdict.summary for verdict in verdicts)


def without_data(coadd: Coadd) -> Coadd:
    return replace(coadd, image=np.full_like(coadd.image, np.nan))


def far_away(coadd: Coadd) -> Coadd:
    box = coadd.box
    return replace(coadd, box=PixelBox(box.left + 500, box.low, box.right + 500, box.high))


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(rewrite_coadd=without_data), "holds no data: leave this object out"),
        (Faults(rewrite_coadd=far_away), "is of another place"),
        (Faults(truncate_after_bytes=5000), "has no IMAGE: it is cut short, or no part of a coadd"),
        (Faults(truncate_after_bytes=12_000), "cannot be read: "),
        (Faults(truncate_after_bytes=0), "cannot be read: "),
        (Faults(no_image_scope=True), "that has the scope read:image"),
        (Faults(html=True), "a web page came in place of"),
    ],
    ids=["no data", "another place", "truncated in a header", "truncated", "empty", "no scope", "web page"],
)
def test_answer_that_is_no_cutout_is_told_in_one_line(
    served: ArchiveServer, source: CutoutSource, faults: Faults, words: str
) -> None:
    source.patches(TRACT, "g")
    served.faults = faults
    with pytest.raises(PhotozError, match=words) as told:
        made(source)
    assert "\n" not in str(told.value)
    assert not list(source.folder.glob("[0-9]*.fits"))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda lake: choose(lake, DP02, TRACT, Choice(limit=201)), "36 GB and 44 days of the archive's quota"),
        (lambda lake: choose(lake, DP02, TRACT, Choice(limit=0)), "expected at least one"),
        (lambda lake: choose(lake, DP02, TRACT, Choice(where="no_such < 1")), "no_such"),
        (lambda lake: choose(lake, DP02, TRACT, Choice(where="false")), "none meets the condition"),
        (lambda lake: tracts_of(lake, "true); SELECT (1"), "is one expression"),
        (lambda lake: choose(lake, DP02, TRACT, Choice(where="(FROM '/etc/passwd') = 1")), "cannot be asked"),
        (lambda lake: choose(lake, DP02, 3831, Choice()), "materialize matched_galaxies first"),
        (lambda _: Layout(bands="gx"), "expected some of ugrizy"),
        (lambda _: Layout(bands=""), "expected some of ugrizy"),
        (lambda _: Layout(size_arcsec=600), "expected 2 to 60"),
    ],
)  # fmt: skip
def test_choice_that_makes_no_sense_is_refused_before_anything_is_asked(
    lake: Lake, ask: Callable[[Lake], object], words: str
) -> None:
    with pytest.raises((ChoiceError, SheetError), match=words) as told:
        ask(lake)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("release", [DP1, DP2], ids=["dp1", "dp2"])
def test_archive_without_images_of_the_release_is_told(source: CutoutSource, release: Release) -> None:
    with pytest.raises(NoImageError, match=f"has no images of {release.title}: ivoa.ObsCore lists no") as told:
        replace(source, release=release).patches(453, "r")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("missing", ["ivoa.NoSuch", "nowhere.ObsCore"], ids=["table", "schema"])
def test_archive_without_images_is_told(
    source: CutoutSource, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr("photoz_assets.images.cutouts.OBSCORE", missing)
    with pytest.raises(NoImageError, match=f"does not list {missing}, so that it serves no images") as told:
        source.patches(TRACT, "r")
    assert "\n" not in str(told.value)


def test_object_outside_every_coadd_is_told(source: CutoutSource) -> None:
    ra, dec = DC2_RINGS.centre(TRACT)
    window = Window(tract=TRACT, patch=77, band="r", ra=ra, dec=dec, size_arcsec=12)
    with pytest.raises(PhotozError, match=f"no coadd of tract {TRACT}, patch 77 in r"):
        source.stamp(window, "1")
    edge = Window(tract=TRACT, patch=0, band="r", ra=ra, dec=dec, size_arcsec=12)
    with pytest.raises(PhotozError, match="do not overlap"):
        source.stamp(edge, "1")


def test_token_stays_at_the_archive_quota_is_waited_for_and_expired_permission_is_not_shown(
    sky_folder: Path, lake: Lake
) -> None:
    profile = replace(Profile.rubin(), cutouts_per_minute=4)
    [galaxy] = choose(lake, DP02, TRACT, ONE)

    def stamps(kind: Profile, name: str, *bands: str) -> list[float]:
        """Ask for stamps until the quota is used up; return how long the client would have waited."""
        slept: list[float] = []
        with ArchiveServer(
            sky_folder, density=DENSITY, tracts=FIELD_TRACTS, profile=kind, token=TOKEN
        ) as server, suppress(Busy):  # fmt: skip
            client = TapClient(server.url, token=TOKEN, sleep=slept.append)
            source = CutoutSource(client=client, release=DP02, lake=lake, folder=lake.cutouts / name)
            for band in bands:
                source.stamp(window_of(galaxy, band), "1")
        return slept

    # Each band takes a calibration as well. Where a cutout lies no token is taken.
    slept = stamps(profile, "rubin", "g", "r", "i")
    assert sorted(path.name for path in (lake.cutouts / "rubin").iterdir()) == [
        "1-g-12.fits",
        "1-r-12.fits",
        f"calibration-{TRACT}-g.fits",
        f"calibration-{TRACT}-r.fits",
    ]
    assert slept[0] > 40
    with pytest.raises(Unauthorized, match="this URL has expired") as told:
        stamps(replace(profile, signed_url_seconds=-2), "expired", "g")
    assert "Signature" not in str(told.value)
    assert "run this again" in str(told.value)
