"""What the embedded archive lists: the schemas of releases, and what Rubin's service lists beside them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from photoz_archive.adql.catalog import ColumnFacts, TableFacts
from photoz_archive.service.official import OfficialSchema, official_schemas

# By their names in the official package.
LISTED_SCHEMAS: Final = ("dp02_dc2", "dp1", "dp2", "dp02_obscore", "tap_schema", "archive/dp01_dc2")


def archive_listing(folder: Path, object_columns: Mapping[str, Collection[str]]) -> tuple[OfficialSchema, ...]:
    """Return the schemas that the archive lists.

    Parameters
    ----------
    folder
        Where the official schemas are kept; what is raised is as in ``official_schemas``.
    object_columns
        By the schemas of releases, the columns of Object that their skies have; the others are not listed.
    """
    *releases, observations, standard, earlier = official_schemas(LISTED_SCHEMAS, folder)
    served = (_served(release, object_columns[release.name]) for release in releases)
    return (*served, _standard(observations), standard, _earlier(earlier), _JOB_HISTORY)


def _served(catalogs: OfficialSchema, object_columns: Collection[str]) -> OfficialSchema:
    """Return the release without what another schema lists, and Object with the columns that the sky has."""
    tables = [table for table in catalogs.tables if table.name != "ObsCore"]
    held = frozenset(object_columns)
    return replace(
        catalogs,
        tables=tuple(
            replace(table, columns=tuple(c for c in table.columns if c.name in held))
            if table.name == "Object"
            else table
            for table in tables
        ),
    )


def _standard(observations: OfficialSchema) -> OfficialSchema:
    """Return ObsCore as its standard has it (ObsCore 1.1 app. B), by which clients find images anywhere.

    As published it lacks two columns and has its utypes without their prefix, a few spelled otherwise.
    """
    [table] = observations.tables
    columns = (
        replace(column, utype=f"obscore:{_STANDARD_UTYPES.get(column.name, column.utype)}")
        if column.utype
        else column
        for column in table.columns
    )
    return replace(observations, tables=(replace(table, columns=(*columns, *_MISSING_COLUMNS)),))


def _earlier(release: OfficialSchema) -> OfficialSchema:
    """Return Data Preview 0.1 for its tables' names, with the columns that a query most often names."""
    return replace(
        release,
        description="Data Preview 0.1; listed for its tables' names, empty here",
        tables=tuple(
            replace(
                table,
                table_index=index,
                columns=(
                    ColumnFacts(
                        name="match_objectId" if table.name == "truth_match" else "objectId",
                        datatype="long",
                        ucd="meta.id",
                        description="Object id",
                    ),
                    *_POSITION,
                ),
            )
            for index, table in enumerate(sorted(release.tables, key=lambda table: table.name), start=1)
        ),
        keys=(),
    )


_STANDARD_UTYPES: Final = {
    "obs_collection": "DataID.Collection",
    "obs_title": "DataID.Title",
    "obs_publisher_did": "Curation.PublisherDID",
    "access_url": "Access.Reference",
    "access_format": "Access.Format",
    "target_name": "Target.Name",
    "facility_name": "Provenance.ObsConfig.facility.name",
    "instrument_name": "Provenance.ObsConfig.instrument.name",
}
_MISSING_COLUMNS: Final = (
    ColumnFacts(
        name="access_estsize",
        datatype="long",
        unit="kbyte",
        ucd="phys.size;meta.file",
        utype="obscore:Access.Size",
        principal=1,
        std=1,
        description="Estimated size of dataset in kilobytes",
    ),
    ColumnFacts(
        name="pol_states",
        datatype="char",
        arraysize="*",
        ucd="meta.code;phys.polarization",
        utype="obscore:Char.PolarizationAxis.stateList",
        std=1,
        description="List of polarization states present in the data file",
    ),
)
_POSITION: Final = (
    ColumnFacts(name="ra", datatype="double", unit="deg", ucd="pos.eq.ra", description="Right ascension"),
    ColumnFacts(name="dec", datatype="double", unit="deg", ucd="pos.eq.dec", description="Declination"),
)
_JOB_HISTORY: Final = OfficialSchema(
    name="uws",
    description="The job history of the service; empty here",
    tables=(
        TableFacts(
            schema="uws",
            name="Job",
            table_index=1,
            description="Job history table.",
            columns=tuple(
                ColumnFacts(name=name, datatype="char", arraysize=arraysize, ucd=ucd, description=description)
                for name, arraysize, ucd, description in (
                    ("jobID", "64*", "meta.id", "Id of the job"),
                    ("runID", "256*", None, "What the client calls the job"),
                    ("ownerID", "64*", None, "Owner of the job"),
                    ("executionPhase", "16*", None, "UWS phase"),
                    ("creationTime", "32*", None, "When the job was created"),
                )
            ),
        ),
    ),
)
