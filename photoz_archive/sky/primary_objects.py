"""Rows of Object as later releases have them: primary objects alone, in single precision, with magnitudes."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoz_archive.sky.columns import PRIMARY_OBJECT
from photoz_archive.sky.measurement import NO_ROW
from photoz_archive.sky.objects import Objects
from photoz_archive.sky.photometry import magnitude_of_flux
from photoz_archive.sky.random_streams import Stage
from photoz_archive.sky.rounding import ERROR_BITS, FLUX_BITS, rounded
from photoz_archive.sky.truth import reddening_mag
from photoz_assets.survey.bands import BANDS

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]

# Pixels at an object's centre that are saturated, hit by a cosmic ray, interpolated or at the edge of a sensor.
# How often is guessed.
_PIXEL_FLAGS: Final = ("saturatedCenter", "crCenter", "interpolatedCenter", "sensor_edgeCenter")
_PIXEL_FLAG_SHARE: Final = 0.002


@dataclass(frozen=True)
class PrimaryObjects:
    """The rows of the objects that count once."""

    objects: Objects
    rows: IntArray
    # Of each row, which of the flags of pixels are set; the same ones in all bands.
    flagged: BoolArray

    @classmethod
    def of(cls, objects: Objects) -> "PrimaryObjects":
        """Leave out the others."""
        rows = np.flatnonzero(objects.is_primary)
        rng = objects.simulation.generator(Stage.PIXEL_FLAGS)
        return cls(objects, rows, rng.random((len(rows), len(_PIXEL_FLAGS))) < _PIXEL_FLAG_SHARE)

    def __len__(self) -> int:
        return len(self.rows)

    def table(self, part: slice) -> pa.Table:
        """Return some of the rows in the columns of Object."""
        objects, rows = self.objects, self.rows[part]
        found, simulation = objects.detections, objects.simulation
        reference = objects.reference_band[rows][:, None]
        shape, no_shape = (
            np.take_along_axis(values[rows], reference, axis=1)[:, 0]
            for values in (objects.extendedness, objects.is_psf_missing)
        )
        ra_deg, dec_deg = objects.ra_deg[rows], objects.dec_deg[rows]
        columns: dict[str, pa.Array] = {
            "objectId": pa.array(objects.object_id[rows]),
            "coord_ra": pa.array(ra_deg),
            "coord_dec": pa.array(dec_deg),
            "tract": pa.array(np.full(len(rows), simulation.tract)),
            "patch": pa.array(found.patch[rows]),
            "parentObjectId": pa.array(objects.parent_id[rows]),
            "detect_fromBlend": pa.array(found.parent[rows] != NO_ROW),
            "detect_isIsolated": pa.array(found.parent[rows] == NO_ROW),
            "refBand": pa.DictionaryArray.from_arrays(
                pa.array(objects.reference_band[rows].astype(np.int8)), pa.array(BANDS)
            ).cast(pa.string()),
            "refExtendedness": pa.array(shape.astype(np.float32), mask=no_shape),
            "ebv": pa.array(rounded(reddening_mag(simulation.field, ra_deg, dec_deg), FLUX_BITS)),
        }
        for number in range(len(BANDS)):
            columns |= _band_columns(objects, rows, number, self.flagged[part])
        return pa.table([columns[field.name] for field in PRIMARY_OBJECT], schema=PRIMARY_OBJECT)


def _band_columns(objects: Objects, rows: IntArray, number: int, flagged: BoolArray) -> dict[str, pa.Array]:
    found, band = objects.detections, BANDS[number]
    missing, psf_missing = (values[rows, number] for values in (objects.is_missing, objects.is_psf_missing))
    unseen = np.full(len(rows), not objects.simulation.field.is_observed[number])
    columns: dict[str, pa.Array] = {
        "gaap1p0Flux": _measured(found.aperture_flux[rows, number], FLUX_BITS, missing),
        "gaap1p0FluxErr": _measured(found.aperture_error[rows, number], ERROR_BITS, missing),
        "extendedness": _measured(objects.extendedness[rows, number], ERROR_BITS, psf_missing),
        "blendedness": _measured(objects.blendedness[rows, number], ERROR_BITS, missing),
        "pixelFlags_nodata": pa.array(unseen),
        **{f"pixelFlags_{name}": pa.array(flagged[:, place] & ~unseen) for place, name in enumerate(_PIXEL_FLAGS)},
    }
    for kind, flux, error, mask in (
        ("psf", found.psf_flux, found.psf_error, psf_missing),
        ("cModel", found.cmodel_flux, found.cmodel_error, missing),
    ):
        columns |= _photometry(kind, flux[rows, number], error[rows, number], mask)
    columns |= {
        name: pa.array(flag)
        for name, flag in {
            "psfFlux_flag": psf_missing,
            "cModel_flag": missing,
            "gaapFlux_flag": missing,
            "extendedness_flag": psf_missing,
            "blendedness_flag": missing,
            "invalidPsfFlag": psf_missing,
        }.items()
    }
    return {f"{band}_{name}": column for name, column in columns.items()}


def _photometry(kind: str, flux: SingleArray, error: SingleArray, mask: BoolArray) -> dict[str, pa.Array]:
    """Return fluxes with errors, and both as magnitudes where the flux is positive."""
    kept, kept_error = rounded(flux, FLUX_BITS), rounded(error, ERROR_BITS)
    has_none = mask | (kept <= 0)
    light = np.where(has_none, np.float32(1), kept)
    magnitude_error = 2.5 / np.log(10) * kept_error / light
    return {
        f"{kind}Flux": pa.array(kept, mask=mask),
        f"{kind}FluxErr": pa.array(kept_error, mask=mask),
        f"{kind}Mag": pa.array(magnitude_of_flux(light).astype(np.float32), mask=has_none),
        f"{kind}MagErr": pa.array(magnitude_error.astype(np.float32), mask=has_none),
    }


def _measured(values: NDArray[np.floating], bits: int, mask: BoolArray) -> pa.Array:
    return pa.array(rounded(values, bits), mask=mask)
