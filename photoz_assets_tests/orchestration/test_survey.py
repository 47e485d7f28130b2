"""The survey is put together from its tracts' diagnostics, and never from stale ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets_tests.runs import Runs

TRACT = 3637


@contextmanager
def _without_rows(path: Path) -> Iterator[None]:
    """Make a Parquet file's rows unreadable for a while; its footer stays."""
    whole = path.read_bytes()
    footer_bytes = int.from_bytes(whole[-8:-4], "little") + 8
    path.write_bytes(bytes(len(whole) - footer_bytes) + whole[-footer_bytes:])
    try:
        yield
    finally:
        path.write_bytes(whole)


def _galaxies(runs: Runs) -> int:
    [row] = [
        row for row in pq.read_table(runs.lake.table("survey_diagnostics")).to_pylist() if row["tract"] == TRACT
    ]
    return int(row["num_galaxies"])


def test_survey_reads_no_galaxy_of_tracts_whose_diagnostics_are_current(runs: Runs) -> None:
    assert runs("skyinfo", "tracts").success
    assert runs("matched_galaxies", "diagnostics", tract=TRACT).success
    stored = pq.read_metadata(runs.lake.table("matched_galaxies", TRACT)).num_rows
    with _without_rows(runs.lake.table("matched_galaxies", TRACT)):
        run = runs("survey_diagnostics")
    assert run.success
    assert run.metadata("survey_diagnostics")["galaxies"] == _galaxies(runs) == stored

    # New galaxies make the diagnostics stale: the survey's numbers are those of the galaxies all the same.
    assert runs("matched_galaxies", tract=TRACT, selection=SelectionResource(faint_limit_mag=24)).success
    fewer = pq.read_metadata(runs.lake.table("matched_galaxies", TRACT)).num_rows
    assert fewer < stored
    assert runs("survey_diagnostics").success
    assert _galaxies(runs) == fewer
