import base64
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from photoz_assets.photoz.coverage import Coverage
from photoz_assets.photoz.estimators.estimator import Estimator, estimate
from photoz_assets.photoz.estimators.forest import Forest
from photoz_assets.photoz.estimators.neighbours import Neighbours
from photoz_assets.photoz.model import FittedModel, ModelFacts, ModelFileError
from photoz_assets_tests.photoz.mock_galaxies import mock_galaxies

TRAINING: Final = mock_galaxies(1_000, seed=1)
VALIDATION: Final = mock_galaxies(500, seed=2)
TEST: Final = mock_galaxies(500, seed=3)


def _fitted(estimator: Estimator) -> FittedModel:
    return FittedModel(
        model=estimator.fit(TRAINING, VALIDATION),
        coverage=Coverage.of(TRAINING.features, (0, 2, 3)),
        facts=ModelFacts(
            kind=estimator.kind,
            features=("mag_i", "color_ug", "color_gr", "color_ri", "color_iz", "color_zy"),
            bands=("u", "g", "r", "i", "z", "y"),
            photometry="cModel",
            dereddened=False,
            sample_digest="0123456789ab",
            num_training=len(TRAINING),
            num_validation=len(VALIDATION),
        ),
    )


@pytest.fixture(scope="module")
def forest() -> FittedModel:
    return _fitted(Forest(trees=10))


@pytest.mark.parametrize("estimator", [Forest(trees=10), Neighbours()], ids=lambda estimator: estimator.kind)
def test_a_stored_model_estimates_the_same_to_the_bit(estimator: Estimator, tmp_path: Path) -> None:
    fitted = _fitted(estimator)
    fitted.write(tmp_path / "model.parquet")
    read = FittedModel.read(tmp_path / "model.parquet")
    assert read.facts == fitted.facts
    assert read.digest == fitted.digest
    assert read.model.parameters == fitted.model.parameters
    rows = np.arange(len(TRAINING))
    for features, training_rows in ((TEST.features, None), (TRAINING.features, rows)):
        expected, found = (estimate(each.model, features, training_rows=training_rows) for each in (fitted, read))
        np.testing.assert_array_equal(found.quantiles, expected.quantiles)
        np.testing.assert_array_equal(found.mode, expected.mode)
    np.testing.assert_array_equal(read.coverage.covers(TEST.features), fitted.coverage.covers(TEST.features))


def test_a_stored_forest_needs_no_scikit_learn(forest: FittedModel, tmp_path: Path) -> None:
    forest.write(tmp_path / "model.parquet")
    np.save(tmp_path / "features.npy", TEST.features, allow_pickle=False)
    script = """
import sys
sys.modules["sklearn"] = None
import numpy as np
from photoz_assets.photoz.estimators.estimator import estimate
from photoz_assets.photoz.model import FittedModel
found = estimate(FittedModel.read(sys.argv[1]).model, np.load(sys.argv[2]))
np.save(sys.argv[3], found.quantiles)
"""
    names = [str(tmp_path / name) for name in ("model.parquet", "features.npy", "found.npy")]
    subprocess.run([sys.executable, "-c", script, *names], check=True)
    np.testing.assert_array_equal(np.load(names[-1]), estimate(forest.model, TEST.features).quantiles)


def test_the_same_fit_gives_the_same_file(forest: FittedModel, tmp_path: Path) -> None:
    again = _fitted(Forest(trees=10))
    forest.write(tmp_path / "one.parquet")
    again.write(tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_the_digest_is_of_what_is_estimated_and_not_of_where_it_is_from(forest: FittedModel) -> None:
    elsewhere = replace(forest, facts=replace(forest.facts, versions={"numpy": "9"}))
    assert elsewhere.digest == forest.digest
    assert _fitted(Forest(trees=10, seed=2)).digest != forest.digest


class _Mine:
    """Unpickled, it makes a file."""

    def __init__(self, made: Path) -> None:
        self._made = made

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self._made,)


def _with_row(table: pa.Table, name: str, **changed: object) -> pa.Table:
    rows = [{**row, **changed} if row["name"] == name else row for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, schema=table.schema)


def test_no_pickle_is_read(forest: FittedModel, tmp_path: Path) -> None:
    made, path = tmp_path / "made", tmp_path / "model.parquet"
    mine = pickle.dumps(_Mine(made))
    path.write_bytes(mine)
    with pytest.raises(ModelFileError, match="is no model: fit it again"):
        FittedModel.read(path)
    for kind in ("|O", "object", "O8"):
        pq.write_table(
            _with_row(forest.to_table(), "model.child", type=kind, values=base64.b64encode(mine).decode()), path
        )
        with pytest.raises(ModelFileError, match=f"model.child is of type .*{kind[-1]}, no number"):
            FittedModel.read(path)
    assert not made.exists()
    # It would have told.
    pickle.loads(mine)  # noqa: S301 - the test's own
    assert made.exists()


def _first_leaf(child: NDArray[Any]) -> int:
    return int(np.flatnonzero(child == np.arange(len(child)))[0])


def _changed(forest: FittedModel, name: str, row: int, value: float) -> pa.Table:
    array = forest.model.arrays[name].copy()
    array[row] = value
    return _with_row(forest.to_table(), f"model.{name}", values=base64.b64encode(array.tobytes()).decode())


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("child", 3, 0),
        ("child", 0, 2_000_000),
        ("child", -1, -5),
        ("root", 0, -1),
        ("root", 0, 2_000_000),
        ("feature", 0, 200),
        ("place", 0, 321),
        ("count", 0, 0),
        ("first", 1, 60_000),
        ("first", 0, 1),
        ("first", -1, 0),
        ("threshold", 0, np.nan),
    ],
)
def test_a_forest_that_no_fit_gives_is_refused(forest: FittedModel, name: str, row: int, value: float) -> None:
    with pytest.raises(ModelFileError, match=r"makes no sense .*: fit it again"):
        FittedModel.from_table(_changed(forest, name, row, value))


def test_a_leaf_that_sends_galaxies_on_is_refused(forest: FittedModel) -> None:
    leaf = _first_leaf(forest.model.arrays["child"])
    with pytest.raises(ModelFileError, match="the arrays are no forest"):
        FittedModel.from_table(_changed(forest, "threshold", leaf, 1.0))


@pytest.mark.parametrize("name", ["root", "feature", "child", "first", "place", "count"])
def test_a_forest_of_numbers_of_another_type_is_refused(forest: FittedModel, name: str) -> None:
    floats = forest.model.arrays[name].astype("<f8")
    table = _with_row(
        forest.to_table(), f"model.{name}", type="<f8", values=base64.b64encode(floats.tobytes()).decode()
    )
    with pytest.raises(ModelFileError, match="the arrays are no forest"):
        FittedModel.from_table(table)


def test_a_coverage_of_features_that_the_model_lacks_is_refused(forest: FittedModel) -> None:
    with pytest.raises(ValueError, match="columns \\[0, 2, 3\\] of 3 features"):
        replace(forest, facts=replace(forest.facts, features=("mag_i", "color_ug", "color_gr")))


@pytest.mark.parametrize("name", ["model.child", "model.seen", "coverage.limit"])
def test_a_model_without_one_of_its_arrays_is_refused(forest: FittedModel, name: str) -> None:
    table = forest.to_table()
    lacking = pa.Table.from_pylist([row for row in table.to_pylist() if row["name"] != name], schema=table.schema)
    with pytest.raises(ModelFileError, match=name.split(".")[1]):
        FittedModel.from_table(lacking)


def test_a_table_of_something_else_is_refused() -> None:
    with pytest.raises(ModelFileError, match="holds no model"):
        FittedModel.from_table(pa.table({"name": ["model.child"]}))


def test_coverage_flags_what_is_far_from_all_that_was_trained_on(forest: FittedModel) -> None:
    assert np.mean(forest.coverage.covers(TRAINING.features)) >= 0.999
    assert np.mean(forest.coverage.covers(TEST.features)) > 0.98
    blue = TEST.features.copy()
    blue[:, 2] -= 4
    assert not forest.coverage.covers(blue).any()


def test_coverage_looks_only_at_the_features_that_count(forest: FittedModel) -> None:
    other = TEST.features.copy()
    other[:, 1] += 50
    np.testing.assert_array_equal(forest.coverage.covers(other), forest.coverage.covers(TEST.features))
