"""The Butler's tables: what a repository lists, and its objects and matches in ``matched_galaxies``' columns.

Column names, types and units are those of TAP's tables wherever both doors give the same thing.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.galaxies import (
    MATCHED_GALAXIES,
    flux_column,
    flux_error_column,
    true_flux_column,
)
from photoz_assets.survey.contracts.model import Column, Contract

# The dataset types that are read, as asset keys below "butler".
OBJECT_DATASET: Final = "objectTable_tract"
MATCHED_DATASET: Final = "matched_truth_summary_objectTable_tract"

_BY_NAME: Final = {column.name: column for column in MATCHED_GALAXIES}


def _text(name: str, description: str, *, of: str, ucd: str, nullable: bool = True) -> Column:
    return Column(
        name=name,
        type=pa.string(),
        description=description,
        ucd=ucd,
        nullable=nullable,
        derived_from=(f"butler.{of}.{name}",),
    )


BUTLER_COLLECTIONS: Final = Contract(
    table="butler_collections",
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

BUTLER_DATASET_TYPES: Final = Contract(
    table="butler_dataset_types",
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


def _read(name: str, dataset: str, source: str) -> Column:
    """Describe a column of ``matched_galaxies`` as it is read from a dataset under another name."""
    return replace(_BY_NAME[name], source=source, derived_from=(f"butler.{dataset}.{source}",))


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


def _object_columns() -> Iterator[Column]:
    """Yield the objectId and, in their order, the columns of ``matched_galaxies`` that come of an object."""
    yield _object_id(OBJECT_DATASET)
    for column in MATCHED_GALAXIES:
        alias, _, name = column.name.partition("_")
        if alias == "obj":
            yield (
                _read(column.name, OBJECT_DATASET, name)
                if column.source
                else replace(column, derived_from=tuple(f"object_table.{origin}" for origin in _fluxes_of(column)))
            )


def _fluxes_of(column: Column) -> tuple[str, ...]:
    """Name the stored fluxes that a computed column comes of."""
    return tuple(f"obj_{origin.rpartition('.')[2]}" for origin in column.derived_from)


OBJECT_TABLE: Final = Contract(table="object_table", columns=tuple(_object_columns()))


def _matched_columns() -> Iterator[Column]:
    """Yield what the pipeline's comparison with the truth keeps of an object and of its truth entry."""
    yield _object_id(MATCHED_DATASET)
    yield _read("obj_patch", MATCHED_DATASET, "patch")
    for axis in ("ra", "dec"):
        yield _read(f"ts_{axis}", MATCHED_DATASET, axis)
    for band in BANDS:
        yield _read(true_flux_column(band), MATCHED_DATASET, f"flux_{band}")
    for band in BANDS:
        yield _read(flux_column(band), MATCHED_DATASET, f"{band}_cModelFlux")
        yield _read(flux_error_column(band), MATCHED_DATASET, f"{band}_cModelFluxErr")
    yield Column(
        name="match_distance_pix",
        type=pa.float64(),
        description="Distance between the true and the measured position on the tract's plane",
        ucd="pos.distance;pos.cartesian",
        unit="pixel",
        source="match_distance",
        derived_from=(f"butler.{MATCHED_DATASET}.match_distance",),
    )


MATCHED_TRUTH: Final = Contract(table="matched_truth", columns=tuple(_matched_columns()))
