"""What the checks of several tables share: how they are declared, their words and their rules."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import dagster as dg

from photoz_assets.lake.audit import RowRule, StatisticRule
from photoz_assets.orchestration.partitions import TRACT_PARTITIONS
from photoz_assets.survey.contracts import Contract

CONTRACT: Final = "Column names, types and order are the contract's, and columns that must be known hold no NULL."
COMPLETE: Final = "The stored rows are as many as the archive counts for the query."


def check_specs(
    asset: str, checks: Mapping[str, str], *, blocking: bool, partitioned: bool = False
) -> list[dg.AssetCheckSpec]:
    """Declare checks of an asset, by name and description."""
    with warnings.catch_warnings():
        # Checks by partition are a preview of Dagster 1.13; what we rely on in them stands in a test.
        warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name,
                asset=asset,
                description=description,
                blocking=blocking,
                partitions_def=TRACT_PARTITIONS if partitioned else None,
            )
            for name, description in checks.items()
        ]


def contract_rule(contract: Contract, keys: Sequence[str] = ()) -> RowRule:
    """Make the rule that columns hold no NULL that must be known; keys are shown first."""
    required = [column.name for column in contract if not column.nullable]
    return RowRule(
        check="contract",
        condition=" AND ".join(f'"{name}" IS NOT NULL' for name in required),
        shown=(*keys, *(name for name in required if name not in keys)),
        limits={"not NULL": required},
    )


def not_empty(what: str) -> dict[str, str]:
    """Describe the check ``not_empty`` of a table of galaxies, say, or objects."""
    return {"not_empty": f"The tract holds {what}; an empty one is a valid table, but rarely what is wanted."}


def not_empty_rule(what: str) -> StatisticRule:
    """Make the rule that a table holds rows at all."""
    return StatisticRule(check="not_empty", expressions={what: "count(*)"}, inside={what: (1, math.inf)})


def named(tracts: Iterable[int]) -> str:
    """Name tracts for people."""
    return ", ".join(map(str, tracts)) or "none"
