"""The check that both doors to the archive give the same objects."""

import warnings

import dagster as dg

from photoz_assets.lake.snapshot import snapshot
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.check_results import check_result, how_to_see
from photoz_assets.orchestration.checks.agreement import AGREES_WITH_TAP, compare_doors, nothing_to_compare
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.partitions import tract_partitions
from photoz_assets.orchestration.resources import ReleaseParam
from photoz_assets.survey.releases.release import Release


def agrees_with_tap(release: Release) -> dg.AssetChecksDefinition:
    """Return the check of a release's ``object_table``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=dg.PreviewWarning)
        declare = dg.asset_check(
            asset=asset_key(release, "object_table"),
            name=AGREES_WITH_TAP.name,
            description=AGREES_WITH_TAP.description,
            additional_deps=[asset_key(release, "matched_galaxies")],
            partitions_def=tract_partitions(release),
        )
        return declare(_agrees_with_tap)


def _agrees_with_tap(
    context: dg.AssetCheckExecutionContext, release: ReleaseParam, lake: LakeResource
) -> dg.AssetCheckResult:
    """Compare the tract's two tables in the lake."""
    tract = int(context.partition_key)
    with as_dagster_failure():
        store = lake.open()
        objects, galaxies = (store.table(asset, tract) for asset in ("object_table", "matched_galaxies"))
        if galaxies.exists():
            verdict = compare_doors(release, *snapshot(store, [objects, galaxies]))
        else:
            verdict = nothing_to_compare(tract)
    return check_result(AGREES_WITH_TAP, verdict, how_to_see(release, verdict, tract))
