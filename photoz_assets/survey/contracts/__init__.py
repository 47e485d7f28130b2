"""Table contracts: what each stored table's columns are called, hold and mean.

A contract is the one source for the ADQL select list, the Arrow schema, the columns that Dagster shows, the
lineage and the check ``contract``. What rows must satisfy beyond their types stands in ``selection``;
how a table is asked for, in ``queries``.

Types, units and UCDs of archive columns follow the DP0.2 schema (``dp02_dc2.yaml`` of lsst/sdm_schemas).
"""

from photoz_assets.survey.band_columns import (
    flag_column,
    flux_column,
    flux_error_column,
    magnitude_column,
    true_flux_column,
)
from photoz_assets.survey.contracts.archive import SKYINFO, TAP_COLUMNS, TAP_TABLES
from photoz_assets.survey.contracts.butler import (
    BUTLER_COLLECTIONS,
    BUTLER_DATASET_TYPES,
    MATCHED_DATASET,
    MATCHED_TRUTH,
    OBJECT_DATASET,
    OBJECT_TABLE,
)
from photoz_assets.survey.contracts.diagnostics import (
    DIAGNOSTICS,
    FIELD_DIAGNOSTICS,
    MAGNITUDE_BINS,
    REDSHIFT_BINS,
    SURVEY_DIAGNOSTICS,
)
from photoz_assets.survey.contracts.galaxies import (
    ARCHIVE_SCHEMA,
    FIELD_GALAXIES,
    MATCHED_GALAXIES,
    TABLE_ALIASES,
    USED_TABLES,
)
from photoz_assets.survey.contracts.sky import COADD_PATCHES, PATCHES, TRACTS
from photoz_assets.survey.table import Column, Contract, TableSpec

__all__ = [
    "ARCHIVE_SCHEMA",
    "BUTLER_COLLECTIONS",
    "BUTLER_DATASET_TYPES",
    "COADD_PATCHES",
    "DIAGNOSTICS",
    "FIELD_DIAGNOSTICS",
    "FIELD_GALAXIES",
    "MAGNITUDE_BINS",
    "MATCHED_DATASET",
    "MATCHED_GALAXIES",
    "MATCHED_TRUTH",
    "OBJECT_DATASET",
    "OBJECT_TABLE",
    "PATCHES",
    "REDSHIFT_BINS",
    "SKYINFO",
    "SURVEY_DIAGNOSTICS",
    "TABLE_ALIASES",
    "TAP_COLUMNS",
    "TAP_TABLES",
    "TRACTS",
    "USED_TABLES",
    "Column",
    "Contract",
    "TableSpec",
    "flag_column",
    "flux_column",
    "flux_error_column",
    "magnitude_column",
    "true_flux_column",
]
