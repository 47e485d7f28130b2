"""Rows of CoaddPatches: the outer region of each patch of the tracts that DP0.2 has."""

import pyarrow as pa

from photoz_assets.data.dp02 import TRACTS
from photoz_assets.embedded_archive.sky.columns import COADD_PATCHES
from photoz_assets.science.skymap import DC2


def coadd_patches() -> pa.Table:
    """Make the table: a row a patch, its centre in degrees and its polygon as Rubin writes it."""
    return pa.Table.from_pylist(
        [_row(tract, patch) for tract in TRACTS for patch in range(DC2.patches_per_side**2)], schema=COADD_PATCHES
    )


def _row(tract: int, patch: int) -> dict[str, object]:
    corners = DC2.patch_polygon(tract, patch, outer=True)
    x, y = DC2.sky_to_pixel(tract, corners[:, 0], corners[:, 1])
    ra_deg, dec_deg = DC2.pixel_to_sky(tract, x.mean(), y.mean())
    return {
        "lsst_tract": tract,
        "lsst_patch": patch,
        "s_ra": float(ra_deg),
        "s_dec": float(dec_deg),
        "s_region": "POLYGON ICRS " + " ".join(f"{angle:.6f}" for angle in corners.ravel()),
    }
