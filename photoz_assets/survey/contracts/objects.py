"""A tract's objects inside the cuts, without a join: what redshifts are matched with, and given redshifts."""

from functools import cache, partial
from typing import Final

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check, KeyRule, RowRule, Scope
from photoz_assets.survey.contracts.object_columns import object_columns
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.table import Column, TableSpec, complete_check, contract_check, not_empty_check

# The objects near the edges of patches that the pipelines of DP2 have in the wrong one, or in several.
MOST_MISPLACED: Final = 10


def of_release_check(release: Release) -> Check:
    """Return the blocking check ``of_release`` of rows of a tract's objects."""
    return Check(
        name="of_release",
        description=f"Every object is of {release.title}, of the tract and of the patch: its id says so too.",
        blocking=True,
        rule=partial(_of_release, release),
    )


def _of_release(release: Release, scope: Scope) -> RowRule:
    object_id, patch = release.columns.object_id, release.columns.patch
    last_patch = release.skymap.patches_per_side**2 - 1
    conditions = [f'"obj_tract" = {scope.tract}', f'"{patch}" BETWEEN 0 AND {last_patch}']
    limits: dict[str, int] = {"tract": scope.tract or 0, "last patch": last_patch}
    if release.object_ids:
        conditions.append(release.object_ids.condition(object_id, "obj_tract", patch))
        limits["release in the id"] = release.object_ids.release
    sample = release.sample
    conditions += [condition.sql for condition in sample]
    return RowRule(
        check="of_release",
        condition=" AND ".join(conditions),
        shown=(object_id, "obj_tract", patch, *(condition.stored_column for condition in sample)),
        limits=limits,
    )


def flux_cuts_check(release: Release) -> Check:
    """Return the blocking check ``magnitude_cuts`` of rows whose fluxes the archive may have rounded."""
    return Check(
        name="magnitude_cuts",
        description="Every flux that is cut on lies inside the selection's limits, as the archive rounds both.",
        blocking=True,
        rule=partial(_flux_cuts, release),
    )


def _flux_cuts(release: Release, scope: Scope) -> RowRule:
    selection, columns = scope.selection or Selection(), release.columns
    return RowRule(
        check="magnitude_cuts",
        condition=" AND ".join(
            condition.sql for condition in selection.stored_flux_cuts(columns.photometry, release.digits)
        ),
        shown=(columns.object_id, *(columns.flux(band) for band in selection.bands)),
        limits={
            "above": selection.bright_limit_mag,
            "below": selection.faint_limit_mag,
            "bands": selection.bands,
        },
    )


def patch_geometry_check() -> Check:
    """Return the check ``patch_geometry``, which is judged beside the audit: it takes the skymap."""
    return Check(
        name="patch_geometry",
        description=f"No more than {MOST_MISPLACED} objects lie outside the inner region of their patch.",
        blocking=False,
    )


def bands_observed_check() -> Check:
    """Return the check ``bands_observed``, which is judged beside the audit."""
    return Check(
        name="bands_observed",
        description=f"The tract has fluxes in all of {', '.join(BANDS)}: estimates of fewer bands are of another "
        "quality, and a training set over both is a mixture.",
        blocking=False,
        rows="bands",
    )


@cache
def objects_spec(release: Release) -> TableSpec:
    """Return a tract's objects inside the cuts."""
    columns: tuple[Column, ...] = tuple(object_columns(release))
    object_id = release.columns.object_id
    return TableSpec(
        table="objects",
        columns=columns,
        version=1,
        group="galaxies",
        kinds=frozenset({"tap", "parquet", "duckdb"}),
        by_tract=True,
        checks=(
            contract_check(columns, (object_id,)),
            complete_check(),
            flux_cuts_check(release),
            of_release_check(release),
            Check(
                name="unique_objects",
                description="No object is there twice.",
                blocking=True,
                rule=lambda _: KeyRule(check="unique_objects", columns=(object_id,)),
            ),
            bands_observed_check(),
            patch_geometry_check(),
            not_empty_check("objects", blocking=False),
        ),
    )
