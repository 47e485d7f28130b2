"""A release without truth on the embedded archive: objects, redshifts, and their match here and by an upload."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets.definitions import build_definitions, tables_of
from photoz_assets.environment import SettingError
from photoz_assets.ingest.matched_tract import TractMatch, near_objects_queries
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import read_provenance, read_rows
from photoz_assets.orchestration.assets.spectroscopy import SpeczConfig
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.dp2 import RELEASE as DP2
from photoz_assets.survey.releases.release import Release, Spectroscopic
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.runs import Published, Run
from photoz_assets_tests.spectroscopic import write_csv

TRACT = 3638
# The simulation's objects, as if nobody knew their truth.
SEEN = replace(DP02, name="seen", redshifts=Spectroscopic(), bare_keys=False)
SENT = replace(SEEN, redshifts=Spectroscopic(by_upload=True))


@pytest.fixture(scope="module")
def redshifts(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the true positions and redshifts of some of the archive's galaxies, and of none."""
    galaxies = read_rows(published.lake.table("matched_galaxies", TRACT)).slice(0, 400)
    rows = galaxies.num_rows
    table = pa.table(
        {
            "CRD_ID": [f"CRD{number}" for number in range(rows)],
            "ra": galaxies.column("ts_ra"),
            "dec": galaxies.column("ts_dec"),
            "z": galaxies.column("ts_redshift"),
            "z_flag_homogenized": [4.0 - number % 2 for number in range(rows)],
            "instrument_type_homogenized": ["s", "g"] * (rows // 2),
            "survey": ["DEEP", "WIDE"] * (rows // 2),
        }
    )
    return write_csv(table, tmp_path_factory.mktemp("redshifts") / "z.csv")


def run(release: Release, archive: ArchiveServer, lake: Lake, *assets: str, tract: int | None = None) -> Run:
    definitions = build_definitions(
        release=release,
        resources={
            "archive": ArchiveResource(url=archive.url),
            "lake": LakeResource(data_dir=str(lake.root)),
        },
    )
    return Run(
        definitions.resolve_job_def("demo").execute_in_process(
            partition_key=str(tract) if tract else None,
            asset_selection=[dg.AssetKey([release.name, asset]) for asset in assets],
            raise_on_error=False,
        )
    )


def test_local_match_and_match_by_upload_give_the_same_rows(
    archive: ArchiveServer, redshifts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOZ_SPECZ", str(redshifts))
    here, sent = Lake(tmp_path / "here"), Lake(tmp_path / "sent")
    assert run(SEEN, archive, here, "specz").success
    assert run(SENT, archive, sent, "specz").success
    local = run(SEEN, archive, here, "objects", "matched_galaxies", tract=TRACT)
    uploaded = run(SENT, archive, sent, "matched_galaxies", tract=TRACT)
    for each in (local, uploaded):
        assert each.success
        assert [name for name, check in each.checks.items() if not check.passed] == []
    held = [read_rows(lake.table("matched_galaxies", TRACT)) for lake in (here, sent)]
    assert held[0].num_rows > 300
    assert held[0].equals(held[1])
    provenance = read_provenance(sent.table("matched_galaxies", TRACT))
    assert "JOIN TAP_UPLOAD.redshifts AS near ON DISTANCE(" in str(provenance.adql)
    assert provenance.matching == SENT.matching
    assert [file["name"] for file in provenance.redshift_files] == ["z.csv"]
    # The upload way has read no object without a redshift, real or moved, nearby.
    assert (provenance.rows_received or 0) < read_rows(here.table("objects", TRACT)).num_rows / 2
    # What is made of galaxies asks for them by their columns' roles.
    assert run(SEEN, archive, here, "diagnostics", "photoz_galaxies", tract=TRACT).success


def test_without_a_file_of_redshifts_one_line_says_what_to_set(archive: ArchiveServer, tmp_path: Path) -> None:
    failed = run(SEEN, archive, Lake(tmp_path / "lake"), "specz")
    assert failed.failure.startswith("PHOTOZ_SPECZ is not set: name the file")


def test_positions_are_cut_where_they_are_too_many_for_a_request(
    redshifts: Path, archive: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOZ_SPECZ", str(redshifts))
    lake = Lake(tmp_path / "lake")
    assert run(SENT, archive, lake, "specz").success
    wanted = TractMatch(release=SENT, tract=TRACT, selection=Selection(), specz=lake.table("specz"))
    with duckdb.connect() as connection:
        wanted.read(connection)
        [whole] = near_objects_queries(connection, wanted)
        parts = list(near_objects_queries(connection, wanted, rows_per_upload=700))
    assert whole.upload is not None
    sent = [part.upload.table for part in parts if part.upload]
    assert pa.concat_tables(sent).equals(whole.upload.table)
    assert [part.part for part in parts] == [
        f"upload-{number}-of-{len(parts)}" for number in range(1, len(parts) + 1)
    ]
    assert len(parts) == -(-whole.upload.table.num_rows // 700)
    assert len({part.upload.digest for part in parts if part.upload}) == len(parts)


@pytest.mark.parametrize("release", [DP1, DP2], ids=["dp1", "dp2"])
def test_assets_of_a_release_without_truth_are_its_own(release: Release) -> None:
    graph = build_definitions(release=release).resolve_asset_graph()
    names = {key.path[1] for key in graph.materializable_asset_keys if key.path[0] == release.name}
    assert {"specz", "objects", "matched_galaxies", "diagnostics", "photoz_galaxies"} <= names
    assert "matched_truth" not in names
    parents = {key.path[-1] for key in graph.get(dg.AssetKey([release.name, "matched_galaxies"])).parent_keys}
    assert "specz" in parents
    assert ("objects" in parents) == (release is DP1)
    columns = {column for spec in tables_of(release).values() for column in spec.names}
    assert not any(column.startswith(("ts_", "mt_")) for column in columns)


def test_no_table_of_a_release_is_taken_for_that_of_another() -> None:
    named = [
        spec.metadata["dagster/table_name"]
        for release in (DP02, DP1, DP2)
        for spec in build_definitions(release=release).resolve_all_asset_specs()
        if spec.key.path[0] in {release.name, "matched_galaxies"} and "dagster/table_name" in spec.metadata
    ]
    assert {"matched_galaxies", "dp1.matched_galaxies", "dp2.matched_galaxies"} <= set(named)
    assert len(named) == len(set(named))


def test_columns_that_a_file_of_redshifts_does_not_have_are_told() -> None:
    with pytest.raises(SettingError, match="names columns for declination: they are row_id"):
        SpeczConfig(columns={"redshift": "Z_BEST", "declination": "DEC"}).named()
