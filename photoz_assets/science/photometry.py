"""AB magnitudes of measured fluxes, by the formula of the archive's own ``scisql_nanojanskyToAbMag``.

Arrow arrays in, Arrow arrays out. The zero point is in ``survey.bands``; statistics of stored magnitudes are in
``statistics``.
"""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.survey.bands import AB_ZERO_POINT_MAG, BANDS
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Contract


def ab_magnitude(flux: "pa.Array[Any]") -> "pa.Array[Any]":
    """Return the AB magnitude of a flux: 31.4 - 2.5 log10(flux).

    Parameters
    ----------
    flux
        Flux densities in nJy, shape (n,), of any numeric type.

    Returns
    -------
    pyarrow.Array
        Magnitudes as float64, shape (n,); NULL for a flux that is NULL, NaN, infinite, zero or negative.

    Notes
    -----
    The AB system of Oke and Gunn 1983, ApJ 266, 713, with the zero point as scisql rounds it.
    """
    flux_njy = flux.cast(pa.float64())
    measurable = pc.and_(pc.greater(flux_njy, 0), pc.is_finite(flux_njy))
    log_flux = pc.log10(pc.if_else(measurable, flux_njy, None))
    return pc.subtract(pa.scalar(AB_ZERO_POINT_MAG), pc.multiply(log_flux, pa.scalar(2.5)))


def with_magnitudes(batch: pa.RecordBatch, contract: Contract, release: Release) -> pa.RecordBatch:
    """Return the archive's rows with the magnitudes that the contract has: of each kind, and dereddened.

    Parameters
    ----------
    batch
        In the other columns of the contract.
    contract
        Of ``matched_galaxies`` or ``object_table``.
    release
        Whose.

    Returns
    -------
    pyarrow.RecordBatch
        In all columns of the contract, in its order and with its field metadata.

    Notes
    -----
    Dereddened: m - A_b E(B-V), with the release's A_b / E(B-V).
    """
    names, arrays = set(contract.names), {name: batch.column(name) for name in batch.schema.names}
    for photometry in release.objects.kinds:
        columns = replace(release.columns, photometry=photometry)
        for band in BANDS:
            if columns.magnitude(band) in names:
                arrays[columns.magnitude(band)] = ab_magnitude(batch.column(columns.flux(band)))
            if columns.dereddened(band) in names:
                dust = pc.multiply(
                    batch.column(f"obj_{release.objects.ebv}").cast(pa.float64()), release.extinction[band]
                )
                arrays[columns.dereddened(band)] = pc.subtract(arrays[columns.magnitude(band)], dust)
    return pa.RecordBatch.from_arrays([arrays[name] for name in contract.names], schema=contract.schema)
