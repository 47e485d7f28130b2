"""Queries through pyvo, and what they must give: computed from the files by numpy, pandas and astropy."""

import re
from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
import pyvo
import requests
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from photoz_archive.service.server import ArchiveServer
from photoz_archive_tests.conftest import SkyRows
from photoz_archive_tests.seed import SEED_QUERY, SKYINFO_QUERY, TABLES_QUERY
from photoz_archive_tests.shared import FIELD_TRACTS

SCHEMA = "dp02_dc2_catalogs"
BANDS = "ugrizy"


def ab_mag(flux: pd.Series) -> pd.Series:
    positive = np.where(flux.fillna(0) > 0, flux.to_numpy(float, na_value=np.nan), np.nan)
    return pd.Series(31.4 - 2.5 * np.log10(positive), index=flux.index)


def cone(rows: pd.DataFrame, ra: str, dec: str, centre: tuple[float, float], radius_deg: float) -> pd.Series:
    places = SkyCoord(rows[ra].to_numpy(float), rows[dec].to_numpy(float), unit="deg")
    near = places.separation(SkyCoord(*centre, unit="deg")) <= radius_deg * u.deg
    return pd.Series(near, index=rows.index)


def field_galaxies(rows: SkyRows) -> pd.DataFrame:
    """Return what the seed's query asks for, joined by pandas."""
    truths = rows.truths[cone(rows.truths, "ra", "dec", (62, -37), 0.5) & (rows.truths["truth_type"] == 1)]
    objects = rows.objects[rows.objects["detect_isPrimary"] & rows.objects["refExtendedness"].notna()]
    for band in "gri":
        magnitude = ab_mag(objects[f"{band}_cModelFlux"])
        objects = objects[((magnitude > 17) & (magnitude < 26))]
    matched = rows.matches.merge(truths, on="id_truth_type", suffixes=("", "_ts"))
    return matched.merge(objects, left_on="match_objectId", right_on="objectId")


@pytest.mark.parametrize("how", ["sync", "async"])
def test_seeds_query_word_for_word_gives_the_joined_rows(
    tap: pyvo.dal.TAPService, sky_rows: SkyRows, how: str
) -> None:
    found = tap.search(SEED_QUERY) if how == "sync" else tap.run_async(SEED_QUERY)
    expected = field_galaxies(sky_rows).set_index("match_objectId").sort_index()
    table = found.to_table().to_pandas().set_index("mt_match_objectId").sort_index()
    assert len(table) > 300
    assert table.index.tolist() == expected.index.tolist()
    assert table["mt_id_truth_type"].tolist() == expected["id_truth_type"].tolist()
    names = {"obj_coord_ra": "coord_ra", "obj_coord_dec": "coord_dec"}
    names |= {f"ts_{n}": n for n in ("ra", "dec", "mag_r", "is_pointsource", "redshift")}
    names |= {f"ts_flux_{band}": f"flux_{band}" for band in BANDS}
    names |= {f"obj_{band}_cModelFlux": f"{band}_cModelFlux" for band in BANDS}
    for served, stored in names.items():
        left, right = (c.to_numpy(float, na_value=np.nan) for c in (table[served], expected[stored]))
        np.testing.assert_array_equal(left, right, err_msg=served)
    for band in BANDS:
        magnitude = ab_mag(expected[f"{band}_cModelFlux"]).to_numpy(float, na_value=np.nan)
        np.testing.assert_allclose(table[f"obj_{band}_cModelMag"].to_numpy(float), magnitude, rtol=1e-14)


def test_seeds_table_list_has_its_23_tables(tap: pyvo.dal.TAPService) -> None:
    listed = list(tap.search(TABLES_QUERY)["table_name"])
    # Those of later releases were not there when it asked.
    names = [name for name in listed if not name.startswith(("dp1.", "dp2."))]
    assert len(names) == 23
    assert len(listed) == 51
    assert names[:6] == [
        "dp01_dc2_catalogs.forced_photometry",
        "dp01_dc2_catalogs.object",
        "dp01_dc2_catalogs.position",
        "dp01_dc2_catalogs.reference",
        "dp01_dc2_catalogs.truth_match",
        "dp02_dc2_catalogs.CcdVisit",
    ]
    assert names[-1] == "uws.Job"


@pytest.mark.parametrize(
    ("table", "first", "count"),
    [
        ("MatchesTruth", [("id", "char"), ("id_truth_type", "char"), ("match_candidate", "boolean")], 8),
        ("TruthSummary", [("cosmodc2_hp", "long"), ("cosmodc2_id", "long"), ("dec", "double")], 24),
    ],
)
def test_seeds_column_lists(
    tap: pyvo.dal.TAPService, table: str, first: list[tuple[str, str]], count: int
) -> None:
    found = tap.search(
        "SELECT column_name, datatype, description, unit FROM TAP_SCHEMA.columns "
        f"WHERE table_name = 'dp02_dc2_catalogs.{table}'"
    )
    pairs = list(zip(found["column_name"], found["datatype"], strict=True))
    assert pairs[:3] == first
    assert len(pairs) == count
    assert all(found["description"])


def test_seeds_cell_of_the_asynchronous_query(tap: pyvo.dal.TAPService, sky_rows: SkyRows) -> None:
    job = tap.submit_job(SEED_QUERY, maxrec=1_000_000)
    assert job.url.startswith(tap.baseurl)
    assert job.phase == "PENDING"
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"])
    assert job.phase == "COMPLETED"
    job.raise_if_error()
    results = job.fetch_result().to_table()
    assert len(results) == len(field_galaxies(sky_rows))
    job.delete()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (
            "SELECT column_name, datatype, description,\n unit FROM TAP_SCHEMA.columns\n\n WHERE table_name = 'dp02_dc2_catalogs.MatchesTruth'",
            8,
        ),
        (
            "SELECT column_name, datatype, description,                                 unit from TAP_SCHEMA.columns                                WHERE table_name = 'dp02_dc2_catalogs.TruthSummary'",
            24,
        ),
    ],
)
def test_seeds_cells_of_the_columns_word_for_word(tap: pyvo.dal.TAPService, query: str, count: int) -> None:
    frame = tap.search(query).to_table().to_pandas()
    assert list(frame.columns) == ["column_name", "datatype", "description", "unit"]
    assert len(frame) == count


def test_seeds_skyinfo_query(tap: pyvo.dal.TAPService, sky_rows: SkyRows) -> None:
    table = tap.search(SKYINFO_QUERY).to_table().to_pandas().sort_values(["tract", "patch"])
    grouped = sky_rows.objects.groupby(["tract", "patch"])
    expected = grouped.agg(
        minRA=("coord_ra", "min"),
        maxRA=("coord_ra", "max"),
        minDEC=("coord_dec", "min"),
        maxDEC=("coord_dec", "max"),
        meanRA=("coord_ra", "mean"),
        meanDEC=("coord_dec", "mean"),
        num=("objectId", "size"),
    ).reset_index()
    assert list(table.columns) == list(expected.columns)
    np.testing.assert_allclose(table.to_numpy(float), expected.to_numpy(float), rtol=1e-13)


Expected = Callable[[SkyRows], Any]

O, T, M = f"FROM {SCHEMA}.Object", f"FROM {SCHEMA}.TruthSummary", f"FROM {SCHEMA}.MatchesTruth"  # noqa: E741 (as in the queries)

# Each query gives rows; the second entry computes them, a list of tuples, without a database.
COMPUTED: list[tuple[str, Expected]] = [
    (f"SELECT COUNT(*) {O}", lambda s: [(len(s.objects),)]),
    (
        f"SELECT COUNT(objectId), COUNT(refExtendedness) {O}",
        lambda s: [(len(s.objects), s.objects["refExtendedness"].count())],
    ),
    (f"SELECT COUNT(*) {O} WHERE detect_isPrimary = 1", lambda s: [(int(s.objects["detect_isPrimary"].sum()),)]),
    (
        f"SELECT COUNT(*) {O} WHERE detect_isPrimary = 0",
        lambda s: [(int((~s.objects["detect_isPrimary"]).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE detect_isPrimary = TRUE",
        lambda s: [(int(s.objects["detect_isPrimary"].sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE NOT detect_isPrimary = 1",
        lambda s: [(int((~s.objects["detect_isPrimary"]).sum()),)],
    ),
    (f"SELECT COUNT(*) {O} WHERE tract = 3637", lambda s: [(int((s.objects["tract"] == 3637).sum()),)]),
    (
        f"SELECT COUNT(*) {O} WHERE tract IN (3637, 3638)",
        lambda s: [(int(s.objects["tract"].isin([3637, 3638]).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE tract NOT IN (3637, 3638)",
        lambda s: [(int((s.objects["tract"] == 3831).sum()),)],
    ),
    (f"SELECT COUNT(*) {O} WHERE tract = 2897", lambda _: [(0,)]),
    (
        f"SELECT COUNT(*) {O} WHERE tract <> 3637 AND patch BETWEEN 3 AND 5",
        lambda s: [(int(((s.objects["tract"] != 3637) & s.objects["patch"].between(3, 5)).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE refExtendedness IS NULL",
        lambda s: [(int(s.objects["refExtendedness"].isna().sum()),)],
    ),
    (f"SELECT COUNT(*) {O} WHERE refBand LIKE 'i%'", lambda s: [(int((s.objects["refBand"] == "i").sum()),)]),
    (f"SELECT COUNT(*) {O} WHERE refBand NOT LIKE 'i'", lambda s: [(int((s.objects["refBand"] != "i").sum()),)]),
    (f"SELECT COUNT(*) {O} WHERE refBand NOT ILIKE 'I%'", lambda s: [(int((s.objects["refBand"] != "i").sum()),)]),
    (f"SELECT COUNT(*) {O} WHERE RAND() < 1 AND RAND(3) >= 0", lambda s: [(len(s.objects),)]),
    (f"SELECT COUNT(*) {O} WHERE refBand ILIKE 'I'", lambda s: [(int((s.objects["refBand"] == "i").sum()),)]),
    (f"SELECT COUNT(DISTINCT refBand) {O}", lambda s: [(s.objects["refBand"].nunique(),)]),
    (f"SELECT DISTINCT tract {O} ORDER BY tract", lambda s: [(t,) for t in sorted(s.objects["tract"].unique())]),
    (f"SELECT TOP 5 objectId {O} ORDER BY objectId", lambda s: [(i,) for i in sorted(s.objects["objectId"])[:5]]),
    (
        f"SELECT TOP 5 objectId {O} ORDER BY objectId DESC",
        lambda s: [(i,) for i in sorted(s.objects["objectId"])[::-1][:5]],
    ),
    (f"SELECT TOP 5 objectId AS x {O} ORDER BY x", lambda s: [(i,) for i in sorted(s.objects["objectId"])[:5]]),
    (f"SELECT TOP 5 objectId {O} ORDER BY 1", lambda s: [(i,) for i in sorted(s.objects["objectId"])[:5]]),
    (
        f"SELECT objectId {O} WHERE tract = 3637 AND patch = 0 ORDER BY objectId OFFSET 3",
        lambda s: [(i,) for i in sorted(s.objects.query("tract == 3637 and patch == 0")["objectId"])[3:]],
    ),
    (
        f"SELECT tract, COUNT(*) {O} GROUP BY tract ORDER BY tract",
        lambda s: sorted(s.objects.groupby("tract").size().items()),
    ),
    (
        f"SELECT tract, patch, COUNT(*) AS n {O} GROUP BY tract, patch HAVING COUNT(*) > 130 ORDER BY tract, patch",
        lambda s: list(
            s.objects.groupby(["tract", "patch"], as_index=False)
            .size()
            .query("size > 130")
            .sort_values(["tract", "patch"])
            .itertuples(index=False, name=None)
        ),
    ),
    (
        f"SELECT MIN(coord_ra), MAX(coord_dec) {O}",
        lambda s: [(s.objects["coord_ra"].min(), s.objects["coord_dec"].max())],
    ),
    (f"SELECT AVG(coord_ra) {O}", lambda s: [(s.objects["coord_ra"].mean(),)]),
    (f"SELECT SUM(patch) {O}", lambda s: [(int(s.objects["patch"].sum()),)]),
    (f"SELECT SUM(patch) / COUNT(*) {O}", lambda s: [(s.objects["patch"].mean(),)]),
    (
        f"SELECT MAX(scisql_nanojanskyToAbMag(r_cModelFlux)) {O}",
        lambda s: [(float(ab_mag(s.objects["r_cModelFlux"]).max()),)],
    ),
    (
        f"SELECT COUNT(scisql_nanojanskyToAbMag(u_cModelFlux)) {O}",
        lambda s: [(int((s.objects["u_cModelFlux"] > 0).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE scisql_nanojanskyToAbMag(i_cModelFlux) < 24",
        lambda s: [(int((ab_mag(s.objects["i_cModelFlux"]) < 24).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE i_cModelFlux > 144.5439770745925 AND i_cModelFlux < 575439.9373371566",
        lambda s: [
            (int(((ab_mag(s.objects["i_cModelFlux"]) < 26) & (ab_mag(s.objects["i_cModelFlux"]) > 17)).sum()),)
        ],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE g_cModelFlux / g_cModelFluxErr > 10",
        lambda s: [(int((s.objects["g_cModelFlux"] / s.objects["g_cModelFluxErr"] > 10).sum()),)],
    ),
    # Point sources by their aperture, objects on a piece of an image, galaxies alone: as tutorials ask for them.
    (
        f"SELECT COUNT(*) {O} WHERE g_calibFlux > 360 AND i_calibFlux / i_calibFluxErr > 10 AND g_extendedness = 0",
        lambda s: [
            (
                int(
                    (
                        (s.objects["g_calibFlux"] > 360)
                        & (s.objects["i_calibFlux"] / s.objects["i_calibFluxErr"] > 10)
                        & (s.objects["g_extendedness"] == 0)
                    ).sum()
                ),
            )
        ],
    ),
    (
        f"SELECT COUNT(*), MIN(x), MAX(y) {O} WHERE tract = 3637 AND x < 4000 AND y BETWEEN 0 AND 8000",
        lambda s: s.objects[
            (s.objects["tract"] == 3637) & (s.objects["x"] < 4000) & s.objects["y"].between(0, 8000)
        ].pipe(lambda part: [(len(part), part["x"].min(), part["y"].max())]),
    ),
    (
        f"SELECT COUNT(*) {O} WHERE detect_isIsolated = 1 AND refExtendedness = 1",
        lambda s: [(int((s.objects["detect_isIsolated"] & (s.objects["refExtendedness"] == 1)).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE CONTAINS(POINT('ICRS', coord_ra, coord_dec), CIRCLE('ICRS', 62, -37, 0.25)) = 1",
        lambda s: [(int(cone(s.objects, "coord_ra", "coord_dec", (62, -37), 0.25).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE CONTAINS(POINT(coord_ra, coord_dec), CIRCLE(POINT(62, -37), 0.25)) = 0",
        lambda s: [(int((~cone(s.objects, "coord_ra", "coord_dec", (62, -37), 0.25)).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE INTERSECTS(CIRCLE(62, -37, 0.25), POINT(coord_ra, coord_dec)) = 1",
        lambda s: [(int(cone(s.objects, "coord_ra", "coord_dec", (62, -37), 0.25).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE DISTANCE(POINT(coord_ra, coord_dec), POINT(62, -37)) < 0.25",
        lambda s: [(int(cone(s.objects, "coord_ra", "coord_dec", (62, -37), 0.25).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE scisql_angSep(coord_ra, coord_dec, 62, -37) < 0.25",
        lambda s: [(int(cone(s.objects, "coord_ra", "coord_dec", (62, -37), 0.25).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE scisql_s2PtInCircle(coord_ra, coord_dec, 62, -37, 0.25) = 1",
        lambda s: [(int(cone(s.objects, "coord_ra", "coord_dec", (62, -37), 0.25).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE scisql_s2PtInBox(coord_ra, coord_dec, 61.5, -37.2, 62.5, -36.9) = 1",
        lambda s: [
            (
                int(
                    (
                        s.objects["coord_ra"].between(61.5, 62.5) & s.objects["coord_dec"].between(-37.2, -36.9)
                    ).sum()
                ),
            )
        ],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE coord_ra BETWEEN 61.5 AND 62.5 AND coord_dec > -37.2 AND coord_dec < -36.9",
        lambda s: [
            (
                int(
                    (
                        s.objects["coord_ra"].between(61.5, 62.5) & s.objects["coord_dec"].between(-37.2, -36.9)
                    ).sum()
                ),
            )
        ],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE CONTAINS(POINT(coord_ra, coord_dec), POLYGON(61.8, -36.99, 62.2, -36.99, 62.2, -37.01, 61.8, -37.01)) = 1",
        lambda s: [(polygon_count(s.objects),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE scisql_s2PtInCPoly(coord_ra, coord_dec, 61.8, -37.01, 62.2, -37.01, 62.2, -36.99, 61.8, -36.99) = 1",
        lambda s: [(polygon_count(s.objects),)],
    ),
    (f"SELECT COUNT(*) {T} WHERE truth_type = 1", lambda s: [(int((s.truths["truth_type"] == 1).sum()),)]),
    (
        f"SELECT truth_type, COUNT(*) {T} GROUP BY truth_type ORDER BY truth_type",
        lambda s: sorted(s.truths.groupby("truth_type").size().items()),
    ),
    (
        f"SELECT COUNT(*) {T} WHERE redshift BETWEEN 0.5 AND 1.5",
        lambda s: [(int(s.truths["redshift"].astype("Float64").between(0.5, 1.5).sum()),)],
    ),
    (
        f"SELECT MAX(flux_r), MIN(mag_r) {T} WHERE truth_type = 1",
        lambda s: [
            (
                np.float32(s.truths.query("truth_type == 1")["flux_r"].max()),
                np.float32(s.truths.query("truth_type == 1")["mag_r"].min()),
            )
        ],
    ),
    (
        f"SELECT COUNT(*) {M} WHERE match_objectId IS NOT NULL",
        lambda s: [(int(s.matches["match_objectId"].notna().sum()),)],
    ),
    (
        f"SELECT COUNT(*) {M} WHERE match_candidate = 1 AND match_count > 1",
        lambda s: [(int((s.matches["match_candidate"] & (s.matches["match_count"] > 1)).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {M} AS m JOIN {SCHEMA}.Object AS o ON m.match_objectId = o.objectId WHERE o.tract = 3638",
        lambda s: [
            (
                len(
                    s.matches.merge(
                        s.objects.query("tract == 3638"), left_on="match_objectId", right_on="objectId"
                    )
                ),
            )
        ],
    ),
    (
        f"SELECT COUNT(*) {O} AS o LEFT JOIN {SCHEMA}.MatchesTruth AS m ON m.match_objectId = o.objectId WHERE o.tract = 3638",
        lambda s: [
            (
                len(
                    s.objects.query("tract == 3638").merge(
                        s.matches.dropna(subset="match_objectId"),
                        how="left",
                        left_on="objectId",
                        right_on="match_objectId",
                    )
                ),
            )
        ],
    ),
    (
        f"SELECT COUNT(*) {M} AS m, {SCHEMA}.TruthSummary AS t WHERE m.id_truth_type = t.id_truth_type AND t.truth_type = 2",
        lambda s: [(len(s.matches.merge(s.truths.query("truth_type == 2"), on="id_truth_type")),)],
    ),
    (
        f"SELECT COUNT(*) {M} JOIN {SCHEMA}.TruthSummary USING (id_truth_type) WHERE redshift > 2",
        lambda s: [(len(s.matches.merge(s.truths[s.truths["redshift"] > 2], on="id_truth_type")),)],
    ),
    (
        f"SELECT COUNT(*) {O} WHERE objectId IN (SELECT match_objectId {M})",
        lambda s: [(int(s.objects["objectId"].isin(s.matches["match_objectId"].dropna()).sum()),)],
    ),
    (
        f"SELECT COUNT(*) {O} AS o WHERE NOT EXISTS (SELECT 1 {M} AS m WHERE m.match_objectId = o.objectId)",
        lambda s: [(int((~s.objects["objectId"].isin(s.matches["match_objectId"].dropna())).sum()),)],
    ),
    (
        f"SELECT MAX(n) FROM (SELECT COUNT(*) AS n {O} GROUP BY tract, patch) AS p",
        lambda s: [(int(s.objects.groupby(["tract", "patch"]).size().max()),)],
    ),
    (
        f"WITH p AS (SELECT tract, COUNT(*) AS n {O} GROUP BY tract) SELECT MIN(n), MAX(n) FROM p",
        lambda s: [(int(s.objects.groupby("tract").size().min()), int(s.objects.groupby("tract").size().max()))],
    ),
    (
        f"SELECT tract {O} UNION SELECT tract + 1 {O} ORDER BY 1",
        lambda s: [(t,) for t in sorted({*s.objects["tract"], *(s.objects["tract"] + 1)})],
    ),
    (f"SELECT tract {O} EXCEPT SELECT 3637 {O} ORDER BY tract", lambda _: [(3638,), (3831,)]),
    (
        f"SELECT COUNT(*) AS n {O} UNION ALL SELECT COUNT(*) {T} ORDER BY n",
        lambda s: sorted([(len(s.objects),), (len(s.truths),)]),
    ),
    (f"SELECT COUNT(*) FROM {SCHEMA}.CoaddPatches", lambda _: [(157 * 49,)]),
    (
        f"SELECT COUNT(*) {O} AS o JOIN {SCHEMA}.CoaddPatches AS c ON o.tract = c.lsst_tract AND o.patch = c.lsst_patch WHERE c.lsst_tract = 3637",
        lambda s: [(int((s.objects["tract"] == 3637).sum()),)],
    ),
    (f"SELECT COUNT(*) FROM {SCHEMA}.Source", lambda _: [(0,)]),
    ("SELECT COUNT(*) FROM ivoa.ObsCore", lambda _: [(157 * 49 * 6,)]),
    ("SELECT COUNT(*) FROM tap_schema.tables", lambda _: [(51,)]),
    (
        "SELECT schema_name, COUNT(*) FROM TAP_SCHEMA.TABLES GROUP BY schema_name ORDER BY schema_name",
        lambda _: [
            ("dp01_dc2_catalogs", 5),
            ("dp02_dc2_catalogs", 11),
            ("dp1", 12),
            ("dp2", 16),
            ("ivoa", 1),
            ("tap_schema", 5),
            ("uws", 1),
        ],
    ),
    (
        "SELECT k.from_table, c.from_column, k.target_table, c.target_column FROM tap_schema.keys k JOIN tap_schema.key_columns c ON k.key_id = c.key_id WHERE k.from_table LIKE '%MatchesTruth' ORDER BY c.from_column",
        lambda _: [
            (f"{SCHEMA}.MatchesTruth", "id_truth_type", f"{SCHEMA}.TruthSummary", "id_truth_type"),
            (f"{SCHEMA}.MatchesTruth", "match_objectId", f"{SCHEMA}.Object", "objectId"),
        ],
    ),
    (
        "SELECT t.table_name, (SELECT COUNT(*) FROM tap_schema.columns c WHERE c.table_name = t.table_name) AS n FROM tap_schema.tables t WHERE t.schema_name = 'tap_schema' ORDER BY t.table_name",
        lambda _: [
            ("tap_schema.columns", 14),
            ("tap_schema.key_columns", 3),
            ("tap_schema.keys", 5),
            ("tap_schema.schemas", 4),
            ("tap_schema.tables", 6),
        ],
    ),
    (
        "SELECT \"size\" FROM tap_schema.columns WHERE table_name = 'dp02_dc2_catalogs.MatchesTruth' AND column_name = 'id_truth_type'",
        lambda _: [(18,)],
    ),
]

# Expressions of constants; one row.
ONE_ROW = "FROM tap_schema.schemas WHERE schema_name = 'ivoa'"
CONSTANTS: list[tuple[str, Any]] = [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("-(-3)", 3),
    ("7 / 2.0", 3.5),
    ("1 / 0", None),
    ("0.1 + 0.2", 0.1 + 0.2),
    ("9223372036854775807", 2**63 - 1),
    ("ABS(-2.5)", 2.5),
    ("CEILING(2.1)", 3.0),
    ("FLOOR(-2.1)", -3.0),
    ("ROUND(2.567, 1)", 2.6),
    ("TRUNCATE(2.567, 1)", 2.5),
    ("MOD(7, 3)", 1),
    ("POWER(2, 10)", 1024.0),
    ("SQRT(2)", np.sqrt(2)),
    ("SQRT(-2)", None),
    ("EXP(1)", np.e),
    ("LOG(10)", np.log(10)),
    ("LOG10(1000)", 3.0),
    ("LOG10(-1)", None),
    ("PI()", np.pi),
    ("DEGREES(PI())", 180.0),
    ("RADIANS(180)", np.pi),
    ("SIN(1)", np.sin(1)),
    ("COT(1)", 1 / np.tan(1)),
    ("ATAN2(1, -1)", np.arctan2(1, -1)),
    ("ACOS(2)", None),
    ("COALESCE(NULL, 3)", 3),
    ("UPPER('dec')", "DEC"),
    ("LOWER('RA')", "ra"),
    ("'a' || 'b'", "ab"),
    ("CONCAT('a', 'b', 'c')", "abc"),
    ("'it''s <&>'", "it's <&>"),
    ("CAST(3.7 AS INTEGER)", 4),
    ("CAST('12' AS BIGINT)", 12),
    ("CAST(5 AS VARCHAR)", "5"),
    ("TRUE", True),
    ("DISTANCE(POINT(0, 0), POINT(90, 0))", 90.0),
    ("DISTANCE(10, 89.5, 190, 89.5)", 1.0),
    ("COORD2(POINT('ICRS', 10, 20))", 20),
    ("CONTAINS(POINT(359.9, 0), CIRCLE(0.1, 0, 0.3))", 1),
    ("CONTAINS(POINT(359.9, 0), CIRCLE(0.1, 0, 0.1))", 0),
    ("CONTAINS(POINT(10, 89.9), CIRCLE(190, 89.9, 0.3))", 1),
    ("INTERSECTS(CIRCLE(0, 0, 1), CIRCLE(1.9, 0, 1))", 1),
    ("INTERSECTS(CIRCLE(0, 0, 1), CIRCLE(2.1, 0, 1))", 0),
    ("scisql_nanojanskyToAbMag(100)", 31.4 - 2.5 * 2),
    ("scisql_nanojanskyToAbMag(-1)", None),
    ("scisql_abMagToNanojansky(26)", 10 ** (5.4 / 2.5)),
    ("scisql_s2PtInBox(1, 1, 359, 0, 2, 2)", 1),
]


def polygon_count(objects: pd.DataFrame) -> int:
    """Count the objects north of the southern and south of the northern great circle through two vertices."""

    def edge(dec: float) -> Any:
        # On the great circle through (61.8, dec) and (62.2, dec): tan(lat) = tan(dec) cos(lon - 62) / cos(0.2).
        offset = np.radians(objects["coord_ra"].to_numpy(float) - 62)
        return np.degrees(np.arctan(np.tan(np.radians(dec)) * np.cos(offset) / np.cos(np.radians(0.2))))

    dec = objects["coord_dec"].to_numpy(float)
    ra = objects["coord_ra"].to_numpy(float)
    return int(((dec >= edge(-37.01)) & (dec <= edge(-36.99)) & (ra >= 61.8) & (ra <= 62.2)).sum())


def rows_of(found: Any) -> list[tuple[Any, ...]]:
    table = found.to_table()
    return [tuple(None if np.ma.is_masked(v) else v for v in row) for row in table.iterrows()]


def assert_same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        for value, right in zip(row, wanted, strict=True):
            if right is None or isinstance(right, str):
                assert value == right
            else:
                assert float(value) == pytest.approx(float(right), rel=1e-12)


@pytest.mark.parametrize(("query", "expected"), COMPUTED, ids=[query for query, _ in COMPUTED])
def test_query_gives_what_was_computed_without_it(
    tap: pyvo.dal.TAPService, sky_rows: SkyRows, query: str, expected: Expected
) -> None:
    assert_same(rows_of(tap.search(query)), [tuple(row) for row in expected(sky_rows)])


@pytest.mark.parametrize(("expression", "expected"), CONSTANTS, ids=[expression for expression, _ in CONSTANTS])
def test_expression_has_its_value(tap: pyvo.dal.TAPService, expression: str, expected: object) -> None:
    assert_same(rows_of(tap.search(f"SELECT {expression} AS x {ONE_ROW}")), [(expected,)])


@pytest.mark.parametrize(
    ("predicate", "margin"),
    [
        ("scisql_s2PtInBox(obj.coord_ra, obj.coord_dec, {box}) = 1", 0.0),
        ("CONTAINS(POINT('ICRS', obj.coord_ra, obj.coord_dec), CIRCLE('ICRS', {circle}, 1.06)) = 1", 1.06),
    ],
    ids=["box", "circle"],
)
def test_query_of_a_tract_gives_its_primary_galaxies(
    tap: pyvo.dal.TAPService, sky_rows: SkyRows, predicate: str, margin: float
) -> None:
    del margin
    rows = sky_rows.objects[(sky_rows.objects["tract"] == 3637) & sky_rows.objects["detect_isPrimary"]]
    box = (
        f"{rows['coord_ra'].min()}, {rows['coord_dec'].min()}, {rows['coord_ra'].max()}, {rows['coord_dec'].max()}"
    )
    circle = f"{rows['coord_ra'].mean()}, {rows['coord_dec'].mean()}"
    query = (
        "SELECT mt.id_truth_type, obj.objectId, ts.redshift "
        f"FROM {SCHEMA}.MatchesTruth AS mt "
        f"JOIN {SCHEMA}.TruthSummary AS ts ON mt.id_truth_type = ts.id_truth_type "
        f"JOIN {SCHEMA}.Object AS obj ON mt.match_objectId = obj.objectId "
        f"WHERE {predicate.format(box=box, circle=circle)} "
        "AND obj.tract = 3637 AND obj.detect_isPrimary = 1 AND ts.truth_type = 1"
    )
    expected = sky_rows.matches.merge(sky_rows.truths.query("truth_type == 1"), on="id_truth_type").merge(
        rows, left_on="match_objectId", right_on="objectId"
    )
    found = tap.search(query)
    assert len(found) > 500
    assert set(found["objectId"].tolist()) == set(expected["objectId"])


def test_result_columns_carry_unit_ucd_and_description(tap: pyvo.dal.TAPService) -> None:
    query = (
        f"SELECT TOP 1 coord_ra AS ra, id_truth_type, redshift, g_cModelFlux {M} AS m, {SCHEMA}.Object WHERE 1 = 0"
    )
    with pytest.raises(pyvo.dal.DALQueryError, match="redshift"):
        tap.search(query)
    found = tap.search(query.replace("redshift", "match_count"))
    described = {f.name: (f.datatype, f.arraysize, str(f.unit or ""), f.ucd) for f in found.fielddescs}
    assert described == {
        "ra": ("double", None, "deg", "pos.eq.ra;meta.main"),
        "id_truth_type": ("char", "18", "", "meta.id.assoc"),
        "match_count": ("int", None, "", None),
        "g_cModelFlux": ("double", None, "nJy", None),
    }


def test_query_that_would_make_the_whole_dense_sky_is_refused_with_an_estimate(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("dense")
    with ArchiveServer(folder, density=0.5) as server:
        service = pyvo.dal.TAPService(server.url)
        with pytest.raises(
            pyvo.dal.DALQueryError, match=r"all 157 tracts of .* about 121 million objects: .* GB in some \d+ min"
        ):
            service.search(f"SELECT COUNT(*) {O}")
        assert rows_of(service.search("SELECT COUNT(*) FROM tap_schema.tables")) == [(51,)]
        assert rows_of(service.search(f"SELECT COUNT(*) {O} WHERE tract = 1")) == [(0,)]
    assert not list(folder.rglob("Object.parquet"))


def test_query_makes_only_the_tracts_that_it_reaches(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("few")
    with ArchiveServer(folder, density=0.0005, tracts=FIELD_TRACTS) as server:
        service = pyvo.dal.TAPService(server.url)
        service.search(f"SELECT TOP 1 objectId {O} WHERE tract = 3638")
        assert [file.parent.name for file in folder.rglob("Object.parquet")] == ["3638"]
        everything = {"QUERY": f"SELECT objectId {O}", "LANG": "ADQL", "MAXREC": "0"}
        assert requests.get(f"{server.url}/sync", params=everything, timeout=30).ok
        assert len(list(folder.rglob("Object.parquet"))) == 1


NAMES = st.sampled_from(
    ["table_name", "table_index", "utype", "schema_name", "nonsense", '"table_name"', "t.utype"]
)
VALUES = st.one_of(NAMES, st.integers(-9, 9).map(str), st.sampled_from(["'x'", "NULL", "1.5e0", "TRUE", "''"]))


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "||", "=", "<>", "<", ">=", "AND", "OR", "LIKE", "IS NOT"])
    calls = st.sampled_from(
        [
            "ABS",
            "LOG",
            "UPPER",
            "COUNT",
            "MAX",
            "SUM",
            "MOD",
            "POINT",
            "SQRT",
            "getenv",
            "COALESCE",
            "CIRCLE",
            "CONTAINS",
            "DISTANCE",
            "POLYGON",
            "BOX",
            "POWER",
            "TRUNCATE",
            "scisql_s2PtInBox",
        ]
    )
    subqueries = st.sampled_from(
        ["(SELECT {} FROM tap_schema.keys AS k)", "EXISTS (SELECT 1 FROM {})", "CAST({} AS REAL)"]
    )
    return st.one_of(
        st.tuples(inner, operators, inner).map(" ".join),
        inner.map("({})".format),
        inner.map("NOT {}".format),
        st.tuples(calls, st.lists(inner, max_size=3)).map(lambda call: f"{call[0]}({', '.join(call[1])})"),
        st.tuples(inner, inner, inner).map(lambda e: f"{e[0]} BETWEEN {e[1]} AND {e[2]}"),
        st.tuples(subqueries, inner).map(lambda part: part[0].format(part[1])),
    )


EXPRESSIONS = st.recursive(VALUES, _expressions, max_leaves=8)
SOURCES = [
    "tap_schema.tables AS t",
    "tap_schema.tables AS t JOIN tap_schema.schemas AS s ON t.schema_name = s.schema_name",
    "tap_schema.tables AS t NATURAL LEFT JOIN tap_schema.schemas AS s",
    "(SELECT table_name, utype, table_index, schema_name FROM tap_schema.tables) AS t",
    "tap_schema.tables AS t, tap_schema.schemas AS t",
]


@given(
    top=st.sampled_from(["", "TOP 3", "DISTINCT", "TOP x", "LIMIT 2"]),
    items=st.lists(EXPRESSIONS | st.just("*"), min_size=1, max_size=3),
    source=st.sampled_from(SOURCES),
    where=st.none() | EXPRESSIONS,
    group=st.none() | EXPRESSIONS,
    tail=st.sampled_from(
        [
            "",
            "ORDER BY 1",
            "ORDER BY table_name DESC",
            "OFFSET 2",
            "LIMIT 1",
            ";",
            ")",
            "UNION SELECT utype FROM tap_schema.keys",
        ]
    ),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_query_gives_rows_or_an_explained_error(
    tap: pyvo.dal.TAPService,
    *,
    top: str,
    items: list[str],
    source: str,
    where: str | None,
    group: str | None,
    tail: str,
) -> None:
    query = f"SELECT {top} {', '.join(items)} FROM {source}"
    query += f" WHERE {where}" if where else ""
    query += f" GROUP BY {group}" if group else ""
    said = "answered with rows"
    try:
        tap.search(f"{query} {tail}")
    except pyvo.dal.DALQueryError as error:
        said = str(error)
    assert len(said) > 10
    assert not re.search(r"Traceback|\.parquet|INTERNAL|scan_0", said), said
