"""The worked example of docs/extend.md: each patch applies, and does what the page says of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.photoz import profiles
from photoz_assets.photoz.exports import write_profile
from photoz_assets.photoz.galaxies import tract_galaxies
from photoz_assets.survey.sampling import Sampling
from photoz_assets_tests.dp02 import COLUMNS, PHOTOZ_GALAXIES
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.samples import galaxies, with_value

ROOT = Path(__file__).parents[1]
PATCHES = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "docs" / "extend.md").read_text(), re.MULTILINE | re.DOTALL)
TRACT = 3638

# Runs in a process of its own, with the changed package: prints what the lake's judge says of the tract.
JUDGED = """
import json, sys
from photoz_assets.lake.freshness import stale_reasons
from photoz_assets.lake.layout import Lake
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.releases.dp02 import RELEASE
from photoz_assets.survey.selection import Selection
from tools.assets_page import page, without_new_version
from pathlib import Path
lake, former = Lake(Path(sys.argv[1])), Path(sys.argv[2]).read_text()
reason = stale_reasons(lake, [3638], Selection(), matched_galaxies_spec(RELEASE))[3638]
print(json.dumps({"reason": str(reason), "refused": without_new_version(former)}))
"""
# Materializes what there is to materialize of the tract.
REFRESHED = """
import json, sys
import dagster as dg
from photoz_assets.definitions import build_definitions, tables_of
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.survey.releases.dp02 import RELEASE
resources = {"archive": ArchiveResource(url=sys.argv[2]), "lake": LakeResource(data_dir=sys.argv[1])}
wanted = [name for name in ("matched_galaxies", "nearby_galaxies") if name in tables_of(RELEASE)]
result = build_definitions(resources=resources).resolve_job_def("demo").execute_in_process(
    partition_key="3638", asset_selection=[dg.AssetKey(name) for name in wanted], raise_on_error=False
)
checks = {found.check_name: found.passed for found in result.get_asset_check_evaluations()}
print(json.dumps({"success": result.success, "checks": checks}))
"""
READ = """
import json, sys
import photoz_assets
connection = photoz_assets.connect(sys.argv[1])
rows = connection.sql("SELECT count(*), max(ts_redshift) FROM nearby_galaxies").fetchall()
print(json.dumps({"rows": rows, "columns": connection.table("matched_galaxies").columns}))
"""


# What the code location of another release has.
LOADED = """
import json, sys
from photoz_assets.definitions import defs, tables_of
from photoz_assets.survey.queries import skyinfo_query
from photoz_assets.survey.releases import release_named
graph = defs().resolve_asset_graph()
galaxies = tables_of(release_named("rehearsal"))["matched_galaxies"]
print(json.dumps({
    "prefixes": sorted({key.path[0] for key in graph.materializable_asset_keys}),
    "type": str(galaxies.schema.field("obj_g_cModelFlux").type),
    "adql": skyinfo_query(release_named("rehearsal")),
}))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package, which patches may change."""
    folder = tmp_path / "checkout"
    for name in ("photoz_assets", "photoz_archive", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _apply(checkout: Path, patch: str) -> None:
    git = shutil.which("git") or pytest.skip("needs git")
    subprocess.run([git, "apply", "-"], cwd=checkout, input=patch, text=True, check=True, timeout=60)


def _told(checkout: Path, script: str, *arguments: str | Path) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told


def test_column_check_and_table_are_added_as_the_page_says(runs: Runs, checkout: Path) -> None:
    column, number, check, table, *_ = PATCHES
    assert runs("matched_galaxies", tract=TRACT).success
    lake, page = runs.lake.root, ROOT / "docs" / "assets.md"

    _apply(checkout, column)
    judged = _told(checkout, JUDGED, lake, page)
    assert judged["reason"] == "columns differ: + obj_i_blendedness"
    assert judged["refused"] == ["matched_galaxies", "field_galaxies", "object_table"]
    _apply(checkout, number)
    assert _told(checkout, JUDGED, lake, page)["refused"] == []

    _apply(checkout, check)
    _apply(checkout, table)
    refreshed = _told(checkout, REFRESHED, lake, runs.url)
    assert refreshed["success"]
    assert refreshed["checks"]["redshifts"] is True
    read = _told(checkout, READ, lake)
    [(rows, highest)] = read["rows"]
    assert rows > 0
    assert highest < 0.1
    assert "obj_i_blendedness" in read["columns"]
    judged = _told(checkout, JUDGED, lake, page)
    assert judged["reason"] == "current"


def test_export_is_added_by_a_profile(tmp_path: Path) -> None:
    module = tmp_path / "photoz_assets" / "photoz" / "profiles.py"
    module.parent.mkdir(parents=True)
    shutil.copy(profiles.__file__, module)
    _apply(tmp_path, PATCHES[-2])
    profile = run_path(str(module))["PROFILES"]["colours"]

    stored = duckdb.from_arrow(with_value(galaxies(50), COLUMNS.flux("u"), 0, -1.0))
    sample = tract_galaxies(stored, PHOTOZ_GALAXIES, COLUMNS, TRACT, Sampling())
    provenance = Provenance(table="photoz_sample", code_version="1", run_id="run")
    written = write_profile(Lake(tmp_path / "lake"), profile, sample.rows, provenance)
    assert written.verdict.passed
    rows = pq.read_table(written.folder / "colours.parquet").to_pylist()
    assert len(rows) == 49
    assert list(rows[0]) == ["object_id", "redshift", "u_g", "g_r", "r_i", "i_z", "z_y"]


def test_release_is_added_by_one_module(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _apply(checkout, PATCHES[-1])
    monkeypatch.setenv("PHOTOZ_RELEASE", "rehearsal")
    loaded = _told(checkout, LOADED)
    assert (loaded["prefixes"], loaded["type"]) == (["rehearsal"], "float")
    assert loaded["adql"].endswith("FROM rehearsal_catalogs.Object GROUP BY tract, patch")


def test_patches_touch_no_more_than_the_page_says() -> None:
    touched = [re.findall(r"^\+\+\+ b/(.*)$", patch, re.MULTILINE) for patch in PATCHES]
    added = [len(re.findall(r"^\+(?!\+\+ )", patch, re.MULTILINE)) for patch in PATCHES]
    contract = "photoz_assets/survey/contracts/galaxies.py"
    assert touched[:3] == [[contract]] * 3
    assert added[:2] == [1, 1]
    assert touched[4:] == [["photoz_assets/photoz/profiles.py"], ["photoz_assets/survey/releases/rehearsal.py"]]
    assert touched[3] == [
        "photoz_assets/definitions.py",
        "photoz_assets/orchestration/assets/nearby.py",
        "photoz_assets/survey/contracts/nearby.py",
    ]
