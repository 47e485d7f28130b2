"""The asset of stamps: a table and a sheet on demand, which a failure leaves as they were; and the way there."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.wcs import WCS
from click.testing import CliRunner

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets import connect
from photoz_assets.commands.cli import main
from photoz_assets.definitions import build_definitions
from photoz_assets.orchestration.check_results import how_to_see
from photoz_assets.survey.checks import Verdict
from photoz_assets_tests.dp02 import COLUMNS, DP02
from photoz_assets_tests.runs import Run, Runs

TRACT = FIELD_TRACTS[1]


@pytest.fixture
def faulty(archive: ArchiveServer) -> Iterator[ArchiveServer]:
    yield archive
    archive.faults = Faults()


def stamps(runs: Runs, **config: str | float) -> Run:
    return runs("stamps", tract=TRACT, config={"stamps": {"limit": 2, **config}}, job="make_stamps")


def test_stamps_are_published_with_their_sheet_and_a_failure_or_the_command_finds_them(
    filled: Runs, faulty: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stamps(filled)
    assert run.success, run.failure
    assert {name: check.passed for name, check in run.checks.items()} == {
        "contract": True,
        "image_astrometry": True,
        "image_photometry": True,
    }
    place, sheet = filled.lake.table("stamps", TRACT), filled.lake.figure("stamps", "stamps", TRACT)
    rows = pq.read_table(place).to_pylist()
    assert len(rows) == 2 * 3 + 12 * 2
    assert sum(row["chosen_by"] == "control" for row in rows) == 24
    for row in rows:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crpix, wcs.wcs.crval = ([row[f"{card}{axis}"] for axis in (1, 2)] for card in ("crpix", "crval"))
        wcs.wcs.cd = [[row[f"cd{i}_{j}"] for j in (1, 2)] for i in (1, 2)]
        x, y = wcs.all_world2pix(row["ra"], row["dec"], 0)
        assert [float(x), float(y)] == pytest.approx([30, 30], abs=0.51)
        pixels = np.array(row["pixels"]).reshape(row["height"], row["width"])
        assert pixels.shape == (61, 61)
    with connect(filled.lake.root) as connection:
        [(controls,)] = connection.sql(
            "SELECT count(DISTINCT object_id) FROM stamps WHERE chosen_by = 'control'"
        ).fetchall()
    assert controls == 12
    description = sheet.read_bytes()[:4000].decode("latin-1")
    assert "embedded archive, simulated" in description
    assert "misfits of its catalogue cannot be seen in the pixels" in description
    assert "data:image" in run.metadata("stamps")["figures"]

    before = place.read_bytes(), sheet.read_bytes()
    faulty.faults = Faults(rewrite_coadd=lambda coadd: replace(coadd, image=np.full_like(coadd.image, np.nan)))
    failed = stamps(filled, limit=3)
    assert not failed.success
    assert "holds no data: leave this object out" in failed.failure
    assert "The last good table stays" in failed.failure
    assert (place.read_bytes(), sheet.read_bytes()) == before

    # All of these were cut before: the archive that cuts nothing whole is not asked.
    monkeypatch.setenv("PHOTOZ_TAP_URL", filled.url)
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(filled.lake.root))
    shown = {row["object_id"] for row in rows if row["chosen_by"] != "control"}
    condition = f"{COLUMNS.object_id} IN ({', '.join(map(str, shown))})"
    made = CliRunner().invoke(main, ["stamps", "--where", condition])
    assert made.exit_code == 0, made.output
    assert f"tract {TRACT}: {2 * 3 + 12 * 2} stamps in {place}, shown in {sheet}" in made.output
    assert "14 of 14: " in made.output
    several = CliRunner().invoke(main, ["stamps", "--where", "true"])
    assert several.exit_code == 1
    assert f"such galaxies are in the tracts {', '.join(map(str, FIELD_TRACTS))}" in several.output
    many = CliRunner().invoke(main, ["stamps", "--limit", "201"])
    assert "a tract would be 36 GB and 44 days" in many.output


def test_field_is_shown_with_the_lakes_galaxies_and_without_any_it_is_told(filled: Runs) -> None:
    run = filled("field_image", config={"field_image": {"width_arcmin": 1.5, "bands": "ir"}}, job="look_at_field")
    assert run.success, run.failure
    metadata = run.metadata("field_image")
    assert (metadata["tract"], metadata["bands"]) == (3831, "ri")
    picture = filled.lake.figure("field_image", "field_image").read_bytes()
    assert f"{metadata['galaxies']} galaxies; embedded archive, simulated" in picture[:4000].decode("latin-1")
    lost = filled("field_image", config={"field_image": {"ra_deg": 10.0}}, job="look_at_field")
    assert "materialize matched_galaxies of tract" in lost.failure
    assert filled.lake.figure("field_image", "field_image").read_bytes() == picture


def test_no_automation_makes_images() -> None:
    definitions = build_definitions()
    graph = definitions.resolve_asset_graph()
    schedules = {schedule.job_name for schedule in definitions.get_repository_def().schedule_defs}
    for asset, only in (("stamps", "make_stamps"), ("field_image", "look_at_field")):
        key = dg.AssetKey(asset)
        assert graph.get(key).automation_condition is None
        jobs = definitions.resolve_all_job_defs()
        names = {job.name for job in jobs if key in job.asset_layer.executable_asset_keys}
        assert names - {"__ASSET_JOB"} == {only}
        assert only not in schedules


KEY = COLUMNS.object_id


@pytest.mark.parametrize(
    ("verdict", "tract", "words"),
    [
        (
            Verdict(check="flux_agreement", passed=False, summary=""),
            7,
            "its worst galaxies: photoz stamps --tract 7",
        ),
        (Verdict(check="flux_agreement", passed=True, summary=""), 7, ""),
        (Verdict(check="flux_agreement", passed=False, summary=""), None, ""),
        (Verdict(check="known_tracts", passed=False, summary="", rows=[{"tract": 1}]), 7, ""),
        (
            Verdict(check="agrees_with_tap", passed=False, summary="", rows=[{"objectId": 5}, {"objectId": 6}]),
            7,
            f'these galaxies: photoz stamps --tract 7 --where "{KEY} IN (5, 6)"',
        ),
    ],
)
def test_failed_check_says_how_to_see_its_galaxies(verdict: Verdict, tract: int | None, words: str) -> None:
    assert how_to_see(DP02, verdict, tract) == (f"See {words}" if words else "")
