"""Rows of Object: measurements with their identifiers, flags, shapes and the values that pipelines leave out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoz_archive.sky.columns import OBJECT
from photoz_archive.sky.identifiers import object_ids
from photoz_archive.sky.measurement import NO_ROW, Detections
from photoz_archive.sky.photometry import DETECTION_SNR
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_archive.sky.rounding import ERROR_BITS, FLUX_BITS, rounded, rounded_angles, rounded_pixels
from photoz_assets.survey.bands import BANDS

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# Pipelines leave out values of one band, of all bands (edges, failed fits), or all that needs a PSF flux. Guessed.
_MISSING_BAND_SHARE: Final = 0.003
_MISSING_ALL_SHARE: Final = 0.003
_MISSING_PSF_SHARE: Final = 0.005
# How often galaxies look like points, and stars extended, at a signal-to-noise ratio. Guessed.
_SNR: Final = (1.0, 6.0, 15.0, 37.0, 94.0, 240.0)
_GALAXY_AS_POINT: Final = (0.45, 0.25, 0.15, 0.08, 0.03, 0.01)
_STAR_AS_EXTENDED: Final = (0.5, 0.4, 0.2, 0.05, 0.02, 0.01)
# The reference band is the first of these in which an object is detected.
_REFERENCE_ORDER: Final = tuple(map(BANDS.index, "irzygu"))


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Detections with all that the table says of them; bands of shape (n, 6)."""

    simulation: TractSimulation
    detections: Detections
    object_id: IntArray
    parent_id: IntArray
    ra_deg: FloatArray
    dec_deg: FloatArray
    is_patch_inner: BoolArray
    is_tract_inner: BoolArray
    is_primary: BoolArray
    reference_band: IntArray
    is_missing: BoolArray
    is_psf_missing: BoolArray
    extendedness: FloatArray
    blendedness: FloatArray

    def __len__(self) -> int:
        return len(self.object_id)


def describe(simulation: TractSimulation, detections: Detections) -> Objects:
    """Complete the detections of a tract."""
    rng = simulation.generator(Stage.FLAGS)
    count = len(detections)
    ra_deg, dec_deg = map(
        rounded_angles, simulation.skymap.pixel_to_sky(simulation.tract, detections.x, detections.y)
    )
    ids = simulation.recipe.release.object_ids
    object_id = object_ids(simulation.tract, detections.patch, np.arange(count), ids)
    is_patch_inner = simulation.skymap.patch_of(simulation.tract, ra_deg, dec_deg) == detections.patch
    is_tract_inner = simulation.skymap.tract_of(ra_deg, dec_deg) == simulation.tract
    missing_all = rng.random(count) < _MISSING_ALL_SHARE
    missing_psf = rng.random(count) < _MISSING_PSF_SHARE
    is_observed = simulation.field.is_observed
    detected = (detections.cmodel_flux > DETECTION_SNR * detections.cmodel_error) & is_observed
    order = np.array(_REFERENCE_ORDER)
    has_parent = detections.parent != NO_ROW
    return Objects(
        simulation=simulation,
        detections=detections,
        object_id=object_id,
        parent_id=np.where(has_parent, object_id[detections.parent], 0),
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        is_patch_inner=is_patch_inner,
        is_tract_inner=is_tract_inner,
        is_primary=is_patch_inner & is_tract_inner & (detections.num_children == 0) & ~detections.is_sky,
        reference_band=order[np.argmax(detected[:, order], axis=1)],
        is_missing=(rng.random((count, 6)) < _MISSING_BAND_SHARE) | missing_all[:, None] | ~is_observed,
        is_psf_missing=np.repeat((missing_all | missing_psf)[:, None], 6, axis=1) | ~is_observed,
        extendedness=_extendedness(detections, rng),
        blendedness=_blendedness(detections),
    )


def _extendedness(detections: Detections, rng: np.random.Generator) -> FloatArray:
    """Return 1 for extended and 0 for points per band; the fainter an object, the more often it is wrong."""
    snr = np.log10(np.maximum(detections.signal / detections.cmodel_error, 1.0))
    nodes = np.log10(_SNR)
    extended = detections.is_extended[:, None]
    wrong = np.where(extended, np.interp(snr, nodes, _GALAXY_AS_POINT), np.interp(snr, nodes, _STAR_AS_EXTENDED))
    return np.asarray(extended ^ (rng.random(snr.shape) < wrong), np.float64)


def _blendedness(detections: Detections) -> FloatArray:
    """Return half the share of the parent's light that is not the object's own; 0 for what has no parent."""
    parent = detections.parent
    total = np.where((parent == NO_ROW)[:, None], detections.signal, detections.signal[parent])
    # Sky objects have no light to share.
    return np.asarray(0.5 * (1 - detections.signal / np.where(total > 0, total, np.inf)) * (total > 0))


def object_table(objects: Objects, rows: slice) -> pa.Table:
    """Return some of the rows in the columns of Object."""
    found = objects.detections
    columns: dict[str, pa.Array] = {
        "objectId": pa.array(objects.object_id[rows]),
        "coord_ra": pa.array(objects.ra_deg[rows]),
        "coord_dec": pa.array(objects.dec_deg[rows]),
        "x": pa.array(rounded_pixels(found.x[rows])),
        "y": pa.array(rounded_pixels(found.y[rows])),
        "tract": pa.array(np.full_like(objects.object_id[rows], objects.simulation.tract)),
        "patch": pa.array(found.patch[rows]),
        "parentObjectId": pa.array(objects.parent_id[rows]),
        "deblend_nChild": pa.array(found.num_children[rows].astype(np.int32)),
        "detect_fromBlend": pa.array(found.parent[rows] != NO_ROW),
        "detect_isIsolated": pa.array((found.parent[rows] == NO_ROW) & (found.num_children[rows] == 0)),
        "detect_isPatchInner": pa.array(objects.is_patch_inner[rows]),
        "detect_isTractInner": pa.array(objects.is_tract_inner[rows]),
        "detect_isPrimary": pa.array(objects.is_primary[rows]),
        "merge_peak_sky": pa.array(found.is_sky[rows]),
        "refBand": pa.DictionaryArray.from_arrays(
            pa.array(objects.reference_band[rows].astype(np.int8)), pa.array(BANDS)
        ).cast(pa.string()),
    }
    reference = objects.reference_band[rows][:, None]
    shape, no_shape = (
        np.take_along_axis(values[rows], reference, axis=1)[:, 0]
        for values in (objects.extendedness, objects.is_psf_missing)
    )
    columns["refExtendedness"] = pa.array(shape, mask=no_shape)
    for number, band in enumerate(BANDS):
        columns |= _band_columns(objects, rows, number, band)
    return pa.table([columns[field.name] for field in OBJECT], schema=OBJECT)


def _band_columns(objects: Objects, rows: slice, number: int, band: str) -> dict[str, pa.Array]:
    found = objects.detections
    missing, psf_missing = (values[rows, number] for values in (objects.is_missing, objects.is_psf_missing))
    measured: dict[str, tuple[NDArray[np.floating], int, BoolArray]] = {
        "psfFlux": (found.psf_flux, FLUX_BITS, psf_missing),
        "psfFluxErr": (found.psf_error, ERROR_BITS, psf_missing),
        "calibFlux": (found.aperture_flux, FLUX_BITS, missing),
        "calibFluxErr": (found.aperture_error, ERROR_BITS, missing),
        "cModelFlux": (found.cmodel_flux, FLUX_BITS, missing),
        "cModelFluxErr": (found.cmodel_error, ERROR_BITS, missing),
        "extendedness": (objects.extendedness, ERROR_BITS, psf_missing),
        "blendedness": (objects.blendedness, ERROR_BITS, missing),
    }
    flags = {
        "psfFlux_flag": psf_missing,
        "calibFlux_flag": missing,
        "cModel_flag": missing,
        "extendedness_flag": psf_missing,
        "blendedness_flag": missing,
    }
    columns = {
        name: pa.array(rounded(values[rows, number], bits).astype(np.float64), mask=mask)
        for name, (values, bits, mask) in measured.items()
    }
    columns |= {name: pa.array(flag) for name, flag in flags.items()}
    return {f"{band}_{name}": column for name, column in columns.items()}
