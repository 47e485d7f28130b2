"""Links to stored files: they keep a version for who reads it, and are removed after."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import photoz_assets
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.snapshot import KEPT_SECONDS, in_place, snapshot
from photoz_assets.lake.staging import publish, stage
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies

_READER = (
    "import sys, time, photoz_assets; connection = photoz_assets.connect(sys.argv[1]); "
    "print(connection.sql('SELECT count(*) FROM matched_galaxies').fetchall(), flush=True); "
    "time.sleep(float(sys.argv[2]))"
)


def put(lake: Lake, rows: int, tract: int = 3638) -> Path:
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=tract)
    return publish(lake, stage(lake, MATCHED_GALAXIES, [galaxies(rows, tract=tract)], lambda: provenance))


def links(lake: Lake) -> list[Path]:
    return [path for path in lake.readers.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    put(lake, 10)
    return lake


def read(lake: Lake, seconds: float) -> "subprocess.Popen[str]":
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(lake.root), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "[(10,)]\n"
    return reader


def test_links_of_a_process_are_gone_when_it_ends(lake: Lake) -> None:
    with read(lake, 0) as reader:
        assert reader.wait(60) == 0
    assert list(lake.readers.iterdir()) == []


def test_links_of_a_killed_process_are_swept_by_the_next_and_those_of_a_living_one_are_not(lake: Lake) -> None:
    with read(lake, 600) as killed, read(lake, 600) as living:
        try:
            assert len(links(lake)) == 2
            killed.send_signal(signal.SIGKILL)
            killed.wait(60)
            photoz_assets.connect(lake.root)
            assert len(links(lake)) == 2
            living.send_signal(signal.SIGKILL)
        finally:
            killed.kill()
            living.kill()


def test_version_is_linked_once_and_kept_for_a_day_after_it_was_replaced(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (20, 30):
        photoz_assets.connect(lake.root)
        photoz_assets.connect(lake.root)
        put(lake, rows)
    assert len(links(lake)) == 2
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + KEPT_SECONDS + 10)
    photoz_assets.connect(lake.root)
    assert len(links(lake)) == 1


def test_lake_that_takes_no_links_is_read_in_place(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert snapshot(lake, lake.files("matched_galaxies")) == lake.files("matched_galaxies")
    shutil.rmtree(lake.work)
    lake.work.write_text("no folder, as little as one that may not be written in")
    other = Lake(lake.root.rename(lake.root.with_name("moved")))
    with photoz_assets.connect(other.root) as connection:
        assert connection.sql("SELECT count(*) FROM matched_galaxies").fetchall() == [(10,)]


def test_error_names_the_file_in_the_lake_and_not_its_link(lake: Lake) -> None:
    [link] = snapshot(lake, lake.files("matched_galaxies"))
    assert link != lake.table("matched_galaxies", 3638)
    assert in_place(f"cannot read {link}: why") == f"cannot read {lake.table('matched_galaxies', 3638)}: why"
