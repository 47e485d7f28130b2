"""The page lists exactly the faults that the tests inject, and is made of whole runs alone."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from photoz_assets_tests.reliability import page
from photoz_assets_tests.reliability.outside import ATTEMPTS
from photoz_assets_tests.reliability.page import injected, listed
from photoz_assets_tests.reliability.records import PAGE, FaultRecord, SoakRecord, recording

writing = pytest.mark.skipif(recording(), reason="the page is being written")


@writing
def test_page_lists_each_fault_once_and_nothing_else() -> None:
    assert sorted(row[0] for row in listed()) == injected()


@writing
def test_page_tells_of_no_row_lost_and_none_wrong() -> None:
    assert {tuple(row[-2:]) for row in listed()} == {("0", "0")}


def test_page_has_what_the_tests_are_given() -> None:
    page_now = PAGE.read_text()
    assert page.with_given(page_now) == page_now, "run python -m photoz_assets_tests.reliability.page"


def test_page_names_tests_that_there_are() -> None:
    for attempt in ATTEMPTS:
        file, _, name = attempt.test.partition("::")
        assert f"def {name}(" in (PAGE.parents[1] / file).read_text(), attempt.test


def _write_down(folder: Path, *records: FaultRecord | SoakRecord) -> None:
    for number, record in enumerate(records):
        (folder / f"{type(record).__name__}-{number}.json").write_text(json.dumps(asdict(record)))


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of its own, as the other is."""
    copied = tmp_path / "page.md"
    copied.write_text(PAGE.read_text())
    monkeypatch.setattr(page, "PAGE", copied)
    return copied


def _found() -> list[FaultRecord]:
    return [FaultRecord("Data", fault, "somehow", "found") for fault in injected()]


def test_page_is_written_by_a_whole_run(copy: Path, tmp_path: Path) -> None:
    _write_down(tmp_path, *_found())
    before = copy.read_text()
    page.main(str(tmp_path))
    assert [row[2] for row in listed()] == ["found"] * len(injected())
    long_tests = before.partition("<!-- soak: begin -->")[2].partition("<!-- soak: end -->")[0]
    assert long_tests in copy.read_text(), "none was run"


@pytest.mark.parametrize(
    ("faults", "soaks", "missing"),
    [(1, [], "stays as it is.* 1 of its lines"), (0, [SoakRecord("kills", "1", "one")], "damaged VOTables")],
    ids=["a fault is missing", "a long test is missing"],
)
def test_page_is_left_alone_by_a_part_of_a_run(
    copy: Path, tmp_path: Path, faults: int, soaks: list[SoakRecord], missing: str
) -> None:
    _write_down(tmp_path, *_found()[faults:], *soaks)
    before = copy.read_text()
    with pytest.raises(SystemExit, match=missing):
        page.main(str(tmp_path))
    assert copy.read_text() == before
