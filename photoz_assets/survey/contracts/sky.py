"""Tracts and patches: the skymap's geometry joined with what the archive holds there."""

from functools import cache
from typing import Final

import pyarrow as pa

from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Column, Contract, TableSpec


def _degrees(name: str, description: str, *derived_from: str, ucd: str) -> Column:
    return Column(
        name=name,
        type=pa.float64(),
        description=description,
        unit="deg",
        ucd=ucd,
        nullable=False,
        derived_from=derived_from,
    )


def _integer(name: str, description: str, *derived_from: str, ucd: str) -> Column:
    return Column(
        name=name,
        type=pa.int64(),
        description=description,
        ucd=ucd,
        nullable=False,
        derived_from=derived_from,
    )


@cache
def coadd_patches_contract(release: Release) -> Contract:
    """Return what is asked of the archive to be compared with ``PATCHES``, and not stored."""
    return Contract(
        table="coadd_patches",
        columns=tuple(
            Column(
                name=name,
                type=type_,
                description=description,
                nullable=False,
                source=source,
                derived_from=(f"{release.coadd_patches}.{source}",),
            )
            for name, source, type_, description in (
                ("tract", "lsst_tract", pa.int64(), "Skymap tract"),
                ("patch", "lsst_patch", pa.int64(), "Skymap patch within the tract, sequential"),
                ("s_region", "s_region", pa.string(), "The outer region as an STC-S polygon in ICRS"),
            )
        ),
    )


TRACTS: Final = TableSpec(
    table="tracts",
    version=1,
    group="sky",
    kinds=frozenset({"parquet"}),
    columns=(
        _integer("tract", "Skymap tract", "skyinfo.tract", ucd="meta.id;obs.field"),
        _degrees("centre_ra", "Right ascension of the tract's centre", "skyinfo.tract", ucd="pos.eq.ra;meta.main"),
        _degrees("centre_dec", "Declination of the tract's centre", "skyinfo.tract", ucd="pos.eq.dec;meta.main"),
        _degrees("ra_min", "Western edge of the inner region", "skyinfo.tract", ucd="pos.eq.ra;stat.min"),
        _degrees("ra_max", "Eastern edge of the inner region", "skyinfo.tract", ucd="pos.eq.ra;stat.max"),
        _degrees("dec_min", "Southern edge of the inner region", "skyinfo.tract", ucd="pos.eq.dec;stat.min"),
        _degrees("dec_max", "Northern edge of the inner region", "skyinfo.tract", ucd="pos.eq.dec;stat.max"),
        _degrees(
            "mean_ra",
            "Mean over the patches of the objects' mean right ascension",
            "skyinfo.meanRA",
            ucd="pos.eq.ra;stat.mean",
        ),
        _degrees(
            "mean_dec",
            "Mean over the patches of the objects' mean declination",
            "skyinfo.meanDEC",
            ucd="pos.eq.dec;stat.mean",
        ),
        Column(
            name="area_deg2",
            type=pa.float64(),
            description="Area of the inner region on the sky",
            unit="deg2",
            ucd="phys.angArea",
            nullable=False,
            derived_from=("skyinfo.tract",),
        ),
        _integer("num_patches", "Patches with objects", "skyinfo.patch", ucd="meta.number"),
        _integer("num_objects", "Objects, duplicates in overlaps included", "skyinfo.num", ucd="meta.number"),
    ),
)

PATCHES: Final = TableSpec(
    table="patches",
    version=1,
    group="sky",
    kinds=frozenset({"parquet"}),
    columns=(
        _integer("tract", "Skymap tract", "skyinfo.tract", ucd="meta.id;obs.field"),
        _integer(
            "patch", "Skymap patch within the tract, sequential", "skyinfo.patch", ucd="meta.id.part;obs.field"
        ),
        Column(
            name="ra",
            type=pa.list_(pa.float64()),
            description="Right ascension of the four corners of the inner region",
            unit="deg",
            ucd="pos.eq.ra",
            nullable=False,
            derived_from=("skyinfo.tract", "skyinfo.patch"),
        ),
        Column(
            name="dec",
            type=pa.list_(pa.float64()),
            description="Declination of the four corners of the inner region",
            unit="deg",
            ucd="pos.eq.dec",
            nullable=False,
            derived_from=("skyinfo.tract", "skyinfo.patch"),
        ),
        Column(
            name="s_region",
            type=pa.string(),
            description="The inner region as an STC-S polygon in ICRS",
            ucd="pos.outline;obs.field",
            nullable=False,
            derived_from=("skyinfo.tract", "skyinfo.patch"),
        ),
        _integer("num_objects", "Objects, duplicates in overlaps included", "skyinfo.num", ucd="meta.number"),
    ),
)
