"""A published tract as TOPCAT's family and astropy read it: units, UCDs and descriptions of all its columns."""

import shutil
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from astropy.table import Table

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.survey.contracts import MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies

STILTS = shutil.which("stilts")


@pytest.fixture
def tract(tmp_path: Path) -> Table:
    """A published tract, as astropy reads it."""
    provenance = Provenance(table="matched_galaxies", code_version="1", tract=3638)
    staged = stage(Lake(tmp_path), MATCHED_GALAXIES, [galaxies(20)], partial(replace, provenance))
    return Table.read(publish(Lake(tmp_path), staged), format="parquet.votable")


def test_astropy_shows_units_ucds_and_descriptions_of_all_columns(tract: Table) -> None:
    assert tuple(tract.colnames) == MATCHED_GALAXIES.names
    for column in MATCHED_GALAXIES:
        read = tract[column.name]
        assert read.description == column.description
        assert read.meta["ucd"] == column.ucd
        assert (str(read.unit) if read.unit else None) == column.unit


@pytest.mark.skipif(STILTS is None, reason="needs STILTS: apt-get install stilts")
def test_stilts_shows_units_ucds_and_descriptions_of_all_columns(tract: Table, tmp_path: Path) -> None:
    # Debian's STILTS reads no Parquet; what it is given is what astropy read of it, as VOTable.
    tract.write(tmp_path / "tract.vot", format="votable")
    listing = tmp_path / "listing.csv"
    asked = ["tpipe", f"in={tmp_path / 'tract.vot'}", "cmd=meta name units ucd description"]
    subprocess.run(
        [str(STILTS), *asked, f"out={listing}", "ofmt=csv"], check=True, capture_output=True, timeout=120
    )
    shown = Table.read(listing, format="ascii.csv", fill_values=[("", "")])
    assert list(shown["Name"]) == list(MATCHED_GALAXIES.names)
    for row, column in zip(shown.filled("") if shown.masked else shown, MATCHED_GALAXIES, strict=True):
        assert row["UCD"] == column.ucd
        assert row["Description"] == column.description
        assert (row["Units"] or None) == column.unit
