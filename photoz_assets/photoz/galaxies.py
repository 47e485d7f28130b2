"""A tract's galaxies as features for estimators, each with its split and draw.

What is missing is NULL, and a state a band says why. Marks such as 99 are chosen where a file is exported.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import duckdb

from photoz_assets.survey.bands import AB_ZERO_POINT_MAG, BANDS
from photoz_assets.survey.contracts.photoz import color_name
from photoz_assets.survey.galaxy_columns import GalaxyColumns
from photoz_assets.survey.photometry_states import PhotometryState
from photoz_assets.survey.sampling import Sampling, SamplingError
from photoz_assets.survey.splits import SplitKeys, draw_of, followed_up, split_of
from photoz_assets.survey.table import Contract

# An error of a magnitude is this times the relative error of its flux: d(2.5 log10 f) = 2.5 / ln 10 df / f.
MAG_PER_RELATIVE_FLUX: Final = 2.5 / math.log(10)


@dataclass(frozen=True, kw_only=True)
class TractGalaxies:
    """A tract's galaxies as rows of ``photoz_galaxies``, in the order of their draws.

    ``came`` is the number of galaxies that they were taken from, ``left_out`` that of those cut, by the first
    reason.
    """

    rows: duckdb.DuckDBPyRelation
    came: int
    left_out: Mapping[str, int]


def tract_galaxies(
    galaxies: duckdb.DuckDBPyRelation, contract: Contract, columns: GalaxyColumns, tract: int, sampling: Sampling
) -> TractGalaxies:
    """Cut a tract's galaxies and give each its features, split and draw.

    Parameters
    ----------
    galaxies
        Rows of ``matched_galaxies``.
    contract
        That of ``photoz_galaxies``.
    columns
        The roles of the galaxies' columns.
    tract
        The tract that they are of.
    sampling
        The cuts, and how to split and draw.

    Raises
    ------
    SamplingError
        The sampling cuts on a quantity that the release does not have.
    """
    reasons = _reasons(sampling, columns)
    came, *cut = galaxies.aggregate(", ".join(["count(*)", *_counted(reasons)])).fetchall()[0]
    values = _values(columns, tract, sampling)
    selected = ", ".join(
        f'CAST({values[column.name]} AS {_SQL_TYPES[str(column.type)]}) AS "{column.name}"' for column in contract
    )
    kept = galaxies.filter(" AND ".join(["true", *(f"({condition})" for condition in reasons.values())]))
    rows = kept.project(selected).order("draw, object_id")
    return TractGalaxies(rows=rows, came=came, left_out=dict(zip(reasons, cut, strict=True)))


_SQL_TYPES: Final = {
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
}


def _reasons(sampling: Sampling, columns: GalaxyColumns) -> Mapping[str, str]:
    """Return what a galaxy must satisfy to be kept, in SQL, by the words for one that does not."""
    reasons = {}
    if sampling.extended_only:
        reasons["point-like"] = f"{columns.extendedness} = 1"
    if sampling.max_true_offset_mag is not None:
        true = columns.true_magnitudes.get("r")
        if true is None:
            raise SamplingError(
                "the release knows no true magnitudes to cut on: leave max_true_offset_mag out of the sampling"
            )
        offset = f"abs({columns.magnitude('r')} - {true})"
        reasons["off the true magnitude"] = f"{offset} <= {sampling.max_true_offset_mag!r}"
    return reasons


def _counted(reasons: Mapping[str, str]) -> list[str]:
    """Return aggregates that count each galaxy that is left out under its first reason."""
    counted = []
    passed = "true"
    for condition in reasons.values():
        counted.append(f"count(*) FILTER (WHERE {passed} AND ({condition}) IS NOT TRUE)")
        passed += f" AND ({condition}) IS TRUE"
    return counted


def _values(columns: GalaxyColumns, tract: int, sampling: Sampling) -> Mapping[str, str]:
    """Return the SQL of each column over those of ``matched_galaxies``."""
    ra, dec = columns.position
    keys = SplitKeys(galaxy=columns.source_key, patch=columns.patch, tract=f"{tract:d}")
    values = {
        "object_id": columns.object_id,
        "source_key": columns.source_key,
        "ra": ra,
        "dec": dec,
        "patch": columns.patch,
        "extendedness": columns.extendedness,
        "redshift": columns.redshift,
        "split": split_of(sampling, keys),
        "draw": draw_of(sampling, keys),
        "followed_up": followed_up(sampling, keys, _magnitude(columns, "i")),
    }
    values |= photometry_values(columns)
    for band in BANDS:
        relative_error = f"{columns.flux_error(band)} / {columns.flux(band)}"
        values[f"mag_err_{band}"] = _if_measured(columns, band, f"{MAG_PER_RELATIVE_FLUX!r} * {relative_error}")
    for blue, red in pairwise(BANDS):
        values[color_name(blue, red)] = f"{_magnitude(columns, blue)} - {_magnitude(columns, red)}"
    return values


def photometry_values(columns: GalaxyColumns) -> Mapping[str, str]:
    """Return the SQL of ``mag_u``, ``mag_1sigma_u``, ``state_u`` and so on over a release's own columns."""
    values: dict[str, str] = {}
    for band in BANDS:
        values |= {
            f"mag_{band}": _magnitude(columns, band),
            f"mag_1sigma_{band}": f"CASE WHEN {_is_observed(columns, band)} "
            f"THEN {_magnitude_of(columns.flux_error(band))} END",
            f"state_{band}": f"CASE WHEN {_is_measured(columns, band)} THEN {PhotometryState.MEASURED:d} "
            f"WHEN {_is_observed(columns, band)} THEN {PhotometryState.NOT_DETECTED:d} "
            f"ELSE {PhotometryState.NOT_OBSERVED:d} END",
        }
    return values


def _is_observed(columns: GalaxyColumns, band: str) -> str:
    flux, error = columns.flux(band), columns.flux_error(band)
    return f"(isfinite({flux}) AND isfinite({error}) AND {error} > 0)"


def _is_measured(columns: GalaxyColumns, band: str) -> str:
    return f"({_is_observed(columns, band)} AND {columns.flux(band)} > 0)"


def _if_measured(columns: GalaxyColumns, band: str, value: str) -> str:
    return f"(CASE WHEN {_is_measured(columns, band)} THEN {value} END)"


def _magnitude(columns: GalaxyColumns, band: str) -> str:
    return _if_measured(columns, band, _magnitude_of(columns.flux(band)))


def _magnitude_of(flux: str) -> str:
    """Return the AB magnitude of a positive flux in nJy, in SQL (``magnitude_of_flux``)."""
    return f"{AB_ZERO_POINT_MAG!r} - 2.5 * log10({flux})"
