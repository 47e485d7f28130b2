"""What is put in its place is on the disk before, and its place after: no power cut leaves an empty file there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from photoz_archive_tests.shared import DiskEvent, assert_put_in_place
from photoz_assets.lake.job_records import FileJobRecords, Question
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import atomic_folder, atomic_write, publish, stage
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies


def _publish_table(lake: Lake) -> Path:
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=3638)
    return publish(lake, stage(lake, MATCHED_GALAXIES, [galaxies(5)], lambda: provenance))


def _write_figure(lake: Lake) -> Path:
    place = lake.figure("diagnostics", "redshifts", 3638)
    with atomic_write(lake, place) as file:
        file.write_bytes(b"a figure")
    return place


def _write_files(lake: Lake) -> Path:
    place = lake.export("rail", "any").parent
    with atomic_folder(lake, place) as folder:
        (folder / "training.hdf5").write_bytes(b"a file")
    return place


@pytest.mark.parametrize("put", [_publish_table, _write_figure, _write_files], ids=["table", "figure", "folder"])
def test_file_is_on_the_disk_before_it_is_in_its_place_and_its_folders_after(
    tmp_path: Path, disk_events: list[DiskEvent], put: Callable[[Lake], Path]
) -> None:
    place = put(Lake(tmp_path))
    assert_put_in_place(place, disk_events)
    put_there = disk_events.index(("rename", place.stat().st_ino))
    # What lies in the place of a folder is a link to it.
    for made in place.resolve().parents[:2]:
        began = disk_events.index(("make", made.stat().st_ino))
        assert ("flush", made.parent.stat().st_ino) in disk_events[began:put_there]


def test_record_of_a_job_is_on_the_disk_when_the_job_is_noted(
    tmp_path: Path, disk_events: list[DiskEvent]
) -> None:
    with FileJobRecords(tmp_path).own(
        Question(name="a", adql="SELECT 1", archive_url="http://a/tap"), "1"
    ) as record:
        [path] = tmp_path.iterdir()
        assert ("flush", tmp_path.stat().st_ino) in disk_events
        disk_events.clear()
        record.note("http://a/tap/async/1")
        assert disk_events == [("flush", path.stat().st_ino)]
