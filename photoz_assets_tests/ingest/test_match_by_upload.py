"""A release that is too large to hold: redshifts are sent to the archive, which may refuse them or break off."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import dagster as dg
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.redshift_file import write_redshifts
from photoz_archive.sky.store import SkyStore
from photoz_assets.ingest.matched_tract import TractMatch, match_by_upload, match_stored
from photoz_assets.ingest.redshift_files import RedshiftFiles, read_redshifts
from photoz_assets.ingest.tap_ingest import TapIngest
from photoz_assets.ingest.tract import objects_tract_query
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance, read_provenance, read_rows, run_versions
from photoz_assets.lake.writing import WrittenTable, write_rows
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.releases.dp2 import RELEASE as DP2
from photoz_assets.survey.releases.release import Release, Spectroscopic
from photoz_assets.survey.selection import Selection
from photoz_assets.tap.client import TapClient
from photoz_assets_tests.reliability.proxy import SUBMIT, Fault, FaultyProxy
from photoz_assets_tests.tap.faulty_server import Answer, Clock

# COSMOS.
TRACT: Final = 9812
DENSITY: Final = 0.02
HERE: Final = replace(DP2, redshifts=Spectroscopic())
REFUSAL: Final = (
    b'<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    b'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">'
    b"Upload of table redshifts failed: exceeds the limit of 33554432 bytes</INFO></RESOURCE></VOTABLE>"
)


@dataclass
class Matcher:
    """Matches the tract by way of a proxy, for one lake; says what it said."""

    proxy: FaultyProxy
    lake: Lake
    said: list[str]

    def ingest(self, release: Release) -> TapIngest:
        clock = Clock()
        client = TapClient(f"{self.proxy.base}/tap", clock=clock, sleep=clock.sleep, on_event=self.said.append)
        return TapIngest(
            client=client,
            lake=self.lake,
            release=release,
            run_id="run",
            log=self.said.append,
            clock=clock,
            sleep=clock.sleep,
        )

    def wanted(self, release: Release) -> TractMatch:
        return TractMatch(release=release, tract=TRACT, selection=Selection(), specz=self.lake.table("specz"))

    def by_upload(self) -> WrittenTable:
        return match_by_upload(self.ingest(DP2), self.wanted(DP2), read_provenance(self.lake.table("specz")))

    def failure(self) -> str:
        """Match, and return the one line that it fails with."""
        with pytest.raises(dg.Failure) as failed, as_dagster_failure():
            self.by_upload()
        return str(failed.value.description)


@pytest.fixture(scope="module")
def standing(sky_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matcher]:
    """COSMOS matched with what mock surveys have of it."""
    folder = tmp_path_factory.mktemp("cosmos")
    file, lake = folder / "specz.parquet", Lake(folder / "lake")
    with (
        ArchiveServer(sky_folder, density=DENSITY, tracts=(TRACT,)) as server,
        FaultyProxy(server.url).running() as proxy,
    ):
        write_redshifts(file, SkyStore(sky_folder / "sky", release=DP2, density=DENSITY), [TRACT])
        provenance = Provenance(table="specz", code_version=SPECZ.code_version, run_id="run", **run_versions())
        write_rows(lake, SPECZ, [read_redshifts(RedshiftFiles(paths=(file,)), DP2).rows], provenance)
        assert isinstance(proxy, FaultyProxy)
        yield Matcher(proxy, lake, [])


@pytest.fixture
def matcher(standing: Matcher) -> Iterator[Matcher]:
    """The same, without what others have said and asked; faults are mended afterwards."""
    standing.said.clear()
    standing.proxy.requests.clear()
    yield standing
    standing.proxy.faults = []


@pytest.fixture(scope="module")
def published(standing: Matcher) -> WrittenTable:
    """The pairs, of an upload that broke off at first and was sent again."""
    standing.proxy.faults = [Fault(SUBMIT, Answer(hang_up=True), times=1)]
    table = standing.by_upload()
    [retry] = [line for line in standing.said if line.startswith("retry ")]
    assert "the connection broke" in retry
    standing.proxy.faults = []
    return table


def test_rows_of_dp2_are_those_of_a_match_of_all_its_objects(
    published: WrittenTable, matcher: Matcher, tmp_path: Path
) -> None:
    by_upload, verdicts = read_rows(published.path), {verdict.check: verdict for verdict in published.verdicts}
    ingest, spec = matcher.ingest(HERE), matched_galaxies_spec(HERE)
    objects = ingest.fetch_table(objects_tract_query(ingest.client, HERE, Selection(), TRACT)).path
    provenance = replace(
        read_provenance(objects), table=spec.table, code_version=spec.code_version, matching=HERE.matching
    )
    held = match_stored(Lake(tmp_path / "held"), matcher.wanted(HERE), objects, provenance)
    assert by_upload.num_rows > 300
    assert by_upload.schema.names == list(spec.names)
    assert read_rows(held.path).equals(by_upload)
    expected = {verdict.check: verdict for verdict in held.verdicts}
    assert expected["coordinate_offsets"] == verdicts["coordinate_offsets"]
    # Where there are observations is seen less well from the objects that are near redshifts.
    shares = [each["chance_matches"].numbers["expected_false_share"] for each in (expected, verdicts)]
    assert shares[0] == pytest.approx(shares[1], rel=0.05)


@pytest.mark.parametrize(
    ("answer", "words", "sent"),
    [
        (
            Answer(status=400, body=REFUSAL, headers={"Content-Type": "application/x-votable+xml"}),
            "Upload of table redshifts failed: exceeds the limit of 33554432 bytes",
            range(1, 2),
        ),
        (
            Answer(hang_up=True),
            "the connection broke: Remote end closed connection without response at",
            range(2, 100),
        ),
    ],
    ids=["refused", "cut off"],
)
def test_upload_that_the_service_does_not_take_is_one_line_and_loses_nothing(
    published: WrittenTable, matcher: Matcher, answer: Answer, words: str, sent: range
) -> None:
    before = published.path.read_bytes()
    matcher.proxy.faults = [Fault(SUBMIT, answer)]
    failure = matcher.failure()
    assert words in failure
    assert "\n" not in failure
    assert len(matcher.proxy.asked_for(SUBMIT)) in sent
    assert published.path.read_bytes() == before
    assert [*matcher.lake.staging.glob("*"), *matcher.lake.jobs.glob("*")] == []
