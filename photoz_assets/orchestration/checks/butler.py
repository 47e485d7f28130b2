"""The checks of the Butler's tables of a tract."""

from typing import Final

from photoz_assets.lake.audit import KeyRule, RowRule, StatisticRule
from photoz_assets.orchestration.checks.shared import (
    CONTRACT,
    check_specs,
    contract_rule,
    not_empty,
    not_empty_rule,
)
from photoz_assets.survey.contracts import Contract
from photoz_assets.survey.skymap import DC2_RINGS

_POSITIONS: Final = frozenset({"ts_ra", "ts_dec", "obj_coord_ra", "obj_coord_dec"})

_BLOCKING: Final = {
    "contract": CONTRACT,
    "inside_tract": "Every row is of the tract and of a patch that it has, and every position is a finite number.",
    "unique_objects": "No object is there twice.",
}
OBJECT_TABLE_CHECKS: Final = [
    *check_specs("object_table", _BLOCKING, blocking=True, partitioned=True),
    *check_specs("object_table", not_empty("objects"), blocking=False, partitioned=True),
]
MATCHED_TRUTH_CHECKS: Final = [
    *check_specs("matched_truth", _BLOCKING, blocking=True, partitioned=True),
    *check_specs("matched_truth", not_empty("objects"), blocking=False, partitioned=True),
]


def butler_row_rules(contract: Contract, tract: int) -> list[RowRule]:
    """Make the rules that every row of a tract's table from the Butler must satisfy."""
    last_patch = DC2_RINGS.patches_per_side**2 - 1
    finite = [name for name in contract.names if name in _POSITIONS]
    conditions = [f'isfinite("{name}")' for name in finite]
    conditions.append(f'"obj_patch" BETWEEN 0 AND {last_patch}')
    if "obj_tract" in contract.names:
        conditions.append(f'"obj_tract" = {tract:d}')
    shown = tuple(name for name in contract.names if name in {"obj_tract", "obj_patch", *finite})
    return [
        contract_rule(contract),
        RowRule(
            check="inside_tract",
            condition=" AND ".join(conditions),
            shown=("obj_objectId", *shown),
            limits={"tract": tract, "last patch": last_patch},
        ),
    ]


def butler_key_rules() -> list[KeyRule]:
    """Make the rules on the key of the Butler's tables."""
    return [KeyRule(check="unique_objects", columns=("obj_objectId",))]


def butler_statistic_rules() -> list[StatisticRule]:
    """Make the rules on the whole of a table from the Butler."""
    return [not_empty_rule("objects")]
