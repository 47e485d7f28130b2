"""The simulated sky: the same rows whatever was made before, whole joins, and numbers like DC2's."""

import hashlib
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from photoz_archive.sky.identifiers import tract_of_object_id
from photoz_archive.sky.store import TABLES, SkyStore
from photoz_assets.survey.skymap import DC2_RINGS

TRACTS = (3637, 3638, 3831)


def _digests(store: SkyStore, tracts: tuple[int, ...]) -> dict[str, str]:
    return {
        f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for table in TABLES
        for path in store.files(table, tracts)
    }


def _make(folder: Path) -> None:
    SkyStore(folder, density=0.003).ensure((3638,))


def test_tracts_are_the_same_whatever_their_order(tmp_path: Path) -> None:
    first, second = SkyStore(tmp_path / "a", density=0.003), SkyStore(tmp_path / "b", density=0.003)
    first.ensure((3637, 3638))
    second.ensure((3638,))
    second.ensure((3637,))
    assert _digests(first, (3637, 3638)) == _digests(second, (3637, 3638))


def test_a_forgotten_tract_is_made_again_as_it_was(tmp_path: Path) -> None:
    store = SkyStore(tmp_path, density=0.003)
    store.ensure(TRACTS[:2])
    before = _digests(store, TRACTS[:2])
    store.forget(TRACTS[0])
    store.forget(TRACTS[0])
    assert list(tmp_path.rglob(f"{TRACTS[0]}/*")) == []
    assert store.estimated_bytes(TRACTS[:2]) == store.estimated_bytes(TRACTS[:1]) > 0
    store.ensure(TRACTS[:1])
    assert _digests(store, TRACTS[:2]) == before


def test_two_processes_that_make_one_tract_leave_it_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    makers = [context.Process(target=_make, args=(tmp_path / "shared",)) for _ in range(2)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(120)
        assert maker.exitcode == 0
    _make(tmp_path / "alone")
    shared, alone = (SkyStore(tmp_path / name, density=0.003) for name in ("shared", "alone"))
    assert _digests(shared, (3638,)) == _digests(alone, (3638,))


def test_threads_of_one_process_make_one_tract_at_a_time(tmp_path: Path) -> None:
    store = SkyStore(tmp_path, density=0.003)
    under_way = set()
    with ThreadPoolExecutor(len(TRACTS)) as pool:
        made = [pool.submit(store.ensure, (tract,)) for tract in TRACTS]
        while not all(answer.done() for answer in made):
            under_way.add(len(list(tmp_path.glob("*/*.unfinished"))))
    for answer in made:
        answer.result()
    assert under_way <= {0, 1}
    assert len(store.files("Object", TRACTS)) == len(TRACTS)


def test_what_a_killed_maker_left_is_not_read(tmp_path: Path) -> None:
    store = SkyStore(tmp_path, density=0.003)
    store.ensure((3638,))
    [file] = store.files("Object", (3638,))
    unfinished = file.parent.with_name("3637.unfinished")
    unfinished.mkdir()
    (unfinished / "Object.parquet").write_bytes(b"half a file")
    with pytest.raises(FileNotFoundError, match="3637"):
        store.files("Object", (3637,))
    store.ensure((3637,))
    [made] = store.files("Object", (3637,))
    assert pq.read_metadata(made).num_rows > 1000


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """Views of the three tables over the seed's tracts, at a twentieth of the real density."""
    store = SkyStore(tmp_path_factory.mktemp("dense"), density=0.05, tracts=TRACTS)
    store.ensure(TRACTS)
    connection = duckdb.connect()
    for table in TABLES:
        connection.read_parquet([str(path) for path in store.files(table, TRACTS)]).create_view(table)
    return connection


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[float, ...]:
    [row] = connection.execute(sql).fetchall()
    return tuple(row)


def test_every_match_names_one_primary_object_of_its_tract_nearby(field: duckdb.DuckDBPyConnection) -> None:
    matched, joined, objects, primary, far = _one(
        field,
        "SELECT (SELECT count(*) FROM MatchesTruth WHERE match_objectId IS NOT NULL), count(*), "
        "count(DISTINCT o.objectId), count(*) FILTER (WHERE o.detect_isPrimary), count(*) FILTER (WHERE "
        "greatest(abs(t.dec - o.coord_dec), abs(t.ra - o.coord_ra) * cos(radians(t.dec))) * 3600 > 0.5) "
        "FROM MatchesTruth m JOIN TruthSummary t USING (id_truth_type) JOIN Object o ON m.match_objectId = o.objectId",
    )
    assert matched == joined == objects == primary > 10_000
    assert far == 0


def test_object_ids_tell_their_tract(field: duckdb.DuckDBPyConnection) -> None:
    for object_id, tract in field.execute("SELECT objectId, tract FROM Object USING SAMPLE 200 ROWS").fetchall():
        assert tract_of_object_id(object_id) == tract


def test_primary_objects_lie_in_their_tract_and_patch(field: duckdb.DuckDBPyConnection) -> None:
    rows = field.execute(
        "SELECT coord_ra, coord_dec, tract, patch FROM Object WHERE detect_isPrimary USING SAMPLE 2000 ROWS"
    ).fetchnumpy()
    tract, patch = DC2_RINGS.tract_and_patch(np.asarray(rows["coord_ra"]), np.asarray(rows["coord_dec"]))
    assert (tract == rows["tract"]).all()
    assert (patch == rows["patch"]).all()


def test_the_notebooks_field_has_the_notebooks_density_of_galaxies(field: duckdb.DuckDBPyConnection) -> None:
    cuts = " AND ".join(
        f"o.{band}_cModelFlux > 144.5439770745925 AND o.{band}_cModelFlux < 575439.9373371566" for band in "gri"
    )
    [galaxies] = _one(
        field,
        "SELECT count(*) FROM MatchesTruth m JOIN TruthSummary t USING (id_truth_type) "
        f"JOIN Object o ON m.match_objectId = o.objectId WHERE t.truth_type = 1 AND o.detect_isPrimary AND {cuts} "
        "AND o.refExtendedness IS NOT NULL",
    )
    area_deg2 = sum(DC2_RINGS.inner_box(tract).area_deg2 for tract in TRACTS)
    # 132,588 galaxies in a cone of 0.5 deg; the tracts hold enough of them for a tolerance of 5 %.
    assert galaxies / area_deg2 / 0.05 == pytest.approx(132_588 / 0.7854, rel=0.05)


def test_population_is_like_dc2s(field: duckdb.DuckDBPyConnection) -> None:
    bright = "truth_type = 1 AND 31.4 - 2.5 * log10(flux_i) < 25.3"
    median_redshift, highest = _one(
        field, f"SELECT median(redshift), max(redshift) FROM TruthSummary WHERE {bright}"
    )
    assert median_redshift == pytest.approx(0.885, abs=0.05)
    assert highest < 3.11
    nulls, negative, unknown, nan = _one(
        field,
        "SELECT avg((g_cModelFlux IS NULL)::INT), avg((u_cModelFlux < 0)::INT), avg((refExtendedness IS NULL)::INT), "
        "count(*) FILTER (WHERE isnan(g_cModelFlux)) FROM Object WHERE detect_isPrimary",
    )
    assert 0.001 < nulls < 0.02
    assert 0.05 < negative < 0.3
    assert 0.002 < unknown < 0.05
    assert nan == 0


def test_density_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="density"):
        SkyStore(tmp_path, density=1.5)
