"""What a whole coadd is like, in a few numbers and as a small picture, read strip by strip.

Memory is bounded by a strip of rows and by the picture.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.images.coadd import Coadd, CoaddFile
from photoz_assets.survey.skymap import PixelBox

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]

_STRIP_ROWS: Final = 512
_PICTURE_PIXELS: Final = 1050
# Peaks so high over the noise, alone within so many pixels, show how wide the PSF is.
_PEAK_SIGMA: Final = 50
_ALONE_PIXELS: Final = 12
_FEWEST_STARS: Final = 5
# Of bright and lonely sources the narrowest are the stars.
_NARROW_SHARE: Final = 0.25
# Within this of half the peak a pixel counts in part, so that widths are no whole numbers of pixels.
_SOFT_EDGE: Final = 0.2
_SPOILT: Final = ("SAT", "SATURATED", "NO_DATA", "EDGE", "DETECTION_EDGE")


@dataclass(frozen=True, kw_only=True)
class CoaddFacts:
    """What a coadd is like.

    Attributes
    ----------
    box
        Its pixels in those of the tract.
    centre_deg
        Right ascension and declination of its middle.
    njy_per_unit
        How many nJy one of the file's numbers is.
    noise
        Standard deviation of a pixel without light in nJy, NaN if there is none: the median over strips of rows.
    psf_fwhm_pixels
        How wide the narrowest of its bright sources are at half their height; NaN where fewer than five are alone.
    shares
        Of its pixels, by the mask's planes that are set anywhere.
    picture
        The image in nJy a pixel, averaged over squares of ``picture_step`` pixels.
    """

    box: PixelBox
    centre_deg: tuple[float, float]
    njy_per_unit: float
    noise: float
    psf_fwhm_pixels: float
    shares: Mapping[str, float]
    picture: SingleArray
    picture_step: int


def coadd_facts(file: CoaddFile) -> CoaddFacts:
    """Look at all of a coadd.

    Raises
    ------
    CoaddError
        The file is damaged.
    """
    whole = file.box
    step = max(1, -(-max(whole.shape) // _PICTURE_PIXELS))
    rows = max(_STRIP_ROWS // step, 1) * step
    noises, widths, pictures = [], [], []
    counts: Counter[str] = Counter()
    scale = 1.0
    for low in range(whole.low, whole.high, rows):
        strip = file.read(PixelBox(whole.left, low, whole.right, low + rows))
        counts.update({plane: int(strip.is_set(plane).sum()) for plane in strip.planes})
        noises.append(strip.noise)
        widths.append(_widths(strip))
        pictures.append(_averaged(strip.image, step))
        scale = strip.njy_per_unit
    measured = np.concatenate(widths)
    narrow = np.quantile(measured, _NARROW_SHARE) if len(measured) >= _FEWEST_STARS else np.nan
    known = [noise for noise in noises if np.isfinite(noise)]
    height, width = whole.shape
    ra, dec = file.wcs(whole).all_pix2world((width - 1) / 2, (height - 1) / 2, 0)
    return CoaddFacts(
        box=whole,
        centre_deg=(float(ra), float(dec)),
        njy_per_unit=scale,
        noise=float(np.median(known)) if known else float("nan"),
        psf_fwhm_pixels=float(narrow),
        shares={plane: count / (height * width) for plane, count in counts.items() if count},
        picture=np.concatenate(pictures),
        picture_step=step,
    )


def _averaged(image: SingleArray, step: int) -> SingleArray:
    """Average over squares, those at the far edges cut off to whole ones."""
    height, width = (length // step * step for length in image.shape)
    squares = image[:height, :width].reshape(height // step, step, width // step, step)
    return np.asarray(squares.mean(axis=(1, 3)), np.float32)


def _widths(strip: Coadd) -> FloatArray:
    """Return how wide bright sources that stand alone are at half their height, in pixels.

    A width is the diameter of a circle with as many pixels as are above half of the peak.
    """
    from scipy import ndimage  # noqa: PLC0415 - a tenth of all imports, and no other asset's

    reach = _ALONE_PIXELS
    image = np.nan_to_num(strip.image)
    highest = ndimage.maximum_filter(image, size=2 * reach + 1)
    peaks = (image == highest) & (image > _PEAK_SIGMA * strip.noise)
    for plane in _SPOILT:
        peaks &= ~strip.is_set(plane)
    peaks[:reach] = peaks[-reach:] = False
    peaks[:, :reach] = peaks[:, -reach:] = False
    widths = []
    for row, column in np.argwhere(peaks).tolist():
        shape = image[row - reach : row + reach + 1, column - reach : column + reach + 1] / image[row, column]
        pixels = np.clip((shape - 0.5) / _SOFT_EDGE + 0.5, 0, 1).sum()
        widths.append(2 * float(np.sqrt(pixels / np.pi)))
    return np.array(widths)
