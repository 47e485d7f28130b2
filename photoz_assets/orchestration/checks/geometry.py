"""The check that the archive's own patches lie where the skymap has them."""

import math
from typing import Any, Final

import dagster as dg
import numpy as np
import pyarrow as pa

from photoz_assets.lake.audit import SHOWN_ROWS
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.check_results import check_result
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ArchiveResource, ReleaseParam
from photoz_assets.science.tessellation import outline_offsets_arcsec
from photoz_assets.survey.checks import Check, Verdict
from photoz_assets.survey.contracts.sky import coadd_patches_contract
from photoz_assets.survey.queries import coadd_patches_query
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import RingsSkyMap
from photoz_assets.tap.errors import ArchiveError

# The archive rounds corners to a microdegree, which moves them by up to 2.5 mas.
CORNER_LIMIT_ARCSEC: Final = 0.01

AGREES_WITH_COADD_PATCHES: Final = Check(
    name="agrees_with_coadd_patches",
    description=f"The outer regions in CoaddPatches.s_region are those of our geometry to {CORNER_LIMIT_ARCSEC} "
    "arcsec, and every patch with objects is among them.",
    blocking=False,
    rows="offending_patches",
)


def agrees_with_coadd_patches(release: Release) -> dg.AssetChecksDefinition:
    """Return the check of a release's ``patches``."""
    declare = dg.asset_check(
        asset=asset_key(release, "patches"),
        name=AGREES_WITH_COADD_PATCHES.name,
        description=AGREES_WITH_COADD_PATCHES.description,
    )
    return declare(_agrees_with_coadd_patches)


def _agrees_with_coadd_patches(
    context: dg.AssetCheckExecutionContext,
    release: ReleaseParam,
    archive: ArchiveResource,
    lake: LakeResource,
    patches: pa.Table,
) -> dg.AssetCheckResult:
    """Ask the archive for the outlines of its patches and compare them with the skymap's."""
    schema = coadd_patches_contract(release).selected_schema
    with as_dagster_failure():
        ingest = archive.ingest(lake.open(), release, run_id=context.run.run_id, log=context.log.info)
    try:
        batches = ingest.client.query(coadd_patches_query(release), schema)
        published = pa.Table.from_batches(batches, schema)
    except ArchiveError as error:
        return check_result(AGREES_WITH_COADD_PATCHES, AGREES_WITH_COADD_PATCHES.failed(str(error)))
    return check_result(AGREES_WITH_COADD_PATCHES, compare_outlines(release.skymap, published, patches))


def compare_outlines(skymap: RingsSkyMap, published: pa.Table, patches: pa.Table) -> Verdict:
    """Compare the outer regions that the archive publishes with the skymap's.

    Parameters
    ----------
    skymap
        Where the patches should lie.
    published
        In the columns of the contract ``coadd_patches``.
    patches
        Those with objects, in the columns of the asset ``patches``; each should be published.
    """
    tracts, numbers = (published.column(name).to_numpy() for name in ("tract", "patch"))
    offsets = outline_offsets_arcsec(skymap, tracts, numbers, published.column("s_region").to_pylist())
    listed = set(zip(tracts.tolist(), numbers.tolist(), strict=True))
    held = zip(*(patches.column(name).to_pylist() for name in ("tract", "patch")), strict=True)
    missing = sorted(set(held) - listed)
    elsewhere = np.flatnonzero(offsets > CORNER_LIMIT_ARCSEC)
    largest = float(offsets.max(initial=0.0))
    shown: list[dict[str, Any]] = [
        {"tract": int(tracts[row]), "patch": int(numbers[row]), "distance_arcsec": float(offsets[row])}
        for row in elsewhere[:SHOWN_ROWS]
    ]
    shown += [{"tract": tract, "patch": patch, "is": "not listed"} for tract, patch in missing[:SHOWN_ROWS]]
    return Verdict(
        check=AGREES_WITH_COADD_PATCHES.name,
        passed=not len(elsewhere) and not missing,
        summary=f"of {len(offsets):,} patches that the archive lists, {len(elsewhere):,} lie elsewhere, corners "
        f"by up to {largest:.4f} arcsec; {len(missing):,} patches with objects are not listed",
        numbers={
            "listed": len(offsets),
            "elsewhere": len(elsewhere),
            "not_listed": len(missing),
            # JSON has no infinity: what is no polygon has no distance.
            "largest_distance_arcsec": largest if math.isfinite(largest) else None,
        },
        limits={"distance_arcsec": CORNER_LIMIT_ARCSEC},
        rows=shown,
    )
