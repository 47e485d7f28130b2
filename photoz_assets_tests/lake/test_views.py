"""The lake's tables as views: all of them at once, and cheap to import."""

import subprocess
import sys

import photoz_assets
from photoz_assets.storage import lake as old_path

HEAVY = ("dagster", "duckdb", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "requests")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, photoz_assets; print(*(name for name in sys.argv[1:] if name in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code, *HEAVY], check=True, capture_output=True, text=True, timeout=60
    )
    assert loaded.stdout.split() == []


def test_old_import_path_of_connect_is_the_same_function() -> None:
    assert old_path.connect is photoz_assets.connect
