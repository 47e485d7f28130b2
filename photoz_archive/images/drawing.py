"""The light of a tract's sources in pixels, without noise.

A pixel's light is the sum over the same Gaussians in the same order, whatever box is asked for: a small box is
part of a larger one to the bit.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from photoz_archive.images.profiles import DISC, PSF
from photoz_archive.sky.blending import seen_positions
from photoz_archive.sky.random_streams import TractSimulation
from photoz_archive.sky.truth import GALAXY, Sources, draw_overlap, draw_truths
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]

# A Gaussian ends where it gives less than this in every band, in nJy a pixel: a twentieth of the noise.
_FAINTEST: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Lights:
    """What shines in a tract's images, a row each; pixels of the tract, fluxes in nJy of shape (n, 6).

    ``radius`` is the half-light radius along the longer axis, 0 of a point; ``angle`` is that axis's, in radians
    from x to y; ``reach`` is how far from its centre a source is drawn.
    """

    x: FloatArray
    y: FloatArray
    flux: SingleArray
    radius: SingleArray
    axis_ratio: SingleArray
    angle: SingleArray
    reach: SingleArray

    @classmethod
    def of_tract(cls, simulation: TractSimulation) -> Self:
        """Draw the lights of a tract and of its borders."""
        sources = Sources.concatenate(draw_truths(simulation), draw_overlap(simulation))
        return cls.of_sources(sources, *seen_positions(simulation, sources))

    @classmethod
    def of_sources(cls, sources: Sources, x: FloatArray, y: FloatArray) -> Self:
        """Return the lights of sources that are seen at some positions; those without light are left out."""
        shining = np.flatnonzero(sources.flux.max(axis=1) > 0)
        sources, x, y = sources.take(shining), x[shining], y[shining]
        axis_ratio = sources.axis_ratio
        is_disc = sources.truth_type == GALAXY
        # The half-light radius is that of the circle of equal area.
        radius = np.where(is_disc, sources.radius_arcsec / DC2_RINGS.pixel_scale_arcsec / np.sqrt(axis_ratio), 0)
        return cls(
            x=x,
            y=y,
            flux=sources.flux,
            radius=radius.astype(np.float32),
            axis_ratio=axis_ratio.astype(np.float32),
            angle=sources.angle.astype(np.float32),
            reach=_reach(sources.flux.max(axis=1), radius, axis_ratio).astype(np.float32),
        )

    def drawn(self, box: PixelBox, band: int) -> SingleArray:
        """Return the light in the pixels of a box in nJy, shape (rows, columns)."""
        light = np.zeros(box.shape, np.float32)
        near = (self.x + self.reach > box.left - 1) & (self.x - self.reach < box.right)
        near &= (self.y + self.reach > box.low - 1) & (self.y - self.reach < box.high)
        for row in np.flatnonzero(near).tolist():
            self._add(light, box, row, band)
        return light

    def _add(self, light: SingleArray, box: PixelBox, row: int, band: int) -> None:
        flux, brightest = float(self.flux[row, band]), float(self.flux[row].max())
        x, y = float(self.x[row]), float(self.y[row])
        for share, xx, xy, yy in self._gaussians(row):
            determinant = xx * yy - xy**2
            peak = share / (2 * np.pi * np.sqrt(determinant))
            if brightest * peak <= _FAINTEST:
                continue
            reach = np.sqrt(2 * np.log(brightest * peak / _FAINTEST))
            across, up = reach * np.sqrt(xx), reach * np.sqrt(yy)
            part = (
                PixelBox(int(np.ceil(x - across)), int(np.ceil(y - up)), int(x + across) + 1, int(y + up) + 1)
                & box
            )
            if not part:
                continue
            dx, dy = np.arange(part.left, part.right) - x, (np.arange(part.low, part.high) - y)[:, None]
            exponent = yy * dx**2 - (2 * xy) * dx * dy + xx * dy**2
            spread = np.exp(exponent * (-0.5 / determinant))
            light[part.slices(box)] += flux * peak * spread

    def _gaussians(self, row: int) -> FloatArray:
        """Return the Gaussians of a source: shares, covariances xx, xy and yy in pixels squared, shape (k, 4)."""
        radius = float(self.radius[row])
        if radius == 0:
            return np.stack([PSF.shares, PSF.variances, np.zeros_like(PSF.shares), PSF.variances], axis=1)
        cosine, sine = np.cos(float(self.angle[row])), np.sin(float(self.angle[row]))
        long = DISC.variances * radius**2
        short = long * float(self.axis_ratio[row]) ** 2
        psf = PSF.variances[:, None]
        return np.stack(
            [
                np.outer(PSF.shares, DISC.shares).ravel(),
                (psf + long * cosine**2 + short * sine**2).ravel(),
                np.broadcast_to((long - short) * cosine * sine, (len(psf), len(long))).ravel(),
                (psf + long * sine**2 + short * cosine**2).ravel(),
            ],
            axis=1,
        )


def _reach(brightest: SingleArray, radius: FloatArray, axis_ratio: FloatArray) -> FloatArray:
    """Return how far from their centres sources are drawn, in pixels, at least."""
    reach = np.zeros(len(radius))
    for share, psf_variance in zip(PSF.shares, PSF.variances, strict=True):
        for disc_share, disc_variance in zip(DISC.shares, DISC.variances, strict=True):
            long = psf_variance + disc_variance * radius**2
            short = psf_variance + disc_variance * (radius * axis_ratio) ** 2
            # A point has the whole share of the PSF's in each of the disc's, which only widens its reach.
            share_here = np.where(radius > 0, share * disc_share, share)
            peak = brightest * share_here / (2 * np.pi * np.sqrt(long * short))
            np.maximum(reach, np.sqrt(2 * np.log(np.maximum(peak / _FAINTEST, 1)) * long), out=reach)
    return reach
