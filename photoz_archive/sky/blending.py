"""Which true sources the images show as one, and where its light seems to come from."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_archive.sky.crowding import absorbers
from photoz_archive.sky.photometry import flux_error
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_archive.sky.truth import Sources
from photoz_assets.survey.bands import BANDS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

I_BAND: Final = BANDS.index("i")
# Sources nearer than this are seen as one; those nearer than the other share a parent. Guessed, the first within
# what is known of it (docs/fidelity.md).
_MERGING_ARCSEC: Final = 1.2
_BLENDING_ARCSEC: Final = 2.5
# What is fainter than this in every band is taken for undetectable before any noise is drawn for it.
_HOPELESS_SNR: Final = 1.5
# The scatter of centroids: the theory of a PSF as wide as the one below, with a floor that is guessed.
_CENTROID_FLOOR_ARCSEC: Final = 0.010
_CENTROID_SCALE_ARCSEC: Final = 0.45
_SEEING_ARCSEC: Final = 0.35
# The width of the Gaussian by which light counts for a centroid: two PSFs of 0.33 arcsec, one over the other.
_CENTROID_WIDTH_ARCSEC: Final = 0.47


@dataclass(frozen=True, kw_only=True)
class Blobs:
    """Spots of light that may be detected, a row each; positions are as measured, in the tract's pixels.

    ``source`` is the row of the brightest true source in it, ``flux`` in nJy, shape (n, 6), the light of all,
    ``group`` the same number for those that overlap.
    """

    source: IntArray
    group: IntArray
    x: FloatArray
    y: FloatArray
    flux: FloatArray


def blend(simulation: TractSimulation, sources: Sources) -> Blobs:
    """Merge the sources that the images do not resolve, and measure where the light comes from."""
    brightness = sources.flux[:, I_BAND].astype(np.float64)
    into = _absorbed_by(simulation, sources)
    flux = _summed(sources.flux, into)
    x, y = _centroids(simulation, sources, into, brightness)
    snr = np.max(flux / flux_error(flux, depths_mag=simulation.field.depths), axis=1)
    seen = np.flatnonzero((into == np.arange(len(into))) & (snr > _HOPELESS_SNR))
    scatter = _centroid_scatter(sources.radius_arcsec[seen], snr[seen]) / simulation.skymap.pixel_scale_arcsec
    shift_x, shift_y = scatter * simulation.generator(Stage.CENTROIDS).standard_normal((2, len(seen)))
    x, y, flux = x[seen] + shift_x, y[seen] + shift_y, flux[seen]
    group = absorbers(x, y, flux[:, I_BAND], _pixels(simulation, _BLENDING_ARCSEC))
    return Blobs(source=seen, group=group, x=x, y=y, flux=flux)


def seen_positions(simulation: TractSimulation, sources: Sources) -> tuple[FloatArray, FloatArray]:
    """Return where images show the sources, in the tract's pixels, so that they and the catalogue tell one story.

    In a thin sky sources far apart are merged: what is absorbed is drawn as near as it counts for its absorber.
    """
    into = _absorbed_by(simulation, sources)
    x, y = (p[into] + (p - p[into]) / simulation.crowding_scale for p in (sources.x, sources.y))
    return x, y


def _absorbed_by(simulation: TractSimulation, sources: Sources) -> IntArray:
    """Return for each source the brightest that the images do not tell it from, shape (n,)."""
    brightness = sources.flux[:, I_BAND].astype(np.float64)
    return absorbers(sources.x, sources.y, brightness, _pixels(simulation, _MERGING_ARCSEC))


def _pixels(simulation: TractSimulation, distance_arcsec: float) -> float:
    """Return a distance of crowded sources in pixels; in a thinner sky it grows so that as many are blended."""
    return distance_arcsec / simulation.skymap.pixel_scale_arcsec * simulation.crowding_scale


def _summed(flux: NDArray[np.float32], into: IntArray) -> FloatArray:
    """Add the light of the absorbed to that of their absorbers, shape (n, 6)."""
    total = flux.astype(np.float64)
    lost = np.flatnonzero(into != np.arange(len(into)))
    np.add.at(total, into[lost], total[lost])
    return total


def _centroids(
    simulation: TractSimulation, sources: Sources, into: IntArray, brightness: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Shift the absorbers towards the light of the absorbed, by what it would be at DC2's crowding.

    A centroid is measured under a window of the PSF's size, so that what lies far off the peak hardly moves it.
    """
    lost = np.flatnonzero(into != np.arange(len(into)))
    winner = into[lost]
    offsets = [(p[lost] - p[winner]) / simulation.crowding_scale for p in (sources.x, sources.y)]
    width = _CENTROID_WIDTH_ARCSEC / simulation.skymap.pixel_scale_arcsec
    pull = brightness[lost] * np.exp(-0.5 * (offsets[0] ** 2 + offsets[1] ** 2) / width**2)
    total = brightness + np.bincount(winner, weights=pull, minlength=len(into))
    centres = []
    for position, offset in zip((sources.x, sources.y), offsets, strict=True):
        moment = np.bincount(winner, weights=pull * offset, minlength=len(into))
        centres.append(position + moment / np.where(total > 0, total, 1))
    return centres[0], centres[1]


def _centroid_scatter(radius_arcsec: FloatArray, snr: FloatArray) -> FloatArray:
    """Return the random error of positions per axis in arcsec: a floor, and noise that grows with the size."""
    extended = np.sqrt(1 + (radius_arcsec / _SEEING_ARCSEC) ** 2)
    return np.asarray(np.hypot(_CENTROID_FLOOR_ARCSEC, _CENTROID_SCALE_ARCSEC * extended / snr))
