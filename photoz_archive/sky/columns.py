"""The columns of the tables as files hold them: names and types of the releases' schemas."""

from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS

_OBJECT_BAND: Final = (
    ("psfFlux", pa.float64()),
    ("psfFluxErr", pa.float64()),
    ("psfFlux_flag", pa.bool_()),
    ("calibFlux", pa.float64()),
    ("calibFluxErr", pa.float64()),
    ("calibFlux_flag", pa.bool_()),
    ("cModelFlux", pa.float64()),
    ("cModelFluxErr", pa.float64()),
    ("cModel_flag", pa.bool_()),
    ("extendedness", pa.float64()),
    ("extendedness_flag", pa.bool_()),
    ("blendedness", pa.float64()),
    ("blendedness_flag", pa.bool_()),
)

# A part of the 991 columns: those that galaxy samples are selected and judged by.
OBJECT: Final = pa.schema(
    [
        ("objectId", pa.int64()),
        ("coord_ra", pa.float64()),
        ("coord_dec", pa.float64()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("tract", pa.int64()),
        ("patch", pa.int64()),
        ("parentObjectId", pa.int64()),
        ("deblend_nChild", pa.int32()),
        ("detect_fromBlend", pa.bool_()),
        ("detect_isIsolated", pa.bool_()),
        ("detect_isPatchInner", pa.bool_()),
        ("detect_isTractInner", pa.bool_()),
        ("detect_isPrimary", pa.bool_()),
        ("merge_peak_sky", pa.bool_()),
        ("refBand", pa.string()),
        ("refExtendedness", pa.float64()),
        *((f"{band}_{name}", type_) for band in BANDS for name, type_ in _OBJECT_BAND),
    ]
)

_PRIMARY_OBJECT_BAND: Final = (
    *(
        (f"{kind}{suffix}", pa.float32())
        for kind in ("psf", "cModel")
        for suffix in ("Flux", "FluxErr", "Mag", "MagErr")
    ),
    ("psfFlux_flag", pa.bool_()),
    ("cModel_flag", pa.bool_()),
    ("gaap1p0Flux", pa.float32()),
    ("gaap1p0FluxErr", pa.float32()),
    ("gaapFlux_flag", pa.bool_()),
    ("extendedness", pa.float32()),
    ("extendedness_flag", pa.bool_()),
    ("blendedness", pa.float32()),
    ("blendedness_flag", pa.bool_()),
    ("invalidPsfFlag", pa.bool_()),
    *(
        (f"pixelFlags_{name}", pa.bool_())
        for name in ("nodata", "saturatedCenter", "crCenter", "interpolatedCenter", "sensor_edgeCenter")
    ),
)

# Of the columns that DP1 and DP2 both have, those that galaxy samples are selected and judged by.
PRIMARY_OBJECT: Final = pa.schema(
    [
        ("objectId", pa.int64()),
        ("coord_ra", pa.float64()),
        ("coord_dec", pa.float64()),
        ("tract", pa.int64()),
        ("patch", pa.int64()),
        ("parentObjectId", pa.int64()),
        ("detect_fromBlend", pa.bool_()),
        ("detect_isIsolated", pa.bool_()),
        ("refBand", pa.string()),
        ("refExtendedness", pa.float32()),
        ("ebv", pa.float32()),
        *((f"{band}_{name}", type_) for band in BANDS for name, type_ in _PRIMARY_OBJECT_BAND),
    ]
)

TRUTH_SUMMARY: Final = pa.schema(
    [
        ("id_truth_type", pa.string()),
        ("id", pa.string()),
        ("host_galaxy", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("redshift", pa.float32()),
        ("is_variable", pa.int32()),
        ("is_pointsource", pa.int32()),
        *((f"flux_{band}", pa.float32()) for band in BANDS),
        *((f"flux_{band}_noMW", pa.float32()) for band in BANDS),
        ("mag_r", pa.float32()),
        ("cosmodc2_hp", pa.int64()),
        ("cosmodc2_id", pa.int64()),
        ("truth_type", pa.int64()),
    ]
)

MATCHES_TRUTH: Final = pa.schema(
    [
        ("id_truth_type", pa.string()),
        ("match_objectId", pa.int64()),
        ("match_candidate", pa.bool_()),
        ("match_count", pa.int32()),
        ("match_chisq", pa.float64()),
        ("match_n_chisq_finite", pa.int32()),
        ("id", pa.string()),
        ("truth_type", pa.int32()),
    ]
)

COADD_PATCHES: Final = pa.schema(
    [
        pa.field("lsst_tract", pa.int64(), nullable=False),
        pa.field("lsst_patch", pa.int64(), nullable=False),
        pa.field("s_ra", pa.float64(), nullable=False),
        pa.field("s_dec", pa.float64(), nullable=False),
        pa.field("s_region", pa.string(), nullable=False),
    ]
)
