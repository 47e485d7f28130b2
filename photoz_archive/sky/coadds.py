"""Rows of CoaddPatches: the outer region of each patch of the tracts that a release has."""

from typing import Any

import numpy as np

from photoz_archive.sky.columns import COADD_PATCHES
from photoz_assets.survey.releases import dp02
from photoz_assets.survey.releases.release import Release


def coadd_patches(release: Release = dp02.RELEASE) -> dict[str, list[Any]]:
    """Return the columns by name: a row a patch, its centre in degrees and its polygon as Rubin writes it."""
    skymap = release.skymap
    tract, patch = (
        grid.ravel() for grid in np.meshgrid(release.tracts, np.arange(skymap.patches_per_side**2), indexing="ij")
    )
    corners = skymap.patch_polygons(tract, patch, outer=True)
    x, y = skymap.sky_to_pixel(tract[:, None], corners[..., 0], corners[..., 1])
    ra_deg, dec_deg = skymap.pixel_to_sky(tract, x.mean(axis=1), y.mean(axis=1))
    regions = ["POLYGON ICRS " + " ".join(f"{angle:.6f}" for angle in polygon.ravel()) for polygon in corners]
    values = [tract.tolist(), patch.tolist(), ra_deg.tolist(), dec_deg.tolist(), regions]
    return dict(zip(COADD_PATCHES.names, values, strict=True))
