"""The demo with the lake in an object store: the same tables as on a disk, and all that is made of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import dagster as dg
import duckdb
import h5py
import pyarrow as pa
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets import connect
from photoz_assets.commands.atlas import serve_atlas
from photoz_assets.environment import StoreUrl
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.provenance import PROVENANCE_KEY, Provenance, read_rows
from photoz_assets.lake.staging import publish, stage
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.exports import write_profile
from photoz_assets.photoz.profiles import PROFILES
from photoz_assets.photoz.sample import draw_sample
from photoz_assets.survey.contracts.photoz import photoz_galaxies_spec, photoz_sample_spec
from photoz_assets.survey.table import Contract
from photoz_assets_tests.conftest import THIN
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.object_store import BUCKET, ObjectStore, needs_object_store

pytestmark = [needs_object_store, pytest.mark.slow]

ROOT: Final = Path(__file__).parents[2]
PLACE: Final = StoreUrl(BUCKET, "demo")
DEMO: Final = "from photoz_assets.commands.cli import main; main()"


@dataclass(frozen=True)
class Demos:
    """Two demos of one archive, in a folder and in a store, with what machines other than the demo's are told."""

    folder: Path
    variables: Mapping[str, str]

    def lake(self, machine: str, versions: Mapping[str, int] | None = None) -> Lake:
        """Open the lake in the store as on a machine of a name."""
        os.environ["PHOTOZ_WORK_DIR"] = str(self.folder / machine)
        return open_lake(PLACE, versions=versions)

    def run(self, machine: str, *command: str) -> str:
        """Run a command on a machine of a name; give what it says."""
        variables = {**self.variables, "PHOTOZ_WORK_DIR": str(self.folder / machine)}
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout + done.stderr

    def versions(self, home: str) -> dict[tuple[str, str | None], str | None]:
        """Return the data version of each asset's newest materialization."""
        with dg.DagsterInstance.local_temp(str(self.folder / home)) as instance:
            events = [
                record.asset_materialization
                for key in instance.all_asset_keys()
                for record in instance.fetch_materializations(key, limit=10).records
            ]
        return {
            (event.asset_key.to_user_string(), event.partition): (event.tags or {}).get("dagster/data_version")
            for event in reversed(events)
            if event is not None
        }


@pytest.fixture(scope="module")
def demos(
    sky_folder: Path, tmp_path_factory: pytest.TempPathFactory, object_store: ObjectStore
) -> Iterator[Demos]:
    folder = tmp_path_factory.mktemp("demos")
    with ArchiveServer(sky_folder, density=THIN) as archive, pytest.MonkeyPatch.context() as patch:
        usual = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PHOTOZ_TAP_URL": archive.url,
        }
        in_store = {**usual, **object_store.variables, "PHOTOZ_DATA_DIR": str(PLACE)}
        places = {
            "on disk": {**usual, "PHOTOZ_DATA_DIR": str(folder / "lake")},
            "in store": {**in_store, "PHOTOZ_WORK_DIR": str(folder / "demo")},
        }
        running = {}
        for name, variables in places.items():
            (folder / name).mkdir()
            running[name] = subprocess.Popen(
                [sys.executable, "-c", DEMO, "demo"],
                cwd=ROOT,
                env={**variables, "DAGSTER_HOME": str(folder / name)},
                stdout=(folder / f"{name}.log").open("wb"),
                stderr=subprocess.STDOUT,
            )
        for name, demo in running.items():
            assert demo.wait(600) == 0, (folder / f"{name}.log").read_text()[-3000:]
        for name, value in object_store.variables.items():
            patch.setenv(name, value)
        patch.setenv("PHOTOZ_WORK_DIR", str(folder / "test"))
        yield Demos(folder, {**in_store, "DAGSTER_HOME": str(folder / "in store")})


def test_demo_makes_the_same_as_on_a_disk(demos: Demos) -> None:
    said = (demos.folder / "in store.log").read_text()
    assert "FAIL" not in said
    assert f"{PLACE}/matched_galaxies/tract=3638/" in said
    with connect(demos.folder / "lake") as on_disk, connect(str(PLACE)) as in_store:
        names = [name for (name,) in on_disk.execute("SHOW TABLES").fetchall()]
        assert names == [name for (name,) in in_store.execute("SHOW TABLES").fetchall()]
        assert len(names) == 16
        for name in names:
            one, other = on_disk.view(name), in_store.view(name)
            assert one.columns == other.columns
            rows, others = (_comparable(table) for table in (one, other))
            assert rows.equals(others), name
            assert rows_digest(rows) == rows_digest(others), name
    assert demos.versions("on disk") == demos.versions("in store")


def test_other_machines_find_all_of_it_whole(demos: Demos, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(demos.run("other", "-c", DEMO, "status", "--verify", "--check", "--json"))
    assert found["damaged"] == []
    assert found["exports"] == {"pz_challenge": 2, "pz_server": 1, "qp": 1, "rail": 3, "txpipe": 2}
    lake = demos.lake("other")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    said: list[str] = []
    # It brings the pages to this machine, and then serves them until it is interrupted.
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: None)
    serve_atlas(lake, port=port, log=said.append)
    assert str(port) in said[0]
    made = {
        path.relative_to(demos.folder / "lake" / "atlas") for path in (demos.folder / "lake" / "atlas").rglob("*")
    }
    assert {path.relative_to(lake.atlas) for path in lake.atlas.rglob("*")} == made
    link = "../../index.html"
    assert link in (lake.atlas / "tracts" / "3638" / "index.html").read_text()


def test_atlas_is_brought_up_to_date_from_another_machine(demos: Demos) -> None:
    materialize = ("-m", "dagster", "asset", "materialize", "-m", "photoz_assets.definitions", "--select", "atlas")
    assert "0 of 157 tracts have a new page" in demos.run("new", *materialize)
    lake = demos.lake("third")
    figure = lake.kept.recall(lake.figure("diagnostics", "redshifts", 3638))
    shutil.copy(lake.kept.recall(lake.figure("diagnostics", "redshifts", 3637)), figure)
    lake.kept.keep(figure, figure)
    assert "1 of 157 tracts have a new page" in demos.run("new", *materialize)
    page = lake.atlas / "tracts" / "3638"
    shown = lake.kept.recall(page / "diagnostics-redshifts.png")
    assert shown.read_bytes() == figure.read_bytes()


def test_training_sets_are_made_again_from_the_versions_that_they_name(demos: Demos, tmp_path: Path) -> None:
    lake = demos.lake("test")
    former = lake.kept.recall(lake.export("rail", "training.hdf5")).read_bytes()
    with h5py.File(lake.export("rail", "training.hdf5")) as file:
        provenance = Provenance.from_json(str(file.attrs[PROVENANCE_KEY.decode()]))
    assert provenance.input_versions == {"photoz_galaxies": 2, "photoz_sample": 0}
    _replace(lake, photoz_sample_spec(DP02), None)
    _replace(lake, photoz_galaxies_spec(DP02), 3638)
    then = demos.lake("then", provenance.input_versions)
    with connect(str(PLACE), version=provenance.input_versions) as connection, connect(str(PLACE)) as now:
        sample = connection.view("photoz_sample")
        again = Lake(tmp_path / "again")
        write_profile(again, PROFILES["rail"], sample, provenance)
        assert again.export("rail", "training.hdf5").read_bytes() == former
        # What it is made of now is something else.
        other = Lake(tmp_path / "other")
        write_profile(other, PROFILES["rail"], now.view("photoz_sample"), provenance)
        assert other.export("rail", "training.hdf5").read_bytes() != former
        assert provenance.sampling is not None
        places = then.publisher.fetch("photoz_galaxies").places
        files = {tract: path for tract, path in places.items() if tract is not None}
        drawn = draw_sample(files, photoz_sample_spec(DP02), provenance.sampling)
        assert rows_digest(drawn.rows) == rows_digest(sample.to_arrow_table())


def _comparable(table: duckdb.DuckDBPyRelation) -> pa.Table:
    """Return rows in one order; the archive adds up its means in the order of its threads."""
    columns = [
        f"round({name}, 9) AS {name}" if name.startswith("mean_") else f'"{name}"' for name in table.columns
    ]
    return table.project(", ".join(columns)).order("ALL").to_arrow_table()


def _replace(lake: Lake, contract: Contract, tract: int | None) -> None:
    """Publish half of a table in the place of the whole."""
    rows, provenance = read_rows(lake.table(contract.table, tract)), lake.provenance(contract.table, tract)
    publish(lake, stage(lake, contract, [rows.slice(0, rows.num_rows // 2)], partial(replace, provenance)))
