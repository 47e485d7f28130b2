"""What a survey measures in the images of a tract: objects with noisy fluxes, some of them more than once.

Each patch is measured on its own, border included, so that what lies in the border between patches is measured
in each of them. Objects that overlap have a parent, which is measured too. Empty sky is measured for its noise.
"""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from photoz_archive.sky.blending import I_BAND, Blobs, blend
from photoz_archive.sky.photometry import DETECTION_SNR, flux_error
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_archive.sky.truth import GALAXY, Sources
from photoz_assets.survey.skymap import DC2_RINGS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

NO_ROW: Final = -1
# cModel scatter besides noise: the share of the flux, and how many rows fit badly, by how many dex.
_FLUX_SCATTER: Final = 0.03
_BAD_FIT_SHARE: Final = 0.03
_BAD_FIT_DEX: Final = 0.3 / 2.5
# Pipelines report less error than there is; a PSF gathers less noise than a model.
_REPORTED_ERROR: Final = 0.9
_PSF_ERROR: Final = 0.8
_PSF_RADIUS_ARCSEC: Final = 0.5
_SKY_OBJECTS_PER_PATCH: Final = 100


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Measured rows of a tract; arrays of shape (n,), for bands (n, 6); fluxes in nJy, positions in pixels.

    ``source`` is the row of the true source and ``parent`` that of the parent among these rows; NO_ROW where
    there is none. ``signal`` is the flux without noise: what flags and shapes depend on.
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
    blob, patch = _views(blobs.x, blobs.y)
    children = _measure_blobs(simulation, sources, blobs, blob, patch)
    detected = np.flatnonzero(
        np.any(children.cmodel_flux * _REPORTED_ERROR > DETECTION_SNR * children.cmodel_error, axis=1)
    )
    children = children.take(detected)
    families = _with_parents(children, blobs.group[blob[detected]])
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


def _views(x: FloatArray, y: FloatArray) -> tuple[IntArray, IntArray]:
    """List in which patches positions are seen, as indices of the positions and the patches."""
    size, side, border = DC2_RINGS.patch_inner_pixels, DC2_RINGS.patches_per_side, DC2_RINGS.patch_border_pixels
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
) -> Detections:
    rng = simulation.generator(Stage.FLUXES)
    count = len(blob)
    source = blobs.source[blob]
    signal = blobs.flux[blob]
    error = flux_error(signal)
    misfit = np.where(rng.random(count) < _BAD_FIT_SHARE, 10 ** rng.normal(0, _BAD_FIT_DEX, count), 1.0)
    modelled = signal * (misfit[:, None] * (1 + _FLUX_SCATTER * rng.standard_normal(signal.shape)))
    noise = error * rng.standard_normal(signal.shape)
    within_psf = 1 / (1 + (sources.radius_arcsec[source] / _PSF_RADIUS_ARCSEC) ** 2)
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
        cmodel_flux=(modelled + noise).astype(np.float32),
        cmodel_error=(error * _REPORTED_ERROR).astype(np.float32),
        psf_flux=(within_psf[:, None] * signal + _PSF_ERROR * noise).astype(np.float32),
        psf_error=(error * (_PSF_ERROR * _REPORTED_ERROR)).astype(np.float32),
    )


def _with_parents(children: Detections, group: IntArray) -> Detections:
    """Add a parent for each group with more than one member in a patch; it has the light of all of them."""
    num_patches = DC2_RINGS.patches_per_side**2
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
    )
    joined = _concatenate(children, parents)
    joined.parent[member] = len(children) + family
    return joined


def _measure_sky(simulation: TractSimulation) -> Detections:
    """Measure places without sources, as many in each patch on average."""
    rng = simulation.generator(Stage.SKY_OBJECTS)
    side = DC2_RINGS.patches_per_side
    count = int(rng.poisson(_SKY_OBJECTS_PER_PATCH * simulation.density * side**2))
    x, y = rng.uniform(-0.5, side * DC2_RINGS.patch_inner_pixels - 0.5, (2, count))
    column, row = (np.floor(pixel + 0.5).astype(np.int64) // DC2_RINGS.patch_inner_pixels for pixel in (x, y))
    nothing = np.zeros((count, 6))
    error = flux_error(nothing)
    noise = error * rng.standard_normal(nothing.shape)
    return Detections(
        patch=row * side + column,
        x=x,
        y=y,
        source=np.full(count, NO_ROW),
        parent=np.full(count, NO_ROW),
        num_children=np.zeros(count, np.int64),
        is_sky=np.ones(count, bool),
        is_extended=np.zeros(count, bool),
        signal=nothing.astype(np.float32),
        cmodel_flux=noise.astype(np.float32),
        cmodel_error=(error * _REPORTED_ERROR).astype(np.float32),
        psf_flux=(_PSF_ERROR * noise).astype(np.float32),
        psf_error=(error * (_PSF_ERROR * _REPORTED_ERROR)).astype(np.float32),
    )
