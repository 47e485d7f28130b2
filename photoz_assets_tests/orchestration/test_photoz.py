"""The training sets as assets: checked before anybody sees them; a refused one leaves the last good one."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import dagster as dg
import duckdb
import h5py
import pyarrow.parquet as pq
import pytest

from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.definitions import build_definitions
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import stage
from photoz_assets.orchestration.assets import photoz
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.galaxies import TractGalaxies
from photoz_assets.photoz.profiles import PROFILES
from photoz_assets.photoz.sample import Sample
from photoz_assets.survey.sampling import SPLITS, Sampling
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import PHOTOZ_GALAXIES
from photoz_assets_tests.runs import Published, Run, Runs

Change: TypeAlias = Callable[[duckdb.DuckDBPyRelation], duckdb.DuckDBPyRelation]

TRACT = 3638
SMALL = {"sampling": {"sizes": [200, 50, 100]}}


@pytest.fixture(scope="module")
def made(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The published lake with the training sets of its tracts; tests only read it."""
    runs = Runs(published.url, tmp_path_factory.mktemp("made") / "lake")
    shutil.copytree(published.lake.root, runs.lake.root)
    assert all(runs("photoz_galaxies", tract=tract).success for tract in FIELD_TRACTS)
    assert runs("photoz_sample", resources=SMALL).success
    return Published(runs.url, runs.lake)


@pytest.fixture
def drawn(runs: Runs, made: Published) -> Runs:
    """Runs on a copy of that lake."""
    shutil.copytree(made.lake.root, runs.lake.root)
    return runs


def _refused(runs: Runs, check: str, *assets: str, tract: int | None = None, **keywords: Any) -> Run:
    """Run what is to be refused by a check; see that the last good table stays."""
    place = runs.lake.table(assets[-1], tract)
    former = place.read_bytes()
    run = runs(*assets, tract=tract, **keywords)
    assert not run.success
    assert not run.checks[check].passed
    assert [name for name, found in run.checks.items() if not found.passed] == [check]
    assert place.read_bytes() == former
    return run


def test_tracts_galaxies_are_all_there_with_split_and_draw(filled: Runs) -> None:
    run = filled("photoz_galaxies", tract=TRACT)
    assert run.success
    assert all(check.passed for check in run.checks.values())
    source, made = (filled.lake.provenance(name, TRACT) for name in ("matched_galaxies", "photoz_galaxies"))
    assert run.checks["accounted"].metadata["came"] == source.rows_stored == made.rows_stored
    assert made.inputs == (source.identity,)
    assert (made.archive, made.selection) == (source.archive, source.selection)
    assert made.sampling == Sampling().of_a_galaxy
    stored = duckdb.read_parquet(str(filled.lake.table("photoz_galaxies", TRACT)), hive_partitioning=False)
    assert {split for (split,) in stored.aggregate("split").fetchall()} == set(SPLITS)


def test_cuts_are_counted_and_a_sampling_without_sense_reads_nothing(filled: Runs) -> None:
    run = filled("photoz_galaxies", tract=TRACT, resources={"sampling": {"extended_only": True}})
    facts = run.checks["accounted"].metadata
    assert facts["came"] == facts["kept"] + facts["point-like"]
    assert facts["point-like"] > 0
    refused = filled("photoz_galaxies", tract=TRACT, resources={"sampling": {"fractions": [0.5, 0.6, 0.7]}})
    assert "the shares of training, validation, test must add up to 1" in refused.failure
    assert filled.lake.provenance("photoz_galaxies", TRACT).run_id == run.result.run_id


SWAPPED = "CASE split WHEN 'test' THEN 'training' WHEN 'training' THEN 'test' ELSE split END"
# What goes wrong with the rows, by the check that is to catch it.
WRONG: tuple[tuple[str, Change], ...] = (
    # A galaxy in another split.
    ("splits_disjoint", lambda rows: rows.project(f"* REPLACE ({SWAPPED} AS split)")),
    # A magnitude in nJy.
    ("contract", lambda rows: rows.project("* REPLACE (pow(10, (31.4 - mag_r) / 2.5)::FLOAT AS mag_r)")),
    # An object twice.
    ("unique_galaxies", lambda rows: rows.project("* REPLACE (first_value(object_id) OVER () AS object_id)")),
    # Lost rows.
    ("accounted", lambda rows: rows.filter("source_key NOT LIKE '%7_1'")),
)


@pytest.mark.parametrize(
    ("function", "table", "tract"),
    [("tract_galaxies", "photoz_galaxies", TRACT), ("draw_sample", "photoz_sample", None)],
    ids=["galaxies", "sample"],
)
def test_what_is_wrong_is_refused_by_its_check_and_the_last_good_ones_stay(
    drawn: Runs, monkeypatch: pytest.MonkeyPatch, function: str, table: str, tract: int | None
) -> None:
    for check, change in WRONG:
        with monkeypatch.context() as fault:
            right = getattr(photoz, function)
            fault.setattr(
                photoz, function, lambda *arguments, right=right, change=change: _with(right(*arguments), change)
            )
            _refused(drawn, check, table, tract=tract)


def _with(made: TractGalaxies | Sample, change: Change) -> Any:
    """Change the rows that a function made."""
    if isinstance(made, Sample):
        return replace(made, rows=change(duckdb.from_arrow(made.rows)).to_arrow_table())
    return replace(made, rows=change(made.rows))


def _version(run: Run) -> str:
    [event] = run.result.get_asset_materialization_events()
    assert event.materialization.tags is not None
    return str(event.materialization.tags["dagster/data_version"])


def test_sample_is_the_same_whatever_the_order_of_tracts_and_its_version_is_a_digest_of_its_rows(
    drawn: Runs,
) -> None:
    place = drawn.lake.table("photoz_sample")
    rows, former = pq.read_table(place), _without_provenance(drawn.lake)
    for tract in reversed(FIELD_TRACTS):
        assert drawn("photoz_galaxies", tract=tract).success
    again = drawn("photoz_sample", resources=SMALL)
    assert all(check.passed for check in again.checks.values())
    assert _version(again) == rows_digest(rows)
    assert _without_provenance(drawn.lake) == former
    assert [again.metadata("photoz_sample")[split] for split in SPLITS] == [200, 50, 100]
    made = drawn.lake.provenance("photoz_sample")
    assert made.sampling == Sampling(sizes=(200, 50, 100))
    assert [name.split(",")[0] for name in made.inputs] == [f"photoz_galaxies of tract {t}" for t in FIELD_TRACTS]

    drawn.lake.table("photoz_galaxies", FIELD_TRACTS[0]).unlink()
    fewer = drawn("photoz_sample", resources=SMALL)
    assert _version(fewer) != _version(again)
    assert set(pq.read_table(place).column("tract").to_pylist()) == set(FIELD_TRACTS[1:])


def _without_provenance(lake: Lake) -> bytes:
    """The bytes of the sample's rows: all of the file before its footer."""
    whole = lake.table("photoz_sample").read_bytes()
    return whole[: -8 - int.from_bytes(whole[-8:-4], "little")]


def _restored(lake: Lake, tract: int, change: Callable[[Provenance], Provenance]) -> None:
    """Put a tract's features in their place once more, as of something else."""
    path, provenance = lake.table("photoz_galaxies", tract), lake.provenance("photoz_galaxies", tract)
    staged = stage(lake, PHOTOZ_GALAXIES, pq.ParquetFile(path).iter_batches(), partial(change, provenance))
    staged.path.replace(path)
    staged.discard()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda source: replace(source, selection=Selection(faint_limit_mag=24.0)),
            f"2 selections, .*< 24 .*: tract {TRACT}; .*< 26 .*: tract 3637, 3831",
        ),
        (
            lambda source: replace(source, sampling=Sampling(seed=2, sizes=None)),
            f"tract {TRACT} is of another sampling than seed 1, .*: make photoz_galaxies of it again",
        ),
        (
            lambda source: replace(source, archive=replace(source.archive, release="dp1")),
            f"tract {TRACT} is not of DP0.2: .*2 archives, dp02_dc2_catalogs, .*: tract 3637, 3831; dp1,",
        ),
        (
            lambda source: replace(source, archive=replace(source.archive, description="Data Preview 0.2")),
            f"2 archives, dp02_dc2_catalogs: tract {TRACT}; dp02_dc2_catalogs, simulated, density",
        ),
    ],
    ids=["selections", "samplings", "releases", "archives"],
)
def test_sample_of_unlike_tracts_is_refused_with_the_tracts_named(
    drawn: Runs, change: Callable[[Provenance], Provenance], message: str
) -> None:
    _restored(drawn.lake, TRACT, change)
    run = _refused(drawn, "tracts_alike", "photoz_sample")
    assert re.search(message, run.failure)
    assert re.search(message, run.checks["tracts_alike"].description)


def test_sample_without_a_tract_says_what_to_materialize(filled: Runs) -> None:
    run = filled("photoz_sample")
    assert "the lake holds no tract yet: materialize photoz_galaxies first" in run.failure


def _exported(runs: Runs, profile: str) -> Run:
    return runs("photoz_exports", profile=profile, job="export_photoz")


def test_every_export_lies_below_its_profile_and_says_what_it_is_of(drawn: Runs) -> None:
    for profile in PROFILES:
        run = _exported(drawn, profile)
        assert run.success
        assert run.checks["profile_clean"].passed
        assert run.checks["profile_clean"].partition == profile
        folder = drawn.lake.root / "exports" / profile
        assert {path.name for path in folder.iterdir()} == set(PROFILES[profile].files)
        assert run.metadata("photoz_exports")["folder"] == str(folder)
        files = run.checks["profile_clean"].table("files")
        assert sum(int(each["rows"]) for each in files) == run.metadata("photoz_exports")["rows"] > 0
    with h5py.File(drawn.lake.export("rail", "training.hdf5")) as stored:
        assert stored.attrs["photoz_assets.sample"] == rows_digest(
            pq.read_table(drawn.lake.table("photoz_sample"))
        )
        exported = Provenance.from_json(stored.attrs["photoz_assets.provenance"])
    source = drawn.lake.provenance("photoz_sample")
    assert (exported.table, exported.inputs) == ("photoz_exports", (source.identity,))
    assert (exported.archive, exported.sampling) == (source.archive, source.sampling)


def test_wrong_export_fails_its_check_and_the_last_good_one_stays(
    drawn: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _exported(drawn, "rail").success
    former = drawn.lake.export("rail", "test.hdf5").read_bytes()
    right = PROFILES["rail"]
    monkeypatch.setitem(PROFILES, "rail", replace(right, columns={**right.columns, "mag_g_lsst": "'nan'::DOUBLE"}))
    run = _exported(drawn, "rail")
    assert not run.success
    assert not run.checks["profile_clean"].passed
    assert "rows hold what the reader cannot take" in run.failure
    assert "The last good table stays as it was" in run.failure
    assert drawn.lake.export("rail", "test.hdf5").read_bytes() == former


def test_exports_follow_the_sample_only_if_its_rows_have_changed(drawn: Runs) -> None:
    definitions, exports = build_definitions(), dg.AssetSelection.assets("photoz_exports")
    cursor: Any = None

    def requested() -> int:
        nonlocal cursor
        ticked = dg.evaluate_automation_conditions(
            definitions, instance=drawn.instance, asset_selection=exports, cursor=cursor
        )
        cursor = ticked.cursor
        return ticked.get_num_requested(dg.AssetKey("photoz_exports"))

    assert requested() == 0
    assert drawn("photoz_sample").success
    assert requested() == len(PROFILES)
    for profile in PROFILES:
        assert _exported(drawn, profile).success
    assert drawn("photoz_sample").success
    assert requested() == 0
    drawn.lake.table("photoz_galaxies", TRACT).unlink()
    assert drawn("photoz_sample").success
    assert requested() == len(PROFILES)
