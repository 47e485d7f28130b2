"""The tables of images: what a coadd is like, and the stamps of chosen galaxies with their pixels.

The limits stand here by which stamps of control objects are held against the catalogue.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check
from photoz_assets.survey.contracts.butler import GROUP as BUTLER_GROUP
from photoz_assets.survey.releases.release import OBSCORE, Release
from photoz_assets.survey.table import Column, TableSpec, contract_check

GROUP: Final = "images"

# An error of one pixel in a WCS is 200 mas.
OFFSET_LIMIT_MAS: Final = 50.0
# An aperture of 1.5 arcsec loses some light of a galaxy; counts that are taken for nJy are off by a factor of 57.
RATIO_LIMITS: Final = (0.8, 1.1)
UNLIKE_LIMIT: Final = 1.2
FEWEST_CONTROLS: Final = 8

# The checks whose worst galaxies stamps are of, unless others are asked for.
WORST_OF: Final = ("coordinate_offsets", "flux_agreement")

IMAGE_ASTROMETRY: Final = Check(
    name="image_astrometry",
    description="Control objects lie in the pixels where the catalogue has them: the median offset of their "
    f"centroids is within {OFFSET_LIMIT_MAS:g} mas on each axis. Not judged by fewer than {FEWEST_CONTROLS}.",
    blocking=False,
)
IMAGE_PHOTOMETRY: Final = Check(
    name="image_photometry",
    description="Control objects are as bright in the pixels as in the catalogue: the median flux within 1.5 "
    f"arcsec over that of the catalogue is {RATIO_LIMITS[0]} to {RATIO_LIMITS[1]} in each band, and no band's is "
    f"{UNLIKE_LIMIT} times another's, by more than two chance errors. Not judged by fewer than {FEWEST_CONTROLS}.",
    blocking=False,
)

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
        group=BUTLER_GROUP,
        kinds=_KINDS,
        checks=(contract_check(columns),),
    )


def _stamp_columns(release: Release) -> Iterator[Column]:
    galaxies, pixels = release.columns, f"{OBSCORE}.access_url"
    fluxes = tuple(f"matched_galaxies.{galaxies.flux(band)}" for band in BANDS)
    whole, text = pa.int64(), pa.string()

    def of(column: str) -> str:
        return f"matched_galaxies.{column}"

    def columns(*described: tuple[str, str, str, pa.DataType, str, str | None]) -> Iterator[Column]:
        for name, origin, description, kind, ucd, unit in described:
            yield _column(name, origin, description, ucd=ucd, kind=kind, unit=unit)

    ra, dec = galaxies.position
    yield from columns(
        ("object_id", of(galaxies.object_id), "Id of the object", whole, "meta.id;meta.main", None),
        ("band", pixels, "Band", text, "instr.bandpass", None),
        (
            "chosen_by",
            of(galaxies.object_id),
            "The check or table whose worst it is, condition, or control",
            text,
            "meta.note",
            None,
        ),
        ("patch", of(galaxies.patch), "Patch of the tract", whole, "meta.id.part;obs.field", None),
        ("ra", of(ra), "Measured right ascension, ICRS", _REAL, "pos.eq.ra;meta.main", "deg"),
        ("dec", of(dec), "Measured declination, ICRS", _REAL, "pos.eq.dec;meta.main", "deg"),
        ("redshift", of(galaxies.redshift), "Known redshift", _REAL, "src.redshift", None),
    )
    yield Column(
        name="flux",
        type=_REAL,
        description=f"Measured {galaxies.photometry.kind} flux in the band; NULL where there is none",
        unit="nJy",
        ucd="phot.flux.density",
        derived_from=fluxes,
    )
    yield from columns(
        ("width", pixels, "Number of columns", whole, "meta.number", "pixel"),
        ("height", pixels, "Number of rows", whole, "meta.number", "pixel"),
        *(
            (f"{card}{axis}", pixels, f"{words}, {axis} (FITS)", _REAL, ucd, unit)
            for card, words, ucd, unit in (
                ("crpix", "Where the tangent plane touches the sky, in pixels from 1", "pos.wcs.crpix", "pixel"),
                ("crval", "Where the tangent plane touches the sky", "pos.wcs.crval", "deg"),
            )
            for axis in (1, 2)
        ),
        *(
            (f"cd{row}_{column}", pixels, "Degrees a pixel (FITS)", _REAL, "pos.wcs.cdmatrix", "deg")
            for row in (1, 2)
            for column in (1, 2)
        ),
        ("unit_flux", pixels, "Flux of one of the file's numbers", _REAL, "arith.factor;phot.flux.density", "nJy"),
        (
            "pixels",
            pixels,
            "The pixels row by row, the lowest first; NULL where the coadd has no data",
            pa.list_(pa.float32()),
            "phot.flux.density;obs.image",
            "nJy",
        ),
    )


@cache
def stamps_spec(release: Release) -> TableSpec:
    """Return the stamps of a tract's chosen galaxies and of its control objects, a row an object and band."""
    columns = tuple(_stamp_columns(release))
    return TableSpec(
        table="stamps",
        columns=columns,
        version=1,
        group=GROUP,
        kinds=frozenset({"fits", "parquet"}),
        by_tract=True,
        checks=(contract_check(columns, ["object_id", "band"]), IMAGE_ASTROMETRY, IMAGE_PHOTOMETRY),
    )
