"""The page lists exactly the faults that the tests inject."""

import pytest

from photoz_assets_tests.reliability import (
    test_archive_faults,
    test_bounds,
    test_daemon,
    test_data_faults,
    test_disk,
    test_injection,
    test_kills,
    test_processes,
    test_security,
    test_stopping,
)
from photoz_assets_tests.reliability.records import listed, recording


@pytest.mark.skipif(recording(), reason="the page is being written")
def test_page_lists_each_fault_once_and_nothing_else() -> None:
    modules = (
        test_archive_faults,
        test_bounds,
        test_daemon,
        test_data_faults,
        test_disk,
        test_injection,
        test_kills,
        test_processes,
        test_security,
        test_stopping,
    )
    injected = [fault for module in modules for fault in module.FAULTS]
    assert sorted(row[0] for row in listed()) == sorted(injected)


@pytest.mark.skipif(recording(), reason="the page is being written")
def test_page_tells_of_no_row_lost_and_none_wrong() -> None:
    assert {tuple(row[-2:]) for row in listed()} == {("0", "0")}
