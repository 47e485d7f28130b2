"""The columns that come of the archive's objects, where these are asked for without a join."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Column

# Where the values of a quantity can lie; marks for missing values, -99, 99 or -999, do not.
RA_DEG: Final = (0.0, 360.0)
DEC_DEG: Final = (-90.0, 90.0)
REDSHIFT: Final = (0.0, 20.0)
MAG: Final = (-10.0, 90.0)
_EBV_MAG: Final = (0.0, 100.0)


def archive_column(
    release: Release,
    source: str,
    column_type: pa.DataType,
    description: str,
    *,
    unit: str | None = None,
    ucd: str | None = None,
    nullable: bool = True,
    inside: tuple[float, float] | None = None,
) -> Column:
    """Describe a column of the archive, named as the notebook names it: its alias, ``_``, its name."""
    alias, _, name = source.partition(".")
    return Column(
        name=f"{alias}_{name}",
        type=column_type,
        description=description,
        unit=unit,
        ucd=ucd,
        nullable=nullable,
        source=source,
        derived_from=(f"{release.tables[alias]}.{name}",),
        inside=inside,
    )


def object_columns(release: Release) -> Iterator[Column]:
    """Yield an object's id, place, shape and dust, and its photometry of each kind with the release's flags."""
    described, objects = partial(archive_column, release), release.objects
    degrees = partial(described, unit="deg", nullable=False)
    yield described(
        "obj.objectId",
        pa.int64(),
        "Identifier of the object, unique in the release",
        ucd="meta.id;src;meta.main",
        nullable=False,
    )
    yield degrees(
        "obj.coord_ra",
        pa.float64(),
        "Measured right ascension, ICRS",
        ucd="pos.eq.ra;meta.main",
        inside=RA_DEG,
    )
    yield degrees(
        "obj.coord_dec", pa.float64(), "Measured declination, ICRS", ucd="pos.eq.dec;meta.main", inside=DEC_DEG
    )
    yield described("obj.tract", pa.int64(), "Skymap tract", ucd="meta.id;obs.field", nullable=False)
    yield described(
        "obj.patch",
        pa.int64(),
        "Skymap patch within the tract, sequential",
        ucd="meta.id.part;obs.field",
        nullable=False,
    )
    if objects.primary:
        yield described(
            f"obj.{objects.primary}",
            pa.bool_(),
            "True without children, inside its patch's and its tract's inner region, and no sky object",
            ucd="meta.code",
        )
    yield described(
        "obj.refExtendedness",
        objects.real,
        "1 for an extended object, 0 for a point-like one, in the reference band",
        ucd="src.class.starGalaxy",
    )
    if objects.ebv:
        yield described(
            f"obj.{objects.ebv}",
            objects.real,
            "Reddening E(B-V) by the Milky Way's dust, Schlegel, Finkbeiner and Davis 1998",
            unit="mag",
            ucd="phot.color.excess",
            inside=_EBV_MAG,
        )
    for photometry in objects.kinds:
        for band in BANDS:
            yield described(
                f"obj.{photometry.flux(band)}",
                objects.real,
                f"Measured {photometry.kind} flux in {band}",
                unit="nJy",
                ucd="phot.flux.density",
            )
            yield described(
                f"obj.{photometry.flux_error(band)}",
                objects.real,
                f"Error of the {photometry.kind} flux in {band}",
                unit="nJy",
                ucd="stat.error;phot.flux.density",
            )
            yield described(
                f"obj.{photometry.flag(band)}",
                pa.bool_(),
                f"True where the {photometry.kind} measurement in {band} failed",
                ucd="meta.code.error",
            )
    for flag in objects.flags:
        for band in BANDS:
            yield described(
                f"obj.{band}_{flag}",
                pa.bool_(),
                f"The pipelines' flag {flag} in {band}",
                ucd="meta.code.qual",
            )


def magnitude_columns(release: Release) -> Iterator[Column]:
    """Yield the magnitudes of each kind that are computed of such columns, dereddened ones beside them."""
    objects, table = release.objects, release.tables["obj"]
    for photometry in objects.kinds:
        columns = replace(release.columns, photometry=photometry)
        for band in BANDS:
            flux = f"{table}.{photometry.flux(band)}"
            yield Column(
                name=columns.magnitude(band),
                type=pa.float64(),
                description=f"Measured {photometry.kind} AB magnitude in {band}: 31.4 - 2.5 log10(flux/nJy), "
                "NULL where the flux is NULL or not positive",
                unit="mag",
                ucd="phot.mag",
                derived_from=(flux,),
                inside=MAG,
            )
            if objects.ebv and release.extinction:
                yield Column(
                    name=columns.dereddened(band),
                    type=pa.float64(),
                    description=f"That magnitude without the Milky Way's dust: less {release.extinction[band]:g} "
                    "E(B-V)",
                    unit="mag",
                    ucd="phot.mag",
                    derived_from=(flux, f"{table}.{objects.ebv}"),
                    inside=MAG,
                )


def measured_columns(release: Release) -> Iterator[Column]:
    """Yield all that is known of an object: what is asked for, then what is computed of it."""
    yield from object_columns(release)
    yield from magnitude_columns(release)
