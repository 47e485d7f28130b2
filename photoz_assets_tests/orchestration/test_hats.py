"""The galaxies as a HATS collection: what LSDB reads is what the lake holds. `make hats` has what it takes."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets import connect
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.photoz.exports import RIGHTS_FILE
from photoz_assets.photoz.hats_collection import PROFILE
from photoz_assets.survey.releases.dp02 import RELEASE
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.runs import Run, Runs
from photoz_assets_tests.samples import galaxies, store

TRACTS = (3637, 3638, 3831)
ROWS = 2_000
OBJECT_ID = RELEASE.columns.object_id


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs on a lake of three tracts, two of which are neighbours; nothing of them asks an archive."""
    runs = Runs("http://127.0.0.1:1/tap", tmp_path_factory.mktemp("hats") / "lake")
    for tract in TRACTS:
        store(runs.lake, galaxies(ROWS, tract=tract, seed=tract), _provenance(tract))
    return runs


def _provenance(tract: int, selection: Selection | None = None) -> Provenance:
    return Provenance(
        table=MATCHED_GALAXIES.table,
        code_version=MATCHED_GALAXIES.code_version,
        archive=ArchiveIdentity.declared(RELEASE.schema, 'A "real" one\\two', {}),
        selection=selection or Selection(),
        tract=tract,
        run_id=f"run-{tract}",
        created="2026-11-27T00:00:00+00:00",
        rights=RELEASE.rights,
        citation=RELEASE.citation,
    )


def _made(runs: Runs) -> Run:
    return runs("galaxies_hats", job="export_hats")


def _folder(lake: Lake) -> Path:
    return lake.export(PROFILE, MATCHED_GALAXIES.table)


def test_lake_without_a_tract_says_what_to_materialize(tmp_path: Path) -> None:
    run = _made(Runs("http://127.0.0.1:1/tap", tmp_path / "lake"))
    assert "the lake holds no tract yet: materialize matched_galaxies first" in run.failure


def test_tracts_of_two_selections_are_refused_by_name(tmp_path: Path) -> None:
    runs = Runs("http://127.0.0.1:1/tap", tmp_path / "lake")
    for tract, selection in zip(TRACTS, (Selection(), Selection(), Selection(bright_limit_mag=20)), strict=True):
        store(runs.lake, galaxies(10, tract=tract), _provenance(tract, selection))
    assert "the tracts are of 2 selections" in (failure := _made(runs).failure)
    assert "tract 3637, 3638" in failure


def test_missing_extra_is_named_in_a_line(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hats_import", None)
    failure = _made(runs).failure
    assert failure.startswith("hats_import and lsdb are not installed: pip install 'photoz_assets[hats]'")
    assert "\n" not in failure


@dataclass(frozen=True)
class Collection:
    """A collection of many small pixels, and the run that made it."""

    lake: Lake
    run: Run
    lines: tuple[str, ...]

    def opened(self, *, margin: bool = True) -> Any:
        """Open it with LSDB, or its catalogue alone."""
        lsdb, folder = pytest.importorskip("lsdb"), _folder(self.lake)
        return lsdb.open_catalog(folder if margin else folder / folder.name)


@pytest.fixture(scope="module")
def collection(runs: Runs) -> Collection:
    pytest.importorskip("hats_import")
    pytest.importorskip("lsdb")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("photoz_assets.photoz.hats_collection.PIXEL_ROWS", 300)
        run = _made(runs)
    assert run.success
    lines = [entry.user_message for entry in runs.instance.all_logs(run.result.run_id)]
    return Collection(runs.lake, run, tuple(lines))


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.select(MATCHED_GALAXIES.names).sort_by(OBJECT_ID).combine_chunks()


def test_lsdb_reads_the_lakes_rows_each_once(collection: Collection) -> None:
    held = connect(collection.lake.root).sql("SELECT * EXCLUDE (tract) FROM matched_galaxies").to_arrow_table()
    read = pa.Table.from_pandas(collection.opened().compute(), preserve_index=False)
    schema = pa.schema(
        [pa.field(name, MATCHED_GALAXIES.schema.field(name).type) for name in MATCHED_GALAXIES.names]
    )
    assert read.num_rows == ROWS * len(TRACTS) == collection.run.metadata("galaxies_hats")["rows"]
    assert _sorted(read.select(MATCHED_GALAXIES.names).cast(schema)).equals(_sorted(held.cast(schema)))
    assert collection.run.checks["collection_clean"].passed


def test_collection_is_valid_and_its_columns_have_units(collection: Collection) -> None:
    validation = pytest.importorskip("hats.io.validation")
    folder = _folder(collection.lake)
    assert validation.is_valid_collection(folder, strict=True)
    ra = pq.read_schema(folder / folder.name / "dataset" / "_common_metadata").field(RELEASE.columns.position[0])
    assert ra.metadata[b"unit"] == b"deg"
    # What names the folder in which it was written would lead nowhere.
    named = [path for path in folder.rglob("*properties") if ".staged" in path.read_text()]
    assert not named
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, RIGHTS_FILE}


def test_properties_say_what_the_collection_is_of(collection: Collection) -> None:
    properties = collection.opened().hc_structure.catalog_info.extra_dict()
    provenance = Provenance.from_json(properties["photoz_assets_provenance"])
    assert provenance.inputs == tuple(_provenance(tract).identity for tract in TRACTS)
    assert (provenance.table, provenance.archive) == ("galaxies_hats", _provenance(1).archive)
    assert (provenance.rights, provenance.citation) == (RELEASE.rights, RELEASE.citation)
    assert properties["photoz_assets_release"] == "dp02"
    assert properties["obs_description"] == RELEASE.text_of(Selection())
    assert RELEASE.citation in properties["obs_copyright"]


def test_crossmatch_finds_each_galaxy_also_across_a_pixels_border(collection: Collection) -> None:
    lsdb = pytest.importorskip("lsdb")
    catalog, rng = collection.opened(), np.random.default_rng(1)
    ra, dec = RELEASE.columns.position
    places = catalog.compute()[[OBJECT_ID, ra, dec]]
    away, towards = 5 / 3600, rng.uniform(0, 2 * np.pi, len(places))
    moved = places.rename(columns={OBJECT_ID: "wanted"}).assign(
        ra=places[ra] + away * np.cos(towards) / np.cos(np.radians(places[dec])),
        dec=places[dec] + away * np.sin(towards),
    )
    others = lsdb.from_dataframe(
        moved[["wanted", "ra", "dec"]], ra_column="ra", dec_column="dec", catalog_name="others"
    )

    def found(ours: Any) -> int:
        pairs = others.crossmatch(
            ours, radius_arcsec=6, n_neighbors=5, suffix_method="overlapping_columns"
        ).compute()
        return int((pairs["wanted"] == pairs[OBJECT_ID]).sum())

    assert found(catalog) == ROWS * len(TRACTS)
    assert found(collection.opened(margin=False)) < ROWS * len(TRACTS)


def test_how_to_runs(collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to.md").read_text()
    [code] = re.findall(r"^```py\nimport lsdb\n(?:.*\n)*?```$", page, re.MULTILINE)
    (tmp_path / "data").symlink_to(collection.lake.root)
    monkeypatch.chdir(tmp_path)
    ra, dec = RELEASE.columns.position
    held = connect(collection.lake.root).sql(f"SELECT {ra} AS ra, {dec} AS dec FROM matched_galaxies LIMIT 100")
    (tmp_path / "page.py").write_text("\n".join(code.splitlines()[1:-1]))
    assert len(run_path(str(tmp_path / "page.py"), {"positions": held.df()})["pairs"]) == 100


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows.slice(1), "5,999 rows of 6,000; other rows than the lake's"),
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), "1 rows repeat an object"),
    ],
    ids=["lost", "doubled"],
)
def test_wrong_collection_is_refused_and_the_last_good_one_stays(
    collection: Collection,
    runs: Runs,
    spoil: Callable[[pa.Table], pa.Table],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = pytest.importorskip("hats_import.pipeline")
    former, write = _folder(collection.lake).resolve(), pipeline.pipeline_with_client

    def spoiled(arguments: Any, client: Any) -> None:
        serving = [client.cluster.scheduler, *client.cluster.workers.values()]
        assert {server.http_server.address for server in serving} == {"127.0.0.1"}
        write(arguments, client)
        [first, *_] = sorted(Path(arguments.catalog_path).rglob("Npix=*.parquet"))
        pq.write_table(spoil(pq.ParquetFile(first).read()), first)

    monkeypatch.setattr(pipeline, "pipeline_with_client", spoiled)
    run = _made(runs)
    assert not run.checks["collection_clean"].passed
    assert said in run.failure
    assert _folder(collection.lake).resolve() == former
    stored = duckdb.connect().read_parquet(f"{former}/{former.name}/dataset/**/Npix=*.parquet")
    assert stored.aggregate("count(*)").fetchall() == [(ROWS * len(TRACTS),)]


def test_progress_is_logged(collection: Collection) -> None:
    assert any("Mapping" in line for line in collection.lines)
