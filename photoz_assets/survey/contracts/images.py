"""The tables of images: what coadds are like. No pixel is in them."""

from functools import cache
from typing import Final

import pyarrow as pa

from photoz_assets.survey.contracts.butler import GROUP
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Column, TableSpec, contract_check

_REAL: Final = pa.float64()
_KINDS: Final = frozenset({"butler", "fits", "parquet"})


def _column(
    name: str,
    of: str,
    description: str,
    *,
    ucd: str,
    kind: pa.DataType = _REAL,
    unit: str | None = None,
    nullable: bool = False,
) -> Column:
    return Column(
        name=name,
        type=kind,
        description=description,
        unit=unit,
        ucd=ucd,
        nullable=nullable,
        derived_from=(of,),
    )


def _columns(dataset: str) -> tuple[Column, ...]:
    whole, text, parts = pa.int64(), pa.string(), f"butler.{dataset}"
    key, box, sky = f"{parts}.data_id", f"{parts}.bbox", f"{parts}.wcs"
    return (
        _column("tract", key, "Tract of the skymap", ucd="meta.id.part", kind=whole),
        _column("patch", key, "Patch of the tract", ucd="meta.id.part", kind=whole),
        _column("band", key, "Band", ucd="instr.bandpass", kind=text),
        _column("left", box, "First column in the tract", ucd="pos.cartesian.x", unit="pixel", kind=whole),
        _column("low", box, "First row in the tract", ucd="pos.cartesian.y", unit="pixel", kind=whole),
        _column("width", box, "Number of columns", ucd="meta.number", unit="pixel", kind=whole),
        _column("height", box, "Number of rows", ucd="meta.number", unit="pixel", kind=whole),
        _column("ra", sky, "Right ascension of its middle by its own WCS", ucd="pos.eq.ra", unit="deg"),
        _column("dec", sky, "Declination of its middle by its own WCS", ucd="pos.eq.dec", unit="deg"),
        _column(
            "unit_flux",
            f"{parts}.photo_calib",
            "Flux of one of the file's numbers, by its BUNIT or its PhotoCalib",
            ucd="arith.factor;phot.flux.density",
            unit="nJy",
        ),
        _column(
            "noise",
            f"{parts}.image",
            "Standard deviation of a pixel without light; NULL where there is none",
            ucd="stat.stdev;instr.background",
            unit="nJy",
            nullable=True,
        ),
        _column(
            "psf_fwhm",
            f"{parts}.image",
            "Full width at half maximum of the narrowest bright sources; NULL where fewer than five are alone",
            ucd="instr.det.psf",
            unit="arcsec",
            nullable=True,
        ),
        _column(
            "mask_shares",
            f"{parts}.mask",
            "Share of its pixels in each plane of the mask that is set anywhere, the largest first",
            ucd="meta.code.qual",
            kind=text,
        ),
    )


@cache
def deep_coadd_spec(release: Release) -> TableSpec:
    """Return what one coadd is like, a row."""
    columns = _columns(release.butler.coadds)
    return TableSpec(
        table="deep_coadd",
        columns=columns,
        version=1,
        group=GROUP,
        kinds=_KINDS,
        checks=(contract_check(columns),),
    )
