"""The whole client against the embedded archive, as the friendly, the Rubin-like and the plain service."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyvo.dal.tap import TAPService

from photoz_archive.service.faults import Faults
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import ContractViolation, Rejected, TooLarge, Transient, Truncated, Unauthorized
from photoz_assets.tap.retry import RetryPolicy

TRACT = 3638
DENSITY = 0.004
SCHEMA = pa.schema(
    [
        pa.field("objectId", pa.int64()),
        pa.field("coord_ra", pa.float64()),
        pa.field("detect_isPrimary", pa.bool_()),
        pa.field("refExtendedness", pa.float64()),
        pa.field("g_cModelFlux", pa.float64()),
        pa.field("id_truth_type", pa.string()),
        pa.field("redshift", pa.float32()),
    ]
)
ADQL = f"""
SELECT obj.objectId, obj.coord_ra, obj.detect_isPrimary, obj.refExtendedness, obj.g_cModelFlux,
       mt.id_truth_type, ts.redshift
FROM dp02_dc2_catalogs.MatchesTruth AS mt
JOIN dp02_dc2_catalogs.TruthSummary AS ts ON mt.id_truth_type = ts.id_truth_type
JOIN dp02_dc2_catalogs.Object AS obj ON mt.match_objectId = obj.objectId
WHERE obj.tract = {TRACT}
"""
ONCE = RetryPolicy(attempts=1)
PROFILES = [Profile.friendly(), Profile.rubin(), Profile.plain()]


@pytest.fixture(scope="module", params=PROFILES, ids=lambda profile: profile.name)
def profile(request: pytest.FixtureRequest) -> Profile:
    chosen: Profile = request.param
    return chosen


@pytest.fixture(scope="module")
def served(profile: Profile, sky_folder: Path) -> Iterator[ArchiveServer]:
    """Serve one profile to all tests, which leave it as they found it."""
    with ArchiveServer(sky_folder, density=DENSITY, tracts=(TRACT,), profile=profile) as server:
        yield server


def fetched(archive: TapClient, spool: Path | None = None) -> pa.Table:
    with archive.submit(ADQL, maxrec=1_000_000) as job:
        job.run()
        job.wait(120)
        return pa.Table.from_batches(list(job.fetch(SCHEMA, spool=spool)), schema=SCHEMA)


@pytest.mark.parametrize("prefer_parquet", [False, True], ids=["votable", "parquet"])
def test_job_gives_what_pyvo_reads(
    served: ArchiveServer,
    tmp_path: Path,
    prefer_parquet: bool,  # noqa: FBT001  (pytest's way)
) -> None:
    table = fetched(TapClient(served.url, prefer_parquet=prefer_parquet), tmp_path / "spool").sort_by("objectId")
    independent = TAPService(served.url).run_sync(ADQL, maxrec=1_000_000).to_table()
    independent.sort(independent.colnames[0])
    assert table.num_rows == len(independent) > 50
    for position, name in enumerate(SCHEMA.names):
        values = independent.columns[position].tolist()
        if name == "detect_isPrimary":
            values = [bool(value) for value in values]
        kept = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
        assert table[name].to_pylist() == kept, name


def test_archive_declares_what_it_is(served: ArchiveServer, profile: Profile) -> None:
    archive = TapClient(served.url)
    capabilities, schema = archive.capabilities(), archive.schema_info("dp02_dc2_catalogs")
    assert capabilities.has_box == profile.scisql
    assert "simulated" in (schema.description or "")
    assert "objectid" in [column.lower() for column in schema.tables["object"].columns]
    assert (schema.tables["object"].name == "dp02_dc2_catalogs.object") == profile.lower_case_names


def test_query_counts(served: ArchiveServer) -> None:
    archive = TapClient(served.url)
    adql = f"SELECT COUNT(*) AS num FROM dp02_dc2_catalogs.Object WHERE tract = {TRACT}"
    batches = list(archive.query(adql, pa.schema([("num", pa.int64())])))
    assert [batch.num_rows for batch in batches] == [1]
    assert batches[0]["num"][0].as_py() > 50


def test_query_that_is_wrong_is_rejected_in_the_archives_words(served: ArchiveServer) -> None:
    with pytest.raises(Rejected, match="redshit"):
        TapClient(served.url, policy=ONCE).query("SELECT redshit FROM dp02_dc2_catalogs.TruthSummary", SCHEMA)


def test_job_over_its_row_limit_is_truncated(served: ArchiveServer) -> None:
    with TapClient(served.url).submit(ADQL, maxrec=10) as job:
        job.run()
        job.wait(120)
        with pytest.raises(Truncated):
            list(job.fetch(SCHEMA))


def test_job_that_is_closed_is_gone(served: ArchiveServer) -> None:
    archive = TapClient(served.url, policy=ONCE)
    with archive.submit(ADQL, maxrec=10) as job:
        assert archive.attach(job.url).summary().phase == "PENDING"
    with pytest.raises(Rejected):
        archive.attach(job.url).summary()


def test_job_that_is_aborted_says_so(served: ArchiveServer) -> None:
    archive = TapClient(served.url)
    with archive.submit(ADQL, maxrec=10) as job:
        job.abort()
        assert archive.attach(job.url).summary().phase == "ABORTED"


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (Faults(overflow=True), Truncated),
        (Faults(truncate_after_bytes=3000), Truncated),
        (Faults(error_text="Maximum running queries reached (12 running, maximum 12)"), Transient),
        (Faults(error_text="Query results are too large to return; please narrow your query"), TooLarge),
        (Faults(rewrite=lambda batch: batch.drop_columns([batch.schema.names[2]])), ContractViolation),
        (Faults(rewrite=lambda batch: batch.rename_columns(["id", *batch.schema.names[1:]])), ContractViolation),
        (Faults(unauthorized=True), Unauthorized),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_fault_of_the_archive_is_its_error(served: ArchiveServer, faults: Faults, error: type[Exception]) -> None:
    archive = TapClient(served.url, policy=ONCE)
    archive.capabilities()
    served.faults = faults
    try:
        with pytest.raises(error):
            fetched(archive)
    finally:
        served.faults = Faults()


def test_row_count_other_than_the_jobs_is_truncated(sky_folder: Path) -> None:
    faults = Faults(report_rows=7)
    with (
        ArchiveServer(
            sky_folder, density=DENSITY, tracts=(TRACT,), profile=Profile.friendly(), faults=faults
        ) as server,
        pytest.raises(Truncated, match="the archive counted 7"),
    ):
        fetched(TapClient(server.url))


def test_token_opens_the_archive_and_its_lack_does_not(sky_folder: Path) -> None:
    guarded = replace(Profile.rubin(), results_on_other_host=False)
    with ArchiveServer(sky_folder, density=DENSITY, tracts=(TRACT,), profile=guarded, token="gt-right") as server:  # noqa: S106  (of a test)
        assert fetched(TapClient(server.url, token="gt-right")).num_rows > 50  # noqa: S106  (of a test)
        for token in (None, "gt-wrong"):
            with pytest.raises(Unauthorized, match="PHOTOZ_TAP_TOKEN") as caught:
                fetched(TapClient(server.url, token=token))
            assert "gt-wrong" not in str(caught.value)
