"""The skies of DP1 and DP2 beside DP0.2's: primary objects alone, of the releases' types, ids, bands and depths."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from photoz_archive.service.digits import with_digits
from photoz_archive.service.fields import PRIMITIVES
from photoz_archive.service.official import OfficialSchema
from photoz_archive.service.profile import Profile
from photoz_archive.service.server import ArchiveServer
from photoz_archive.sky.recipe import DP1, DP2, RECIPES, Recipe
from photoz_archive.sky.store import SkyStore
from photoz_archive_tests.service.test_disk import error_of
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.releases import dp02, dp1
from photoz_assets.survey.releases.release import Release

# ECDFS, which both DP0.2 and DP1 have; four bands of DP1; COSMOS of DP2.
SHARED, FOUR_BANDS, COSMOS = 5063, 10463, 9812
DENSITY = 0.02
TRACTS = {dp1.RELEASE: (SHARED, FOUR_BANDS), DP2.release: (COSMOS,)}


@pytest.fixture(scope="module")
def server(sky_folder: Path) -> Iterator[ArchiveServer]:
    with ArchiveServer(sky_folder, density=DENSITY, tracts=(SHARED, FOUR_BANDS, COSMOS)) as running:
        yield running


def ask(server: ArchiveServer, query: str) -> requests.Response:
    return requests.get(f"{server.url}/sync", {"LANG": "ADQL", "QUERY": query, "FORMAT": "csv"}, timeout=120)


def rows(server: ArchiveServer, query: str) -> pd.DataFrame:
    answer = ask(server, query)
    assert answer.ok, answer.text
    return pd.read_csv(io.StringIO(answer.text))


def written(sky_folder: Path, release: Release) -> pd.DataFrame:
    """The objects as they lie in the files."""
    store = SkyStore(sky_folder / "sky", release=release, density=DENSITY)
    store.ensure(TRACTS[release])
    objects: pd.DataFrame = pa.concat_tables(
        map(pq.read_table, store.files("Object", TRACTS[release]))
    ).to_pandas()
    return objects


@pytest.mark.parametrize("recipe", [DP1, DP2], ids=lambda recipe: recipe.release.name)
def test_columns_are_those_of_the_official_schema_with_its_types(
    listing: tuple[OfficialSchema, ...], recipe: Recipe
) -> None:
    [schema] = [each for each in listing if each.name == recipe.release.schema]
    [objects] = [table for table in schema.tables if table.name == "Object"]
    types = {column.name: PRIMITIVES[column.datatype].arrow for column in objects.columns}
    assert types == {field.name: field.type for field in recipe.objects}
    assert not {table.name for table in schema.tables} & {"TruthSummary", "MatchesTruth"}
    wanted = {f"{band}_{flag}" for band in BANDS for flag in recipe.release.objects.flags}
    wanted |= {kind.flux(band) for kind in recipe.release.objects.kinds for band in BANDS}
    assert wanted <= set(types)


@pytest.mark.parametrize("release", TRACTS, ids=lambda release: release.name)
def test_objects_are_primary_and_their_ids_tell_release_tract_and_patch(
    sky_folder: Path, release: Release
) -> None:
    objects = written(sky_folder, release)
    assert objects.objectId.is_unique
    assert release.object_ids is not None
    tract, patch = release.skymap.tract_and_patch(objects.coord_ra, objects.coord_dec)
    assert (tract == objects.tract).all()
    assert (patch == objects.patch).all()
    first = [
        release.object_ids.first(tract, patch) for tract, patch in zip(objects.tract, objects.patch, strict=True)
    ]
    assert ((objects.objectId - first) < 2**36).all()
    assert (objects.objectId >= first).all()


def test_bands_that_were_not_observed_are_null(sky_folder: Path) -> None:
    objects = written(sky_folder, dp1.RELEASE).set_index("tract").loc[FOUR_BANDS]
    assert len(objects) > 1000
    for band in "uy":
        assert (
            not objects[[f"{band}_cModelFlux", f"{band}_gaap1p0FluxErr", f"{band}_psfMag"]]
            .notna()
            .to_numpy()
            .any()
        )
        assert objects[[f"{band}_cModel_flag", f"{band}_pixelFlags_nodata"]].to_numpy().all()
    for band in "griz":
        assert objects[f"{band}_cModelFlux"].notna().mean() > 0.98
        assert not objects[f"{band}_pixelFlags_nodata"].any()
    assert set(objects.refBand) <= set("griz")


@pytest.mark.parametrize(("tract", "depth_mag"), [(SHARED, 25.71), (FOUR_BANDS, 24.86)])
def test_depth_is_that_of_the_field(sky_folder: Path, tract: int, depth_mag: float) -> None:
    objects = written(sky_folder, dp1.RELEASE).set_index("tract").loc[tract]
    at_depth = objects[(objects.i_psfMag - depth_mag).abs() < 0.1]
    assert len(at_depth) > 30
    # Errors are reported a tenth too small.
    assert (at_depth.i_psfFlux / at_depth.i_psfFluxErr).median() == pytest.approx(5 / 0.9, rel=0.12)


def test_images_cover_the_field_and_no_more(sky_folder: Path) -> None:
    objects = written(sky_folder, dp1.RELEASE).set_index("tract").loc[SHARED]
    field = dp1.RELEASE.fields["ECDFS"]
    east = (objects.coord_ra - field.ra_deg) * np.cos(np.radians(field.dec_deg))
    assert np.hypot(east, objects.coord_dec - field.dec_deg).max() < field.radius_deg + 0.01


def test_dust_is_in_the_fluxes_by_the_releases_coefficients(sky_folder: Path) -> None:
    store = SkyStore(sky_folder / "sky", release=dp1.RELEASE, density=DENSITY)
    store.ensure((SHARED,))
    [path] = store.files("TruthSummary", (SHARED,))
    truths = pq.read_table(path).to_pandas().query("truth_type == 1")
    dimming = 2.5 * np.log10(truths.flux_u_noMW / truths.flux_u)
    reddening = dimming / dp1.RELEASE.extinction["u"]
    assert reddening.between(0.003, 0.013).all()
    ebv = written(sky_folder, dp1.RELEASE).set_index("tract").loc[SHARED].ebv
    assert ebv.median() == pytest.approx(reddening.median(), rel=0.05)


def test_tract_of_two_releases_is_two_skies(server: ArchiveServer) -> None:
    counted = "SELECT COUNT(*) AS n, MIN(objectId) AS first FROM {}.Object WHERE tract = 5063"
    (old, first_old), (new, first_new) = (
        map(int, rows(server, counted.format(release.schema)).to_numpy()[0])
        for release in (dp02.RELEASE, dp1.RELEASE)
    )
    assert old > 0
    assert new > 0
    assert first_old >> 48 == SHARED
    assert first_new >> 57 == 4


def test_schemas_say_that_they_are_simulated_and_how_dense(server: ArchiveServer) -> None:
    listed = rows(server, "SELECT schema_name, description FROM tap_schema.schemas").set_index("schema_name")
    for recipe in RECIPES:
        text = listed.description[recipe.release.schema]
        assert text.startswith("Embedded archive, simulated")
        assert f"density {DENSITY:g}" in text
        assert recipe.release.title in text


def test_coadd_patches_are_those_of_the_releases_skymap(server: ArchiveServer) -> None:
    for recipe in RECIPES:
        counted = rows(server, f"SELECT COUNT(*) AS n FROM {recipe.release.schema}.CoaddPatches").loc[0, "n"]
        assert counted == len(recipe.release.tracts) * recipe.release.skymap.patches_per_side**2
    query = "SELECT lsst_patch, s_region FROM {}.CoaddPatches WHERE lsst_tract = 5063 AND lsst_patch = 0"
    cells = rows(server, query.format("dp1")).s_region[0].split()[2:]
    outer = dp1.RELEASE.skymap.patch_polygons(SHARED, 0, outer=True)
    assert [float(angle) for angle in cells] == pytest.approx(outer.ravel().tolist(), abs=1e-6)


def test_floats_come_with_six_digits_and_are_selected_by_all_of_theirs(
    server: ArchiveServer, sky_folder: Path
) -> None:
    objects = written(sky_folder, dp1.RELEASE).set_index("objectId")
    whole = objects.i_cModelFlux.loc[
        lambda flux: (flux > 0) & (flux != flux.map(lambda value: float(f"{value:.6g}")))
    ]
    # One that its six digits would put on the other side of a cut at its own value.
    name, flux = whole.index[0], float(whole.iloc[0])
    query = f"SELECT objectId, i_cModelFlux, coord_ra FROM dp1.Object WHERE objectId = {name} AND i_cModelFlux {{}} {flux!r}"
    assert rows(server, query.format("<")).empty
    [got] = rows(server, query.format("=")).itertuples(index=False)
    assert got.i_cModelFlux == pytest.approx(float(f"{flux:.6g}"), rel=1e-7)
    assert got.i_cModelFlux != pytest.approx(flux, rel=1e-8)
    assert got.coord_ra == objects.coord_ra[name]


def test_switch_gives_all_digits(sky_folder: Path) -> None:
    objects = written(sky_folder, dp1.RELEASE).set_index("objectId").i_cModelFlux.dropna()
    query = (
        f"SELECT objectId, i_cModelFlux FROM dp1.Object WHERE tract = {FOUR_BANDS} AND i_cModelFlux IS NOT NULL"
    )
    profile = Profile(six_digit_floats=False)
    with ArchiveServer(sky_folder, density=DENSITY, tracts=(FOUR_BANDS,), profile=profile) as exact:
        got = rows(exact, query).set_index("objectId").i_cModelFlux
    assert (got.astype(np.float32) == objects[got.index]).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=True) | st.none(), min_size=1))
def test_rounding_is_that_of_numbers_written_with_six_digits(values: list[float | None]) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(values, pa.float32())], ["x"])
    expected = [None if value is None else np.float32(f"{value:.6g}") for value in values]
    got = with_digits(batch, {0: 6}).column(0).to_pylist()
    np.testing.assert_array_equal(
        np.array(got, np.float64), np.array([None if e is None else float(e) for e in expected], np.float64)
    )


def test_query_of_everything_counts_what_is_still_to_be_made(used_folder: Path, server: ArchiveServer) -> None:
    assert rows(server, "SELECT COUNT(*) AS n FROM dp1.Object").n.sum() > 1000
    store = SkyStore(used_folder, release=dp1.RELEASE, density=1.0)
    assert store.estimated_rows(store.tracts) < 12_100_000
    with ArchiveServer(used_folder, density=1.0) as whole:
        assert "178 tracts of dp2" in error_of(ask(whole, "SELECT COUNT(*) AS n FROM dp2.Object"))


def test_match_of_an_upload_reaches_dp1(server: ArchiveServer, sky_folder: Path) -> None:
    some = written(sky_folder, dp1.RELEASE).set_index("tract").loc[SHARED].head(20)
    cells = "".join(
        f"<TR><TD>{ra!r}</TD><TD>{dec!r}</TD></TR>" for ra, dec in zip(some.coord_ra, some.coord_dec, strict=True)
    )
    fields = "".join(f'<FIELD name="{name}" datatype="double"/>' for name in ("ra", "dec"))
    document = f"<VOTABLE><RESOURCE><TABLE>{fields}<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    query = (
        "SELECT o.objectId FROM dp1.Object AS o JOIN TAP_UPLOAD.t AS t "
        "ON scisql_angSep(o.coord_ra, o.coord_dec, t.ra, t.dec) < 0.00001"
    )
    sent = {"LANG": "ADQL", "QUERY": query, "FORMAT": "csv", "UPLOAD": "t,param:t"}
    answer = requests.post(f"{server.url}/sync", data=sent, files={"t": ("t", document)}, timeout=60)
    assert {int(line) for line in answer.text.split()[1:]} == set(some.objectId)
