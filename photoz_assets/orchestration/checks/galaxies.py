"""The checks of the galaxies: of each tract's, and of the field that is cut out of them.

Rules come from the contract and the selection; the limits of the match come from here.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from photoz_assets.lake.audit import KeyRule, RowRule, StatisticRule, Verdict
from photoz_assets.orchestration.checks.shared import (
    COMPLETE,
    CONTRACT,
    check_specs,
    contract_rule,
    named,
    not_empty,
    not_empty_rule,
)
from photoz_assets.science.statistics import DEC_OFFSET_ARCSEC, MIN_SN, RA_OFFSET_ARCSEC, median_flux_ratio
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts import MATCHED_GALAXIES, magnitude_column
from photoz_assets.survey.selection import Selection

OFFSET_MEDIAN_LIMIT_ARCSEC: Final = 0.05
OFFSET_P99_LIMIT_ARCSEC: Final = 0.5
FLUX_RATIO_LIMITS: Final = (0.9, 1.1)

_KEYS: Final = ("mt_match_objectId", "mt_id_truth_type")
_FINITE: Final = ("ts_ra", "ts_dec", "obj_coord_ra", "obj_coord_dec", "ts_redshift")

MATCHED_GALAXIES_CHECKS: Final = [
    *check_specs(
        "matched_galaxies",
        {
            "contract": CONTRACT,
            "complete": COMPLETE,
            "magnitude_cuts": "Every magnitude that is cut on lies strictly inside the selection's limits.",
            "true_primary_galaxies": "Every row is a true galaxy and a primary object of the tract, extendedness "
            "known.",
            "finite_values": "Positions and redshifts are finite numbers.",
            "unique_matches": "No object and no truth entry is matched twice.",
        },
        blocking=True,
        partitioned=True,
    ),
    *check_specs(
        "matched_galaxies",
        {
            "coordinate_offsets": "True and measured positions agree: the median on each axis within "
            f"{OFFSET_MEDIAN_LIMIT_ARCSEC} arcsec, 99 % of the galaxies within {OFFSET_P99_LIMIT_ARCSEC} arcsec.",
            "flux_agreement": f"The median of measured to true flux at S/N > {MIN_SN} lies within "
            f"{FLUX_RATIO_LIMITS[0]} and {FLUX_RATIO_LIMITS[1]} in each band.",
            **not_empty("galaxies"),
        },
        blocking=False,
        partitioned=True,
    ),
]
FIELD_CHECKS: Final = check_specs(
    "field_galaxies",
    {"field_complete": "The lake holds every tract that the field touches, all of one selection."},
    blocking=True,
)


def row_rules(selection: Selection, tract: int) -> list[RowRule]:
    """Make the rules that every row of a tract's ``matched_galaxies`` must satisfy."""
    magnitudes = [magnitude_column(band) for band in selection.bands]
    sample = [condition.stored_column for condition in selection.sample]
    return [
        contract_rule(MATCHED_GALAXIES, _KEYS),
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
            expressions={f"median_{band}_flux_ratio": median_flux_ratio(band) for band in BANDS},
            inside={f"median_{band}_flux_ratio": FLUX_RATIO_LIMITS for band in BANDS},
        ),
        not_empty_rule("galaxies"),
    ]


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
        problems.append(f"the lake lacks tract {named(missing)}: materialize matched_galaxies for it")
    if mixed := mixed_selections(selections):
        problems.append(mixed)
    return Verdict(
        check="field_complete",
        passed=not problems,
        summary="; ".join(problems) or f"made of tract {named(sorted(selections))}",
        numbers={"needed": len(needed), "held": len(selections), "missing": len(missing)},
        limits={"tracts": [str(tract) for tract in needed]},
        rows=[{"tract": tract, "is": "missing"} for tract in missing],
    )


def mixed_selections(selections: Mapping[int, str]) -> str | None:
    """Say which tracts are of which selection, if there is more than one."""
    found = {text: [tract for tract in selections if selections[tract] == text] for text in selections.values()}
    if len(found) < 2:  # noqa: PLR2004 - a mixture takes two
        return None
    listed = "; ".join(f"{text}: tract {named(found[text])}" for text in sorted(found))
    return f"the tracts are of {len(found)} selections, {listed}. Refresh them with one"
