"""The quality of a test set's redshifts as a table: of all galaxies and in bins, of each model, each weighting.

What each number is stands in ``metrics``; what of it is held against limits, here too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoz_assets.photoz.metrics import (
    JudgedGalaxies,
    MetricsError,
    Quality,
    QualityInBin,
    quality,
    quality_in_bins,
)
from photoz_assets.photoz.tomography import equal_bins
from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.redshifts import (
    DEGRADED,
    METRICS,
    QUALITY,
    REPRESENTATIVE,
    SPLITS_DISJOINT,
    never_trained_on,
)
from photoz_assets.survey.sampling import Sampling
from photoz_assets.survey.table import Contract

THEMSELVES: Final = "themselves"
OBJECTS: Final = "objects"
NO_ESTIMATE: Final = "without an estimate"

_MAGNITUDE_EDGES: Final = (17.0, 20.0, 21.0, 22.0, 22.5, 23.0, 23.5, 24.0, 24.5, 25.0, 25.5, 26.0)
_REDSHIFT_EDGES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0)
# The LSST gold sample: LSST Science Book (arXiv:0912.0201), section 3.7.
_GOLD_LIMIT_MAG: Final = 25.3
_TOMOGRAPHIC_BINS: Final = 5
# A difference is chance up to here.
_CHANCE: Final = 3
_PREFIX: Final = {REPRESENTATIVE: "", DEGRADED: "degraded_"}
_READ: Final = (
    "redshift",
    "mag_i",
    "weight",
    *(f"{prefix}{name}" for prefix in _PREFIX.values() for name in ("z_median", "pit", "cde_loss")),
)
_SHOWN: Final = 5

# What cosmology asks for, in words for people.
TARGETS: Final = (
    "Targets: scatter below 0.05, as a goal 0.02; outliers below 10 %; |bias| below 0.003 (LSST Science Book, "
    "arXiv:0912.0201, section 3.8; LSST Science Requirements Document, LPM-17)."
)


@dataclass(frozen=True, kw_only=True)
class QualityLimits:
    """What the quality of all galaxies is held against: the most of each metric, without its sign."""

    bias: float = 0.003
    smad: float = 0.05
    outliers_fixed: float = 0.15
    pit_ks: float = 0.05


@dataclass(frozen=True, kw_only=True)
class JudgedTestSet:
    """A test set whose redshifts were judged.

    Attributes
    ----------
    rows
        Of ``photoz_quality``.
    came, left_out
        The number of galaxies, and of those that cannot be judged, by the reason.
    quality, by_estimate, by_magnitude
        By the representative model: of all galaxies that have an estimate, and in bins.
    tomography
        The edges of bins of the estimate that hold equally many galaxies.
    degraded, degraded_by_magnitude
        By the degraded model: of all galaxies, and in bins of i; None and no bins without one.
    """

    rows: pa.Table
    came: int
    left_out: Mapping[str, int]
    quality: Quality
    by_estimate: Sequence[QualityInBin]
    by_magnitude: Sequence[QualityInBin]
    tomography: NDArray[np.float64]
    degraded: Quality | None
    degraded_by_magnitude: Sequence[QualityInBin]


def trained_on(estimates: duckdb.DuckDBPyRelation, sampling: Sampling) -> Verdict:
    """Judge whether none of the galaxies that are to be judged was trained on: of ``splits_disjoint``."""
    names = ("object_id", "source_key", "tract", "patch", "is_training")
    wrong = estimates.filter(f"({never_trained_on(sampling)}) IS NOT TRUE").project(", ".join(names))
    [(number,)] = wrong.aggregate("count(*)").fetchall()
    return Verdict(
        check=SPLITS_DISJOINT,
        passed=number == 0,
        summary=f"{number:,} galaxies are not of the test set, or were trained on: materialize photoz_estimates"
        if number
        else "all galaxies are of the test set, and none was trained on",
        numbers={"trained_on": number},
        limits={"sampling": sampling.text},
        rows=[dict(zip(names, row, strict=True)) for row in wrong.limit(_SHOWN).fetchall()],
    )


def judge_test_set(estimates: duckdb.DuckDBPyRelation, contract: Contract) -> JudgedTestSet:
    """Judge the redshifts of a test set.

    Parameters
    ----------
    estimates
        Rows of ``photoz_estimates``.
    contract
        That of ``photoz_quality``.

    Raises
    ------
    MetricsError
        No galaxy has an estimate.
    """
    columns = estimates.project(", ".join(_READ)).fetchnumpy()
    judged, kept = _judged(columns, REPRESENTATIVE)
    median, magnitude = (_filled(columns[name])[kept] for name in ("z_median", "mag_i"))
    edges = equal_bins(median, _TOMOGRAPHIC_BINS)
    by_estimate = quality_in_bins(judged, median, _REDSHIFT_EDGES)
    by_magnitude = quality_in_bins(judged, magnitude, _MAGNITUDE_EDGES)
    overall = quality(judged)
    degraded, degraded_by_magnitude = _degraded(columns)
    rows = list(_rows(REPRESENTATIVE, THEMSELVES, "all", [_all(overall)]))
    if degraded is not None:
        rows += _rows(DEGRADED, THEMSELVES, "all", [_all(degraded)])
    rows += _rows(
        REPRESENTATIVE, THEMSELVES, "gold", quality_in_bins(judged, magnitude, (-np.inf, _GOLD_LIMIT_MAG))
    )
    rows += _rows(REPRESENTATIVE, THEMSELVES, "mag_i", by_magnitude)
    rows += _rows(DEGRADED, THEMSELVES, "mag_i", degraded_by_magnitude)
    rows += _rows(REPRESENTATIVE, THEMSELVES, "z_median", by_estimate)
    rows += _rows(REPRESENTATIVE, THEMSELVES, "tomography", quality_in_bins(judged, median, tuple(edges)))
    weight = _filled(columns["weight"])
    if np.isfinite(weight).any():
        rows += _weighted_rows(columns, weight)
    return JudgedTestSet(
        rows=pa.Table.from_pylist(rows, schema=contract.schema),
        came=len(kept),
        left_out={NO_ESTIMATE: int(np.count_nonzero(~kept))},
        quality=overall,
        by_estimate=by_estimate,
        by_magnitude=by_magnitude,
        tomography=edges,
        degraded=degraded,
        degraded_by_magnitude=degraded_by_magnitude,
    )


def _degraded(columns: Mapping[str, Any]) -> tuple[Quality | None, Sequence[QualityInBin]]:
    """Judge by the degraded model, of all galaxies and in bins of i; without one, nothing."""
    if not np.isfinite(_filled(columns["degraded_z_median"])).any():
        return None, ()
    judged, kept = _judged(columns, DEGRADED)
    magnitude = _filled(columns["mag_i"])[kept]
    return quality(judged), quality_in_bins(judged, magnitude, _MAGNITUDE_EDGES)


def _weighted_rows(columns: Mapping[str, Any], weight: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    judged, kept = _judged(columns, REPRESENTATIVE, weight)
    magnitude = _filled(columns["mag_i"])[kept]
    yield from _rows(REPRESENTATIVE, OBJECTS, "all", [_all(quality(judged))])
    yield from _rows(REPRESENTATIVE, OBJECTS, "mag_i", quality_in_bins(judged, magnitude, _MAGNITUDE_EDGES))


def _judged(
    columns: Mapping[str, Any], kind: str, weight: NDArray[np.float64] | None = None
) -> tuple[JudgedGalaxies, NDArray[np.bool_]]:
    """Return the galaxies that a model has an estimate of, and which they are; shape (galaxies,)."""
    named = {name: _filled(columns[f"{_PREFIX[kind]}{name}"]) for name in ("z_median", "pit", "cde_loss")}
    kept = np.isfinite(named["z_median"])
    if weight is not None:
        kept &= np.isfinite(weight)
    if not kept.any():
        raise MetricsError("no galaxy of the test set has an estimate: let the model see bands that were observed")
    judged = JudgedGalaxies(
        redshift=_filled(columns["redshift"])[kept],
        estimate=named["z_median"][kept],
        pit=named["pit"][kept],
        cde_losses=named["cde_loss"][kept],
        weight=None if weight is None else weight[kept],
    )
    return judged, kept


def _filled(column: Any) -> NDArray[np.float64]:
    """Return a column of DuckDB's as numbers; NULL is NaN."""
    numbers: NDArray[np.float64] = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
    return numbers


def _all(found: Quality) -> QualityInBin:
    return QualityInBin(low=-np.inf, high=np.inf, num_galaxies=found.num_galaxies, quality=found)


def _rows(kind: str, stands_for: str, bins_of: str, found: Sequence[QualityInBin]) -> Iterator[dict[str, Any]]:
    """Yield rows of ``photoz_quality``; what has no end has no edge."""
    for each in found:
        row: dict[str, Any] = {
            "fit": kind,
            "stands_for": stands_for,
            "bins_of": bins_of,
            "low": each.low if np.isfinite(each.low) else None,
            "high": each.high if np.isfinite(each.high) else None,
            "num_galaxies": each.num_galaxies,
        }
        if each.quality is not None:
            row["effective_number"] = each.quality.effective_number
            for name, measured in each.quality.metrics.items():
                row |= {name: measured.value, f"{name}_error": measured.error}
        yield row


def overall(rows: pa.Table, kind: str = REPRESENTATIVE, stands_for: str = THEMSELVES) -> Mapping[str, Any] | None:
    """Return the row of all galaxies of one model and weighting; None if a table of quality has none."""
    found = [
        row
        for row in rows.to_pylist()
        if (row["fit"], row["stands_for"], row["bins_of"]) == (kind, stands_for, "all")
    ]
    return found[0] if found else None


def judge_quality(rows: pa.Table, limits: QualityLimits, last: pa.Table | None) -> Verdict:
    """Judge whether the quality of all galaxies is inside limits, and no worse than the last time.

    Parameters
    ----------
    rows
        Of ``photoz_quality``.
    limits
        The most of each metric, which may be exceeded by three chance errors.
    last
        Its rows the last time, if there are any.
    """
    now, before = overall(rows) or {}, (overall(last) if last is not None else None) or {}
    problems, worse = [], []
    for name, limit in vars(limits).items():
        value, error = abs(now[name]), now[f"{name}_error"]
        former = before.get(name)
        if value - _CHANCE * error > limit:
            problems.append(f"{name} {value:.4f} \N{PLUS-MINUS SIGN} {error:.4f} is above {limit:g}")
        if former is not None and value - abs(former) > _CHANCE * np.hypot(error, before[f"{name}_error"]):
            problems.append(
                f"{name} {value:.4f} \N{PLUS-MINUS SIGN} {error:.4f} was {abs(former):.4f} the last time"
            )
            worse.append({"metric": name, "now": value, "last": abs(former)})
    shown = ", ".join(
        f"{name} {now[name]:.4f} \N{PLUS-MINUS SIGN} {now[f'{name}_error']:.4f}" for name in vars(limits)
    )
    return Verdict(
        check=QUALITY,
        passed=not problems,
        summary="; ".join(problems) or shown,
        numbers={name: now[name] for name in METRICS},
        limits=dict(vars(limits)),
        rows=worse,
    )


def markdown(rows: pa.Table) -> str:
    """Return the quality of all galaxies and of the bins as a Markdown table."""
    shown = ("bias", "smad", "outliers_fixed", "outliers_adaptive", "pit_ks", "cde_loss")
    lines = [
        f"| galaxies | number | {' | '.join(shown)} |",
        "|---|---:|" + "---:|" * len(shown),
    ]
    for row in rows.to_pylist():
        if row["effective_number"] is None:
            continue
        numbers = " | ".join(f"{row[name]:.4f} \N{PLUS-MINUS SIGN} {row[f'{name}_error']:.4f}" for name in shown)
        lines.append(f"| {_words(row)} | {row['num_galaxies']:,} | {numbers} |")
    return "\n".join(lines)


def _words(row: Mapping[str, Any]) -> str:
    bins = {"all": "all", "gold": f"i < {_GOLD_LIMIT_MAG:g}"}.get(row["bins_of"])
    words = bins or f"{row['bins_of']} {row['low']:.2f} \N{EN DASH} {row['high']:.2f}"
    if row["stands_for"] == OBJECTS:
        words += ", weighted to all objects"
    return words if row["fit"] == REPRESENTATIVE else f"{words}; {DEGRADED} training set"
