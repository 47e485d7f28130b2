"""A record is taken over only from a dead owner, and only for the same query at the same service."""

import json
from pathlib import Path

import pytest

from photoz_assets.lake.job_records import FileJobRecords, Question

URL = "http://archive/tap"


def _left_by_the_dead(folder: Path, adql: str, listing: str | None = None) -> None:
    """Leave a record as a killed process does: filled, and held by nobody."""
    with FileJobRecords(folder).own(
        Question(name="galaxies-3638", adql=adql, archive_url=URL, listing=listing), "dead"
    ) as record:
        record.note("http://archive/tap/async/1")
        [path] = folder.iterdir()
        text = path.read_text()
    path.write_text(text)


@pytest.mark.parametrize(
    ("adql", "url", "inherits"),
    [("SELECT 1", URL, True), ("SELECT 2", URL, False), ("SELECT 1", "http://other/tap", False)],
    ids=["same", "another query", "another service"],
)
def test_record_of_a_dead_run_is_taken_over_for_the_same_question(
    tmp_path: Path, adql: str, url: str, *, inherits: bool
) -> None:
    _left_by_the_dead(tmp_path, "SELECT 1")
    with FileJobRecords(tmp_path).own(
        Question(name="galaxies-3638", adql=adql, archive_url=url), "next"
    ) as record:
        assert record.job_url == ("http://archive/tap/async/1" if inherits else None)


@pytest.mark.parametrize(
    ("then", "now", "inherits"), [("one", "one", True), ("one", "another", False), (None, "one", False)]
)
def test_record_of_a_job_that_was_asked_under_another_listing_is_not_taken_over(
    tmp_path: Path, then: str | None, now: str, *, inherits: bool
) -> None:
    _left_by_the_dead(tmp_path, "SELECT 1", then)
    with FileJobRecords(tmp_path).own(
        Question(name="galaxies-3638", adql="SELECT 1", archive_url=URL, listing=now), "next"
    ) as record:
        assert (record.job_url is not None) is inherits


def test_record_of_a_job_that_was_left_with_the_archive_is_kept_for_the_next(tmp_path: Path) -> None:
    def lose_sight_of_the_job() -> None:
        with FileJobRecords(tmp_path).own(Question(name="a", adql="SELECT 1", archive_url=URL), "first") as record:
            record.note("http://archive/tap/async/1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        lose_sight_of_the_job()
    with FileJobRecords(tmp_path).own(Question(name="a", adql="SELECT 1", archive_url=URL), "second") as record:
        assert record.job_url == "http://archive/tap/async/1"
        record.note(None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"job_url": null}'])
def test_record_that_says_nothing_is_removed(tmp_path: Path, text: str) -> None:
    _left_by_the_dead(tmp_path, "SELECT 1")
    [path] = tmp_path.iterdir()
    path.write_text(text)
    with FileJobRecords(tmp_path).own(
        Question(name="galaxies-3638", adql="SELECT 1", archive_url=URL), "next"
    ) as record:
        assert record.job_url is None
    assert list(tmp_path.iterdir()) == []


def test_record_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    with FileJobRecords(tmp_path).own(Question(name="a", adql="SELECT 1", archive_url=URL), "first") as first:
        first.note("http://archive/tap/async/1")
        with FileJobRecords(tmp_path).own(
            Question(name="a", adql="SELECT 1", archive_url=URL), "second"
        ) as second:
            assert second.job_url is None
            assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_record_says_whose_job_it_is(tmp_path: Path) -> None:
    with FileJobRecords(tmp_path).own(Question(name="a", adql="SELECT 1", archive_url=URL), "run-1") as record:
        record.note("http://archive/tap/async/1")
        [path] = tmp_path.iterdir()
        assert json.loads(path.read_text()) == {
            "archive_url": URL,
            "run_id": "run-1",
            "job_url": "http://archive/tap/async/1",
        }
