"""Cutouts of coadds out of the archive: found in ObsCore, linked, cut by SODA, and kept.

What was cut once is asked for no more: each cutout is kept in the lake's work folder as it came, in a folder an
archive, by its object, band and size. A run that is interrupted goes on from there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from photoz_assets.errors import PhotozError
from photoz_assets.images.links import CutoutService, cutout_services
from photoz_assets.images.stamp import Stamp, StampError, read_stamp
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.quota import Quota
from photoz_assets.lake.staging import atomic_write
from photoz_assets.survey.queries import COADDS_SCHEMA, any_coadd_query, coadds_query
from photoz_assets.survey.releases.release import OBSCORE, Release
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import ArchiveError, Rejected, Unauthorized
from photoz_assets.tap.names import fold
from photoz_assets.tap.transport import origin_of

# A window of 10 arcmin with image, mask and variance has 110 MB.
_MOST_BYTES: Final = 1 << 27
_LINKS_BYTES: Final = 1 << 20
# The calibration comes with a cutout of any size.
_CALIBRATION_ARCSEC: Final = 2.0
_SCOPE_HINT: Final = "Set PHOTOZ_TAP_TOKEN to a valid token of this archive that has the scope read:image, too."
_ELSEWHERE_HINT: Final = "Its permission may have expired: run this again, what has come is kept."


class Detail(StrEnum):
    """How much of a coadd a cutout holds, in the words of Rubin's service; an exposure says its calibration."""

    IMAGE = "Image"
    EXPOSURE = "Exposure"


class NoImageError(PhotozError):
    """The archive has no image there, or none at all."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A square on the sky, in one coadd: its centre in degrees and its width in arcsec."""

    tract: int
    patch: int
    band: str
    ra: float
    dec: float
    size_arcsec: float


@dataclass(kw_only=True)
class CutoutSource:
    """The cutouts of one release at one archive.

    Attributes
    ----------
    client, release
        The archive, and whose coadds.
    lake, folder
        In whose work folder cutouts are kept, and where.
    quota
        What bounds the number of cutouts in a minute, where something does.
    """

    client: TapClient
    release: Release
    lake: Lake
    folder: Path
    quota: Quota | None = None
    _links: dict[int, dict[tuple[int, str], str]] = field(default_factory=dict)
    _services: dict[str, list[CutoutService]] = field(default_factory=dict)
    _scales: dict[tuple[int, str], float] = field(default_factory=dict)

    def stamp(self, window: Window, name: str) -> Stamp:
        """Return a window's pixels: the kept ones, else those that the archive cuts, which are kept then.

        Parameters
        ----------
        window
            What to cut; at the edge of the coadd less of it comes.
        name
            Whose it is, as part of a file's name: the object's id, say.

        Raises
        ------
        NoImageError
            The archive serves no images, or has no such coadd.
        StampError
            The answer is no such cutout.
        ArchiveError
            Any other failure of the archive.
        """

        def read(content: bytes) -> Stamp:
            words = f"the {window.band} cutout of {name}"
            stamp = read_stamp(content, words, lambda: self._scale(window))
            if not stamp.meets(window.ra, window.dec, window.size_arcsec):
                raise StampError(f"{words} is of another place: {window.ra:.6f}, {window.dec:.6f} is not in it")
            return stamp

        return self._kept(f"{name}-{window.band}-{window.size_arcsec:g}", window, Detail.IMAGE, read)

    def patches(self, tract: int, band: str) -> frozenset[int]:
        """Return the patches of a tract that have a coadd in a band; raises as ``stamp``."""
        return frozenset(patch for patch, other in self._coadds(tract) if other == band)

    def _scale(self, window: Window) -> float:
        """Return how many nJy a number of a tract's coadds in a band is, by the calibration of one of them."""
        key = window.tract, window.band
        if key not in self._scales:
            part = replace(window, size_arcsec=_CALIBRATION_ARCSEC)
            name = f"calibration-{window.tract}-{window.band}"
            stamp = self._kept(name, part, Detail.EXPOSURE, lambda content: read_stamp(content, f"the {name}"))
            self._scales[key] = stamp.njy_per_unit
        return self._scales[key]

    def _kept(self, name: str, window: Window, detail: Detail, read: Callable[[bytes], Stamp]) -> Stamp:
        """Read a kept cutout; one that is not there, or is damaged, is cut, and kept if it can be read."""
        place = self.folder / f"{name}.fits"
        with suppress(FileNotFoundError, StampError):
            return read(place.read_bytes())
        content = self._cut(window, detail)
        stamp = read(content)
        with atomic_write(self.lake, place) as written:
            written.write_bytes(content)
        return stamp

    def _cut(self, window: Window, detail: Detail) -> bytes:
        """Have the archive cut a window."""
        link = self._coadds(window.tract).get((window.patch, window.band))
        if link is None:
            raise NoImageError(
                f"the archive has no coadd of tract {window.tract}, patch {window.patch} in {window.band}: "
                "leave out what lies there"
            )
        if link not in self._services:
            with _explained(link):
                document = self.client.download(link, {}, most_bytes=_LINKS_BYTES, before=lambda: None)
                self._services[link] = cutout_services(document, link)
        services = self._services[link]
        service = next((each for each in services if each.detail == detail), services[0])
        asked = {
            "ID": service.identifier,
            "CIRCLE": f"{window.ra!r} {window.dec!r} {window.size_arcsec / 7200!r}",
            "CUTOUTDETAIL": detail,
        }
        with _explained(service.url):
            return self.client.download(service.url, asked, most_bytes=_MOST_BYTES, before=self._take)

    def _take(self) -> None:
        if self.quota is not None:
            self.quota.take()

    def _coadds(self, tract: int) -> Mapping[tuple[int, str], str]:
        """Return where the links of a tract's coadds are, by patch and band."""
        if tract not in self._links:
            self._require_images()
            rows = self._listed(coadds_query(self.release, tract))
            if not rows and not self._listed(any_coadd_query(self.release)):
                raise NoImageError(
                    f"the archive {self.client.url} has no images of {self.release.title}: {OBSCORE} lists no "
                    f"coadd of {self.release.image_collection}. Set PHOTOZ_TAP_URL to an archive that has them"
                )
            self._links[tract] = {(row["patch"], row["band"]): row["access_url"] for row in rows}
        return self._links[tract]

    def _listed(self, adql: str) -> list[dict[str, Any]]:
        batches = self.client.query(adql, COADDS_SCHEMA)
        rows: list[dict[str, Any]] = pa.Table.from_batches(batches, schema=COADDS_SCHEMA).to_pylist()
        return rows

    def _require_images(self) -> None:
        schema, _, table = OBSCORE.partition(".")
        try:
            listed = self.client.schema_info(schema).tables
        except Rejected:
            listed = {}
        if fold(table) not in listed:
            raise NoImageError(
                f"the archive {self.client.url} does not list {OBSCORE}, so that it serves no images: "
                "set PHOTOZ_TAP_URL to one that does"
            )


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Say what a refusal of images means, and nothing of what permits to fetch them."""
    try:
        yield
    except ArchiveError as error:
        if error.url and origin_of(error.url) != origin_of(url):
            # The query of a place elsewhere is the permission to read it.
            error.url = error.url.partition("?")[0]
            error.hint = _ELSEWHERE_HINT
        elif isinstance(error, Unauthorized):
            error.hint = _SCOPE_HINT
        raise
