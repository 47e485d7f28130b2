"""The galaxies: the triple join that is asked of the archive per tract, and the field cut out of it.

The notebook is the one that this project grew from: what it stored keeps its names and its order.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.model import Column, Contract

ARCHIVE_SCHEMA: Final = "dp02_dc2_catalogs"

# The alias that the notebook's query gives each archive table; a selected column's name starts with it.
TABLE_ALIASES: Final = {
    "mt": f"{ARCHIVE_SCHEMA}.MatchesTruth",
    "ts": f"{ARCHIVE_SCHEMA}.TruthSummary",
    "obj": f"{ARCHIVE_SCHEMA}.Object",
}
USED_TABLES: Final = (*TABLE_ALIASES.values(), f"{ARCHIVE_SCHEMA}.CoaddPatches")


def _archive_column(
    source: str,
    column_type: pa.DataType,
    description: str,
    *,
    unit: str | None = None,
    ucd: str | None = None,
    nullable: bool = True,
) -> Column:
    """Describe a column of the triple join, named as the notebook names it: its alias, ``_``, its name."""
    alias, _, name = source.partition(".")
    return Column(
        name=f"{alias}_{name}",
        type=column_type,
        description=description,
        unit=unit,
        ucd=ucd,
        nullable=nullable,
        source=source,
        derived_from=(f"{TABLE_ALIASES[alias]}.{name}",),
    )


def magnitude_column(band: str) -> str:
    """Name the measured AB magnitude of a band in ``matched_galaxies``."""
    return f"obj_{band}_cModelMag"


def flux_column(band: str) -> str:
    """Name the measured cModel flux of a band in ``matched_galaxies``."""
    return f"obj_{band}_cModelFlux"


def flux_error_column(band: str) -> str:
    """Name the error of the measured cModel flux of a band in ``matched_galaxies``."""
    return f"obj_{band}_cModelFluxErr"


def flag_column(band: str) -> str:
    """Name the failure flag of a band's cModel fit in ``matched_galaxies``."""
    return f"obj_{band}_cModel_flag"


def true_flux_column(band: str) -> str:
    """Name the true static flux of a band in ``matched_galaxies``."""
    return f"ts_flux_{band}"


def _notebook_columns() -> Iterator[Column]:
    """Yield the notebook's 28 columns in its order."""
    text, count, real, double = pa.string(), pa.int64(), pa.float32(), pa.float64()
    yield _archive_column(
        "mt.id_truth_type",
        text,
        "Truth entry of the match: TruthSummary id and truth type",
        ucd="meta.id.assoc",
        nullable=False,
    )
    yield _archive_column(
        "mt.match_objectId",
        count,
        "objectId of the matched Object entry",
        ucd="meta.id.assoc",
        nullable=False,
    )
    yield _archive_column(
        "ts.ra", double, "True right ascension, ICRS", unit="deg", ucd="pos.eq.ra", nullable=False
    )
    yield _archive_column("ts.dec", double, "True declination, ICRS", unit="deg", ucd="pos.eq.dec", nullable=False)
    yield _archive_column("ts.truth_type", count, "1 for galaxies, 2 for stars, 3 for supernovae", ucd="src.class")
    yield _archive_column("ts.mag_r", real, "True r-band AB magnitude", unit="mag", ucd="phot.mag;em.opt.R")
    yield _archive_column("ts.is_pointsource", pa.int32(), "1 for a point source", ucd="src.class.starGalaxy")
    yield _archive_column("ts.redshift", real, "True redshift", ucd="src.redshift", nullable=False)
    for band in BANDS:
        yield _archive_column(
            f"ts.flux_{band}", real, f"True static flux in {band}", unit="nJy", ucd="phot.flux.density"
        )
    yield _archive_column(
        "obj.coord_ra",
        double,
        "Measured right ascension, ICRS",
        unit="deg",
        ucd="pos.eq.ra;meta.main",
        nullable=False,
    )
    yield _archive_column(
        "obj.coord_dec",
        double,
        "Measured declination, ICRS",
        unit="deg",
        ucd="pos.eq.dec;meta.main",
        nullable=False,
    )
    for band in BANDS:
        yield _archive_column(
            f"obj.{band}_cModelFlux",
            double,
            f"Measured cModel flux in {band}",
            unit="nJy",
            ucd="phot.flux.density",
        )
    for band in BANDS:
        yield Column(
            name=magnitude_column(band),
            type=double,
            description=f"Measured cModel AB magnitude in {band}: 31.4 - 2.5 log10(flux/nJy), "
            "NULL where the flux is NULL or not positive",
            unit="mag",
            ucd="phot.mag",
            derived_from=(f"{TABLE_ALIASES['obj']}.{band}_cModelFlux",),
        )


def _audit_columns() -> Iterator[Column]:
    """Yield what an audit, a judgement of the match and a photo-z estimator need besides the notebook's."""
    double, boolean = pa.float64(), pa.bool_()
    yield _archive_column(
        "mt.match_candidate", boolean, "True for truth entries that were selected for matching", ucd="meta.code"
    )
    yield _archive_column(
        "mt.match_count", pa.int32(), "Number of candidate objects within the match radius", ucd="meta.number"
    )
    yield _archive_column("mt.match_chisq", double, "Chi-squared of the best match", ucd="stat.fit.chi2")
    yield _archive_column("obj.tract", pa.int64(), "Skymap tract", ucd="meta.id;obs.field")
    yield _archive_column(
        "obj.patch", pa.int64(), "Skymap patch within the tract, sequential", ucd="meta.id.part;obs.field"
    )
    yield _archive_column(
        "obj.detect_isPrimary",
        boolean,
        "True without children, inside its patch's and its tract's inner region, and no sky object",
        ucd="meta.code",
    )
    yield _archive_column(
        "obj.refExtendedness",
        double,
        "1 for an extended object, 0 for a point-like one, in the reference band",
        ucd="src.class.starGalaxy",
    )
    for band in BANDS:
        yield _archive_column(
            f"obj.{band}_cModelFluxErr",
            double,
            f"Error of the cModel flux in {band}",
            unit="nJy",
            ucd="stat.error;phot.flux.density",
        )
        yield _archive_column(
            f"obj.{band}_cModel_flag",
            boolean,
            f"True where the cModel fit in {band} failed",
            ucd="meta.code.error",
        )


MATCHED_GALAXIES: Final = Contract(table="matched_galaxies", columns=(*_notebook_columns(), *_audit_columns()))

FIELD_GALAXIES: Final = Contract(
    table="field_galaxies",
    columns=tuple(
        replace(column, source=None, derived_from=(f"matched_galaxies.{column.name}",))
        for column in MATCHED_GALAXIES
    ),
)
