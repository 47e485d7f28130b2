"""A reader of coadds as the releases have them, in boxes: image, mask and variance by name, sky and flux scale.

It reads what afw writes and what lsst.images writes, from a path, or from a URL by ranges in blocks of 64 kB: of a
compressed coadd, a box of 50 x 50 pixels of one plane costs about a megabyte.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from photoz_assets.errors import PhotozError
from photoz_assets.survey.skymap import PixelBox
from photoz_assets.text import one_line

if TYPE_CHECKING:
    from astropy.wcs import WCS

SingleArray = NDArray[np.float32]
MaskArray = NDArray[np.int32]

IMAGE: Final = "IMAGE"
_MASK: Final = "MASK"
_VARIANCE: Final = "VARIANCE"
_CALIBRATION: Final = "PHOTOCALIB"
_NJY: Final = "nJy"
_BLOCK_BYTES: Final = 65_536
# A plane of a mask is a card: of afw ``MP_NAME = bit``, of lsst.images ``MSKNn = NAME`` and ``MSKMn = mask``.
_PLANE_OF_AFW: Final = "MP_"
_PLANE_OF_IMAGES: Final = re.compile(r"MSKN(\d+)")
_SIGMA_PER_MAD: Final = 1.4826
# A server hands out files by URLs whose query is the permission to read them.
_QUERY: Final = re.compile(r"\?.*")


class CoaddError(PhotozError):
    """The file is no coadd, is damaged, or cannot be reached; the text is one line, without permissions."""


@dataclass(frozen=True, kw_only=True)
class Coadd:
    """A box of a coadd.

    Attributes
    ----------
    box
        Its pixels in those of the tract.
    image, variance
        In nJy and nJy squared, shape (rows, columns).
    mask
        Bits, the same shape.
    planes
        The bits of the mask by the names of its planes.
    wcs
        Of the box: its pixel (0, 0) is the box's first.
    njy_per_unit
        What the numbers of the file were multiplied by.
    """

    box: PixelBox
    image: SingleArray
    mask: MaskArray
    variance: SingleArray
    planes: Mapping[str, int]
    wcs: "WCS"
    njy_per_unit: float

    def is_set(self, plane: str) -> NDArray[np.bool_]:
        """Return where a plane of the mask is set; nowhere, if there is no such plane."""
        bit = self.planes.get(plane)
        return np.zeros(self.mask.shape, bool) if bit is None else (self.mask & np.int32(1 << bit)) != 0

    @property
    def noise(self) -> float:
        """The standard deviation of the pixels without light in nJy, robust; NaN where there is no such pixel."""
        empty = self.image[np.isfinite(self.image) & ~self.is_set("DETECTED") & ~self.is_set("NO_DATA")]
        if not empty.size:
            return float("nan")
        return float(_SIGMA_PER_MAD * np.median(np.abs(empty - np.median(empty))))


class CoaddFile:
    """An open file of a coadd; ``box`` is all of it."""

    def __init__(self, source: str, file: Any) -> None:
        self._source = source
        # Earlier versions of afw called the empty first HDU IMAGE, too. Of the others only those needed are read.
        self._hdus = find_hdus(file, {IMAGE, _MASK, _VARIANCE})
        if missing := sorted({IMAGE, _MASK, _VARIANCE} - set(self._hdus)):
            raise CoaddError(f"{_place(source)} is no coadd: it lacks {', '.join(missing)}")
        header = self._hdus[IMAGE].header
        height, width = self._hdus[IMAGE].shape
        left, low = (round(header.get(name, 0)) for name in ("CRVAL1A", "CRVAL2A"))
        self.box = PixelBox(left, low, left + width, low + height)
        scale = flux_scale(header, file)
        if scale is None:
            raise CoaddError(
                f"{_place(source)} does not say what its numbers are: it has neither BUNIT = nJy nor a PhotoCalib"
            )
        self._njy_per_unit = scale

    @classmethod
    @contextmanager
    def open(cls, source: str) -> Iterator[Self]:
        """Open a path or a URL.

        Raises
        ------
        CoaddError
            There is no such file, it is no coadd, or it does not say the flux of its numbers.
        """
        from astropy.io import fits  # noqa: PLC0415 - slow to load, and needed for images alone

        ranges = {
            "use_fsspec": True,
            "fsspec_kwargs": {"block_size": _BLOCK_BYTES, "cache_type": "blockcache"},
        }
        with ExitStack() as opened:
            with _told(source):
                file = opened.enter_context(fits.open(source, **(ranges if "://" in source else {})))
                coadd = cls(source, file)
            yield coadd

    def read(self, box: PixelBox | None = None) -> Coadd:
        """Read a box, or the part of it that the coadd has; by default all of it.

        Raises
        ------
        CoaddError
            The box and the coadd do not meet, or the file ends early.
        """
        part = self._part(box)
        scale = np.float32(self._njy_per_unit)
        return Coadd(
            box=part,
            image=self.read_image(part),
            mask=self._plane(_MASK, part).astype(np.int32),
            variance=self._plane(_VARIANCE, part).astype(np.float32) * scale**2,
            planes=_planes(self._hdus[_MASK].header),
            wcs=self.wcs(part),
            njy_per_unit=self._njy_per_unit,
        )

    def read_image(self, box: PixelBox | None = None) -> SingleArray:
        """Read the image of a box alone, in nJy, shape (rows, columns); raises as ``read`` does."""
        return self._plane(IMAGE, self._part(box)).astype(np.float32) * np.float32(self._njy_per_unit)

    def wcs(self, box: PixelBox) -> "WCS":
        """Return the WCS of a box, whose pixel (0, 0) is the box's first."""
        from astropy.wcs import WCS  # noqa: PLC0415 - as above

        wcs = WCS(self._hdus[IMAGE].header)
        wcs.wcs.crpix -= [box.left - self.box.left, box.low - self.box.low]
        return wcs

    def _part(self, box: PixelBox | None) -> PixelBox:
        part = self.box if box is None else box & self.box
        if not part:
            raise CoaddError(f"{_place(self._source)} has no pixel of {box}: it has {self.box}")
        return part

    def _plane(self, name: str, part: PixelBox) -> NDArray[np.generic]:
        with _told(self._source):
            return np.asarray(self._hdus[name].section[part.slices(self.box)])


def find_hdus(file: Iterable[Any], names: AbstractSet[str]) -> dict[str, Any]:
    """Return the first HDUs after the primary one until those of some names are among them, by their names."""
    found: dict[str, Any] = {}
    for hdu in islice(file, 1, None):
        found.setdefault(hdu.name.upper(), hdu)
        if names <= set(found):
            break
    return found


def _planes(header: Mapping[str, Any]) -> dict[str, int]:
    """Return the bits of a mask's planes by their names."""
    written = {
        str(header[card]): int(header[f"MSKM{found[1]}"]).bit_length() - 1
        for card in header
        if (found := _PLANE_OF_IMAGES.fullmatch(card))
    }
    return written or {
        card.removeprefix(_PLANE_OF_AFW): int(bit)
        for card, bit in header.items()
        if card.startswith(_PLANE_OF_AFW)
    }


def flux_scale(header: Mapping[str, Any], file: Iterable[Any]) -> float | None:
    """Return how many nJy one of an image's numbers is: by its unit, else by the table of its calibration.

    Returns
    -------
    float | None
        None where neither is there.

    Raises
    ------
    ValueError
        The calibration is no number above 0.
    """
    if str(header.get("BUNIT", "")).strip() == _NJY:
        return 1.0
    table = find_hdus(file, {_CALIBRATION}).get(_CALIBRATION)
    if table is None:
        return None
    scale = float(table.data["calibrationMean"][0])
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"a PhotoCalib of {scale} nJy: expected a number above 0")
    return scale


@contextmanager
def _told(source: str) -> Iterator[None]:
    """Raise what astropy, and what it reads by, raise for faults of a file as a `CoaddError` of one line."""
    try:
        yield
    # A damaged file shows itself wherever its bytes are first needed.
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError) as error:
        words = _QUERY.sub("", one_line(str(error))) or type(error).__name__
        raise CoaddError(f"{_place(source)} cannot be read: {words}") from None


def _place(source: str) -> str:
    """Return a path or URL without what permits to read it."""
    return _QUERY.sub("", source)
