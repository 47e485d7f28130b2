"""The asset checks: their specs, the rules behind them, and how a verdict becomes a result that Dagster shows.

Rules come from the contract and the selection; the limits of the match come from here. How rules are held
against a table stands in ``storage.audit``; when, in ``assets``.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from photoz_assets.bands import BANDS
from photoz_assets.contracts import (
    MATCHED_GALAXIES,
    Contract,
    flux_column,
    flux_error_column,
    magnitude_column,
    true_flux_column,
)
from photoz_assets.partitions import TRACT_PARTITIONS
from photoz_assets.science.skymap import DC2
from photoz_assets.science.statistics import DEC_OFFSET_ARCSEC, RA_OFFSET_ARCSEC
from photoz_assets.selection import Selection
from photoz_assets.storage.audit import KeyRule, RowRule, StatisticRule, Verdict
from photoz_assets.words import one_line

OFFSET_MEDIAN_LIMIT_ARCSEC: Final = 0.05
OFFSET_P99_LIMIT_ARCSEC: Final = 0.5
FLUX_RATIO_LIMITS: Final = (0.9, 1.1)
FLUX_RATIO_MIN_SN: Final = 10

_KEYS: Final = ("mt_match_objectId", "mt_id_truth_type")
_FINITE: Final = ("ts_ra", "ts_dec", "obj_coord_ra", "obj_coord_dec", "ts_redshift")

_BLOCKING: Final = {
    "contract": "Column names, types and order are the contract's, and columns that must be known hold no NULL.",
    "complete": "The stored rows are as many as the archive counts for the query.",
    "magnitude_cuts": "Every magnitude that is cut on lies strictly inside the selection's limits.",
    "true_primary_galaxies": "Every row is a true galaxy and a primary object of the tract, extendedness known.",
    "finite_values": "Positions and redshifts are finite numbers.",
    "unique_matches": "No object and no truth entry is matched twice.",
}
_WARNING: Final = {
    "coordinate_offsets": "True and measured positions agree: the median on each axis within 0.05 arcsec, 99 % of "
    "the galaxies within 0.5 arcsec.",
    "flux_agreement": "The median of measured to true flux at S/N > 10 lies within 0.9 and 1.1 in each band.",
    "not_empty": "The tract holds galaxies; an empty one is a valid table, but rarely what is wanted.",
}
_BUTLER_BLOCKING: Final = {
    "contract": "Columns and types are the contract's, and columns that must be known hold no NULL.",
    "inside_tract": "Every row is of the tract and of a patch that it has, and every position is a finite number.",
    "unique_objects": "No object is there twice.",
}


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


MATCHED_GALAXIES_CHECKS: Final = [
    *check_specs("matched_galaxies", _BLOCKING, blocking=True, partitioned=True),
    *check_specs("matched_galaxies", _WARNING, blocking=False, partitioned=True),
]
SKYINFO_CHECKS: Final = [
    *check_specs(
        "skyinfo",
        {
            "contract": _BLOCKING["contract"],
            "complete": "The rows are as many as the archive counts for the query.",
        },
        blocking=True,
    ),
    *check_specs(
        "skyinfo",
        {"known_tracts": "The tracts with objects are those of the packaged list."},
        blocking=False,
    ),
]
OBJECT_TABLE_CHECKS: Final = [
    *check_specs("object_table", _BUTLER_BLOCKING, blocking=True, partitioned=True),
    *check_specs("object_table", {"not_empty": _WARNING["not_empty"]}, blocking=False, partitioned=True),
]
MATCHED_TRUTH_CHECKS: Final = [
    *check_specs("matched_truth", _BUTLER_BLOCKING, blocking=True, partitioned=True),
    *check_specs("matched_truth", {"not_empty": _WARNING["not_empty"]}, blocking=False, partitioned=True),
]
FIELD_CHECKS: Final = check_specs(
    "field_galaxies",
    {"field_complete": "The lake holds every tract that the field touches, all of one selection."},
    blocking=True,
)

_WARNINGS: Final = frozenset({*_WARNING, "known_tracts", "survey_state", "agrees_with_coadd_patches"})


def row_rules(selection: Selection, tract: int) -> list[RowRule]:
    """Make the rules that every row of a tract's ``matched_galaxies`` must satisfy."""
    required = [column.name for column in MATCHED_GALAXIES if not column.nullable]
    magnitudes = [magnitude_column(band) for band in selection.bands]
    sample = [column.column.replace(".", "_", 1) for column in selection.sample]
    return [
        RowRule(
            check="contract",
            condition=" AND ".join(f'"{name}" IS NOT NULL' for name in required),
            shown=(*_KEYS, *(name for name in required if name not in _KEYS)),
            limits={"not NULL": required},
        ),
        RowRule(
            check="magnitude_cuts",
            condition=" AND ".join(condition.sql for condition in selection.magnitudes),
            shown=(*_KEYS, *magnitudes),
            limits={
                "above": selection.bright_limit_mag,
                "below": selection.faint_limit_mag,
                "bands": selection.bands,
            },
        ),
        RowRule(
            check="true_primary_galaxies",
            condition=" AND ".join(
                [*(condition.sql for condition in selection.sample), f'"obj_tract" = {tract:d}']
            ),
            shown=(*_KEYS, *sample, "obj_tract"),
            limits={condition.column: condition.comparison for condition in selection.sample}
            | {"obj.tract": f"= {tract:d}"},
        ),
        RowRule(
            check="finite_values",
            condition=" AND ".join(f'isfinite("{name}")' for name in _FINITE),
            shown=(*_KEYS, *_FINITE),
            limits={"finite": _FINITE},
        ),
    ]


def key_rules() -> list[KeyRule]:
    """Make the rules on the keys of ``matched_galaxies``."""
    return [KeyRule(check="unique_matches", columns=_KEYS)]


def butler_key_rules() -> list[KeyRule]:
    """Make the rules on the key of the Butler's tables."""
    return [KeyRule(check="unique_objects", columns=("obj_objectId",))]


def statistic_rules() -> list[StatisticRule]:
    """Make the rules on how well ``matched_galaxies`` agrees with the truth."""
    offsets = {"ra": RA_OFFSET_ARCSEC, "dec": DEC_OFFSET_ARCSEC}
    distance = f"sqrt(pow({offsets['ra']}, 2) + pow({offsets['dec']}, 2))"
    medians = {f"median_{axis}_offset_arcsec": f"median({sql})" for axis, sql in offsets.items()}
    return [
        StatisticRule(
            check="coordinate_offsets",
            expressions={**medians, "p99_offset_arcsec": f"quantile_cont({distance}, 0.99)"},
            inside={
                **dict.fromkeys(medians, (-OFFSET_MEDIAN_LIMIT_ARCSEC, OFFSET_MEDIAN_LIMIT_ARCSEC)),
                "p99_offset_arcsec": (0.0, OFFSET_P99_LIMIT_ARCSEC),
            },
        ),
        StatisticRule(
            check="flux_agreement",
            expressions={f"median_{band}_flux_ratio": _flux_ratio(band) for band in BANDS},
            inside={f"median_{band}_flux_ratio": FLUX_RATIO_LIMITS for band in BANDS},
        ),
        *not_empty_rules("galaxies"),
    ]


def not_empty_rules(what: str) -> list[StatisticRule]:
    """Make the rule that a table holds rows at all."""
    return [StatisticRule(check="not_empty", expressions={what: "count(*)"}, inside={what: (1, math.inf)})]


def _flux_ratio(band: str) -> str:
    flux, error, truth = flux_column(band), flux_error_column(band), true_flux_column(band)
    return f"median({flux} / {truth}) FILTER (WHERE {flux} > {FLUX_RATIO_MIN_SN} * {error} AND {truth} > 0)"


def butler_row_rules(contract: Contract, tract: int) -> list[RowRule]:
    """Make the rules that every row of a tract's table from the Butler must satisfy."""
    required = [column.name for column in contract if not column.nullable]
    last_patch = DC2.patches_per_side**2 - 1
    finite = [name for name in contract.names if name in _FINITE]
    conditions = [f'isfinite("{name}")' for name in finite]
    conditions.append(f'"obj_patch" BETWEEN 0 AND {last_patch}')
    if "obj_tract" in contract.names:
        conditions.append(f'"obj_tract" = {tract:d}')
    shown = tuple(name for name in contract.names if name in {"obj_tract", "obj_patch", *finite})
    return [
        RowRule(
            check="contract",
            condition=" AND ".join(f'"{name}" IS NOT NULL' for name in required),
            shown=tuple(required),
            limits={"not NULL": required},
        ),
        RowRule(
            check="inside_tract",
            condition=" AND ".join(conditions),
            shown=("obj_objectId", *shown),
            limits={"tract": tract, "last patch": last_patch},
        ),
    ]


def known_tracts(found: Iterable[int], packaged: Iterable[int]) -> Verdict:
    """Compare the tracts that the archive holds objects in with the packaged list."""
    found, packaged = set(found), set(packaged)
    missing, new = sorted(packaged - found), sorted(found - packaged)
    return Verdict(
        check="known_tracts",
        passed=not missing and not new,
        summary=f"missing: {_listed(missing)}; new: {_listed(new)}",
        numbers={"tracts": len(found), "missing": len(missing), "new": len(new)},
        limits={"packaged": len(packaged)},
        rows=[
            *({"tract": tract, "is": "missing"} for tract in missing),
            *({"tract": tract, "is": "new"} for tract in new),
        ],
    )


def field_complete(needed: Sequence[int], selections: Mapping[int, str], *, allow_missing: bool) -> Verdict:
    """Tell whether a field can be cut out of the lake.

    Parameters
    ----------
    needed
        The tracts of the survey that the field touches.
    selections
        Of which selection each of them is that the lake holds.
    allow_missing
        Whether some, but not all, may be missing.
    """
    missing = [tract for tract in needed if tract not in selections]
    problems = []
    if not needed:
        problems.append("the field touches no tract of the survey")
    if missing and not (allow_missing and selections):
        problems.append(f"the lake lacks tract {_listed(missing)}: materialize matched_galaxies for it")
    if mixed := mixed_selections(selections):
        problems.append(mixed)
    return Verdict(
        check="field_complete",
        passed=not problems,
        summary="; ".join(problems) or f"made of tract {_listed(sorted(selections))}",
        numbers={"needed": len(needed), "held": len(selections), "missing": len(missing)},
        limits={"tracts": [str(tract) for tract in needed]},
        rows=[{"tract": tract, "is": "missing"} for tract in missing],
    )


def mixed_selections(selections: Mapping[int, str]) -> str | None:
    """Say which tracts are of which selection, if there is more than one."""
    found = {text: [tract for tract in selections if selections[tract] == text] for text in selections.values()}
    if len(found) < 2:  # noqa: PLR2004 - a mixture takes two
        return None
    listed = "; ".join(f"{text}: tract {_listed(found[text])}" for text in sorted(found))
    return f"the tracts are of {len(found)} selections, {listed}. Refresh them with one"


def _listed(tracts: Sequence[int]) -> str:
    return ", ".join(map(str, tracts)) or "none"


def failed(check: str, error: Exception) -> Verdict:
    """Make the verdict of a check that the reading of an answer already failed."""
    return Verdict(check=check, passed=False, summary=str(error))


def passed(check: str, summary: str, numbers: Mapping[str, float | int | str | None]) -> Verdict:
    """Make the verdict of a check that the reading of an answer already passed."""
    return Verdict(check=check, passed=True, summary=summary, numbers=numbers)


def is_warning(check: str) -> bool:
    """Tell whether a check only warns."""
    return check in _WARNINGS


def check_result(verdict: Verdict, *, rows: str = "offending_rows") -> dg.AssetCheckResult:
    """Show a verdict in Dagster: its numbers, its limits and its rows as a table, by what these are."""
    metadata: dict[str, Any] = {name: value for name, value in verdict.numbers.items() if value is not None}
    if verdict.limits:
        limits = {
            name: list(value) if isinstance(value, tuple) else value for name, value in verdict.limits.items()
        }
        metadata["limits"] = dg.MetadataValue.json(limits)
    if verdict.rows:
        metadata[rows] = _row_table(verdict.rows)
    return dg.AssetCheckResult(
        check_name=verdict.check,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.WARN if is_warning(verdict.check) else dg.AssetCheckSeverity.ERROR,
        description=verdict.summary,
        metadata=metadata,
    )


def _row_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [dg.TableColumn(name, type="string") for name in names]
    records = [dg.TableRecord({name: _shown(row.get(name)) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def _shown(value: Any) -> str:
    """Write a value so that nothing of it is rounded: an objectId has more digits than the UI's numbers."""
    return "NULL" if value is None else one_line(str(value))
