"""Rows of TruthSummary and MatchesTruth: the true sources of a tract and which object each was found as.

A true source is matched to the primary object in which it is the brightest, if that lies within half an
arcsecond and has a cModel flux in any band. One that a brighter one outshines has no object.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from photoz_archive.sky.columns import MATCHES_TRUTH, TRUTH_SUMMARY
from photoz_archive.sky.crowding import close_pairs
from photoz_archive.sky.identifiers import truth_ids
from photoz_archive.sky.measurement import NO_ROW
from photoz_archive.sky.objects import Objects
from photoz_archive.sky.photometry import flux_of_magnitude, magnitude_of_flux
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_archive.sky.rounding import ERROR_BITS, FLUX_BITS, rounded
from photoz_archive.sky.truth import GALAXY, NO_HOST, Sources
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.skymap import RingsSkyMap

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)

# That of the comparison of DC2's truth with its objects.
_MATCH_RADIUS_ARCSEC: Final = 0.5
# Truths fainter than this in r are not looked for (DP0.2 cuts at 27 too).
_CANDIDATE_LIMIT_MAG: Final = 27.0
# DP0.2 has 719.6 of 764.8 million truths in MatchesTruth (DMTN-304); the others here are unmatched ones.
_ABSENT_SHARE: Final = 0.059
_POSITION_ERROR_ARCSEC: Final = 0.05
_R_BAND: Final = BANDS.index("r")
# A magnitude of these bits is as exact as its flux.
_MAG_BITS: Final = 19


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The match of each truth of a tract, in the truths' order; what an unmatched one lacks is 0."""

    is_listed: BoolArray
    is_candidate: BoolArray
    is_matched: BoolArray
    count: IntArray
    object_id: IntArray
    chisq: FloatArray
    num_finite: IntArray


def match(simulation: TractSimulation, truths: Sources, objects: Objects) -> Matches:
    """Match the truths of a tract, which are the first of the measured sources, to its objects."""
    found = objects.detections
    is_candidate = truths.flux[:, _R_BAND] > flux_of_magnitude(_CANDIDATE_LIMIT_MAG)
    eligible = objects.is_primary & ~objects.is_missing.all(axis=1)
    rows = np.flatnonzero(eligible & (found.source != NO_ROW) & (found.source < len(truths)))
    source = found.source[rows]
    offsets_arcsec = simulation.skymap.pixel_scale_arcsec * np.stack(
        [found.x[rows] - truths.x[source], found.y[rows] - truths.y[source]], axis=1
    )
    near = is_candidate[source] & (np.hypot(*offsets_arcsec.T) < _MATCH_RADIUS_ARCSEC)
    rows, source, offsets_arcsec = rows[near], source[near], offsets_arcsec[near]
    is_finite = ~objects.is_missing[rows]
    residual = (found.cmodel_flux[rows] - truths.flux[source]) / found.cmodel_error[rows]
    chisq = (residual**2 * is_finite).sum(axis=1) + ((offsets_arcsec / _POSITION_ERROR_ARCSEC) ** 2).sum(axis=1)
    is_matched = np.zeros(len(truths), bool)
    is_matched[source] = True
    absent = _ABSENT_SHARE * len(truths) / max(len(truths) - len(rows), 1)
    return Matches(
        is_listed=is_matched | (simulation.generator(Stage.MATCHES).random(len(truths)) >= absent),
        is_candidate=is_candidate,
        is_matched=is_matched,
        count=np.where(is_candidate, _neighbours(simulation.skymap, truths, objects), 0),
        object_id=_spread(objects.object_id[rows], source, len(truths)),
        chisq=_spread(chisq, source, len(truths)),
        num_finite=_spread(is_finite.sum(axis=1) + 2, source, len(truths)),
    )


def _spread(values: NDArray[Number], places: IntArray, count: int) -> NDArray[Number]:
    """Put values in their places among zeros."""
    spread = np.zeros(count, values.dtype)
    spread[places] = values
    return spread


def _neighbours(skymap: RingsSkyMap, truths: Sources, objects: Objects) -> IntArray:
    """Count the primary objects within the match radius of each truth."""
    found = objects.detections
    x, y = (
        np.concatenate([true, measured[objects.is_primary]])
        for true, measured in ((truths.x, found.x), (truths.y, found.y))
    )
    first, second = close_pairs(x, y, _MATCH_RADIUS_ARCSEC / skymap.pixel_scale_arcsec)
    lower, upper = np.minimum(first, second), np.maximum(first, second)
    mixed = (lower < len(truths)) & (upper >= len(truths))
    return np.bincount(lower[mixed], minlength=len(truths))


def truth_table(simulation: TractSimulation, truths: Sources, rows: slice) -> pa.Table:
    """Return some of the truths of a tract in the columns of TruthSummary."""
    part = truths.take(rows)
    all_ids = truth_ids(simulation.tract, len(truths))
    ids = all_ids[rows]
    nothing = np.full(len(part), NO_HOST)
    has_light = part.flux[:, _R_BAND] > 0
    columns: dict[str, pa.Array] = _identifier_columns(ids, part) | {
        "host_galaxy": pa.array(np.where(part.host == NO_HOST, NO_HOST, all_ids[part.host])),
        "ra": pa.array(part.ra_deg),
        "dec": pa.array(part.dec_deg),
        "redshift": pa.array(rounded(part.redshift, FLUX_BITS)),
        "is_variable": pa.array(part.is_variable.astype(np.int32)),
        "is_pointsource": pa.array((part.truth_type != GALAXY).astype(np.int32)),
        "mag_r": pa.array(
            rounded(magnitude_of_flux(np.where(has_light, part.flux[:, _R_BAND], 1.0)), _MAG_BITS), mask=~has_light
        ),
        # These galaxies are drawn, not taken from cosmoDC2: they have no place in it.
        "cosmodc2_hp": pa.array(nothing),
        "cosmodc2_id": pa.array(nothing),
        "truth_type": pa.array(part.truth_type.astype(np.int64)),
    }
    for number, band in enumerate(BANDS):
        columns[f"flux_{band}"] = pa.array(part.flux[:, number])
        columns[f"flux_{band}_noMW"] = pa.array(part.flux_without_dust[:, number])
    return pa.table([columns[field.name] for field in TRUTH_SUMMARY], schema=TRUTH_SUMMARY)


def match_table(simulation: TractSimulation, truths: Sources, matches: Matches, rows: slice) -> pa.Table:
    """Return those of some of the truths that are listed, in the columns of MatchesTruth."""
    listed = np.arange(len(truths))[rows]
    listed = listed[matches.is_listed[listed]]
    part = truths.take(listed)
    unmatched = ~matches.is_matched[listed]
    columns: dict[str, pa.Array] = _identifier_columns(truth_ids(simulation.tract, len(truths))[listed], part) | {
        "match_objectId": pa.array(matches.object_id[listed], mask=unmatched),
        "match_candidate": pa.array(matches.is_candidate[listed]),
        "match_count": pa.array(matches.count[listed].astype(np.int32)),
        "match_chisq": pa.array(rounded(matches.chisq[listed], ERROR_BITS).astype(np.float64), mask=unmatched),
        "match_n_chisq_finite": pa.array(matches.num_finite[listed].astype(np.int32), mask=unmatched),
        "truth_type": pa.array(part.truth_type.astype(np.int32)),
    }
    return pa.table([columns[field.name] for field in MATCHES_TRUTH], schema=MATCHES_TRUTH)


def _identifier_columns(ids: IntArray, truths: Sources) -> dict[str, pa.Array]:
    text = pc.cast(pa.array(ids), pa.string())
    kind = pc.cast(pa.array(truths.truth_type), pa.string())
    return {"id": text, "id_truth_type": pc.binary_join_element_wise(text, kind, "_")}
