"""The sample: the smallest draws of each split, whatever came in which order and however it is spread."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pytest

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import InvalidTableFileError, Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.galaxies import tract_galaxies
from photoz_assets.photoz.sample import draw_sample
from photoz_assets.survey.sampling import SPLITS, Sampling
from photoz_assets_tests.dp02 import COLUMNS, PHOTOZ_GALAXIES, PHOTOZ_SAMPLE
from photoz_assets_tests.samples import galaxies

TRACTS = (3637, 3638, 3831)
ROWS = 300
SAMPLING = Sampling(sizes=(100, 30, 60))

Store: TypeAlias = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Store a tract's features. The keys of its galaxies begin with ``keys``, by default with the tract."""

    def stored(tract: int, *, keys: str = "", sampling: Sampling = SAMPLING) -> Path:
        names = [f"{keys or tract}{number}_1" for number in range(ROWS)]
        table = galaxies(ROWS, tract=tract, seed=tract, mt_id_truth_type=names)
        drawn = tract_galaxies(duckdb.from_arrow(table), PHOTOZ_GALAXIES, COLUMNS, tract, sampling)
        provenance = Provenance(table=PHOTOZ_GALAXIES.table, code_version="1", tract=tract)
        rows = drawn.rows.to_arrow_table()
        return publish(Lake(tmp_path), stage(Lake(tmp_path), PHOTOZ_GALAXIES, [rows], lambda: provenance))

    return stored


def _drawn(files: Mapping[int, Path], sampling: Sampling = SAMPLING) -> pa.Table:
    return draw_sample(files, PHOTOZ_SAMPLE, sampling).rows


def test_sample_is_the_smallest_draws_of_each_split_over_all_tracts(store: Store) -> None:
    files = {tract: store(tract) for tract in TRACTS}
    everything = duckdb.read_parquet([str(path) for path in files.values()], hive_partitioning=True)
    for split, size in zip(SPLITS, (100, 30, 60), strict=True):
        smallest = everything.filter(f"split = '{split}'").order("draw").limit(size)
        wanted = smallest.project("object_id, tract, draw, mag_i, redshift").fetchall()
        rows = duckdb.from_arrow(_drawn(files)).filter(f"split = '{split}'")
        assert rows.project("object_id, tract, draw, mag_i, redshift").fetchall() == wanted
        assert len(wanted) == size


def test_sample_is_the_same_whatever_the_order_of_tracts_and_from_scratch(store: Store) -> None:
    files = {tract: store(tract) for tract in TRACTS}
    backwards = {tract: store(tract) for tract in reversed(TRACTS)}
    assert _drawn(files).equals(_drawn(backwards))
    assert rows_digest(_drawn(files)) == rows_digest(_drawn(backwards))


def test_tract_that_is_added_displaces_rows_and_reshuffles_none(store: Store) -> None:
    files = {tract: store(tract) for tract in TRACTS}
    fewer = _drawn({tract: files[tract] for tract in TRACTS[:2]}).to_pylist()
    more = _drawn(files).to_pylist()
    stayed = [row for row in more if row["tract"] != TRACTS[2]]
    assert 0 < len(stayed) < len(more)
    assert [row for row in fewer if row in stayed] == stayed
    assert rows_digest(pa.Table.from_pylist(fewer)) != rows_digest(pa.Table.from_pylist(more))


def test_sizes_beyond_what_is_there_take_all_of_it(store: Store) -> None:
    files = {tract: store(tract) for tract in TRACTS}
    for sizes in (None, (10**6, 10**6, 10**6)):
        assert _drawn(files, Sampling(sizes=sizes)).num_rows == ROWS * len(TRACTS)


@pytest.mark.parametrize("split_by", ["galaxy", "patch", "tract"])
def test_galaxy_that_two_tracts_have_is_there_once(store: Store, split_by: str) -> None:
    """Split by tract, it would else be trained on and judged by."""
    sampling = Sampling(split_by=split_by, sizes=(200, 200, 200), seed=5)
    files = {tract: store(tract, keys="both", sampling=sampling) for tract in TRACTS}
    sample = draw_sample(files, PHOTOZ_SAMPLE, sampling)
    keys = sample.rows.column("source_key").to_pylist()
    assert len(set(keys)) == len(keys) == sample.came - sample.left_out["of another tract too"]
    assert sample.left_out["of another tract too"] > 0


def test_splits_by_tract_have_their_sizes_though_not_their_shares(store: Store) -> None:
    sampling = Sampling(split_by="tract", sizes=(250, 250, 250))
    files = {tract: store(tract, sampling=sampling) for tract in TRACTS}
    rows = duckdb.from_arrow(_drawn(files, sampling))
    tracts = dict(rows.aggregate("split, count(DISTINCT tract)", "split").fetchall())
    counts = dict(rows.aggregate("split, count(*)", "split").fetchall())
    assert sum(tracts.values()) == len(TRACTS), "a tract is in one split"
    assert set(counts.values()) == {250}


def test_damaged_head_is_refused_by_name(store: Store) -> None:
    path = store(TRACTS[0])
    whole = bytearray(path.read_bytes())
    whole[200] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InvalidTableFileError, match=r"photoz_galaxies\.parquet is no whole Parquet file"):
        _drawn({TRACTS[0]: path})
