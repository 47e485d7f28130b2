"""Data Preview 1: seven fields that LSSTComCam saw in late 2024. Its redshifts come from other surveys.

Fields, tracts and depths: RTN-095; photometry and redshifts: SITCOMTN-154.
"""

from typing import Final

import pyarrow as pa

from photoz_assets.survey.field import Field
from photoz_assets.survey.object_ids import ObjectIds
from photoz_assets.survey.releases.release import CMODEL, GAAP, ButlerNames, ObjectTable, Release, Spectroscopic
from photoz_assets.survey.skymap import LSST_CELLS_V1, SkyBox

RELEASE: Final = Release(
    name="dp1",
    title="DP1",
    label="Rubin DP1 (LSSTComCam)",
    schema="dp1",
    skymap=LSST_CELLS_V1,
    tracts=(
        *(453, 454),
        *(2234, 2235, 2393, 2394),
        *(4016, 4017, 4217, 4218),
        *(4848, 4849, 5062, 5063, 5064),
        *(5305, 5306, 5525, 5526),
        *(7610, 7611, 7849, 7850),
        *(10221, 10222, 10463, 10464, 10704, 10705),
    ),
    window=SkyBox(ra_min=0.0, ra_max=112.0, dec_min=-76.0, dec_max=12.0),
    # The fields' names are those that the observatory aimed at.
    fields={
        "ECDFS": Field(ra_deg=53.13, dec_deg=-28.10, radius_deg=0.8),
        "EDFS_comcam": Field(ra_deg=59.10, dec_deg=-48.73, radius_deg=0.8),
        "Rubin_SV_095_-25": Field(ra_deg=95.00, dec_deg=-25.00, radius_deg=0.8),
        "Rubin_SV_38_7": Field(ra_deg=37.86, dec_deg=6.98, radius_deg=0.8),
        "Fornax_dSph": Field(ra_deg=40.00, dec_deg=-34.45, radius_deg=0.8),
        "47_Tuc": Field(ra_deg=6.02, dec_deg=-72.08, radius_deg=0.6),
        "Seagull": Field(ra_deg=106.23, dec_deg=-10.51, radius_deg=0.8),
    },
    objects=ObjectTable(
        real=pa.float32(),
        # Rows that are no primaries are left out of the table.
        primary=None,
        photometry=GAAP,
        other_photometry=(CMODEL,),
        flags=(
            "invalidPsfFlag",
            "pixelFlags_nodata",
            "pixelFlags_saturatedCenter",
            "pixelFlags_crCenter",
            "pixelFlags_interpolatedCenter",
            "pixelFlags_sensor_edgeCenter",
        ),
        ebv="ebv",
    ),
    redshifts=Spectroscopic(),
    galaxies="objects with a redshift",
    butler=ButlerNames(
        collections=("LSSTComCam/DP1",),
        skymap="lsst_cells_v1",
        objects="object",
        tract_tables="object*",
    ),
    rights="Rubin data rights holders only",
    citation="NSF-DOE Vera C. Rubin Observatory 2025, Legacy Survey of Space and Time Data Preview 1, "
    "doi:10.71929/rubin/2570308",
    # Its sky is small enough to be made whole.
    density=1.0,
    object_ids=ObjectIds(4),
    # LSSTComCam's; for the map of Schlegel, Finkbeiner and Davis (LSSTDESC/rail_project_config).
    extinction={"u": 4.81, "g": 3.64, "r": 2.70, "i": 2.06, "z": 1.58, "y": 1.31},
)
