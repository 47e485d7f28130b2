"""What the archive's own tests share: what it lists, and its rows, read without it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import pyvo

from photoz_archive.adql.catalog import Catalog
from photoz_archive.service.listing import archive_listing
from photoz_archive.service.official import OfficialSchema
from photoz_archive.service.schema import ArchiveSchema, load_schema
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.recipe import RECIPES
from photoz_archive.sky.store import SkyStore
from photoz_archive_tests.shared import DENSITY, FIELD_TRACTS


@dataclass(frozen=True)
class SkyRows:
    """The rows behind the archive as data frames, straight from the files."""

    objects: pd.DataFrame
    truths: pd.DataFrame
    matches: pd.DataFrame


@pytest.fixture(scope="session")
def listing(sky_folder: Path) -> tuple[OfficialSchema, ...]:
    columns = {recipe.release.schema: recipe.objects.names for recipe in RECIPES}
    return archive_listing(sky_folder / "schemas", columns)


@pytest.fixture(scope="session")
def schema(listing: tuple[OfficialSchema, ...]) -> ArchiveSchema:
    return load_schema(listing, {recipe.release.schema: "simulated" for recipe in RECIPES})


@pytest.fixture(scope="session")
def catalog(schema: ArchiveSchema) -> Catalog:
    return schema.catalog


@pytest.fixture
def used_folder(tmp_path: Path, sky_folder: Path, schema: ArchiveSchema) -> Path:
    """The folder of an archive that has read the official schemas before, and has made no tract."""
    del schema
    shutil.copytree(sky_folder / "schemas", tmp_path / "used" / "schemas")
    return tmp_path / "used"


@pytest.fixture(scope="session")
def sky_rows(sky_folder: Path) -> SkyRows:
    store = SkyStore(sky_folder / "sky", density=DENSITY, tracts=FIELD_TRACTS)
    store.ensure(FIELD_TRACTS)

    def read(table: str) -> pd.DataFrame:
        parts = [
            pd.read_parquet(file, dtype_backend="numpy_nullable") for file in store.files(table, FIELD_TRACTS)
        ]
        return pd.concat(parts, ignore_index=True)

    return SkyRows(read("Object"), read("TruthSummary"), read("MatchesTruth"))


@pytest.fixture(scope="session")
def tap(archive: ArchiveServer) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(archive.url)
