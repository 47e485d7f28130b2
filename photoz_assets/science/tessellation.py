"""Tables of tracts and patches: the skymap's geometry beside the archive's counts."""

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from photoz_assets.survey.contracts.sky import PATCHES, TRACTS
from photoz_assets.survey.skymap import FloatArray, IntArray, RingsSkyMap, angular_separation_deg
from photoz_assets.survey.table import Contract

_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


def tract_table(skyinfo: pa.Table, skymap: RingsSkyMap) -> pa.Table:
    """Return the table of tracts: geometry, mean position and counts.

    Parameters
    ----------
    skyinfo
        One row for each tract and patch, in the columns of the asset ``skyinfo``.
    skymap
        What the tracts are of.

    Returns
    -------
    pa.Table
        In the columns of the contract ``TRACTS``, by tract.
    """
    grouped = skyinfo.group_by("tract").aggregate(
        [("meanRA", "mean"), ("meanDEC", "mean"), ("patch", "count"), ("num", "sum")]
    )
    held = grouped.sort_by("tract")
    tracts = held.column("tract").to_numpy().tolist()
    centres = [skymap.centre(tract) for tract in tracts]
    boxes = [skymap.inner_box(tract) for tract in tracts]
    columns: dict[str, Any] = {
        "tract": tracts,
        "centre_ra": [ra for ra, _ in centres],
        "centre_dec": [dec for _, dec in centres],
        "ra_min": [box.ra_min for box in boxes],
        "ra_max": [box.ra_max for box in boxes],
        "dec_min": [box.dec_min for box in boxes],
        "dec_max": [box.dec_max for box in boxes],
        "mean_ra": held.column("meanRA_mean"),
        "mean_dec": held.column("meanDEC_mean"),
        "area_deg2": [box.area_deg2 for box in boxes],
        "num_patches": held.column("patch_count"),
        "num_objects": held.column("num_sum"),
    }
    return pa.table(columns, schema=TRACTS.schema)


def patch_table(skyinfo: pa.Table, skymap: RingsSkyMap) -> pa.Table:
    """Return the table of patches: the polygon of the inner region, and the count.

    Parameters
    ----------
    skyinfo
        One row for each tract and patch, in the columns of the asset ``skyinfo``.
    skymap
        What the tracts are of.

    Returns
    -------
    pa.Table
        In the columns of the contract ``PATCHES``, by tract and patch.
    """
    held = skyinfo.sort_by([("tract", "ascending"), ("patch", "ascending")])
    polygons = skymap.patch_polygons(held.column("tract").to_numpy(), held.column("patch").to_numpy())
    columns: dict[str, Any] = {
        "tract": held.column("tract"),
        "patch": held.column("patch"),
        "ra": polygons[..., 0].tolist(),
        "dec": polygons[..., 1].tolist(),
        "s_region": [_stc_polygon(polygon) for polygon in polygons],
        "num_objects": held.column("num"),
    }
    return pa.table(columns, schema=PATCHES.schema)


def with_unknown(batch: pa.RecordBatch, contract: Contract) -> pa.RecordBatch:
    """Return a listing of the sky in all columns of its contract: NULL where the archive was not asked."""
    arrays = [
        batch.column(column.name) if column.source else pa.nulls(batch.num_rows, column.type)
        for column in contract
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=contract.schema)


def outline_offsets_arcsec(
    skymap: RingsSkyMap, tracts: IntArray, patches: IntArray, regions: Sequence[str]
) -> FloatArray:
    """Return how far the outer regions that an archive publishes lie from the skymap's.

    Parameters
    ----------
    skymap
        What the regions should be of.
    tracts, patches
        Numbers of that skymap, shape (n,).
    regions
        A polygon each, as STC-S; its corners may begin and turn as they like.

    Returns
    -------
    FloatArray
        The largest distance in arcsec of a corner from the nearest one of the other polygon, shape (n,); infinite
        for what is no polygon of four corners, or no patch of the skymap.
    """
    side = skymap.patches_per_side
    known = (tracts >= 0) & (tracts < skymap.num_tracts) & (patches >= 0) & (patches < side**2)
    published = np.full((len(regions), 4, 2), np.nan)
    for row, region in enumerate(regions):
        angles = [float(number) for number in _NUMBER.findall(region)]
        if len(angles) == published[row].size:
            published[row] = np.reshape(angles, published[row].shape)
    ours = skymap.patch_polygons(np.where(known, tracts, 0), np.where(known, patches, 0), outer=True)[:, :, None]
    theirs = published[:, None]
    apart = angular_separation_deg(ours[..., 0], ours[..., 1], theirs[..., 0], theirs[..., 1])
    farthest = np.maximum(apart.min(axis=1).max(axis=1), apart.min(axis=2).max(axis=1)) * 3600
    return np.where(known & np.isfinite(farthest), farthest, np.inf)


def _stc_polygon(corners_deg: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> str:
    """Return corners as an STC-S polygon (IVOA Note STC-S 1.33), to the microarcsecond."""
    return "POLYGON ICRS " + " ".join(f"{angle:.10f}" for angle in corners_deg.ravel())
