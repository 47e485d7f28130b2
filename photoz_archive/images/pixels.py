"""Coadds of the simulated sky: light, noise and masks, as functions of tract, patch, band and box alone.

Nothing is stored. Noise is keyed to its place, so that a small box is part of a larger one to the bit, and is such
that a flux under the PSF has the error of the catalogue.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_archive.images.drawing import Lights
from photoz_archive.images.profiles import psf_area_pixels
from photoz_archive.sky.measurement import patch_noise
from photoz_archive.sky.photometry import POINT_AREA_ARCSEC2, flux_error, variance_per_flux
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

SingleArray = NDArray[np.float32]
MaskArray = NDArray[np.int32]

# The planes of a mask by their bits, as DP0.2's coadds have them; those of them that pixels here can have are set.
MASK_PLANES: Final = (
    "BAD",
    "SAT",
    "INTRP",
    "CR",
    "EDGE",
    "DETECTED",
    "DETECTED_NEGATIVE",
    "SUSPECT",
    "NO_DATA",
    "CLIPPED",
    "CROSSTALK",
    "INEXACT_PSF",
    "NOT_DEBLENDED",
    "REJECTED",
    "SENSOR_EDGE",
    "UNMASKEDNAN",
)
# Light of so many standard deviations of a pixel is detected: the peak of a point source at five sigma.
_DETECTED_SIGMA: Final = 2.0
# A star of the 17th magnitude, about, fills a pixel of a single image.
_SATURATED_NJY: Final = 20_000.0
_CELL_PIXELS: Final = 64
_CELLS_PER_SIDE: Final = -(-DC2_RINGS.patches_per_side * DC2_RINGS.patch_inner_pixels // _CELL_PIXELS)
# A tract at density 1 takes 0.1 GB.
_HELD_TRACTS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Coadd:
    """A box of a coadd, in nJy and nJy squared, shape (rows, columns); a mask's planes are bits."""

    tract: int
    patch: int
    box: PixelBox
    image: SingleArray
    mask: MaskArray
    variance: SingleArray


class SkyImages:
    """The images of a sky, whose density and seed are given; the lights of the last few tracts are held."""

    def __init__(self, *, density: float, seed: int = 1) -> None:
        self._density = density
        self._seed = seed
        self._held: OrderedDict[int, Lights] = OrderedDict()
        # One tract at a time: at density 1 it takes 2 GB while it is drawn.
        self._turn = threading.Lock()

    def coadd(self, tract: int, patch: int, band: int, box: PixelBox) -> Coadd:
        """Draw a box of a patch's coadd in a band, by the number of the band.

        Raises
        ------
        ValueError
            There is no such patch, or the box is not within it.
        """
        whole = DC2_RINGS.patch_box(patch)
        if not box or box & whole != box:
            raise ValueError(f"{box} is not within patch {patch}, which is {whole}")
        simulation = TractSimulation(tract=tract, seed=self._seed, density=self._density)
        light = self._lights(simulation).drawn(box, band)
        sky = sky_noise(simulation, patch, band)
        variance = np.float32(sky**2) + np.float32(variance_per_flux()[band]) * light
        mask = np.zeros(box.shape, np.int32)
        mask[light > _DETECTED_SIGMA * sky] |= 1 << MASK_PLANES.index("DETECTED")
        mask[light > _SATURATED_NJY] |= 1 << MASK_PLANES.index("SAT")
        light += np.sqrt(variance) * _deviates(simulation, band, box)
        return Coadd(tract=tract, patch=patch, box=box, image=light, mask=mask, variance=variance)

    def _lights(self, simulation: TractSimulation) -> Lights:
        with self._turn:
            lights = self._held.pop(simulation.tract, None) or Lights.of_tract(simulation)
            self._held[simulation.tract] = lights
            if len(self._held) > _HELD_TRACTS:
                self._held.popitem(last=False)
            return lights


def sky_noise(simulation: TractSimulation, patch: int, band: int) -> float:
    """Return the standard deviation of a pixel of empty sky in nJy."""
    of_point = flux_error(np.zeros((1, 6)), POINT_AREA_ARCSEC2)[0, band] / np.sqrt(psf_area_pixels())
    return float(of_point * patch_noise(simulation)[patch, band])


def _deviates(simulation: TractSimulation, band: int, box: PixelBox) -> SingleArray:
    """Return standard normal deviates of the pixels in a box; those of each square cell have their own stream."""
    deviates = np.empty(box.shape, np.float32)
    for row in range(box.low // _CELL_PIXELS, (box.high - 1) // _CELL_PIXELS + 1):
        for column in range(box.left // _CELL_PIXELS, (box.right - 1) // _CELL_PIXELS + 1):
            left, low = column * _CELL_PIXELS, row * _CELL_PIXELS
            cell = PixelBox(left, low, left + _CELL_PIXELS, low + _CELL_PIXELS)
            rng = simulation.generator(Stage.PIXELS, (band * _CELLS_PER_SIDE + row) * _CELLS_PER_SIDE + column)
            drawn = rng.standard_normal(cell.shape, dtype=np.float32)
            deviates[(cell & box).slices(box)] = drawn[(cell & box).slices(cell)]
    return deviates
