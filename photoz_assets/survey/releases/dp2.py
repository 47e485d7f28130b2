"""Data Preview 2: what LSSTCam saw until January 2026. Its redshifts come from other surveys.

Fields: dp2.lsst.io, "Observations"; photometry and redshifts: RTN-124.
"""

from typing import Final

import pyarrow as pa

from photoz_assets.survey.field import Field
from photoz_assets.survey.object_ids import ObjectIds
from photoz_assets.survey.releases.release import CMODEL, GAAP, ButlerNames, ObjectTable, Release, Spectroscopic
from photoz_assets.survey.skymap import LSST_CELLS_V2, SkyBox

# Half of the camera's field of view.
_RADIUS_DEG: Final = 1.75

_FIELDS: Final = {
    name: Field(ra_deg=ra_deg, dec_deg=dec_deg, radius_deg=_RADIUS_DEG)
    for name, ra_deg, dec_deg in (
        ("DDF COSMOS", 150.1, 2.1),
        ("DDF ELAIS S1", 9.5, -44.0),
        ("DDF XMM LSS", 35.6, -4.8),
        ("DDF ECDFS", 53.0, -28.1),
        ("DDF EDFS a", 59.2, -49.2),
        ("DDF EDFS b", 63.2, -47.8),
        ("Abell 2764", 5.5, -49.0),
        ("DESI SV3 R1", 180.5, -0.3),
        ("M49", 186.3, 6.9),
        ("Prawn", 253.5, -41.0),
        ("Trifid-Lagoon", 271.7, -23.9),
        ("New Horizons", 289.4, -20.2),
        ("Rubin SV 212 -7", 211.7, -7.0),
        ("Rubin SV 216 -17", 216.1, -16.7),
        ("Rubin SV 225 -40", 225.0, -39.5),
        ("Rubin SV 280 -48", 280.1, -48.0),
        ("Rubin SV 300 -41", 300.3, -41.0),
        ("Rubin SV 320 -15", 320.2, -15.1),
    )
}

RELEASE: Final = Release(
    name="dp2",
    title="DP2",
    label="Rubin DP2 (LSSTCam)",
    schema="dp2",
    skymap=LSST_CELLS_V2,
    # Those that the fields touch. It has some 2,000 more, whose list is printed nowhere: CoaddPatches has it.
    tracts=tuple(
        sorted(
            {
                tract
                for field in _FIELDS.values()
                for tract in LSST_CELLS_V2.tracts_touching_cone(field.ra_deg, field.dec_deg, field.radius_deg)
            }
        )
    ),
    # From COSMOS eastwards over the zero of right ascension to the Euclid Deep Field South.
    window=SkyBox(ra_min=125.0, ra_max=450.0, dec_min=-60.0, dec_max=18.0),
    fields=_FIELDS,
    objects=ObjectTable(
        real=pa.float32(),
        # Rows that are no primaries are left out of the table.
        primary=None,
        photometry=GAAP,
        other_photometry=(CMODEL,),
        # dp2.lsst.io, "Flag usage guidance".
        flags=(
            "invalidPsfFlag",
            "pixelFlags_nodata",
            "pixelFlags_saturatedCenter",
            "pixelFlags_crCenter",
            "pixelFlags_interpolatedCenter",
            "pixelFlags_sensor_edgeCenter",
        ),
        ebv="ebv",
        # They are 786 million.
        countable=False,
    ),
    redshifts=Spectroscopic(by_upload=True),
    galaxies="objects with a redshift",
    butler=ButlerNames(collections=("dp2",), skymap="lsst_cells_v2", objects="object", tract_tables="object*"),
    rights="Rubin data rights holders only",
    citation="NSF-DOE Vera C. Rubin Observatory 2026, Legacy Survey of Space and Time Data Preview 2, "
    "doi:10.71929/rubin/3382528",
    # A field of it is as much as all of DP1.
    density=0.25,
    object_ids=ObjectIds(5),
    # LSSTCam's; for the map of Schlegel, Finkbeiner and Davis (LSSTDESC/rail_project_config).
    extinction={"u": 4.78, "g": 3.65, "r": 2.70, "i": 2.06, "z": 1.58, "y": 1.31},
)
