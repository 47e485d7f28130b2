"""Schedules and conditions, by their real ticks on an ephemeral instance."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from photoz_assets.automation import refresh_archive_weekly, refresh_tracts_daily
from photoz_assets.data.dp02 import TRACTS
from photoz_assets.definitions import build_definitions
from photoz_assets.resources import SelectionResource
from photoz_assets.storage.io_manager import LakeResource
from photoz_assets_tests.runs import Runs


def _tick(runs: Runs, selection: SelectionResource | None = None) -> Any:
    context = dg.build_schedule_context(
        instance=runs.instance,
        repository_def=build_definitions().get_repository_def(),
        scheduled_execution_time=datetime(2026, 11, 24, 7, tzinfo=UTC),
        resources={
            "lake": LakeResource(data_dir=str(runs.lake.root)),
            "selection": selection or SelectionResource(),
        },
    )
    return refresh_tracts_daily.evaluate_tick(context)


def test_first_tick_asks_for_every_tract_once(runs: Runs) -> None:
    tick = _tick(runs)
    assert [request.partition_key for request in tick.run_requests] == [str(tract) for tract in TRACTS]
    assert len({request.run_key for request in tick.run_requests}) == 157
    assert {request.tags["photoz/reason"] for request in tick.run_requests} == {"missing"}


def test_current_tract_is_not_asked_for_again(runs: Runs) -> None:
    runs("matched_galaxies", tract=3638)
    assert "3638" not in {request.partition_key for request in _tick(runs).run_requests}


def test_tract_of_another_selection_is_asked_for_again_with_the_reason(runs: Runs) -> None:
    runs("matched_galaxies", tract=3638)
    [request] = [
        request
        for request in _tick(runs, SelectionResource(faint_limit_mag=25)).run_requests
        if request.partition_key == "3638"
    ]
    assert request.tags["photoz/reason"] == "of another selection"


def test_weekly_tick_asks_for_the_archives_listing_once() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 23, 6, tzinfo=UTC))
    tick = refresh_archive_weekly.evaluate_tick(context)
    assert len(tick.run_requests or []) == 1


@pytest.fixture
def automated(runs: Runs) -> dg.Definitions:
    return build_definitions(resources={"lake": LakeResource(data_dir=str(runs.lake.root))})


def _requested(
    definitions: dg.Definitions, runs: Runs, cursor: Any = None
) -> tuple[set[tuple[str, str | None]], Any]:
    result = dg.evaluate_automation_conditions(defs=definitions, instance=runs.instance, cursor=cursor)
    return {
        (key.to_user_string(), partition)
        for key in definitions.resolve_asset_graph().materializable_asset_keys
        for partition in result.get_requested_partitions(key)
    }, result.cursor


def test_diagnostics_follow_their_tract_and_the_field_follows_too(automated: dg.Definitions, runs: Runs) -> None:
    nothing, cursor = _requested(automated, runs)
    runs("matched_galaxies", tract=3638)
    requested, _ = _requested(automated, runs, cursor)
    assert nothing == set()
    assert ("diagnostics", "3638") in requested
    assert ("field_galaxies", None) in requested
    assert not [partition for asset, partition in requested if asset == "diagnostics" and partition != "3638"]


def test_tract_refreshed_together_with_its_diagnostics_asks_for_nothing_more(
    automated: dg.Definitions, runs: Runs
) -> None:
    _, cursor = _requested(automated, runs)
    runs("matched_galaxies", "diagnostics", tract=3638)
    requested, _ = _requested(automated, runs, cursor)
    assert "diagnostics" not in {asset for asset, _ in requested}


def test_sky_follows_skyinfo(automated: dg.Definitions, runs: Runs) -> None:
    _, cursor = _requested(automated, runs)
    runs("skyinfo")
    requested, _ = _requested(automated, runs, cursor)
    assert {"tracts", "patches", "sky_map"} <= {asset for asset, _ in requested}
