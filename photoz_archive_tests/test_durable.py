"""What the archive puts in its place is on the disk before, and its place after: no power cut leaves it empty."""

import os
from pathlib import Path

import pytest

from photoz_archive.files import write_in_place
from photoz_archive.service.official import official_schemas
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.store import TABLES, SkyStore
from photoz_archive_tests.service.test_jobs import create, job_folder, wait_for
from photoz_archive_tests.shared import DENSITY, DiskEvent, assert_put_in_place


def test_job_and_its_result_are_on_the_disk_before_the_client_hears_of_them(
    archive: ArchiveServer, sky_folder: Path, disk_events: list[DiskEvent]
) -> None:
    job = create(archive)
    folder = job_folder(sky_folder, job)
    made = disk_events.index(("make", folder.stat().st_ino))
    assert ("flush", folder.parent.stat().st_ino) in disk_events[made:]
    assert_put_in_place(folder / "job.json", disk_events)
    done = create(archive, PHASE="RUN")
    wait_for(done, "COMPLETED")
    for name in ("job.json", "result.xml"):
        assert_put_in_place(job_folder(sky_folder, done) / name, disk_events)


def test_tract_is_on_the_disk_before_it_is_in_its_place(tmp_path: Path, disk_events: list[DiskEvent]) -> None:
    store = SkyStore(tmp_path, density=DENSITY)
    store.ensure((3637,))
    files = [store.files(table, (3637,))[0] for table in TABLES]
    assert_put_in_place(files[0].parent, disk_events)
    put_there = disk_events.index(("rename", files[0].parent.stat().st_ino))
    assert {("flush", file.stat().st_ino) for file in files} <= set(disk_events[:put_there])


def test_schema_is_on_the_disk_before_it_is_in_its_place(tmp_path: Path, disk_events: list[DiskEvent]) -> None:
    official_schemas(["dp02_obscore"], tmp_path)
    [kept] = tmp_path.glob("*.json")
    assert_put_in_place(kept, disk_events)


def test_file_that_cannot_be_written_leaves_the_former_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kept.json"
    write_in_place(place, b"former")

    def broken(_descriptor: int) -> None:
        raise OSError("the disk is broken")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="broken"):
        write_in_place(place, b"new")
    assert place.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [place]
