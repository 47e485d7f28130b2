"""What a survey measures in the images of a tract: objects with noisy fluxes, some of them more than once.

Each patch is measured on its own, border included, so that what lies in the border between patches is measured
in each of them, with that patch's noise. Objects that overlap have a parent, which is measured too. Empty sky is
measured for its noise. What is reported of an error is worked out from what was measured, never from the truth.
"""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from photoz_archive.sky.blending import I_BAND, Blobs, blend
from photoz_archive.sky.photometry import (
    DETECTION_SNR,
    GAAP_AREA_ARCSEC2,
    POINT_AREA_ARCSEC2,
    TYPICAL_AREA_ARCSEC2,
    flux_error,
    gaap_share,
    noise_area_arcsec2,
    share_within,
)
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_archive.sky.recipe import Recipe
from photoz_archive.sky.truth import GALAXY, Sources
from photoz_assets.survey.skymap import RingsSkyMap

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

NO_ROW: Final = -1
# cModel scatter besides noise: the share of the flux, and how many rows fit badly, by how many dex. Guessed.
_FLUX_SCATTER: Final = 0.03
_BAD_FIT_SHARE: Final = 0.03
_BAD_FIT_DEX: Final = 0.3 / 2.5
# Pipelines report less error than there is; by how much is guessed.
_REPORTED_ERROR: Final = 0.9
# Visits, seeing and sky differ from patch to patch: the scatter of the logarithm of noise, not fitted to anything.
_PATCH_NOISE_SCATTER: Final = 0.05
_PSF_RADIUS_ARCSEC: Final = 0.5
# The aperture that calibrations are made with: 12 pixels, which are of 0.2 arcsec everywhere.
_APERTURE_ARCSEC: Final = 12 * 0.2
_APERTURE_AREA_ARCSEC2: Final = np.pi * _APERTURE_ARCSEC**2
_SKY_OBJECTS_PER_PATCH: Final = 100


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Measured rows of a tract; arrays of shape (n,), for bands (n, 6); fluxes in nJy, positions in pixels.

    ``source`` is the row of the true source and ``parent`` that of the parent among these rows; NO_ROW where
    there is none. ``signal`` is the flux without noise: what flags and shapes depend on. The aperture is that of
    the release's recipe.
    """

    patch: IntArray
    x: FloatArray
    y: FloatArray
    source: IntArray
    parent: IntArray
    num_children: IntArray
    is_sky: BoolArray
    is_extended: BoolArray
    signal: SingleArray
    cmodel_flux: SingleArray
    cmodel_error: SingleArray
    psf_flux: SingleArray
    psf_error: SingleArray
    aperture_flux: SingleArray
    aperture_error: SingleArray

    def __len__(self) -> int:
        return len(self.patch)

    def take(self, rows: IntArray) -> Self:
        """Return some of the rows, in that order; each row's parent must be among them."""
        columns = {field.name: getattr(self, field.name)[rows] for field in fields(self)}
        place = np.full(len(self) + 1, NO_ROW)
        place[rows] = np.arange(len(rows))
        columns["parent"] = place[columns["parent"]]
        return type(self)(**columns)


def measure(simulation: TractSimulation, sources: Sources) -> Detections:
    """Measure the sources of a tract, patch after patch."""
    blobs = blend(simulation, sources)
    blob, patch = _views(simulation.skymap, blobs.x, blobs.y)
    children, blob = _measure_blobs(simulation, sources, blobs, blob, patch)
    families = _with_parents(children, blobs.group[blob], simulation.skymap.patches_per_side**2)
    rows = _concatenate(families, _measure_sky(simulation))
    return rows.take(np.argsort(rows.patch.astype(np.int8), kind="stable"))


def _concatenate(*parts: Detections) -> Detections:
    """Join rows; only the first part may have parents, which must be among its own rows."""
    return Detections(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Detections)
        }
    )


def _views(skymap: RingsSkyMap, x: FloatArray, y: FloatArray) -> tuple[IntArray, IntArray]:
    """List in which patches positions are seen, as indices of the positions and the patches."""
    size, side, border = skymap.patch_inner_pixels, skymap.patches_per_side, skymap.patch_border_pixels
    pixel_x, pixel_y = np.floor(x + 0.5), np.floor(y + 0.5)
    inside = (pixel_x >= 0) & (pixel_x < side * size) & (pixel_y >= 0) & (pixel_y < side * size)
    column, row = (pixel_x // size).astype(np.int64), (pixel_y // size).astype(np.int64)
    seen, patches = [], []
    for right in (-1, 0, 1):
        for up in (-1, 0, 1):
            near_x, near_y = (
                _reaches(pixel - index * size, step, size, border)
                for pixel, index, step in ((pixel_x, column, right), (pixel_y, row, up))
            )
            exists = (column + right >= 0) & (column + right < side) & (row + up >= 0) & (row + up < side)
            found = np.flatnonzero(inside & near_x & near_y & exists)
            seen.append(found)
            patches.append((row[found] + up) * side + column[found] + right)
    return np.concatenate(seen), np.concatenate(patches)


def _reaches(pixel: FloatArray, step: int, size: int, border: int) -> BoolArray:
    """Return which pixels, counted from the edge of their patch, lie in the patch so many steps on as well."""
    if step == 0:
        return np.ones(len(pixel), bool)
    return np.asarray(pixel < border if step < 0 else pixel >= size - border)


def _measure_blobs(
    simulation: TractSimulation, sources: Sources, blobs: Blobs, blob: IntArray, patch: IntArray
) -> tuple[Detections, IntArray]:
    """Measure blobs in patches; give what is detected, and the blob of each row."""
    rng = simulation.generator(Stage.FLUXES)
    signal = blobs.flux[blob]
    misfit = np.where(rng.random(len(blob)) < _BAD_FIT_SHARE, 10 ** rng.normal(0, _BAD_FIT_DEX, len(blob)), 1.0)
    modelled = signal * (misfit[:, None] * (1 + _FLUX_SCATTER * rng.standard_normal(signal.shape)))
    area_arcsec2 = noise_area_arcsec2(sources.radius_arcsec[blobs.source[blob]])[:, None]
    depths = simulation.field.depths
    noise = _Noise(patch_noise(simulation)[patch], rng.standard_normal(signal.shape), depths)
    cmodel_flux, cmodel_error = noise.measured(modelled, signal, area_arcsec2)
    stands_out = cmodel_flux * _REPORTED_ERROR > DETECTION_SNR * cmodel_error
    detected = np.flatnonzero(np.any(stands_out & simulation.field.is_observed, axis=1))
    blob, patch, signal = blob[detected], patch[detected], signal[detected]
    source, count = blobs.source[blob], len(detected)
    radius_arcsec = sources.radius_arcsec[source][:, None]
    noise = _Noise(noise.scale[detected], noise.deviates[detected], depths)
    within = signal / (1 + (radius_arcsec / _PSF_RADIUS_ARCSEC) ** 2)
    psf_flux, psf_error = noise.measured(within, within, POINT_AREA_ARCSEC2)
    # An aperture gathers the noise of pixels that no fit weighs.
    noise = _Noise(noise.scale, simulation.generator(Stage.APERTURES).standard_normal(signal.shape), depths)
    share, aperture_area_arcsec2 = _aperture(simulation.recipe, radius_arcsec)
    within = signal * share
    aperture_flux, aperture_error = noise.measured(within, within, aperture_area_arcsec2)
    return Detections(
        patch=patch,
        x=blobs.x[blob],
        y=blobs.y[blob],
        source=source,
        parent=np.full(count, NO_ROW),
        num_children=np.zeros(count, np.int64),
        is_sky=np.zeros(count, bool),
        is_extended=sources.truth_type[source] == GALAXY,
        signal=signal.astype(np.float32),
        cmodel_flux=cmodel_flux[detected],
        cmodel_error=cmodel_error[detected],
        psf_flux=psf_flux,
        psf_error=psf_error,
        aperture_flux=aperture_flux,
        aperture_error=aperture_error,
    ), blob


def _aperture(recipe: Recipe, radius_arcsec: FloatArray) -> tuple[FloatArray, float]:
    """Return the share of light in the aperture that objects are measured in, and its area of noise."""
    if recipe.primaries_only:
        return gaap_share(radius_arcsec), GAAP_AREA_ARCSEC2
    return share_within(_APERTURE_ARCSEC, radius_arcsec), _APERTURE_AREA_ARCSEC2


def patch_noise(simulation: TractSimulation) -> FloatArray:
    """Return the noise of each patch and band in units of the survey's, shape (patches, 6)."""
    num_patches = simulation.skymap.patches_per_side**2
    scatter = simulation.generator(Stage.DEPTHS).standard_normal((num_patches, 6))
    return np.exp(_PATCH_NOISE_SCATTER * scatter)


@dataclass(frozen=True)
class _Noise:
    """The noise of objects, shape (n, 6): in units of the survey's, and how many times that was drawn.

    That of the survey is told by its depths, shape (6,).
    """

    scale: FloatArray
    deviates: FloatArray
    depths_mag: FloatArray

    def measured(
        self, flux: FloatArray, light: FloatArray, area_arcsec2: FloatArray | float
    ) -> tuple[SingleArray, SingleArray]:
        """Return fluxes with noise, and the errors reported of them.

        The noise is that of the light that is there. Of that a pipeline knows only what it measured.
        """
        noisy = flux + self.deviates * self.scale * flux_error(light, area_arcsec2, self.depths_mag)
        error = _REPORTED_ERROR * self.scale * flux_error(noisy, area_arcsec2, self.depths_mag)
        return noisy.astype(np.float32), error.astype(np.float32)


def _with_parents(children: Detections, group: IntArray, num_patches: int) -> Detections:
    """Add a parent for each group with more than one member in a patch; it has the light of all of them."""
    keys, family, sizes = np.unique(group * num_patches + children.patch, return_inverse=True, return_counts=True)
    number = np.cumsum(sizes > 1) - 1
    member = np.flatnonzero(sizes[family] > 1)
    family = number[family[member]]
    count = int((sizes > 1).sum())

    def total(values: NDArray[np.floating]) -> FloatArray:
        return np.bincount(family, weights=values[member], minlength=count).astype(np.float64)

    def totals(values: SingleArray) -> SingleArray:
        return np.stack([total(values[:, band]) for band in range(values.shape[1])], axis=1).astype(np.float32)

    light = children.signal[:, I_BAND]
    parents = Detections(
        patch=keys[sizes > 1] % num_patches,
        x=total(light * children.x) / total(light),
        y=total(light * children.y) / total(light),
        source=np.full(count, NO_ROW),
        parent=np.full(count, NO_ROW),
        num_children=sizes[sizes > 1],
        is_sky=np.zeros(count, bool),
        is_extended=np.ones(count, bool),
        signal=totals(children.signal),
        cmodel_flux=totals(children.cmodel_flux),
        cmodel_error=np.sqrt(totals(children.cmodel_error**2)),
        psf_flux=totals(children.psf_flux),
        psf_error=np.sqrt(totals(children.psf_error**2)),
        aperture_flux=totals(children.aperture_flux),
        aperture_error=np.sqrt(totals(children.aperture_error**2)),
    )
    joined = _concatenate(children, parents)
    joined.parent[member] = len(children) + family
    return joined


def _measure_sky(simulation: TractSimulation) -> Detections:
    """Measure places without sources, as many in each patch on average."""
    rng = simulation.generator(Stage.SKY_OBJECTS)
    skymap, depths = simulation.skymap, simulation.field.depths
    side, size = skymap.patches_per_side, skymap.patch_inner_pixels
    count = int(rng.poisson(_SKY_OBJECTS_PER_PATCH * simulation.density * side**2))
    x, y = rng.uniform(-0.5, side * size - 0.5, (2, count))
    column, row = (np.floor(pixel + 0.5).astype(np.int64) // size for pixel in (x, y))
    patch = row * side + column
    nothing = np.zeros((count, 6))
    noise = _Noise(patch_noise(simulation)[patch], rng.standard_normal(nothing.shape), depths)
    cmodel_flux, cmodel_error = noise.measured(nothing, nothing, TYPICAL_AREA_ARCSEC2)
    psf_flux, psf_error = noise.measured(nothing, nothing, POINT_AREA_ARCSEC2)
    noise = _Noise(noise.scale, rng.standard_normal(nothing.shape), depths)
    area_arcsec2 = _aperture(simulation.recipe, np.zeros(0))[1]
    aperture_flux, aperture_error = noise.measured(nothing, nothing, area_arcsec2)
    return Detections(
        patch=patch,
        x=x,
        y=y,
        source=np.full(count, NO_ROW),
        parent=np.full(count, NO_ROW),
        num_children=np.zeros(count, np.int64),
        is_sky=np.ones(count, bool),
        is_extended=np.zeros(count, bool),
        signal=nothing.astype(np.float32),
        cmodel_flux=cmodel_flux,
        cmodel_error=cmodel_error,
        psf_flux=psf_flux,
        psf_error=psf_error,
        aperture_flux=aperture_flux,
        aperture_error=aperture_error,
    )
