"""Coadds as FITS files, laid out as afw writes DP0.2's: planes with the tract's WCS, and the flux of a count.

Pixels are counts at a zero point of 27 mag, as in coadds of DP0.2's time (RFC-549; ``scaleZeroPoint.py`` of lsst's
pipe_tasks): an exposure says in its table ``PhotoCalib`` how many nJy a count is, an image alone does not.
"""

import io
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from photoz_archive.images.pixels import MASK_PLANES, Coadd
from photoz_assets.survey.bands import AB_ZERO_POINT_MAG
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

if TYPE_CHECKING:
    from astropy.io import fits

_ZERO_POINT_MAG: Final = 27.0
NJY_PER_COUNT: Final = 10 ** ((AB_ZERO_POINT_MAG - _ZERO_POINT_MAG) / 2.5)
MEDIA_TYPE: Final = "application/fits"


class Detail(StrEnum):
    """How much of a coadd a file holds, in the words of Rubin's cutout service."""

    IMAGE = "Image"
    MASKED_IMAGE = "MaskedImage"
    EXPOSURE = "Exposure"


def coadd_file(coadd: Coadd, detail: Detail, *, compressed: bool = False, in_njy: bool = False) -> bytes:
    """Write a file of a box of a coadd.

    Parameters
    ----------
    compressed
        Pack the planes without loss, as a Butler has them.
    in_njy
        Write nJy, and that they are, as later releases do.
    """
    from astropy.io import fits  # noqa: PLC0415 - slow to load, and nothing else of the archive needs it

    primary = fits.PrimaryHDU()
    primary.header["SIMULATD"] = (True, "drawn by photoz_assets; no pixel was observed")
    unit = np.float32(1 if in_njy else NJY_PER_COUNT)
    planes: dict[str, NDArray[np.float32 | np.int32]] = {"IMAGE": coadd.image / unit}
    if detail is not Detail.IMAGE:
        planes |= {"MASK": coadd.mask, "VARIANCE": coadd.variance / unit**2}
    hdus: list[Any] = [primary]
    for name, pixels in planes.items():
        header = fits.Header(wcs_cards(coadd.tract, coadd.box))
        if name == "MASK":
            header.extend((f"HIERARCH MP_{plane}", bit) for bit, plane in enumerate(MASK_PLANES))
        elif in_njy:
            header["BUNIT"] = "nJy" if name == "IMAGE" else "nJy2"
        if compressed:
            tile = {"compression_type": "GZIP_2", "tile_shape": (1, pixels.shape[1]), "quantize_level": 0.0}
            hdus.append(fits.CompImageHDU(pixels, header, name=name, **tile))
        else:
            hdus.append(fits.ImageHDU(pixels, header, name=name))
    if detail is Detail.EXPOSURE and not in_njy:
        # The afw of DP0.2 gave the empty first HDU the name of the second.
        primary.header["EXTNAME"] = "IMAGE"
        hdus.append(_photometric_calibration(fits))
    file = io.BytesIO()
    fits.HDUList(hdus).writeto(file)
    return file.getvalue()


def wcs_cards(tract: int, box: PixelBox) -> list[tuple[str, str | float]]:
    """Return the cards of a box's WCS: the tract's tangent plane, and as system A the tract's pixels."""
    ra, dec = DC2_RINGS.centre(tract)
    x, y = (float(pixel) for pixel in DC2_RINGS.sky_to_pixel(tract, ra, dec))
    scale = DC2_RINGS.pixel_scale_arcsec / 3600
    return [
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("CRVAL1", ra),
        ("CRVAL2", dec),
        ("CRPIX1", x - box.left + 1),
        ("CRPIX2", y - box.low + 1),
        ("CD1_1", -scale),
        ("CD1_2", 0.0),
        ("CD2_1", 0.0),
        ("CD2_2", scale),
        ("RADESYS", "ICRS"),
        ("LTV1", float(-box.left)),
        ("LTV2", float(-box.low)),
        ("CTYPE1A", "LINEAR"),
        ("CTYPE2A", "LINEAR"),
        ("CRPIX1A", 1.0),
        ("CRPIX2A", 1.0),
        ("CRVAL1A", float(box.left)),
        ("CRVAL2A", float(box.low)),
        ("CUNIT1A", "PIXEL"),
        ("CUNIT2A", "PIXEL"),
    ]


def _photometric_calibration(fits: Any) -> "fits.BinTableHDU":
    """Return the table by which afw keeps the flux of a count, the same everywhere on a coadd."""
    columns = [
        fits.Column("isConstant", "L", array=[True]),
        fits.Column("field", "J", array=[0]),
        fits.Column("calibrationMean", "D", array=[NJY_PER_COUNT]),
        fits.Column("calibrationErr", "D", array=[0.0]),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    table.header["EXTNAME"] = table.header["AR_NAME"] = "PhotoCalib"
    return table
