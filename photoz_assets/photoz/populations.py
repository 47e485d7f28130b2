"""Whether two sets of galaxies are of one population, by the distributions of redshift and magnitude."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.photoz import NZ_STABLE, SAME_POPULATION
from photoz_assets.survey.sampling import SPLITS

# Of the two-sample test of Kolmogorov and Smirnov: a larger distance is chance once in a hundred times.
_CRITICAL: Final = 1.63

_Numbers = NDArray[np.float64]


def ks_distance(one: _Numbers, other: _Numbers) -> float:
    """Return the largest distance of two cumulative distributions (Kolmogorov and Smirnov), neither empty."""
    both = np.concatenate([one, other])
    shares = (np.searchsorted(np.sort(each), both, side="right") / len(each) for each in (one, other))
    return float(np.abs(np.subtract(*shares)).max())


def chance_limit(one: int, other: int) -> float:
    """Return the distance that so many galaxies of one population exceed once in a hundred times."""
    return _CRITICAL * math.sqrt(1 / one + 1 / other)


def same_population(sample: pa.Table) -> Verdict:
    """Judge whether the training and the test set of a sample are of one population: that check's verdict."""
    training, test = (sample.filter(pc.field("split") == split) for split in (SPLITS[0], SPLITS[-1]))
    pairs = {name: (_numbers(training, name), _numbers(test, name)) for name in ("redshift", "mag_i")}
    return _judged(SAME_POPULATION, pairs, "training and test set")


def nz_stable(sample: pa.Table, last: pa.Table | None) -> Verdict:
    """Judge whether n(z) of a training set is that of the last one: that check's verdict.

    Parameters
    ----------
    sample
        Rows of ``photoz_sample``.
    last
        Its ``split`` and ``redshift`` the last time, if there are any.
    """
    if last is None:
        return Verdict(check=NZ_STABLE, passed=True, summary="there is no former sample")
    now, then = (_numbers(rows.filter(pc.field("split") == SPLITS[0]), "redshift") for rows in (sample, last))
    return _judged(NZ_STABLE, {"redshift": (now, then)}, "this training set and the last")


def _judged(check: str, pairs: Mapping[str, tuple[_Numbers, _Numbers]], what: str) -> Verdict:
    numbers: dict[str, Any] = {}
    limits = {}
    problems = []
    for name, (one, other) in pairs.items():
        if not len(one) or not len(other):
            continue
        distance, limit = ks_distance(one, other), chance_limit(len(one), len(other))
        numbers[f"{name}_ks"], limits[f"{name}_ks"] = distance, limit
        if distance > limit:
            problems.append(f"{name} of {what} differ by {distance:.4f}, by chance up to {limit:.4f}")
    shown = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
    return Verdict(
        check=check,
        passed=not problems,
        summary="; ".join(problems) or f"of one population: {shown or 'nothing to compare'}",
        numbers=numbers,
        limits=limits,
    )


def _numbers(rows: pa.Table, name: str) -> _Numbers:
    numbers: _Numbers = rows.column(name).drop_null().to_numpy().astype(np.float64)
    return numbers
