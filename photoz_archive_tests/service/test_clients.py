"""The clients that astronomers use give the same rows, sync and async: those that lie in the files."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pyvo
from astropy.table import Table

from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.conftest import SkyRows
from photoz_archive_tests.service.stilts import needs_stilts, run_stilts

JOIN = """
    SELECT o.objectId, o.coord_ra, o.detect_isPrimary, o.refBand, o.refExtendedness, o.g_cModelFlux, m.match_count,
        t.redshift, t.id_truth_type, t.host_galaxy
    FROM dp02_dc2_catalogs.MatchesTruth AS m
    JOIN dp02_dc2_catalogs.TruthSummary AS t ON m.id_truth_type = t.id_truth_type
    JOIN dp02_dc2_catalogs.Object AS o ON m.match_objectId = o.objectId
    WHERE o.tract = 3637 AND o.patch < 8 ORDER BY o.objectId
"""
SCHEMA = """
    SELECT t.table_name, c.column_name, c.datatype, c.arraysize, c.unit, c."size"
    FROM TAP_SCHEMA.tables AS t JOIN TAP_SCHEMA.columns AS c ON t.table_name = c.table_name
    WHERE t.schema_name = 'dp02_dc2_catalogs' ORDER BY t.table_name, c.column_name
"""
Rows = list[tuple[Any, ...]]
Client = Callable[[ArchiveServer, str, Path], Table]


def pyvo_sync(archive: ArchiveServer, query: str, folder: Path) -> Table:
    del folder
    return pyvo.dal.TAPService(archive.url).run_sync(query).to_table()


def pyvo_async(archive: ArchiveServer, query: str, folder: Path) -> Table:
    del folder
    return pyvo.dal.TAPService(archive.url).run_async(query).to_table()


def stilts(archive: ArchiveServer, query: str, folder: Path, *, sync: str) -> Table:
    out = folder / "out.fits"
    said = run_stilts(
        "tapquery", f"tapurl={archive.url}", f"adql={query}", f"sync={sync}", "ofmt=fits", f"out={out}"
    )
    assert out.is_file(), said
    return Table.read(out)


def stilts_sync(archive: ArchiveServer, query: str, folder: Path) -> Table:
    return stilts(archive, query, folder, sync="true")


def stilts_async(archive: ArchiveServer, query: str, folder: Path) -> Table:
    return stilts(archive, query, folder, sync="false")


def astroquery(archive: ArchiveServer, query: str, *, way: str) -> Table:
    tap = pytest.importorskip("astroquery.utils.tap.core", reason="astroquery is not installed")
    launch = getattr(tap.TapPlus(url=archive.url, verbose=False), way)
    return launch(query, output_format="votable").get_results()


def astroquery_sync(archive: ArchiveServer, query: str, folder: Path) -> Table:
    del folder
    return astroquery(archive, query, way="launch_job")


def astroquery_async(archive: ArchiveServer, query: str, folder: Path) -> Table:
    del folder
    return astroquery(archive, query, way="launch_job_async")


CLIENTS = [
    pytest.param(pyvo_sync),
    pytest.param(pyvo_async),
    pytest.param(stilts_sync, marks=needs_stilts),
    pytest.param(stilts_async, marks=needs_stilts),
    pytest.param(astroquery_sync),
    pytest.param(astroquery_async),
]


def rows_of(table: Table) -> Rows:
    return [tuple(_plain(value) for value in row) for row in table.iterrows()]


def rows_of_frame(frame: pd.DataFrame) -> Rows:
    return [tuple(_plain(value) for value in row) for row in frame.itertuples(index=False, name=None)]


def _plain(value: Any) -> Any:
    """Return a value as Python has it; what is missing, in whatever way the client says so, as None."""
    if value is np.ma.masked:
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode()
    # FITS has no NULL for text and none for integers but what a keyword declares.
    missing = value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) or value == ""
    return None if missing else value


@pytest.mark.parametrize("client", CLIENTS)
def test_client_gives_the_joined_rows_of_the_files(
    client: Client, archive: ArchiveServer, sky_rows: SkyRows, tmp_path: Path
) -> None:
    objects = sky_rows.objects.query("tract == 3637 and patch < 8")
    joined = sky_rows.matches.merge(sky_rows.truths, on="id_truth_type", suffixes=("", "_t")).merge(
        objects, left_on="match_objectId", right_on="objectId"
    )
    columns = ["objectId", "coord_ra", "detect_isPrimary", "refBand", "refExtendedness", "g_cModelFlux"]
    columns += ["match_count", "redshift", "id_truth_type", "host_galaxy"]
    expected = rows_of_frame(joined.sort_values("objectId")[columns])
    assert len(expected) > 300
    assert any(None in row for row in expected)
    assert rows_of(client(archive, JOIN, tmp_path)) == expected


@pytest.mark.parametrize("client", CLIENTS)
def test_client_reads_the_same_tap_schema(client: Client, archive: ArchiveServer, tmp_path: Path) -> None:
    found = rows_of(client(archive, SCHEMA, tmp_path))
    assert found == rows_of(pyvo_sync(archive, SCHEMA, tmp_path))
    assert ("dp02_dc2_catalogs.MatchesTruth", "id_truth_type", "char", "18", None, 18) in found
