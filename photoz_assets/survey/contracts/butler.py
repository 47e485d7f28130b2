"""The Butler's tables: what a repository lists, and its objects and matches in ``matched_galaxies``' columns.

Column names, types and units are those of TAP's tables wherever both doors give the same thing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check, KeyRule, RowRule, Scope
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.object_columns import measured_columns
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Column, TableSpec, contract_check, not_empty_check

GROUP: Final = "butler"

_KINDS: Final = frozenset({"butler", "parquet"})


def _text(name: str, description: str, *, of: str, ucd: str, nullable: bool = True) -> Column:
    return Column(
        name=name,
        type=pa.string(),
        description=description,
        ucd=ucd,
        nullable=nullable,
        derived_from=(f"butler.{of}.{name}",),
    )


BUTLER_COLLECTIONS: Final = TableSpec(
    table="butler_collections",
    version=1,
    group=GROUP,
    kinds=_KINDS,
    columns=(
        _text("collection", "Name of the collection", of="collections", nullable=False, ucd="meta.id"),
        _text(
            "type", "RUN, TAGGED, CHAINED or CALIBRATION", of="collections", nullable=False, ucd="meta.code.class"
        ),
        _text(
            "children",
            "The collections that a chain searches, in their order",
            of="collections",
            ucd="meta.id.part",
        ),
        _text("documentation", "What the repository says of the collection", of="collections", ucd="meta.note"),
    ),
)

BUTLER_DATASET_TYPES: Final = TableSpec(
    table="butler_dataset_types",
    version=1,
    group=GROUP,
    kinds=_KINDS,
    columns=(
        _text("dataset_type", "Name of the dataset type", of="dataset_types", nullable=False, ucd="meta.id"),
        _text(
            "dimensions",
            "The dimensions that name one dataset",
            of="dataset_types",
            nullable=False,
            ucd="meta.id.part",
        ),
        _text(
            "storage_class",
            "The Python type that a dataset is read as",
            of="dataset_types",
            nullable=False,
            ucd="meta.code.class",
        ),
    ),
)


def _read(column: Column, dataset: str, source: str) -> Column:
    """Describe a column of ``matched_galaxies`` as it is read from a dataset under another name."""
    return replace(column, source=source, derived_from=(f"butler.{dataset}.{source}",))


def _object_id(dataset: str) -> Column:
    return Column(
        name="obj_objectId",
        type=pa.int64(),
        description="Identifier of the object, unique in the release",
        ucd="meta.id;src;meta.main",
        nullable=False,
        source="objectId",
        derived_from=(f"butler.{dataset}.objectId",),
    )


def _object_columns(release: Release) -> Iterator[Column]:
    """Yield the objectId and, in their order, the columns of ``matched_galaxies`` that come of an object."""
    dataset = release.butler.objects
    yield _object_id(dataset)
    for column in measured_columns(release) if release.spectroscopic else matched_galaxies_spec(release):
        alias, _, name = column.name.partition("_")
        if alias == "obj" and column.name != _KEY:
            yield (
                _read(column, dataset, name)
                if column.source
                else replace(column, derived_from=tuple(f"object_table.{origin}" for origin in _fluxes_of(column)))
            )


def _fluxes_of(column: Column) -> tuple[str, ...]:
    """Name the stored fluxes that a computed column comes of."""
    return tuple(f"obj_{origin.rpartition('.')[2]}" for origin in column.derived_from)


_KEY: Final = "obj_objectId"


def _tract_table(release: Release, table: str, columns: tuple[Column, ...], version: int) -> TableSpec:
    """Describe a table of one tract's objects, with the checks that both have."""
    return TableSpec(
        table=table,
        columns=columns,
        version=version,
        group=GROUP,
        kinds=_KINDS,
        by_tract=True,
        checks=(
            contract_check(columns),
            Check(
                name="inside_tract",
                description="Every row is of the tract and of a patch that it has, and every position is a finite "
                "number.",
                blocking=True,
                rule=lambda scope: _inside_tract(release, [column.name for column in columns], scope),
            ),
            Check(
                name="unique_objects",
                description="No object is there twice.",
                blocking=True,
                rule=lambda _: KeyRule(check="unique_objects", columns=(_KEY,)),
            ),
            not_empty_check("objects", blocking=False),
        ),
    )


def _inside_tract(release: Release, names: Sequence[str], scope: Scope) -> RowRule:
    last_patch = release.skymap.patches_per_side**2 - 1
    positions = {*release.columns.position, *release.columns.reference_position}
    finite = [name for name in names if name in positions]
    conditions = [f'isfinite("{name}")' for name in finite]
    conditions.append(f'"obj_patch" BETWEEN 0 AND {last_patch}')
    if "obj_tract" in names:
        conditions.append(f'"obj_tract" = {scope.tract}')
    return RowRule(
        check="inside_tract",
        condition=" AND ".join(conditions),
        shown=(_KEY, *(name for name in names if name in {"obj_tract", "obj_patch", *finite})),
        limits={"tract": scope.tract or 0, "last patch": last_patch},
    )


@cache
def object_table_spec(release: Release) -> TableSpec:
    """Return a tract's objects, in the columns of ``matched_galaxies`` that come of an object."""
    version = matched_galaxies_spec(release).version
    return _tract_table(release, "object_table", tuple(_object_columns(release)), version)


def _matched_columns(release: Release) -> Iterator[Column]:
    """Yield what the pipeline's comparison with the truth keeps of an object and of its truth entry."""
    dataset, galaxies = release.butler.matches, release.columns
    by_name = {column.name: column for column in matched_galaxies_spec(release)}
    yield _object_id(dataset)
    yield _read(by_name["obj_patch"], dataset, "patch")
    for name, axis in zip(galaxies.reference_position, ("ra", "dec"), strict=True):
        yield _read(by_name[name], dataset, axis)
    for band, name in galaxies.true_fluxes.items():
        yield _read(by_name[name], dataset, f"flux_{band}")
    for band in BANDS:
        yield _read(by_name[galaxies.flux(band)], dataset, galaxies.photometry.flux(band))
        yield _read(by_name[galaxies.flux_error(band)], dataset, galaxies.photometry.flux_error(band))
    yield Column(
        name="match_distance_pix",
        type=pa.float64(),
        description="Distance between the true and the measured position on the tract's plane",
        ucd="pos.distance;pos.cartesian",
        unit="pixel",
        source="match_distance",
        derived_from=(f"butler.{dataset}.match_distance",),
    )


@cache
def matched_truth_spec(release: Release) -> TableSpec:
    """Return true positions and fluxes of a tract's matched objects."""
    return _tract_table(release, "matched_truth", tuple(_matched_columns(release)), 1)
