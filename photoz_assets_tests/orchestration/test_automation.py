"""Schedules and conditions, by their real ticks on an ephemeral instance.

What a survey of stored tracts asks for is counted on the small tables that ``samples`` makes; that the archive's
own answers say the same is shown on the tracts of one field.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from photoz_archive.service.server import ArchiveServer
from photoz_assets.definitions import build_definitions
from photoz_assets.lake.freshness import Listing, StaleReason
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.orchestration.automation import automation
from photoz_assets.orchestration.checks.survey import judged, survey_state
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets.orchestration.tract_status import MAX_FAILURES, REFRESH_TAG, TractState, neediest
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import DP02, MATCHED_GALAXIES, SKYINFO
from photoz_assets_tests.runs import Run, Runs
from photoz_assets_tests.samples import galaxies, store

WEEKLY, DAILY, _ = automation(DP02).schedules
# A survey of a few tracts: what is said of them does not depend on their number.
FEW = replace(DP02, tracts=(3636, 3637, 3638, 4430))


@pytest.fixture
def runs(archive: ArchiveServer, tmp_path: Path) -> Iterator[Runs]:
    """Runs on an instance of which a tick can be given the reference: one on disk."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Runs(archive.url, tmp_path / "lake", instance)


def _tick(runs: Runs, selection: SelectionResource | None = None, *, release: Release = FEW) -> Any:
    with dg.build_schedule_context(
        instance=runs.instance,
        repository_def=build_definitions().get_repository_def(),
        scheduled_execution_time=datetime(2026, 11, 24, 7, tzinfo=UTC),
        resources={
            "release": release,
            "lake": LakeResource(data_dir=str(runs.lake.root)),
            "selection": selection or SelectionResource(),
        },
    ) as context:
        return DAILY.evaluate_tick(context)


def _requested_tracts(tick: Any) -> dict[int, str]:
    return {int(request.partition_key): request.tags["photoz/reason"] for request in tick.run_requests or ()}


def _store(lake: Lake, tracts: Iterable[int], selection: Selection | None = None) -> None:
    for tract in tracts:
        provenance = Provenance(
            table="matched_galaxies",
            code_version=MATCHED_GALAXIES.code_version,
            tract=tract,
            selection=selection or Selection(),
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        store(lake, galaxies(2, tract=tract), provenance)


def _list_sky(lake: Lake, changed: Iterable[int] = ()) -> None:
    """Store a listing of the sky, a patch a tract, in which some tracts hold more objects."""
    listing = Listing(lake)
    changed = set(changed)
    values = {name: [0.0] * len(DP02.tracts) for name in SKYINFO.names} | {
        "tract": list(DP02.tracts),
        "patch": [0] * len(DP02.tracts),
        "num": [101 if tract in changed else 100 for tract in DP02.tracts],
    }
    [batch] = pa.table(values, schema=SKYINFO.schema).to_batches()
    provenance = Provenance(
        table="skyinfo", code_version="1", created=datetime.now(UTC).isoformat(timespec="milliseconds")
    )
    publish(lake, stage(lake, SKYINFO, map(listing.count, [batch]), lambda: listing.noted(provenance)))


def test_first_tick_asks_for_every_tract_once(runs: Runs) -> None:
    tick = _tick(runs, release=DP02)
    assert _requested_tracts(tick) == dict.fromkeys(DP02.tracts, "missing")
    assert len({request.run_key for request in tick.run_requests}) == len(DP02.tracts)


def test_tick_asks_for_the_neediest_and_the_next_for_the_rest(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOZ_REFRESH_TRACTS", "2")
    _store(runs.lake, (3636,), Selection(faint_limit_mag=25))
    _store(runs.lake, (3638, 4430))
    damaged = runs.lake.table("matched_galaxies", 4430)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert _requested_tracts(_tick(runs)) == {4430: "damaged, or not ours", 3637: "missing"}
    _store(runs.lake, (3637, 4430))
    assert _requested_tracts(_tick(runs)) == {3636: "of another selection"}


def test_tract_that_failed_waits_for_those_that_did_not() -> None:
    states = [
        TractState(tract=1, standing=StaleReason.MISSING, failed=True, failures=1),
        TractState(tract=2, standing=StaleReason.OTHER_CODE),
        TractState(tract=3, standing=StaleReason.MISSING),
        TractState(tract=4, standing=StaleReason.MISSING, under_way=True),
        TractState(tract=5, standing=replace(StaleReason.OTHER_COLUMNS, detail="+ obj_ebv")),
        TractState(tract=6, standing=StaleReason.CURRENT),
        TractState(tract=7, standing=StaleReason.CHANGED),
    ]
    assert [state.tract for state in neediest(states, 4)] == [3, 1, 7, 5]


def test_damaged_tract_is_asked_for_again_and_keeps_no_other_from_it(runs: Runs) -> None:
    _store(runs.lake, (3637, 3638))
    damaged = runs.lake.table("matched_galaxies", 3637)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    requested = _requested_tracts(_tick(runs))
    assert requested[3637] == "damaged, or not ours"
    assert len(requested) == len(FEW.tracts) - 1
    assert runs("matched_galaxies", tract=3637).success
    assert 3637 not in _requested_tracts(_tick(runs))


def test_whole_survey_is_asked_for_again_only_where_something_changed(runs: Runs) -> None:
    _store(runs.lake, DP02.tracts)
    _list_sky(runs.lake)
    _list_sky(runs.lake)
    nothing = _tick(runs, release=DP02)
    assert not nothing.run_requests
    expected = f"{len(DP02.tracts)} current (true primary galaxies, 17 < g, r, i < 26"
    assert nothing.skip_message.startswith(expected)

    _list_sky(runs.lake, changed=(3636, 3637, 4430))
    assert _requested_tracts(_tick(runs, release=DP02)) == dict.fromkeys(
        (3636, 3637, 4430), "changed at the archive"
    )
    # What was seen is remembered until the tract has been asked for again.
    _list_sky(runs.lake, changed=(3636, 3637, 4430))
    _store(runs.lake, (3637,))
    assert set(_requested_tracts(_tick(runs, release=DP02))) == {3636, 4430}

    other = _tick(runs, SelectionResource(faint_limit_mag=25), release=DP02)
    assert _requested_tracts(other) == dict.fromkeys(DP02.tracts, "of another selection")


def test_tract_and_listing_of_the_real_run_are_current_and_observe_the_archive(runs: Runs) -> None:
    first = runs("skyinfo")
    runs("matched_galaxies", tract=3638)
    again = runs("skyinfo")
    assert 3638 not in _requested_tracts(_tick(runs))
    assert [run.metadata("skyinfo")["tracts_changed"] for run in (first, again)] == [0, 0]
    observed = runs.instance.fetch_observations(dg.AssetKey(["dp02_dc2_catalogs", "Object"]), limit=5).records
    assert len(observed) == 2
    facts = observed[0].asset_observation
    assert facts is not None
    assert facts.metadata["tracts"].value == 3
    assert facts.metadata["archive"].value == runs.lake.provenance("skyinfo").archive.fingerprint  # type: ignore[union-attr]
    # And the page does not show the tract as out of sync with what was observed.
    graph = build_definitions().resolve_asset_graph()
    resolver = CachingStaleStatusResolver(runs.instance, graph, LoadingContextForTest(runs.instance))
    assert resolver.get_stale_causes(dg.AssetKey("matched_galaxies"), "3638") == []


def test_failed_tract_is_tried_again_within_bounds_and_then_named(runs: Runs) -> None:
    _store(runs.lake, FEW.tracts)
    impossible = SelectionResource(bright_limit_mag=27)
    for _ in range(MAX_FAILURES - 1):
        assert not runs("matched_galaxies", tract=3638, selection=impossible).success
    assert _requested_tracts(_tick(runs)) == {3638: "current, the last run failed"}
    assert not runs("matched_galaxies", tract=3638, selection=impossible).success
    given_up = _tick(runs)
    assert not given_up.run_requests
    assert "1 current, failed 3 times in 7 days: see its last run (tract 3638)" in given_up.skip_message
    assert runs("matched_galaxies", tract=3638).success
    assert _tick(runs).skip_message.startswith(f"{len(FEW.tracts)} current")


def test_tract_whose_failed_run_was_deleted_is_fresh_again(runs: Runs) -> None:
    _store(runs.lake, FEW.tracts)
    failed = runs("matched_galaxies", tract=3638, selection=SelectionResource(bright_limit_mag=27))
    assert not failed.success
    assert _requested_tracts(_tick(runs)) == {3638: "current, the last run failed"}
    runs.instance.delete_run(failed.result.run_id)
    assert _tick(runs).skip_message.startswith(f"{len(FEW.tracts)} current")


def test_cancelled_run_is_no_failure(runs: Runs) -> None:
    _store(runs.lake, FEW.tracts)
    job = build_definitions().resolve_job_def("refresh_tracts")
    run = runs.instance.create_run_for_job(
        job, tags={"dagster/partition": "3638"}, asset_selection=frozenset({dg.AssetKey("matched_galaxies")})
    )
    runs.instance.report_run_canceling(run)
    runs.instance.report_run_canceled(run)
    assert _tick(runs).skip_message.startswith(f"{len(FEW.tracts)} current")


def _judge_survey(runs: Runs) -> Run:
    """Evaluate the survey's check by itself, as its page does."""
    job = dg.define_asset_job("judge_survey", selection=dg.AssetSelection.all_asset_checks())
    lake = LakeResource(data_dir=str(runs.lake.root))
    definitions = dg.Definitions(
        asset_checks=[survey_state(DP02)],
        jobs=[job],
        resources={"release": DP02, "lake": lake, "selection": SelectionResource()},
    )
    return Run(definitions.resolve_job_def("judge_survey").execute_in_process(instance=runs.instance))


def test_survey_is_judged_once_and_not_in_each_run_of_a_refresh(runs: Runs) -> None:
    _store(runs.lake, (3637,), Selection(faint_limit_mag=25))
    refreshed = runs(job="refresh_tracts", tract=3638, tags={REFRESH_TAG: "2026-11-24"})
    assert refreshed.success
    assert "survey_state" not in refreshed.checks
    check = _judge_survey(runs).checks["survey_state"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description == f"1 fresh, 1 stale, {len(DP02.tracts) - 2} missing"
    assert (check.metadata["fresh"], check.metadata["stale"]) == (1, 1)
    assert {row["reason"]: row["which"] for row in check.table("reasons")}["of another selection"] == "3637"


def test_missing_tracts_are_no_fault_of_the_survey() -> None:
    states = [
        TractState(tract=3638, standing=StaleReason.CURRENT),
        TractState(tract=3639, standing=StaleReason.MISSING),
    ]
    assert judged(states).passed
    assert not judged([*states, TractState(tract=3640, standing=StaleReason.CURRENT, failed=True)]).passed


def test_weekly_tick_asks_for_the_archives_listing_once() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 23, 6, tzinfo=UTC))
    tick = WEEKLY.evaluate_tick(context)
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


@pytest.mark.parametrize(("pictured", "tract"), [("stamps", "3638"), ("field_image", None)])
def test_atlas_follows_pictures_that_a_person_asked_for(
    automated: dg.Definitions, runs: Runs, pictured: str, tract: str | None
) -> None:
    atlas = dg.AssetSelection.assets("atlas")
    before = dg.evaluate_automation_conditions(automated, instance=runs.instance, asset_selection=atlas)
    runs.instance.report_runless_asset_event(dg.AssetMaterialization(pictured, partition=tract))
    after = dg.evaluate_automation_conditions(
        automated, instance=runs.instance, asset_selection=atlas, cursor=before.cursor
    )
    assert (before.total_requested, after.total_requested) == (0, 1)
