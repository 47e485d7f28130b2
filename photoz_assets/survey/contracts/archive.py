"""What the archive says of itself: its tables, the columns of those we use, and where its objects lie."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final

import pyarrow as pa

from photoz_assets.survey.checks import Check
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Column, TableSpec, complete_check, contract_check


def _listed(table: str, name: str, description: str, *, ucd: str, nullable: bool = True) -> Column:
    """Describe a column of TAP_SCHEMA (TAP 1.1 sec. 4)."""
    return Column(
        name=name,
        type=pa.string(),
        description=description,
        ucd=ucd,
        nullable=nullable,
        source=name,
        derived_from=(f"tap_schema.{table}.{name}",),
    )


TAP_TABLES: Final = TableSpec(
    table="tap_tables",
    version=1,
    group="archive",
    kinds=frozenset({"tap", "parquet"}),
    columns=(
        _listed("tables", "schema_name", "Schema that the table belongs to", ucd="meta.id.parent"),
        _listed("tables", "table_name", "Name to use in ADQL", nullable=False, ucd="meta.id"),
        _listed("tables", "table_type", "'table' or 'view'", ucd="meta.code.class"),
        _listed("tables", "description", "What the table holds", ucd="meta.note"),
    ),
)

TAP_COLUMNS: Final = TableSpec(
    table="tap_columns",
    version=1,
    group="archive",
    kinds=frozenset({"tap", "parquet"}),
    columns=(
        _listed("columns", "table_name", "Table of the column", nullable=False, ucd="meta.id.parent;meta.table"),
        _listed("columns", "column_name", "Name to use in ADQL", nullable=False, ucd="meta.id"),
        _listed("columns", "datatype", "VOTable datatype", ucd="meta.code"),
        _listed("columns", "unit", "Unit in VOUnit syntax", ucd="meta.unit"),
        _listed("columns", "ucd", "Unified Content Descriptor", ucd="meta.ucd"),
        _listed("columns", "description", "What the column holds", ucd="meta.note"),
    ),
)


def _extents(objects: str) -> Iterator[Column]:
    """Yield what is counted and averaged over the objects of one tract and patch."""

    def extent(name: str, function: str, coordinate: str, description: str) -> Column:
        statistic = {"MIN": "stat.min", "MAX": "stat.max", "AVG": "stat.mean"}[function]
        return Column(
            name=name,
            type=pa.float64(),
            description=description,
            unit="deg",
            ucd=f"pos.eq.{coordinate};{statistic}",
            nullable=False,
            source=f"{function}(coord_{coordinate})",
            derived_from=(f"{objects}.coord_{coordinate}",),
        )

    def key(name: str, source: str, counted: str, description: str, ucd: str) -> Column:
        return Column(
            name=name,
            type=pa.int64(),
            description=description,
            ucd=ucd,
            nullable=False,
            source=source,
            derived_from=(f"{objects}.{counted}",),
        )

    yield key("tract", "tract", "tract", "Skymap tract", "meta.id;obs.field")
    yield key("patch", "patch", "patch", "Skymap patch within the tract, sequential", "meta.id.part;obs.field")
    yield extent("minRA", "MIN", "ra", "Smallest right ascension of the patch's objects")
    yield extent("maxRA", "MAX", "ra", "Largest right ascension of the patch's objects")
    yield extent("minDEC", "MIN", "dec", "Smallest declination of the patch's objects")
    yield extent("maxDEC", "MAX", "dec", "Largest declination of the patch's objects")
    yield extent("meanRA", "AVG", "ra", "Mean right ascension of the patch's objects")
    yield extent("meanDEC", "AVG", "dec", "Mean declination of the patch's objects")
    yield key("num", "COUNT(*)", "objectId", "Number of objects of the patch", "meta.number")


def _patch_centres(release: Release) -> Iterator[Column]:
    """Yield the same columns of the list of patches: what only objects could tell is NULL."""
    sources = {"tract": "lsst_tract", "patch": "lsst_patch", "meanRA": "s_ra", "meanDEC": "s_dec"}
    for column in _extents(release.tables["obj"]):
        if source := sources.get(column.name):
            origin = f"{release.coadd_patches}.{source}"
            description = column.description.replace("Mean", "Centre's").replace(" of the patch's objects", "")
            yield replace(column, description=description, source=source, derived_from=(origin,))
        else:
            yield replace(column, nullable=True, source=None, derived_from=())


@cache
def skyinfo_spec(release: Release) -> TableSpec:
    """Return where the objects of each tract and patch lie, and how many there are, where these can be counted."""
    columns = tuple(_extents(release.tables["obj"]) if release.objects.countable else _patch_centres(release))
    return TableSpec(
        table="skyinfo",
        columns=columns,
        version=1,
        group="sky",
        kinds=frozenset({"tap", "parquet"}),
        checks=(
            contract_check(columns, ("tract", "patch")),
            complete_check(),
            Check(
                name="known_tracts",
                description="The tracts with objects are those of the packaged list.",
                blocking=False,
                rows="differing_tracts",
            ),
        ),
    )
