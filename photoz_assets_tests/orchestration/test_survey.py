"""The survey is put together from its tracts' diagnostics, and never from stale ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.samples import galaxies, store

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


def _keep(runs: Runs, *tracts: int) -> None:
    """Leave these alone of the lake's tracts."""
    for tract in set(FIELD_TRACTS) - set(tracts):
        runs.lake.table("matched_galaxies", tract).unlink()


@pytest.mark.slow
def test_survey_reads_no_galaxy_of_tracts_whose_diagnostics_are_current(filled: Runs) -> None:
    _keep(filled, TRACT)
    assert filled("diagnostics", tract=TRACT).success
    stored = pq.read_metadata(filled.lake.table("matched_galaxies", TRACT)).num_rows
    with _without_rows(filled.lake.table("matched_galaxies", TRACT)):
        run = filled("survey_diagnostics")
    assert run.success
    assert run.metadata("survey_diagnostics")["galaxies"] == _galaxies(filled) == stored

    # New galaxies make the diagnostics stale: the survey's numbers are those of the galaxies all the same.
    assert filled("matched_galaxies", tract=TRACT, selection=SelectionResource(faint_limit_mag=24)).success
    fewer = pq.read_metadata(filled.lake.table("matched_galaxies", TRACT)).num_rows
    assert fewer < stored
    assert filled("survey_diagnostics").success
    assert _galaxies(filled) == fewer


def test_survey_without_a_tract_says_what_to_materialize(filled: Runs) -> None:
    _keep(filled)
    run = filled("survey_diagnostics")
    assert not run.success
    assert run.failure == "the lake holds no tract yet: materialize matched_galaxies first"
    assert not filled.lake.table("survey_diagnostics").exists()


def test_survey_over_two_selections_is_refused_with_the_tracts_named(filled: Runs) -> None:
    provenance = filled.lake.provenance("matched_galaxies", TRACT)
    store(filled.lake, galaxies(3, tract=TRACT), replace(provenance, selection=Selection(bright_limit_mag=20)))
    run = filled("survey_diagnostics")
    assert not run.success
    assert f"20 < g, r, i < 26 (AB, cModel): tract {TRACT}" in run.failure
    assert "17 < g, r, i < 26 (AB, cModel): tract 3638, 3831" in run.failure
    assert not filled.lake.table("survey_diagnostics").exists()
    assert not filled.lake.figure("survey_diagnostics", "redshifts").parent.exists()
