"""A stamp: a small part of a coadd with its place on the sky, read from the bytes of a cutout."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photoz_assets.errors import PhotozError
from photoz_assets.images.coadd import IMAGE, find_hdus, flux_scale
from photoz_assets.tap.documents import looks_like_html
from photoz_assets.text import one_line

if TYPE_CHECKING:
    from astropy.wcs import WCS

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]

_TANGENT_PLANE: Final = ["RA---TAN", "DEC--TAN"]


class StampError(PhotozError):
    """A cutout is not what was asked for; the text is one line that names it."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A part of a coadd.

    Attributes
    ----------
    image
        In nJy, shape (rows, columns), the lowest row first; NaN where the coadd has no data.
    wcs
        Its tangent plane, in which its first pixel is (0, 0).
    njy_per_unit
        What the numbers of the file were multiplied by.
    """

    image: SingleArray
    wcs: "WCS"
    njy_per_unit: float

    def pixels_of(self, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the columns and rows of positions in degrees, the middle of the first pixel at 0."""
        x, y = self.wcs.all_world2pix(np.asarray(ra, float), np.asarray(dec, float), 0)
        return np.asarray(x), np.asarray(y)

    def meets(self, ra: float, dec: float, width_arcsec: float) -> bool:
        """Return whether a square of that width around a position in degrees has a part in it."""
        x, y = self.pixels_of(ra, dec)
        height, width = self.image.shape
        reach = width_arcsec / 2 / self.pixel_arcsec
        return bool(-reach <= x < width + reach and -reach <= y < height + reach)

    @property
    def pixel_arcsec(self) -> float:
        """The width of a pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))) * 3600)


def read_stamp(content: bytes, name: str, njy_per_unit: Callable[[], float] | None = None) -> Stamp:
    """Read a cutout.

    Parameters
    ----------
    content
        A FITS file with an HDU ``IMAGE``.
    name
        What errors call it.
    njy_per_unit
        Tells how many nJy one of its numbers is, of a file that does not say so.

    Raises
    ------
    StampError
        It is another file, is cut short, holds no data, has no tangent plane, or nothing says its unit.
    """
    from astropy.io import fits  # noqa: PLC0415 - slow to load, and needed for images alone
    from astropy.wcs import WCS  # noqa: PLC0415 - as above

    if looks_like_html(content):
        raise StampError(f"a web page came in place of {name}: see whether the token is still valid")
    with _told(name), fits.open(io.BytesIO(content)) as file:
        hdus = find_hdus(file, {IMAGE})
        if IMAGE not in hdus:
            raise StampError(f"{name} has no {IMAGE}: it is cut short, or no part of a coadd")
        header = hdus[IMAGE].header
        scale = flux_scale(header, file)
        numbers = np.asarray(hdus[IMAGE].data, np.float32)
        wcs = WCS(header)
    if scale is None and njy_per_unit is not None:
        scale = njy_per_unit()
    if scale is None:
        raise StampError(f"{name} does not say what its numbers are: it has neither BUNIT = nJy nor a PhotoCalib")
    if list(wcs.wcs.ctype) != _TANGENT_PLANE:
        raise StampError(f"{name} lies on {', '.join(wcs.wcs.ctype)}: expected {', '.join(_TANGENT_PLANE)}")
    if not np.isfinite(numbers).any():
        raise StampError(f"{name} holds no data: leave this object out, its coadd has a hole there")
    return Stamp(image=numbers * np.float32(scale), wcs=wcs, njy_per_unit=scale)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Raise what astropy raises for faults of a file as a `StampError` of one line."""
    from astropy.utils.exceptions import AstropyWarning  # noqa: PLC0415 - as above

    try:
        with warnings.catch_warnings():
            # What it warns of, such as an early end, it raises where that matters.
            warnings.simplefilter("ignore", AstropyWarning)
            yield
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError) as error:
        words = one_line(str(error)) or type(error).__name__
        raise StampError(f"{name} cannot be read: {words}. Ask again; if it lasts, tell the archive") from None


def plane_of(stamp: Stamp) -> dict[str, Any]:
    """Return a stamp's tangent plane as the cards of a FITS header say it, by their names in lower case."""
    plane = stamp.wcs.wcs
    cd = stamp.wcs.pixel_scale_matrix
    return {
        **{
            f"{card}{axis + 1}": float(getattr(plane, card)[axis])
            for card in ("crpix", "crval")
            for axis in (0, 1)
        },
        **{f"cd{row + 1}_{column + 1}": float(cd[row, column]) for row in (0, 1) for column in (0, 1)},
    }
