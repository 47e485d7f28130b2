"""Verdicts on objects and matches that take more than a rule over rows: of surveys, bands, geometry and chance."""

from typing import Any, Final

import duckdb
import numpy as np

from photoz_assets.science.matching import ChanceMatches
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.matches import (
    FALSE_SHARE_LIMIT,
    FEWEST_OF_A_SURVEY,
    SURVEY_OFFSET_LIMIT_ARCSEC,
)
from photoz_assets.survey.contracts.objects import MOST_MISPLACED
from photoz_assets.survey.expressions import position_offsets_arcsec
from photoz_assets.survey.galaxy_columns import GalaxyColumns
from photoz_assets.survey.releases.release import Release

_SHOWN_ROWS: Final = 5


def survey_offsets(galaxies: duckdb.DuckDBPyRelation, columns: GalaxyColumns) -> Verdict:
    """Judge whether the positions of each survey agree with the objects': the check ``coordinate_offsets``.

    Parameters
    ----------
    galaxies
        Redshifts with the object nearest to each, in the columns of ``matched_galaxies``.
    columns
        Their roles.
    """
    east, north = position_offsets_arcsec(columns)
    measured = galaxies.aggregate(
        f"{columns.survey} AS survey, count(*) AS galaxies, median({east}) AS ra, median({north}) AS dec",
        f"{columns.survey}",
    ).order("survey")
    overall = galaxies.aggregate(f"median({east}), median({north})").fetchall()[0]
    rows: list[dict[str, Any]] = [
        {"survey": survey, "galaxies": number, "median_ra_offset_arcsec": ra, "median_dec_offset_arcsec": dec}
        for survey, number, ra, dec in measured.fetchall()
    ]
    judged = [row for row in rows if row["galaxies"] >= FEWEST_OF_A_SURVEY]
    off = [
        row
        for row in judged
        if max(abs(row["median_ra_offset_arcsec"]), abs(row["median_dec_offset_arcsec"]))
        > SURVEY_OFFSET_LIMIT_ARCSEC
    ]
    named = "; ".join(
        f"{row['survey']} by {row['median_ra_offset_arcsec']:+.2f}, {row['median_dec_offset_arcsec']:+.2f} arcsec"
        for row in off
    )
    return Verdict(
        check="coordinate_offsets",
        passed=not off,
        summary=f"off in right ascension, declination: {named}" if off else f"{len(judged)} surveys agree",
        numbers={
            "median_ra_offset_arcsec": overall[0],
            "median_dec_offset_arcsec": overall[1],
            "surveys": len(rows),
        },
        limits={
            "median_arcsec": SURVEY_OFFSET_LIMIT_ARCSEC,
            "galaxies_of_a_survey": FEWEST_OF_A_SURVEY,
        },
        rows=rows,
    )


def chance_verdict(chance: ChanceMatches) -> Verdict:
    """Judge how many matches are expected to be false: the check ``chance_matches``."""
    share = chance.false_share
    return Verdict(
        check="chance_matches",
        passed=share is None or share <= FALSE_SHARE_LIMIT,
        summary="no redshift is matched"
        if share is None
        else f"{share:.2%} of the matches are expected to be false: {chance.match_share:.1%} of the redshifts are "
        f"matched, {chance.shifted_share:.2%} once moved",
        numbers={
            "expected_false_share": share,
            "match_share": chance.match_share,
            "shifted_match_share": chance.shifted_share,
        },
        limits={"expected_false_share": FALSE_SHARE_LIMIT},
        rows=[
            {"magnitude_from": low, "matches": matches, "expected_false": round(false, 2)}
            for low, false, matches in chance.by_magnitude
            if matches or false
        ],
    )


def bands_observed(objects: duckdb.DuckDBPyRelation, columns: GalaxyColumns) -> Verdict:
    """Judge in which bands a tract has fluxes: the check ``bands_observed``.

    Parameters
    ----------
    objects
        With the columns of the fluxes.
    columns
        Their roles.
    """
    counts = ", ".join(f"count(*) FILTER (WHERE isfinite({columns.flux(band)}))" for band in BANDS)
    total, *found = objects.aggregate(f"count(*), {counts}").fetchall()[0]
    shares = {band: number / total if total else 0.0 for band, number in zip(BANDS, found, strict=True)}
    missing = [band for band in BANDS if total and not shares[band]]
    observed = [band for band in BANDS if shares[band]]
    return Verdict(
        check="bands_observed",
        passed=not missing,
        summary=f"{len(observed)} bands: {', '.join(observed) or 'none'}; nothing in {', '.join(missing)}"
        if missing
        else f"{len(observed)} bands: {', '.join(observed)}"
        if total
        else "nothing to measure",
        numbers={"bands": len(observed)},
        rows=[{"band": band, "share_with_a_flux": round(share, 4)} for band, share in shares.items()],
    )


def patch_geometry(objects: duckdb.DuckDBPyRelation, release: Release, tract: int) -> Verdict:
    """Judge whether objects lie in the tract and the patch that they claim: the check ``patch_geometry``.

    Parameters
    ----------
    objects
        With the columns of the ids, the patches and the positions.
    release
        Whose skymap.
    tract
        The tract that they claim.
    """
    columns = release.columns
    ra, dec = columns.position
    rows = objects.project(
        f"{columns.object_id} AS id, {columns.patch} AS patch, {ra} AS ra, {dec} AS dec"
    ).to_arrow_table()
    ids, patches, longitude, latitude = (rows.column(name).to_numpy() for name in ("id", "patch", "ra", "dec"))
    tracts, there = release.skymap.tract_and_patch(longitude, latitude)
    elsewhere = np.flatnonzero((tracts != tract) | (there != patches))
    return Verdict(
        check="patch_geometry",
        passed=len(elsewhere) <= MOST_MISPLACED,
        summary=f"{len(elsewhere):,} of {rows.num_rows:,} objects lie outside the inner region of their patch",
        numbers={"objects": rows.num_rows, "elsewhere": len(elsewhere)},
        limits={"elsewhere": MOST_MISPLACED},
        rows=[
            {
                "id": int(ids[row]),
                "claims": f"{tract}/{patches[row]}",
                "lies_in": f"{tracts[row]}/{there[row]}",
            }
            for row in elsewhere[:_SHOWN_ROWS]
        ],
    )
