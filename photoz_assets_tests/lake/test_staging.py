"""Tables reach their place whole or not at all."""

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import astropy.table
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets import connect
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    PROVENANCE_KEY,
    ArchiveIdentity,
    InvalidTableFileError,
    Provenance,
    verify_rows,
)
from photoz_assets.lake.publishing import ForeignArchiveError
from photoz_assets.lake.staging import ROW_GROUP_ROWS, StagedTable, publish, stage
from photoz_assets.survey.matching import Matching
from photoz_assets.survey.sampling import Sampling
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies

EMBEDDED = ArchiveIdentity.declared("dp02_dc2_catalogs", "Embedded archive, simulated: density 0.01", {})
OTHER = ArchiveIdentity.declared("dp02_dc2_catalogs", "Data Preview 0.2", {})


def provenance(tract: int = 3638, archive: ArchiveIdentity = EMBEDDED) -> Provenance:
    return Provenance(
        table="matched_galaxies",
        code_version="1",
        archive=archive,
        selection=Selection(),
        tract=tract,
        adql="SELECT 'quoted'",
    )


def staged(lake: Lake, table: pa.Table, *, tract: int = 3638, archive: ArchiveIdentity = EMBEDDED) -> StagedTable:
    return stage(lake, MATCHED_GALAXIES, table.to_batches(1000), lambda: provenance(tract, archive))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "a lake's")


def test_published_table_is_read_as_it_was_staged(lake: Lake) -> None:
    table = galaxies(2500)
    path = publish(lake, staged(lake, table))
    assert path == lake.root / "matched_galaxies" / "tract=3638" / "matched_galaxies.parquet"
    assert pq.ParquetFile(path).read().equals(table)
    assert pq.ParquetFile(path).schema_arrow.names == list(MATCHED_GALAXIES.names)


def test_row_groups_are_of_one_size_whatever_the_batches(lake: Lake) -> None:
    table = galaxies(2 * ROW_GROUP_ROWS + 1000)
    cuts = [0, 5, 5, ROW_GROUP_ROWS + 12, table.num_rows]
    uneven = [table.slice(start, end - start) for start, end in pairwise(cuts)]
    path = publish(lake, stage(lake, MATCHED_GALAXIES, uneven, provenance))
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
        assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 1000]
        assert file.read().equals(table)


def test_lake_view_equals_plain_hive_reading(lake: Lake) -> None:
    for tract in (3637, 3638):
        publish(lake, staged(lake, galaxies(50, tract=tract), tract=tract))
    ours = connect(lake.root).view("matched_galaxies").order("mt_match_objectId")
    pattern = str(lake.root / "matched_galaxies" / "*" / "*.parquet").replace("'", "''")
    plain = duckdb.execute(
        f"SELECT * FROM read_parquet('{pattern}', hive_partitioning=true) ORDER BY mt_match_objectId"
    )
    assert ours.columns[-1] == "tract"
    assert ours.fetchall() == plain.fetchall()
    assert lake.tracts("matched_galaxies") == (3637, 3638)


def test_staged_table_is_seen_by_no_reader_of_the_lake(lake: Lake) -> None:
    waiting = staged(lake, galaxies(10))
    assert list(lake.root.rglob("*.parquet")) == []
    assert connect(lake.root).execute("SHOW TABLES").fetchall() == []
    waiting.discard()
    assert list(lake.staging.iterdir()) == []


def test_failing_batches_leave_the_last_table_and_no_staged_file(lake: Lake) -> None:
    path = publish(lake, staged(lake, galaxies(100)))
    before = hashlib.sha256(path.read_bytes()).hexdigest()

    def batches() -> list[pa.RecordBatch]:
        return [galaxies(10).to_batches()[0], galaxies(10).drop_columns(["ts_ra"]).to_batches()[0]]

    with pytest.raises(ValueError, match="columns differ"):
        stage(lake, MATCHED_GALAXIES, batches(), provenance)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert list(lake.staging.iterdir()) == []


def test_tract_of_another_archive_is_refused_and_the_last_one_stays(lake: Lake) -> None:
    path = publish(lake, staged(lake, galaxies(100)))
    before = path.read_bytes()
    foreign = staged(lake, galaxies(5), archive=OTHER)
    with pytest.raises(ForeignArchiveError, match="PHOTOZ_DATA_DIR"):
        publish(lake, foreign)
    foreign.discard()
    assert path.read_bytes() == before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(errno.EIO, "Input/output error")])
def test_publication_that_is_stopped_after_the_rename_keeps_the_table(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    def stop(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise interruption

    publish(lake, staged(lake, galaxies(50)))
    waiting = staged(lake, galaxies(100))
    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises((KeyboardInterrupt, OSError)):
        publish(lake, waiting)
    waiting.discard()
    assert pq.read_metadata(lake.table("matched_galaxies", 3638)).num_rows == 100
    assert list(lake.staging.iterdir()) == []


def test_publication_that_fails_leaves_no_staged_file(lake: Lake) -> None:
    lake.table("matched_galaxies", 3638).mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        publish(lake, staged(lake, galaxies(100)))
    assert list(lake.staging.iterdir()) == []


def test_folders_and_files_of_others_in_the_lake_do_no_harm(lake: Lake) -> None:
    path = publish(lake, staged(lake, galaxies(100)))
    for folder in ("tract=3638 (copy)", "tract=x'y", "tract="):
        (copy := path.parents[1] / folder).mkdir()
        shutil.copy(path, copy)
    (lake.root / "0 others").mkdir()
    (lake.root / "0 others" / "broken.parquet").write_bytes(b"PAR1 no more")
    assert lake.tracts("matched_galaxies") == (3638,)
    assert lake.archive() == EMBEDDED
    publish(lake, staged(lake, galaxies(50)))


def test_file_carries_its_provenance_and_its_rows(lake: Lake) -> None:
    publish(lake, staged(lake, galaxies(123)))
    found = lake.provenance("matched_galaxies", 3638)
    assert found == provenance().with_rows(123)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-100],
        lambda whole: bytes(len(whole) - 8) + whole[-8:],
        lambda whole: whole.replace(
            b"photoz_assets.provenance", b"photoz_assets.\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
        ),
        lambda whole: whole.replace(b'"code_version"', b'"code version"'),
        lambda whole: whole.replace(b'"bands"', b'"bends"'),
        lambda whole: whole.replace(b'{"adql"', b'["adql"'),
    ],
    ids=["cut", "zeroed", "another key", "another field", "without bands", "no JSON"],
)
def test_damaged_footer_is_named_with_what_to_do(lake: Lake, damage: Callable[[bytes], bytes]) -> None:
    path = publish(lake, staged(lake, galaxies(20)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidTableFileError, match=f"^{re.escape(str(path))} .*materialize its asset again$"):
        lake.provenance("matched_galaxies", 3638)


@pytest.mark.parametrize(
    "facts",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "null",
        "[]",
        '{"code_version": "1"}',
        '{"table": 1, "code_version": "1"}',
        '{"table": "t", "code_version": "1", "tract": true}',
        '{"table": "t", "code_version": "1", "created": "yesterday"}',
        '{"table": "t", "code_version": "1", "created": "2026-11-26T12:00:00"}',
        '{"table": "t", "code_version": "1", "changes_seen": {"3638": "soon"}}',
        '{"table": "t", "code_version": "1", "changes_seen": {"3638": 1}}',
        '{"table": "t", "code_version": "1", "changes_seen": ["3638"]}',
        '{"table": "t", "code_version": "1", "inputs": [1]}',
        '{"table": "t", "code_version": "1", "inputs": "one"}',
        '{"table": "t", "code_version": "1", "parts": ["one"]}',
        '{"table": "t", "code_version": "1", "archive": []}',
        '{"table": "t", "code_version": "1", "archive": {"release": "dp02"}}',
        '{"table": "t", "code_version": "1", "archive": {"release": 1, "description": "", "fingerprint": ""}}',
        '{"table": "t", "code_version": "1", "selection": {"bands": 1}}',
        '{"table": "t", "code_version": "1", "selection": {"bands": ["q"]}}',
    ],
    ids=lambda facts: facts[:80],
)
def test_provenance_without_sense_is_named_with_what_to_do(lake: Lake, facts: str) -> None:
    path = lake.table("skyinfo")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({PROVENANCE_KEY: facts}), path)
    with pytest.raises(InvalidTableFileError, match="carries a provenance that makes no sense: move it elsewhere"):
        lake.provenance("skyinfo")
    assert lake.archive() is None


def test_damaged_rows_under_a_whole_footer_are_named_with_what_to_do(lake: Lake) -> None:
    path = publish(lake, staged(lake, galaxies(2000)))
    verify_rows(path)
    whole = path.read_bytes()
    column = pq.read_metadata(path).row_group(0).column(3)
    for place in range(column.data_page_offset + 100, column.data_page_offset + column.total_compressed_size, 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert lake.provenance("matched_galaxies", 3638).rows_stored == 2000
        with pytest.raises(InvalidTableFileError, match=f"^{re.escape(str(path))} .*materialize its asset again$"):
            verify_rows(path)


def test_provenance_is_read_back_whole() -> None:
    texts: dict[str, Any] = dict.fromkeys(
        ("region", "repository", "run_id", "job_url", "listing", "estimator", "rights", "citation"), "a text"
    )
    counts: dict[str, Any] = dict.fromkeys(("rows_declared", "rows_received", "rows_stored", "bytes_received"), 7)
    whole = replace(
        provenance(),
        **texts,
        **counts,
        created="2026-11-26T12:00:00+00:00",
        seconds=1.5,
        inputs=("skyinfo",),
        input_versions={"skyinfo": 3},
        parts=({"rows_declared": 7},),
        versions={"python": "3.11"},
        changes_seen={"3638": "2026-11-26T12:00:00+00:00"},
        sampling=Sampling(seed=7),
        matching=Matching(radius_arcsec=0.5),
        redshift_files=({"name": "z.csv", "rows": 7},),
    )
    assert [field.name for field in fields(whole) if getattr(whole, field.name) in (None, (), {})] == []
    assert Provenance.from_json(whole.to_json()) == whole


def test_provenance_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert Provenance.from_json('{"table": "t", "code_version": "9", "news": {}}').code_version == "9"


def test_units_and_ucds_are_read_by_astropy_as_voparquet(lake: Lake) -> None:
    path = publish(lake, staged(lake, galaxies(20)))
    table = astropy.table.Table.read(path, format="parquet.votable")
    assert str(table["obj_g_cModelFlux"].unit) == "nJy"
    assert str(table["ts_ra"].unit) == "deg"
    assert table["ts_dec"].meta["ucd"] == "pos.eq.dec"
    assert len(table) == 20


def test_arrow_fields_carry_units(lake: Lake) -> None:
    path = publish(lake, staged(lake, galaxies(3)))
    metadata = pq.read_schema(path).field("obj_r_cModelMag").metadata
    assert metadata[b"unit"] == b"mag"
