"""STILTS's validator of TAP services finds nothing wrong with the archive."""

import re
from pathlib import Path

import pytest

import photoz_assets
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.service.stilts import needs_stilts, run_stilts

DOCS = Path(photoz_assets.__file__).parents[1] / "docs"


@pytest.mark.slow
@needs_stilts
def test_taplint_reports_no_error_and_no_finding_that_the_docs_do_not_explain(archive: ArchiveServer) -> None:
    report = run_stilts("taplint", f"tapurl={archive.url}")
    totals = re.search(r"Totals: Errors: (\d+); Warnings: (\d+)", report)
    findings = re.findall(r"^[EWF]-(\w{3}-\w{4})-.*", report, re.MULTILINE)
    explained = set(re.findall(r"`(\w{3}-\w{4})`", (DOCS / "archive.md").read_text(encoding="utf-8")))
    assert totals is not None, report
    assert totals[1] == "0", report
    assert set(findings) <= explained, report
