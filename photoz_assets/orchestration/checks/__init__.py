"""The asset checks: what is declared of them, the rules behind them, and how a verdict is shown.

How rules are held against a table stands in ``storage.audit``; when, in ``assets``.
"""

from photoz_assets.orchestration.checks.butler import (
    MATCHED_TRUTH_CHECKS,
    OBJECT_TABLE_CHECKS,
    butler_key_rules,
    butler_row_rules,
    butler_statistic_rules,
)
from photoz_assets.orchestration.checks.galaxies import (
    FIELD_CHECKS,
    MATCHED_GALAXIES_CHECKS,
    field_complete,
    key_rules,
    mixed_selections,
    row_rules,
    statistic_rules,
)
from photoz_assets.orchestration.checks.results import blocks, check_result, failed, passed
from photoz_assets.orchestration.checks.sky import SKYINFO_CHECKS, known_tracts

__all__ = [
    "FIELD_CHECKS",
    "MATCHED_GALAXIES_CHECKS",
    "MATCHED_TRUTH_CHECKS",
    "OBJECT_TABLE_CHECKS",
    "SKYINFO_CHECKS",
    "blocks",
    "butler_key_rules",
    "butler_row_rules",
    "butler_statistic_rules",
    "check_result",
    "failed",
    "field_complete",
    "key_rules",
    "known_tracts",
    "mixed_selections",
    "passed",
    "row_rules",
    "statistic_rules",
]
