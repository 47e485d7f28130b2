"""Which coadds there are, and what ObsCore says of each: a row for each patch and band of the tracts of DP0.2.

They are called what DP0.2's ObsCore calls them, ``deepCoadd_calexp``. Of a coadd of simulated visits nothing is
told that needs the visits: no times.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.releases import dp02
from photoz_assets.survey.skymap import DC2_RINGS

_DATASET_TYPE: Final = "deepCoadd_calexp"
_PUBLISHER: Final = "ivo://photoz_assets/simulated/dp02"
_IDENTIFIER: Final = re.compile(rf"{_PUBLISHER}\?{_DATASET_TYPE}/(\d+)/(\d+)/([{''.join(BANDS)}])", re.ASCII)
_DATALINK: Final = "application/x-votable+xml;content=datalink"
# Where the filters begin and end, in metres (spectral_ranges of lsst's dax_obscore).
_SPECTRAL_RANGES_M: Final = {
    "u": (330e-9, 400e-9),
    "g": (402e-9, 552e-9),
    "r": (552e-9, 691e-9),
    "i": (691e-9, 818e-9),
    "z": (818e-9, 922e-9),
    "y": (970e-9, 1060e-9),
}
_PSF_WIDTH_ARCSEC: Final = 0.75
# Image, mask and variance.
_BYTES_PER_PIXEL: Final = 12


@dataclass(frozen=True)
class CoaddId:
    """A coadd by its tract, its patch and the number of its band."""

    tract: int
    patch: int
    band: int

    @classmethod
    def parsed(cls, identifier: str) -> Self | None:
        """Return the coadd of an identifier as ObsCore gives it, or None where there is no such coadd."""
        found = _IDENTIFIER.fullmatch(identifier)
        if found is None:
            return None
        tract, patch = int(found[1]), int(found[2])
        is_there = tract in dp02.RELEASE.tracts and patch < DC2_RINGS.patches_per_side**2
        return cls(tract, patch, BANDS.index(found[3])) if is_there else None

    def __str__(self) -> str:
        """Return the identifier in ObsCore."""
        return f"{_PUBLISHER}?{_DATASET_TYPE}/{self.tract}/{self.patch}/{BANDS[self.band]}"


def obscore_rows(patches: str, links_url: str) -> str:
    """Return the SQL of the rows of ObsCore.

    Parameters
    ----------
    patches
        The table of the rows of CoaddPatches.
    links_url
        Where the service of links is, whose parameter ``ID`` takes an identifier.
    """
    url = links_url.replace("'", "''")
    sizes = ", ".join(
        f"({patch}, {width}, {height})"
        for patch in range(DC2_RINGS.patches_per_side**2)
        for height, width in [DC2_RINGS.patch_box(patch).shape]
    )
    bands = ", ".join(f"('{band}', {low}, {high})" for band, (low, high) in _SPECTRAL_RANGES_M.items())
    scale_deg = DC2_RINGS.pixel_scale_arcsec / 3600
    return f"""
        SELECT
            'image' AS dataproduct_type,
            'lsst.{_DATASET_TYPE}' AS dataproduct_subtype,
            '{_DATASET_TYPE} ' || band || ' ' || name || ', simulated' AS obs_title,
            'Rubin:Simonyi' AS facility_name,
            3 AS calib_level,
            NULL AS target_name,
            '{_DATASET_TYPE}-' || band || '-' || name AS obs_id,
            'LSST.DP02' AS obs_collection,
            '{_PUBLISHER}?{_DATASET_TYPE}/' || lsst_tract || '/' || lsst_patch || '/' || band AS obs_publisher_did,
            '{url}?ID=' || url_encode(obs_publisher_did) AS access_url,
            '{_DATALINK}' AS access_format,
            width * height * {_BYTES_PER_PIXEL} // 1000 AS access_estsize,
            s_ra, s_dec, sqrt(width * width + height * height) * {scale_deg!r} AS s_fov, s_region,
            {_PSF_WIDTH_ARCSEC} AS s_resolution,
            width AS s_xel1, height AS s_xel2, NULL AS t_xel, NULL AS t_min, NULL AS t_max,
            NULL AS t_exptime, NULL AS t_resolution, 1 AS em_xel, em_min, em_max, NULL AS em_res_power,
            'phot.flux.density' AS o_ucd, 0 AS pol_xel, NULL AS pol_states, 'LSSTCam-imSim' AS instrument_name,
            NULL AS lsst_visit, NULL AS lsst_detector, NULL AS lsst_ccdvisitid, lsst_tract, lsst_patch,
            band AS lsst_band, band || '_sim_1.4' AS lsst_filter
        FROM (SELECT *, lsst_tract || '-' || lsst_patch AS name FROM {patches}) AS patches
        JOIN (VALUES {sizes}) AS sizes(patch, width, height) ON patch = lsst_patch
        CROSS JOIN (VALUES {bands}) AS bands(band, em_min, em_max)
    """
