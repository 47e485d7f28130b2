"""The redshifts as assets: nothing is judged that was trained on, nothing is made again that has not changed."""

import errno
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.definitions import build_definitions
from photoz_assets.lake import folder_publisher
from photoz_assets.lake.durable import put_in_place
from photoz_assets.lake.staging import publish, stage
from photoz_assets.orchestration.assets import redshifts
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.estimates import catalog_rows, judged_estimates
from photoz_assets.photoz.fitting import fit_sample, separated
from photoz_assets.survey.contracts.redshifts import METRICS
from photoz_assets_tests.dp02 import PHOTOZ_ESTIMATES
from photoz_assets_tests.runs import Published, Run, Runs

TRACT = 3638
# Few trees: how good the redshifts are is told by the benchmarks.
SMALL = {"estimator": {"settings": {"trees": 12}}}


@pytest.fixture(scope="module")
def first(published: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Run]:
    """The published lake with redshifts of its tracts, and the run that made their quality; tests only read it."""
    runs = Runs(published.url, tmp_path_factory.mktemp("redshifts") / "lake")
    shutil.copytree(published.lake.root, runs.lake.root)
    assert all(runs("photoz_galaxies", tract=tract).success for tract in FIELD_TRACTS)
    made = runs(
        *("photoz_sample", "photoz_model", "photoz_estimates", "photoz_quality"),
        resources=SMALL,
        config={"photoz_quality": {"smad": 0.001}},
    )
    assert made.success
    assert all(runs("photoz_catalog", tract=tract).success for tract in FIELD_TRACTS)
    return runs, made


@pytest.fixture
def drawn(runs: Runs, first: tuple[Runs, Run]) -> Runs:
    """Runs on a copy of that lake."""
    shutil.copytree(first[0].lake.root, runs.lake.root)
    return runs


def _rows(runs: Runs, table: str, tract: int | None = None) -> pa.Table:
    return pq.ParquetFile(runs.lake.table(table, tract)).read()


def _version(run: Run, asset: str) -> str:
    [event] = run.result.asset_materializations_for_node(asset)
    assert event.tags is not None
    return str(event.tags["dagster/data_version"])


def test_the_test_set_is_estimated_judged_and_written_for_qp(first: tuple[Runs, Run]) -> None:
    runs, made = first
    test = _rows(runs, "photoz_sample").filter(pc.field("split") == "test")
    estimates = _rows(runs, "photoz_estimates")
    assert estimates.column("object_id").equals(test.column("object_id"))
    assert not any(estimates.column("is_training").to_pylist())
    estimated = estimates.filter(pc.field("has_bands"))
    for low, high in (("z_q05", "z_q16"), ("z_q16", "z_median"), ("z_median", "z_q84"), ("z_q84", "z_q95")):
        assert pc.all(pc.less(estimated.column(low), estimated.column(high))).as_py()
    assert {len(quantiles) for quantiles in estimated.column("z_quantiles").to_pylist()} == {21}
    without = estimates.filter(~pc.field("has_bands"))
    assert (
        0 < without.num_rows == without.column("z_median").null_count == without.column("z_quantiles").null_count
    )

    facts = made.metadata("photoz_quality")
    overall, degraded = _rows(runs, "photoz_quality").filter(pc.field("bins_of") == "all").to_pylist()
    assert (overall["fit"], degraded["fit"]) == ("representative", "degraded")
    assert {name: facts[name] for name in METRICS} == {name: overall[name] for name in METRICS}
    assert facts["test"] == overall["num_galaxies"] == estimated.num_rows
    # Beside it stands what is lost by training on what a redshift survey would have.
    assert facts["degraded_smad"] == degraded["smad"]
    assert facts["degraded_outliers_fixed"] > facts["outliers_fixed"]
    assert made.metadata("photoz_model")["degraded_training"] < made.metadata("photoz_model")["training"] / 2
    assert "| all; degraded training set |" in facts["quality"]
    assert "The degraded training set is of the galaxies followed up to i = 23, width 0.4." in facts["quality"]
    assert "| all |" in facts["quality"]
    assert "LSST Science Book" in facts["quality"]
    figures = runs.lake.figure("photoz_quality", "any").parent
    assert len(list(figures.glob("photoz_*.png"))) == 6
    # No redshifts are as good as the limit that was given: a warning, and they are there.
    assert [name for name, check in made.checks.items() if not check.passed] == ["quality"]
    assert made.checks["quality"].severity is dg.AssetCheckSeverity.WARN
    assert "is above 0.001" in made.checks["quality"].description

    qp = pytest.importorskip("qp")
    ensemble = qp.read(str(runs.lake.export("qp", "test_estimates.hdf5")))
    assert ensemble.ancil["object_id"].tolist() == estimated.column("object_id").to_pylist()
    assert ensemble.ancil["zmode"].tolist() == estimated.column("z_mode").to_pylist()
    np.testing.assert_allclose(ensemble.median()[:, 0], estimated.column("z_median").to_numpy(), atol=2e-3)


def test_every_galaxy_held_has_a_redshift_and_those_trained_on_are_no_better(first: tuple[Runs, Run]) -> None:
    runs, _ = first
    training = _rows(runs, "photoz_sample").filter(pc.field("split") == "training")
    errors: dict[bool, list[float]] = {True: [], False: []}
    for tract in FIELD_TRACTS:
        catalog, galaxies = (_rows(runs, table, tract) for table in ("photoz_catalog", "matched_galaxies"))
        assert catalog.column("object_id").equals(galaxies.column("mt_match_objectId"))
        assert catalog.column("z_median").null_count == pc.sum(pc.invert(catalog.column("has_bands"))).as_py()
        assert pc.mean(catalog.column("is_covered")).as_py() > 0.9
        known = galaxies.column("ts_redshift").to_pylist()
        columns = (catalog.column(name).to_pylist() for name in ("z_median", "is_training"))
        for true, estimate, is_training in zip(known, *columns, strict=True):
            if estimate is not None:
                errors[is_training].append((estimate - true) / (1 + true))
    # Of the training set, those that a band has not observed were not trained on.
    assert 0.97 * training.num_rows < len(errors[True]) <= training.num_rows
    trained_on, others = (np.median(np.abs(errors[kind])) for kind in (True, False))
    assert trained_on == pytest.approx(others, rel=0.2)


def test_estimates_out_of_bag_are_those_of_the_sample(first: tuple[Runs, Run]) -> None:
    """The catalogue computes magnitudes of fluxes, the sample has them: what comes out is the same to the bit."""
    runs, _ = first
    catalog = duckdb.from_arrow(_rows(runs, "photoz_catalog", TRACT))
    estimates = duckdb.from_arrow(_rows(runs, "photoz_estimates").filter(pc.field("tract") == TRACT))
    both = catalog.set_alias("c").join(estimates.set_alias("e"), "c.object_id = e.object_id")
    [(number, same)] = both.aggregate(
        "count(*), count(*) FILTER (WHERE (c.z_median, c.z_q95, c.z_mode, c.is_covered) IS NOT DISTINCT FROM "
        "(e.z_median, e.z_q95, e.z_mode, e.is_covered))"
    ).fetchall()
    assert number == same > 100


def _refused(runs: Runs, check: str, asset: str, tract: int | None = None, **keywords: Any) -> Run:
    """Run what is to be refused by a check; see that the last good table stays."""
    place = runs.lake.table(asset, tract)
    former = place.read_bytes()
    run = runs(asset, tract=tract, **keywords)
    assert not run.success
    assert [name for name, found in run.checks.items() if not found.passed] == [check]
    assert place.read_bytes() == former
    return run


SWAPPED = "CASE split WHEN 'test' THEN 'training' WHEN 'training' THEN 'test' ELSE split END"
# A galaxy of another key is of another split.
OTHER_KEY = "source_key || '0'"
PERMUTED = "first_value(redshift) OVER (ORDER BY md5(source_key || split) ROWS 300 PRECEDING)"


def _of(function: Callable[..., Any], change: str) -> Callable[..., Any]:
    """Return a function that is given a changed sample."""
    return lambda sample, *arguments, **keywords: function(sample.project(change), *arguments, **keywords)


def test_what_is_wrong_is_refused_by_its_check_and_the_last_good_ones_stay(
    drawn: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as fault:
        fault.setattr(redshifts, "fit_sample", _of(fit_sample, f"* REPLACE ({PERMUTED} AS redshift)"))
        _refused(drawn, "informative", "photoz_model", resources=SMALL)
    with monkeypatch.context() as fault:
        fault.setattr(
            redshifts, "catalog_rows", lambda *arguments: (rows[1:] for rows in catalog_rows(*arguments))
        )
        _refused(drawn, "accounted", "photoz_catalog", tract=TRACT)
    with monkeypatch.context() as fault:
        # A model that was trained on the test set can tell of nothing; what is made of it can.
        fault.setattr(redshifts, "fit_sample", _of(fit_sample, f"* REPLACE ({SWAPPED} AS split)"))
        assert drawn("photoz_model", resources=SMALL).success
    refused = _refused(drawn, "splits_disjoint", "photoz_estimates")
    assert all(row["is_training"] == "True" for row in refused.checks["splits_disjoint"].offending_rows)
    with monkeypatch.context() as fault:
        fault.setattr(
            redshifts,
            "judged_estimates",
            _of(judged_estimates, f"* REPLACE ({OTHER_KEY} AS source_key)"),
        )
        _refused(drawn, "splits_disjoint", "photoz_estimates")

    estimates = _rows(drawn, "photoz_estimates")
    place = estimates.schema.get_field_index("is_training")
    trained_on = estimates.set_column(place, "is_training", pa.array([True] + [False] * (len(estimates) - 1)))
    provenance = partial(drawn.lake.provenance, "photoz_estimates")
    publish(drawn.lake, stage(drawn.lake, PHOTOZ_ESTIMATES, [trained_on], provenance))
    refused = _refused(drawn, "splits_disjoint", "photoz_quality")
    assert "1 galaxies are not of the test set, or were trained on" in refused.failure


def test_another_estimator_of_fewer_bands_leaves_no_galaxy_without_a_word(drawn: Runs) -> None:
    other = {"estimator": {"estimator": "neighbours", "bands": ["g", "r", "i"]}}
    made = drawn("photoz_model", resources=other)
    assert made.metadata("photoz_model")["estimator"] == "neighbours"
    model = separated(_rows(drawn, "photoz_model"))["representative"]
    assert model.facts.features == ("mag_g", "mag_r", "mag_i", "color_gr", "color_ri")
    assert drawn("photoz_catalog", tract=TRACT).success
    catalog, former = _rows(drawn, "photoz_catalog", TRACT), drawn.lake.provenance("photoz_catalog", TRACT)
    assert pc.all(catalog.column("has_bands")).as_py()
    assert catalog.column("z_median").null_count == 0
    assert str(former.estimator).startswith("neighbours on gri, colours")
    refused = drawn("photoz_model", resources={"estimator": {"estimator": "bpz"}})
    assert "there is no estimator 'bpz': it is one of forest, neighbours" in refused.failure


def test_nothing_is_made_again_that_need_not_be(drawn: Runs) -> None:
    """A tract made again with the same rows: the same sample and model; only what has changed follows."""
    definitions = build_definitions(resources={"lake": LakeResource(data_dir=str(drawn.lake.root))})
    followers = dg.AssetSelection.assets("photoz_model", "photoz_estimates", "photoz_catalog")
    tract_is_new = dg.AssetMaterialization("matched_galaxies", partition=str(TRACT))
    cursor: Any = None

    def requested() -> dict[str, set[str]]:
        nonlocal cursor
        ticked = dg.evaluate_automation_conditions(
            definitions, instance=drawn.instance, asset_selection=followers, cursor=cursor
        )
        cursor = ticked.cursor
        found: dict[str, set[str]] = {}
        for result in ticked.results:
            subset = result.true_subset
            if not subset.is_empty and isinstance(result.key, dg.AssetKey):
                keys = subset.expensively_compute_partition_keys() if subset.is_partitioned else {""}
                found[result.key.to_user_string()] = set(keys)
        return found

    drawn.instance.report_runless_asset_event(tract_is_new)
    chain = ("photoz_sample", "photoz_model", "photoz_estimates")
    first = drawn("photoz_galaxies", *chain, "photoz_catalog", tract=TRACT, resources=SMALL)
    # It is of the same rows as the one that the lake came with.
    assert first.metadata("photoz_model")["fitted"] is False
    requested()

    again = drawn("photoz_galaxies", *chain, tract=TRACT, resources=SMALL)
    assert again.metadata("photoz_model")["fitted"] is False
    assert [_version(again, asset) for asset in chain] == [_version(first, asset) for asset in chain]
    assert requested() == {}

    drawn.instance.report_runless_asset_event(tract_is_new)
    assert requested() == {"photoz_catalog": {str(TRACT)}}

    drawn.lake.table("photoz_galaxies", FIELD_TRACTS[0]).unlink()
    assert drawn("photoz_sample").success
    assert {"photoz_model", "photoz_estimates"} <= requested().keys()
    fewer = drawn("photoz_model", "photoz_estimates", resources=SMALL)
    assert fewer.metadata("photoz_model")["fitted"] is True
    assert _version(fewer, "photoz_model") != _version(again, "photoz_model")
    assert str(TRACT) in requested()["photoz_catalog"]


CHAIN = ("photoz_galaxies", "photoz_sample", "photoz_model", "photoz_estimates", "photoz_catalog")


def _tract_of(table: str) -> int | None:
    return TRACT if table in {"photoz_galaxies", "photoz_catalog"} else None


def _stopping(table: str) -> Callable[[Path, Path], None]:
    """Put files in their place until it is a table's turn."""

    def put(written: Path, destination: Path) -> None:
        if destination.stem == table:
            raise OSError(errno.EIO, "the disk fails")
        put_in_place(written, destination)

    return put


def test_what_stops_at_any_table_leaves_the_last_good_one_and_ends_as_if_made_from_scratch(
    drawn: Runs, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tract is removed and another refreshed; run after run is stopped, each a table later."""
    drawn.lake.table("photoz_galaxies", FIELD_TRACTS[0]).unlink()
    for number, table in enumerate(CHAIN):
        # The last two are made of the model, and not of each other.
        stays = CHAIN[number:] if number < len(CHAIN) - 2 else (table,)
        former = {each: drawn.lake.table(each, _tract_of(each)).read_bytes() for each in stays}
        with monkeypatch.context() as fault:
            fault.setattr(folder_publisher, "put_in_place", _stopping(table))
            assert not drawn(*CHAIN, tract=TRACT, resources=SMALL).success
        for each, content in former.items():
            assert drawn.lake.table(each, _tract_of(each)).read_bytes() == content, (table, each)
    ended = drawn(*CHAIN, tract=TRACT, resources=SMALL)
    assert ended.success
    assert ended.metadata("photoz_model")["fitted"] is False
    assert list(drawn.lake.staging.iterdir()) == []

    scratch = Runs(published.url, tmp_path / "scratch")
    for tract in FIELD_TRACTS[1:]:
        place = scratch.lake.table("matched_galaxies", tract)
        place.parent.mkdir(parents=True)
        shutil.copy(drawn.lake.table("matched_galaxies", tract), place)
    others = [tract for tract in FIELD_TRACTS[1:] if tract != TRACT]
    assert all(scratch("photoz_galaxies", tract=tract).success for tract in others)
    made = scratch(*CHAIN, tract=TRACT, resources=SMALL)
    assert made.metadata("photoz_model")["fitted"] is True
    for table in CHAIN:
        assert rows_digest(_rows(drawn, table, _tract_of(table))) == rows_digest(
            _rows(scratch, table, _tract_of(table))
        )
    assert _version(ended, "photoz_model") == _version(made, "photoz_model")
