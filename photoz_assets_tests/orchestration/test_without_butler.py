"""The Butler is optional: what holds without its client and without a repository."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg

from photoz_assets.definitions import build_definitions

ROOT = Path(__file__).parents[2]

# Hides the Butler's client from what comes after it.
WITHOUT_CLIENT = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("lsst.daf", "lsst.sphgeom")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def test_job_demo_leaves_the_butler_out() -> None:
    job = build_definitions().resolve_job_def("demo")
    selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert "matched_galaxies" in selected
    assert not selected & {
        "butler_collections",
        "butler_dataset_types",
        "object_table",
        "matched_truth",
        "deep_coadd",
    }
    assert dg.AssetCheckKey(dg.AssetKey("object_table"), "agrees_with_tap") not in set(
        job.asset_layer.asset_graph.asset_check_keys
    )


def test_without_the_client_definitions_load_and_the_assets_say_what_to_install(tmp_path: Path) -> None:
    program = f"""{WITHOUT_CLIENT}
from photoz_assets.definitions import build_definitions
job = build_definitions().resolve_job_def("refresh_butler")
import dagster as dg
result = job.execute_in_process(
    asset_selection=[dg.AssetKey("butler_collections")], raise_on_error=False
)
[event] = result.filter_events(lambda event: event.is_step_failure)
print("FAILED:", event.step_failure_data.user_failure_data.description)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PHOTOZ_DATA_DIR": str(tmp_path / "lake")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    [line] = [line for line in ran.stdout.splitlines() if line.startswith("FAILED:")]
    assert "the Butler's client is not installed: pip install 'photoz_assets[butler]'" in line


def test_loading_definitions_does_not_load_the_client() -> None:
    program = (
        "import sys, photoz_assets.definitions; print([name for name in sys.modules if name.startswith('lsst')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert ran.stdout.split() == ["[]"]
