"""The catalogue held against the pixels, by control objects alone: where they lie and how bright they are.

Blends, misfits and whatever else makes a row bad would be found here as well, so that chosen objects do not count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from photoz_assets.images.choice import Galaxy
from photoz_assets.images.stamp import Stamp
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Limits, Verdict
from photoz_assets.survey.contracts.images import (
    FEWEST_CONTROLS,
    IMAGE_ASTROMETRY,
    IMAGE_PHOTOMETRY,
    OFFSET_LIMIT_MAS,
    RATIO_LIMITS,
    UNLIKE_LIMIT,
)

_APERTURE_ARCSEC: Final = 1.5
_BACKGROUND_ARCSEC: Final = (2.4, 3.2)
# Standard deviation of the Gaussian that weighs pixels for a centroid: that of a PSF of 0.75 arcsec and a bit.
_WEIGHT_ARCSEC: Final = 0.47
_ITERATIONS: Final = 8
# A centroid that wanders farther found something else, or nothing.
_FARTHEST_ARCSEC: Final = 1.0
_FEWEST_OF_BAND: Final = 4
_BRIGHT_SN: Final = 10.0
_SIGMA_PER_MAD: Final = 1.4826


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the pixels say of an object in a band.

    ``east`` and ``north`` are how far its centroid lies from the catalogue's position in arcsec, NaN where there
    is none near; ``ratio`` is the flux within 1.5 arcsec over the catalogue's.
    """

    galaxy: Galaxy
    band: str
    east: float
    north: float
    ratio: float


def measure(galaxy: Galaxy, band: str, stamp: Stamp) -> Measured:
    """Measure an object on a stamp: its centroid, weighted by a Gaussian around itself, and an aperture's flux."""
    x0, y0 = (float(pixel) for pixel in stamp.pixels_of(galaxy.ra, galaxy.dec))
    scale = stamp.pixel_arcsec
    rows, columns = np.indices(stamp.image.shape, float)
    distance = np.hypot(columns - x0, rows - y0) * scale
    near, far = _BACKGROUND_ARCSEC
    light = stamp.image.astype(float)
    light -= np.nanmedian(light[(distance > near) & (distance < far)])
    light = np.nan_to_num(light)
    x, y = x0, y0
    for _ in range(_ITERATIONS):
        weighted = light * np.exp(-0.5 * (np.hypot(columns - x, rows - y) * scale / _WEIGHT_ARCSEC) ** 2)
        total = weighted.sum()
        if total <= 0:
            x = y = np.nan
            break
        # Of a source as wide as the weight the weighted mean has moved half of the way.
        x += 2 * ((weighted * columns).sum() / total - x)
        y += 2 * ((weighted * rows).sum() / total - y)
    if not np.hypot(x - x0, y - y0) * scale < _FARTHEST_ARCSEC:
        east = north = np.nan
    else:
        ra, dec = stamp.wcs.all_pix2world(x, y, 0)
        east = (float(ra) - galaxy.ra + 180) % 360 - 180
        east *= np.cos(np.radians(galaxy.dec)) * 3600
        north = (float(dec) - galaxy.dec) * 3600
    flux = light[distance < _APERTURE_ARCSEC].sum()
    return Measured(galaxy=galaxy, band=band, east=east, north=north, ratio=flux / (galaxy.fluxes[band] or np.nan))


def judge(measured: Sequence[Measured]) -> list[Verdict]:
    """Judge the images by control objects: the verdicts of ``image_astrometry`` and ``image_photometry``."""
    return [_astrometry(measured), _photometry(measured)]


def _astrometry(measured: Sequence[Measured]) -> Verdict:
    found = [each for each in measured if np.isfinite(each.east)]
    objects = len({each.galaxy.object_id for each in found})
    offsets = 1000 * np.array([(each.east, each.north) for each in found]).reshape(-1, 2)
    limits: Limits = {
        "median_offset_mas": f"-{OFFSET_LIMIT_MAS:g} .. {OFFSET_LIMIT_MAS:g}",
        "fewest": FEWEST_CONTROLS,
    }
    if objects < FEWEST_CONTROLS:
        return _too_few(IMAGE_ASTROMETRY.name, objects, limits)
    east, north = (float(median) for median in np.median(offsets, axis=0))
    passed = max(abs(east), abs(north)) <= OFFSET_LIMIT_MAS
    return Verdict(
        check=IMAGE_ASTROMETRY.name,
        passed=passed,
        summary=f"{objects} controls lie {east:+.0f} mas east and {north:+.0f} mas north of the catalogue's place"
        + ("" if passed else ": the images' WCS or the stamps are off"),
        numbers={"controls": objects, "median_east_mas": east, "median_north_mas": north},
        limits=limits,
    )


def _photometry(measured: Sequence[Measured]) -> Verdict:
    bright = [each for each in measured if each.galaxy.signal_to_noise(each.band) > _BRIGHT_SN]
    objects = len({each.galaxy.object_id for each in bright})
    limits: Limits = {
        "ratio": f"{RATIO_LIMITS[0]:g} .. {RATIO_LIMITS[1]:g}",
        "largest_over_smallest": UNLIKE_LIMIT,
        "fewest": FEWEST_CONTROLS,
    }
    if objects < FEWEST_CONTROLS:
        return _too_few(IMAGE_PHOTOMETRY.name, objects, limits)
    bands = dict(_ratios(bright))
    low, high = RATIO_LIMITS
    outside = any(ratio.high < low or ratio.low > high for ratio in bands.values())
    unlike = max(ratio.low for ratio in bands.values()) > UNLIKE_LIMIT * min(
        ratio.high for ratio in bands.values()
    )
    passed = not outside and not unlike
    found = ", ".join(f"{band} {ratio.median:.2f} ± {ratio.error:.2f}" for band, ratio in bands.items())
    return Verdict(
        check=IMAGE_PHOTOMETRY.name,
        passed=passed,
        summary=f"the pixels of {objects} controls hold of the catalogue's flux: {found}"
        + ("" if passed else ": the images' zero point, their bands or the stamps are wrong"),
        numbers={"controls": objects, **{f"median_{band}_ratio": ratio.median for band, ratio in bands.items()}},
        limits=limits,
    )


@dataclass(frozen=True, kw_only=True)
class _Ratio:
    """A median and its chance error; ``low`` and ``high`` are two of these away from it."""

    median: float
    error: float

    @property
    def low(self) -> float:
        return self.median - 2 * self.error

    @property
    def high(self) -> float:
        return self.median + 2 * self.error


def _ratios(bright: Sequence[Measured]) -> Iterator[tuple[str, _Ratio]]:
    """Yield the median ratio of each band in which enough controls are bright.

    The error of a median of normal values is 1.2533 times that of their mean.
    """
    for band in BANDS:
        ratios = np.array([each.ratio for each in bright if each.band == band])
        if len(ratios) >= _FEWEST_OF_BAND:
            median = float(np.median(ratios))
            spread = _SIGMA_PER_MAD * float(np.median(np.abs(ratios - median)))
            yield band, _Ratio(median=median, error=1.2533 * spread / float(np.sqrt(len(ratios))))


def _too_few(check: str, controls: int, limits: Limits) -> Verdict:
    return Verdict(
        check=check,
        passed=True,
        summary=f"not judged, too few: {controls} controls could be measured of at least {FEWEST_CONTROLS}",
        numbers={"controls": controls},
        limits=limits,
    )
