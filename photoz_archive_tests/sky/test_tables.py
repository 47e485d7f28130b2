"""What the files of a tract hold: the columns of DP0.2's schema, every patch, blends, doubles and empty sky."""

import multiprocessing
import time
from importlib import resources
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from photoz_archive.sky.coadds import coadd_patches
from photoz_archive.sky.columns import COADD_PATCHES
from photoz_archive.sky.store import TABLES, SkyStore
from photoz_assets.survey.skymap import DC2_RINGS, angular_separation_deg

# The means of the tracts that the notebook prints.
SEED_MEANS = {
    2897: (50.847278, -43.882198),
    2898: (52.881212, -43.881946),
    2899: (54.915204, -43.881658),
    2900: (56.949101, -43.881727),
    2901: (58.982980, -43.881880),
}
PARQUET_TYPES = {
    "long": "int64",
    "int": "int32",
    "double": "double",
    "float": "float",
    "boolean": "bool",
    "char": "string",
    "string": "string",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SkyStore:
    made = SkyStore(tmp_path_factory.mktemp("sky"), density=0.01)
    made.ensure(SEED_MEANS)
    return made


@pytest.fixture(scope="module")
def sky(store: SkyStore) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for table in TABLES:
        connection.read_parquet([str(path) for path in store.files(table, SEED_MEANS)]).create_view(table)
    return connection


def _official_columns() -> dict[str, dict[str, str]]:
    text = (resources.files("lsst.sdm.schemas") / "dp02_dc2.yaml").read_text()
    return {
        table["name"]: {column["name"]: PARQUET_TYPES[column["datatype"]] for column in table["columns"]}
        for table in yaml.safe_load(text)["tables"]
        if table["name"] in {*TABLES, "CoaddPatches"}
    }


def test_columns_have_the_names_and_types_of_the_official_schema(store: SkyStore) -> None:
    official = _official_columns()
    held = {}
    for table in TABLES:
        schema = pq.read_schema(store.files(table, (2897,))[0])
        held[table] = {field.name: str(field.type) for field in schema}
    held["CoaddPatches"] = {field.name: str(field.type) for field in COADD_PATCHES}
    for table in ("TruthSummary", "MatchesTruth", "CoaddPatches"):
        assert held[table] == official[table]
    assert held["Object"].items() <= official["Object"].items()


def test_objects_lie_in_every_patch_of_a_tract(sky: duckdb.DuckDBPyConnection) -> None:
    rows = sky.execute("SELECT tract, patch, count(*) FROM Object GROUP BY ALL").fetchall()
    assert {(tract, patch) for tract, patch, _ in rows} == {(t, p) for t in SEED_MEANS for p in range(49)}
    # The notebook prints 28,954 to 31,819 objects a patch.
    assert np.median([count for _, _, count in rows]) == pytest.approx(310, rel=0.15)


@pytest.mark.parametrize(("tract", "means"), SEED_MEANS.items())
def test_mean_position_of_a_tract_is_the_notebooks(
    sky: duckdb.DuckDBPyConnection, tract: int, means: tuple[float, float]
) -> None:
    [found] = sky.execute(
        "SELECT avg(ra), avg(dec) FROM (SELECT avg(coord_ra) AS ra, avg(coord_dec) AS dec FROM Object "
        "WHERE tract = ? GROUP BY patch)",
        [tract],
    ).fetchall()
    assert found == pytest.approx(means, abs=0.03)


def test_truths_lie_in_the_inner_region_of_their_tract(store: SkyStore) -> None:
    truths = pq.read_table(store.files("TruthSummary", (2897,))[0], columns=["ra", "dec"])
    assert (DC2_RINGS.tract_of(truths["ra"], truths["dec"]) == 2897).all()


def test_truth_identifiers_are_unique_and_fit_their_columns(sky: duckdb.DuckDBPyConnection) -> None:
    [counts] = sky.execute(
        "SELECT count(*), count(DISTINCT id_truth_type), max(length(id)), max(length(id_truth_type)), "
        "count(*) FILTER (WHERE id_truth_type <> id || '_' || truth_type) FROM TruthSummary"
    ).fetchall()
    rows, distinct, longest_id, longest_key, other = counts
    assert rows == distinct
    assert (longest_id, longest_key) <= (16, 18)
    assert other == 0


def test_a_match_agrees_with_its_truth(sky: duckdb.DuckDBPyConnection) -> None:
    [counts] = sky.execute(
        "SELECT count(*), count(t.id), count(*) FILTER (WHERE m.truth_type <> t.truth_type), "
        "count(m.match_objectId), min(m.match_count) FILTER (WHERE m.match_objectId IS NOT NULL), "
        "count(*) FILTER (WHERE (m.match_objectId IS NULL) <> (m.match_chisq IS NULL)), "
        "count(*) FILTER (WHERE m.match_objectId IS NOT NULL AND NOT m.match_candidate), "
        "(SELECT count(*) FROM TruthSummary) FROM MatchesTruth m LEFT JOIN TruthSummary t USING (id_truth_type)"
    ).fetchall()
    rows, known, other_type, matched, fewest, half_null, strays, truths = counts
    assert rows == known
    assert rows / truths == pytest.approx(0.941, abs=0.005)
    assert matched / truths == pytest.approx(0.46, abs=0.03)
    assert fewest == 1
    assert other_type == half_null == strays == 0


def test_blends_have_a_parent_of_their_patch_that_counts_them(sky: duckdb.DuckDBPyConnection) -> None:
    rows = sky.execute(
        "SELECT p.deblend_nChild, count(*), bool_and(c.patch = p.patch AND c.tract = p.tract), "
        "bool_or(p.detect_isPrimary), bool_and(c.detect_fromBlend) FROM Object c "
        "JOIN Object p ON c.parentObjectId = p.objectId GROUP BY p.objectId, p.deblend_nChild"
    ).fetchall()
    [[children, parents, primaries]] = sky.execute(
        "SELECT count(*) FILTER (WHERE parentObjectId <> 0), count(*) FILTER (WHERE deblend_nChild > 0), "
        "count(*) FILTER (WHERE detect_isPrimary) FROM Object"
    ).fetchall()
    assert sum(count for _, count, *_ in rows) == children
    assert all(number == count > 1 for number, count, *_ in rows)
    assert {tuple(row[2:]) for row in rows} == {(True, False, True)}
    assert parents == len(rows)
    assert 0.15 < parents / primaries < 0.35


def test_objects_are_isolated_or_a_part_of_a_blend(sky: duckdb.DuckDBPyConnection) -> None:
    rows = sky.execute(
        "SELECT detect_isIsolated, detect_fromBlend, deblend_nChild > 0, count(*) > 1000 FROM Object "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert rows == [(False, False, True, True), (False, True, False, True), (True, False, False, True)]


def test_centroids_in_pixels_are_those_in_degrees(store: SkyStore) -> None:
    columns = ["x", "y", "coord_ra", "coord_dec"]
    x, y, ra_deg, dec_deg = pq.read_table(store.files("Object", (2897,))[0], columns=columns).columns
    from_pixels = DC2_RINGS.pixel_to_sky(2897, x.to_numpy(), y.to_numpy())
    assert angular_separation_deg(*from_pixels, ra_deg.to_numpy(), dec_deg.to_numpy()).max() * 3600 < 1e-4


def test_objects_in_the_border_of_a_patch_are_measured_again(sky: duckdb.DuckDBPyConnection) -> None:
    [[pairs, both_primary, same_flux]] = sky.execute(
        "SELECT count(*), count(*) FILTER (WHERE a.detect_isPrimary AND b.detect_isPrimary), "
        "count(*) FILTER (WHERE a.i_cModelFlux = b.i_cModelFlux AND a.r_cModelFlux = b.r_cModelFlux) FROM Object a JOIN Object b "
        "ON a.tract = b.tract AND a.coord_ra = b.coord_ra AND a.coord_dec = b.coord_dec AND a.patch < b.patch"
    ).fetchall()
    assert pairs > 1000
    assert both_primary == same_flux == 0


def test_objects_in_the_border_of_two_tracts_are_of_the_same_sources(sky: duckdb.DuckDBPyConnection) -> None:
    ra, dec = (
        sky.sql(
            "SELECT coord_ra, coord_dec FROM Object WHERE tract = 2898 AND r_cModelFlux > 50 * r_cModelFluxErr "
            "AND deblend_nChild = 0 AND NOT detect_isTractInner AND coord_ra < 52"
        )
        .fetchnumpy()
        .values()
    )
    of_neighbour = DC2_RINGS.tract_of(ra, dec) == 2897
    truth_ra, truth_dec = (
        sky.sql("SELECT ra, dec FROM TruthSummary WHERE starts_with(id, '2897')").fetchnumpy().values()
    )
    distance_arcsec = [
        3600 * angular_separation_deg(*place, truth_ra, truth_dec).min()
        for place in zip(ra[of_neighbour], dec[of_neighbour], strict=True)
    ]
    assert len(distance_arcsec) > 50
    assert np.mean(np.less(distance_arcsec, 0.5)) > 0.95


def test_primary_is_what_the_flags_say(sky: duckdb.DuckDBPyConnection) -> None:
    [[wrong]] = sky.execute(
        "SELECT count(*) FILTER (WHERE detect_isPrimary <> (detect_isPatchInner AND detect_isTractInner "
        "AND deblend_nChild = 0 AND NOT merge_peak_sky)) FROM Object"
    ).fetchall()
    assert wrong == 0


def test_empty_sky_is_measured_as_noise(sky: duckdb.DuckDBPyConnection) -> None:
    [[count, mean, spread]] = sky.execute(
        "SELECT count(*), avg(r_cModelFlux / r_cModelFluxErr), stddev(r_cModelFlux / r_cModelFluxErr) "
        "FROM Object WHERE merge_peak_sky"
    ).fetchall()
    assert count == pytest.approx(5 * 49, rel=0.3)
    assert mean == pytest.approx(0, abs=0.3)
    # Errors are reported a tenth too small.
    assert spread == pytest.approx(1 / 0.9, rel=0.2)


@pytest.mark.parametrize("band", "ugrizy")
def test_missing_values_are_null_and_flagged(sky: duckdb.DuckDBPyConnection, band: str) -> None:
    [[share, unflagged, half]] = sky.execute(
        f"SELECT avg(({band}_cModelFlux IS NULL)::INT), count(*) FILTER (WHERE "
        f"({band}_cModelFlux IS NULL) <> {band}_cModel_flag OR ({band}_psfFlux IS NULL) <> {band}_psfFlux_flag "
        f"OR ({band}_extendedness IS NULL) <> {band}_extendedness_flag "
        f"OR ({band}_calibFlux IS NULL) <> {band}_calibFlux_flag), count(*) FILTER (WHERE "
        f"({band}_cModelFlux IS NULL) <> ({band}_cModelFluxErr IS NULL) "
        f"OR ({band}_calibFlux IS NULL) <> ({band}_calibFluxErr IS NULL)) FROM Object"
    ).fetchall()
    assert share == pytest.approx(0.006, abs=0.002)
    assert unflagged == half == 0


def test_stars_look_like_points_and_have_no_redshift(sky: duckdb.DuckDBPyConnection) -> None:
    rows = sky.execute(
        "SELECT truth_type, avg(refExtendedness), max(redshift), min(is_pointsource), max(is_pointsource) "
        "FROM MatchesTruth m JOIN TruthSummary t USING (id_truth_type, truth_type) "
        "JOIN Object o ON m.match_objectId = o.objectId WHERE flux_i > 4000 GROUP BY ALL ORDER BY 1"
    ).fetchall()
    (galaxy, extended, _, *galaxy_points), (star, pointlike, redshift, *star_points) = rows
    assert (galaxy, star) == (1, 2)
    assert extended > 0.9
    assert pointlike < 0.1
    assert redshift == 0
    assert galaxy_points == [0, 0]
    assert star_points == [1, 1]


def test_dust_takes_light_from_every_band(sky: duckdb.DuckDBPyConnection) -> None:
    [[least, most]] = sky.execute(
        "SELECT min(-2.5 * log10(flux_u / flux_u_noMW)), max(-2.5 * log10(flux_u / flux_u_noMW)) FROM TruthSummary "
        "WHERE truth_type < 3"
    ).fetchall()
    # Fluxes are rounded to 0.03 mmag.
    assert 4.8 * 0.004 - 1e-4 < least < most < 4.8 * 0.014 + 1e-4


def test_supernovae_lie_in_a_galaxy_nearby_and_have_no_light_that_lasts(sky: duckdb.DuckDBPyConnection) -> None:
    [[count, hosts, galaxies, farthest, other_redshift, light, magnitudes, matched]] = sky.execute(
        "SELECT count(*), count(DISTINCT s.host_galaxy), count(*) FILTER (WHERE h.truth_type = 1), "
        "max(greatest(abs(s.dec - h.dec), abs(s.ra - h.ra) * cos(radians(s.dec)))), "
        "count(*) FILTER (WHERE s.redshift <> h.redshift), max(s.flux_i), count(s.mag_r), "
        "count(m.match_objectId) FROM TruthSummary s JOIN TruthSummary h ON h.id = s.host_galaxy::VARCHAR "
        "LEFT JOIN MatchesTruth m ON m.id_truth_type = s.id_truth_type WHERE s.truth_type = 3"
    ).fetchall()
    # 1,000 in a square degree at full density, over five tracts of 2.2.
    assert count == hosts == galaxies == pytest.approx(110, rel=0.4)
    assert 0 < farthest < 30 / 3600
    assert (other_redshift, light, magnitudes, matched) == (0, 0, 0, 0)


def test_what_varies_is_a_star_or_a_supernova(sky: duckdb.DuckDBPyConnection) -> None:
    rows = sky.execute(
        "SELECT truth_type, avg(is_variable), avg(is_pointsource), max(host_galaxy) FILTER (WHERE truth_type < 3) "
        "FROM TruthSummary GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert rows == [(1, 0, 0, -1), (2, pytest.approx(0.97, abs=0.02), 1, -1), (3, 1, 1, None)]


def test_positions_and_fluxes_keep_no_more_digits_than_they_have(sky: duckdb.DuckDBPyConnection) -> None:
    [[odd_places, odd_fluxes]] = sky.execute(
        "SELECT count(*) FILTER (WHERE coord_ra * 2 ** 30 <> round(coord_ra * 2 ** 30)), "
        "count(*) FILTER (WHERE r_cModelFlux <> 0 AND r_cModelFlux / 2 ** floor(log2(abs(r_cModelFlux))) * 2 ** 14 "
        "<> round(r_cModelFlux / 2 ** floor(log2(abs(r_cModelFlux))) * 2 ** 14)) FROM Object"
    ).fetchall()
    assert (odd_places, odd_fluxes) == (0, 0)


def test_coadd_patches_lists_each_patch_of_the_survey_around_its_centre() -> None:
    table = pa.table(coadd_patches(), schema=COADD_PATCHES)
    assert table.num_rows == 157 * 49
    row = table.slice(17, 1).to_pylist()[0]
    assert (row["lsst_tract"], row["lsst_patch"]) == (2897, 17)
    assert row["s_region"].startswith("POLYGON ICRS ")
    corners = np.array(row["s_region"].split()[2:], float).reshape(4, 2)
    half_arcsec = 3600 * angular_separation_deg(row["s_ra"], row["s_dec"], corners[:, 0], corners[:, 1])
    # A patch of 4,200 pixels of 0.2 arcsec has a half diagonal of 594 arcsec.
    np.testing.assert_allclose(half_arcsec, 420 * np.sqrt(2), rtol=1e-3)


def test_galaxies_are_as_many_as_in_the_fitted_sample(sky: duckdb.DuckDBPyConnection) -> None:
    [[bright]] = sky.execute(
        "SELECT count(*) FROM TruthSummary WHERE truth_type = 1 AND 31.4 - 2.5 * log10(flux_i_noMW) < 25.3"
    ).fetchall()
    area_deg2 = sum(DC2_RINGS.inner_box(tract).area_deg2 for tract in SEED_MEANS)
    # Twice the Poisson error of these tracts is 1.4 %.
    assert bright / (0.01 * area_deg2) == pytest.approx(188_830, rel=0.014)


def test_density_scales_the_number_of_rows(store: SkyStore, tmp_path: Path) -> None:
    thick = SkyStore(tmp_path, density=0.03)
    thick.ensure((2897,))
    for table in TABLES:
        thin_rows, thick_rows = (pq.read_metadata(sky.files(table, (2897,))[0]).num_rows for sky in (store, thick))
        assert thick_rows / thin_rows == pytest.approx(3, rel=0.05)


def test_another_seed_gives_another_sky(store: SkyStore, tmp_path: Path) -> None:
    other = SkyStore(tmp_path, density=0.01, seed=2)
    other.ensure((2897,))
    ours, theirs = (pq.read_table(sky.files("Object", (2897,))[0], columns=["coord_ra"]) for sky in (store, other))
    assert not set(ours["coord_ra"].to_pylist()) & set(theirs["coord_ra"].to_pylist())


def test_estimates_cover_what_is_missing_only(store: SkyStore) -> None:
    made = sum(path.stat().st_size for table in TABLES for path in store.files(table, (2897,)))
    assert store.estimated_bytes((2897,)) == 0
    assert store.estimated_seconds((2897,)) == 0
    assert store.estimated_bytes((2897, 2902)) == pytest.approx(made, rel=0.15)


def test_store_tells_what_it_makes_and_nothing_twice(tmp_path: Path) -> None:
    made: list[int] = []
    sky = SkyStore(tmp_path, density=0.001)
    assert list(tmp_path.iterdir()) == []
    sky.ensure((3638, 3637), on_made=made.append)
    sky.ensure((3637, 3831), on_made=made.append)
    assert made == [3637, 3638, 3831]


def test_tract_outside_of_the_sky_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="9999"):
        SkyStore(tmp_path, tracts=(3638, 9999))
    with pytest.raises(ValueError, match="3637"):
        SkyStore(tmp_path, tracts=(3638,)).ensure((3637,))


def _make_much(folder: Path) -> None:
    SkyStore(folder, density=0.03).ensure((3638,))


def test_tract_of_a_maker_that_was_killed_is_made_anew(tmp_path: Path) -> None:
    maker = multiprocessing.get_context("spawn").Process(target=_make_much, args=(tmp_path,))
    maker.start()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/3638.unfinished/*.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    maker.kill()
    maker.join()
    assert maker.exitcode != 0
    store = SkyStore(tmp_path, density=0.03)
    with pytest.raises(FileNotFoundError):
        store.files("Object", (3638,))
    store.ensure((3638,))
    assert all(pq.read_metadata(store.files(table, (3638,))[0]).num_rows > 30_000 for table in TABLES)
    assert not list(tmp_path.glob("*/*.unfinished"))
