"""The image of ``deploy/Containerfile``, built by ``make image``: a run of one tract into a lake in a bucket."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

import photoz_assets
from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.object_store import BUCKET, needs_object_store, running_object_store

TRACT: Final = 3638
_IMAGE: Final = os.environ.get("PHOTOZ_IMAGE")
_PODMAN: Final = shutil.which("podman")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _IMAGE or _PODMAN is None, reason="needs podman and an image: make image"),
    needs_object_store,
]


def test_run_of_one_tract_in_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = f"s3://{BUCKET}/image"
    with (
        ArchiveServer(tmp_path / "archive", density=0.002, tracts=(TRACT,)) as archive,
        running_object_store(tmp_path) as store,
    ):
        variables = {**store.variables, "PHOTOZ_DATA_DIR": lake, "PHOTOZ_TAP_URL": archive.url}
        settings = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        run = ["dagster", "asset", "materialize", "-m", "photoz_assets.definitions"]
        run += ["--select", "matched_galaxies", "--partition", str(TRACT)]
        done = subprocess.run(
            [str(_PODMAN), "run", "--rm", "--network", "host", *settings, str(_IMAGE), *run],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for name, value in store.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PHOTOZ_WORK_DIR", str(tmp_path / "work"))
        with photoz_assets.connect(lake) as connection:
            [(rows, tract)] = connection.sql("SELECT count(*), any_value(tract) FROM matched_galaxies").fetchall()
    assert rows > 100
    assert tract == TRACT
