"""Data Preview 0.2 and its tables, by which most tests show what holds for any release."""

from typing import Final

from photoz_assets.definitions import tables_of
from photoz_assets.survey.releases.dp02 import RELEASE

DP02: Final = RELEASE
TABLES: Final = tables_of(DP02)
COLUMNS: Final = DP02.columns
MATCHED_GALAXIES: Final = TABLES["matched_galaxies"]
FIELD_GALAXIES: Final = TABLES["field_galaxies"]
PHOTOZ_GALAXIES: Final = TABLES["photoz_galaxies"]
PHOTOZ_SAMPLE: Final = TABLES["photoz_sample"]
PHOTOZ_ESTIMATES: Final = TABLES["photoz_estimates"]
PHOTOZ_CATALOG: Final = TABLES["photoz_catalog"]
SKYINFO: Final = TABLES["skyinfo"]
DIAGNOSTICS: Final = TABLES["diagnostics"]
FIELD_DIAGNOSTICS: Final = TABLES["field_diagnostics"]
SURVEY_DIAGNOSTICS: Final = TABLES["survey_diagnostics"]
OBJECT_TABLE: Final = TABLES["object_table"]
MATCHED_TRUTH: Final = TABLES["matched_truth"]
