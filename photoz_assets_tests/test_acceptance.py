"""Numbers that Rubin has published, asked of the real archive by whoever has an account: docs/acceptance.md.

``pytest -m live`` asks it, where PHOTOZ_TAP_URL and a token are set. The embedded archive is asked the same in any
case; its answers are other numbers.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.redshift_file import write_redshifts
from photoz_archive.sky.store import SkyStore
from photoz_archive_tests.seed import SEED_QUERY
from photoz_assets import environment
from photoz_assets.ingest.redshift_files import RedshiftFiles, read_redshifts
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.science.matching import match
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.matching import Matching
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.dp2 import RELEASE as DP2
from photoz_assets.survey.releases.release import GAAP, Release
from photoz_assets.tap.client import TapClient
from photoz_assets_tests.dp02 import DP02

# ECDFS's own tract, which DP0.2 has as well, and one of COSMOS.
EMBEDDED_TRACTS: Final = (5063, 9812)
EMBEDDED_DENSITY: Final = 0.02
ECDFS: Final = DP1.field.tracts(DP1.skymap, DP1.tracts)
OF_AN_ACCOUNT: Final = ("PHOTOZ_TAP_URL", "PHOTOZ_TAP_TOKEN", "ACCESS_TOKEN", "PHOTOZ_SPECZ")
HOW: Final = "asks the real archive: pytest -m live, with PHOTOZ_TAP_URL and PHOTOZ_TAP_TOKEN set"

# SITCOMTN-154, section 2.2.1: all redshifts count for its table of matches.
MATCHING: Final = Matching(radius_arcsec=0.75, least_grade=0, least_redshift=0.0)
# And its cuts for training: a confidence of 0.9, S/N in i, fluxes in all bands. It names type s alone, of which it
# lists 7,699 matches: 9,683 remain only with the grism redshifts, whose better ones its table counts in.
TRAINING_CUTS: Final = " AND ".join(
    [
        "sz_type IN ('s', 'g')",
        "sz_grade >= 3",
        f"{GAAP.flux('i')} >= 20 * {GAAP.flux_error('i')}",
        *(f"isfinite({GAAP.flux(band)})" for band in BANDS),
    ]
)
# The redshift that an object gets among several of one grade is not published.
TOLERANCE: Final = 0.01


@dataclass(frozen=True)
class Count:
    """A published number of rows."""

    what: str
    release: Release
    rows: str
    published: int

    @property
    def adql(self) -> str:
        return f"SELECT COUNT(*) AS num_rows {self.rows}"


COUNTS: Final = (
    # DMTN-304; the last is what the notebook that this project grew from shows.
    Count("objects of DP0.2", DP02, f"FROM {DP02.tables['obj']}", 278_318_452),
    Count("truths of DP0.2", DP02, f"FROM {DP02.tables['ts']}", 764_816_913),
    Count("matches of DP0.2", DP02, f"FROM {DP02.tables['mt']}", 719_561_612),
    Count("galaxies of the notebook", DP02, SEED_QUERY[SEED_QUERY.index("FROM") :], 132_588),
    # dp2.lsst.io, of the early release.
    Count("objects of DP2", DP2, f"FROM {DP2.tables['obj']}", 786_420_720),
    Count("patches of DP2", DP2, f"FROM {DP2.coadd_patches}", 197_105),
)


def counted(client: TapClient, adql: str) -> int:
    """Ask for one number."""
    [batch] = client.query(adql, pa.schema([("num_rows", pa.int64())]))
    [number] = batch.column("num_rows").to_pylist()
    return int(number)


def objects_by_tract(client: TapClient) -> dict[int, int]:
    """Ask how many objects each tract of DP1 has."""
    adql = f"SELECT tract, COUNT(*) AS num_rows FROM {DP1.tables['obj']} GROUP BY tract"
    batches = client.query(adql, pa.schema([("tract", pa.int64()), ("num_rows", pa.int64())]))
    return {row["tract"]: row["num_rows"] for batch in batches for row in batch.to_pylist()}


def matches(client: TapClient, files: Sequence[Path], tracts: Sequence[int]) -> tuple[int, int]:
    """Match redshifts with all objects of some tracts of DP1; count the pairs, and those inside the cuts."""
    fluxes = [name for band in BANDS for name in (GAAP.flux(band), GAAP.flux_error(band))]
    schema = pa.schema(
        [("object_id", pa.int64()), ("ra", pa.float64()), ("dec", pa.float64())]
        + [(name, pa.float32()) for name in fluxes]
    )
    columns = ", ".join(["objectId AS object_id", "coord_ra AS ra", "coord_dec AS dec", *fluxes])
    batches: list[pa.RecordBatch] = []
    for tract in tracts:
        ra, dec = DP1.skymap.centre(tract)
        circle = f"CONTAINS(POINT('ICRS', coord_ra, coord_dec), CIRCLE('ICRS', {ra!r}, {dec!r}, 1.06)) = 1"
        adql = f"SELECT {columns} FROM {DP1.tables['obj']} WHERE {circle} AND tract = {tract}"
        batches.extend(client.query(adql, schema))
    specz = read_redshifts(RedshiftFiles(paths=tuple(files)), DP1).rows
    with closing(duckdb.connect()) as connection:
        connection.register("objects", pa.Table.from_batches(batches, schema))
        connection.register("specz", specz)
        connection.execute(f"CREATE TABLE redshifts AS FROM specz WHERE {MATCHING.counts}")
        connection.register("taken", match(connection, MATCHING).pairs)
        joined = connection.sql("FROM taken JOIN redshifts USING (sz_id) JOIN objects USING (object_id)")
        return len(joined), len(joined.filter(TRAINING_CUTS))


@pytest.fixture(scope="session")
def real_environment() -> dict[str, str]:
    """What the shell says of an account, before tests are kept from it."""
    return {name: os.environ[name] for name in OF_AN_ACCOUNT if name in os.environ}


@pytest.fixture
def account(
    request: pytest.FixtureRequest, real_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> ArchiveResource:
    """The archive of whoever asked for these tests."""
    for name, value in real_environment.items():
        monkeypatch.setenv(name, value)
    asked = "live" in str(request.config.getoption("markexpr"))
    if not (asked and environment.tap_url() and environment.tap_token()):
        pytest.skip(HOW)
    return ArchiveResource()


@pytest.mark.live
@pytest.mark.parametrize("count", COUNTS, ids=lambda count: count.what)
def test_archive_has_as_many_rows_as_published(account: ArchiveResource, count: Count) -> None:
    client = account.client(count.release, run_id="acceptance", log=print)
    found = counted(client, count.adql)
    assert found == count.published


@pytest.mark.live
def test_objects_of_dp1_are_those_published(account: ArchiveResource) -> None:
    found = objects_by_tract(account.client(DP1, run_id="acceptance", log=print))
    assert sorted(found) == list(DP1.tracts)
    assert (len(found), sum(found.values())) == (29, 2_299_757)


@pytest.mark.live
def test_matches_of_dp1_are_those_of_its_photoz_note(account: ArchiveResource) -> None:
    files = environment.specz()
    if not files:
        pytest.skip("PHOTOZ_SPECZ is not set: name SITCOMTN-154's catalogue of redshifts (docs/acceptance.md)")
    pairs, inside = matches(account.client(DP1, run_id="acceptance", log=print), files, ECDFS)
    assert pairs == pytest.approx(22_622, rel=TOLERANCE)
    assert inside == pytest.approx(6_778 + 2_905, rel=TOLERANCE)


@pytest.fixture(scope="module")
def client(sky_folder: Path) -> Iterator[TapClient]:
    """The embedded archive."""
    with ArchiveServer(sky_folder, density=EMBEDDED_DENSITY, tracts=EMBEDDED_TRACTS) as server:
        yield TapClient(server.url)


def test_embedded_archive_is_asked_the_same_with_other_numbers(
    client: TapClient, sky_folder: Path, tmp_path: Path
) -> None:
    numbers = {count.what: counted(client, count.adql) for count in COUNTS}
    # The notebook's cone is elsewhere.
    assert numbers.pop("galaxies of the notebook") == 0
    assert min(numbers.values()) > 1000
    [tract] = objects_by_tract(client)
    file = tmp_path / "specz.parquet"
    write_redshifts(file, SkyStore(sky_folder / "sky", release=DP1, density=EMBEDDED_DENSITY), [tract])
    pairs, inside = matches(client, [file], [tract])
    assert 100 < inside < pairs
