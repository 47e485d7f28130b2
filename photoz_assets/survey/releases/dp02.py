"""Data Preview 0.2: the simulation DC2, processed as the survey will be, with its truth."""

from typing import Final

import pyarrow as pa

from photoz_assets.survey.field import Field
from photoz_assets.survey.releases.release import ButlerNames, ObjectTable, Release, Truth
from photoz_assets.survey.skymap import DC2_RINGS, SkyBox

# The tracts that hold objects, as the archive's own skyinfo lists them (November 2022).
# A line a ring of the skymap, from south to north; RTN-029 counts 166 tracts, 9 of which hold no objects.
_TRACTS: Final = (
    *range(2897, 2909),
    *range(3074, 3087),
    *range(3256, 3269),
    *range(3441, 3455),
    *range(3631, 3644),
    *range(3825, 3838),
    *range(4022, 4036),
    *range(4224, 4237),
    *range(4429, 4442),
    *range(4636, 4649),
    *range(4848, 4861),
    *range(5062, 5075),
)

RELEASE: Final = Release(
    name="dp02",
    title="DP0.2",
    label="DC2 simulation",
    schema="dp02_dc2_catalogs",
    skymap=DC2_RINGS,
    tracts=_TRACTS,
    # The window of the notebook that this project grew from.
    window=SkyBox(ra_min=47.0, ra_max=77.0, dec_min=-47.0, dec_max=-25.0),
    fields={"notebook": Field(ra_deg=62.0, dec_deg=-37.0, radius_deg=0.5)},
    objects=ObjectTable(real=pa.float64(), primary="detect_isPrimary"),
    redshifts=Truth(),
    galaxies="true primary galaxies",
    butler=ButlerNames(
        collections=("2.2i/runs/DP0.2",),
        skymap="DC2",
        objects="objectTable_tract",
        matches="matched_truth_summary_objectTable_tract",
        coadds="deepCoadd",
    ),
    coadd_product="lsst.deepCoadd_calexp",
    rights="Rubin data rights holders only",
    citation="LSST Dark Energy Science Collaboration et al. 2021, ApJS 253, 31; Rubin Observatory, DP0.2",
    # All tracts are made in the time that somebody watches a demo.
    density=0.01,
    bare_keys=True,
)
