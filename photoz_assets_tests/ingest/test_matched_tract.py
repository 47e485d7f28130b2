"""A tract's redshifts matched with its stored objects: what is published, what is refused, what is warned of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from photoz_assets.ingest.matched_tract import TractMatch, match_stored
from photoz_assets.ingest.redshift_files import RedshiftFiles, read_redshifts
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance, read_rows, run_versions
from photoz_assets.lake.writing import TableRefusedError, WrittenTable, write_rows
from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.object_ids import ObjectIds
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.samples import with_value
from photoz_assets_tests.spectroscopic import ARCHIVE, TRACT, objects, redshifts_of, store_objects, write_csv

FloatArray = NDArray[np.float64]

SPEC = matched_galaxies_spec(DP1)
OBJECTS = objects(600)
PROVENANCE = Provenance(
    table=SPEC.table,
    code_version=SPEC.code_version,
    archive=ARCHIVE,
    selection=Selection(),
    matching=DP1.matching,
    tract=TRACT,
    run_id="made up",
    **run_versions(),
)


def matched(folder: Path, redshifts: pa.Table, stored: pa.Table = OBJECTS) -> WrittenTable:
    """Store objects and redshifts in a lake and match them there."""
    lake = Lake(folder / "lake")
    store_objects(lake, stored)
    found = read_redshifts(RedshiftFiles(paths=(write_csv(redshifts, folder / "z.csv"),)), DP1)
    specz = write_rows(lake, SPECZ, [found.rows], replace(PROVENANCE, table="specz", tract=None))
    wanted = TractMatch(release=DP1, tract=TRACT, selection=Selection(), specz=specz.path)
    return match_stored(lake, wanted, lake.table("objects", TRACT), PROVENANCE)


def verdict_of(table: WrittenTable, check: str) -> Verdict:
    [found] = [verdict for verdict in table.verdicts if verdict.check == check]
    return found


def test_objects_come_with_their_redshift_and_magnitudes_with_and_without_dust(tmp_path: Path) -> None:
    table = matched(tmp_path, redshifts_of(OBJECTS, 200))
    assert all(verdict.passed for verdict in table.verdicts)
    assert {verdict.check for verdict in table.verdicts} == {check.name for check in SPEC.checks}
    rows = read_rows(table.path)
    assert rows.schema.names == list(SPEC.names)
    assert rows.num_rows == 200
    by_id = {row["obj_objectId"]: row for row in OBJECTS.to_pylist()}
    for row in rows.to_pylist():
        source = by_id[row["obj_objectId"]]
        assert {name: row[name] for name in source} == source
        flux = source["obj_i_gaap1p0Flux"]
        assert row["obj_i_gaap1p0Mag"] == pytest.approx(31.4 - 2.5 * np.log10(flux), abs=1e-12)
        assert row["obj_i_gaap1p0Mag_dered"] == pytest.approx(row["obj_i_gaap1p0Mag"] - 2.06 * source["obj_ebv"])
        assert row["sz_distance_arcsec"] < 0.6
    assert pc.all(rows.column("sz_is_nearest_both_ways")).as_py()


def test_stars_qsos_and_what_does_not_count_are_matched_with_nothing(tmp_path: Path) -> None:
    redshifts = redshifts_of(
        OBJECTS,
        6,
        z=[0.5, 0.5, 0.5, 0.0005, 0.5, 0.5],
        z_flag_homogenized=[6.0, 4.0, 2.0, 4.0, 4.0, 3.0],
        instrument_type_homogenized=["s", "s", "s", "s", "p", "g"],
        spectype=["", "QSO", "", "", "", "GALAXY"],
    )
    rows = read_rows(matched(tmp_path, redshifts).path)
    assert sorted(rows.column("sz_id").to_pylist()) == ["CRD000004", "CRD000005"]


def test_a_tract_without_redshifts_is_a_valid_table(tmp_path: Path) -> None:
    elsewhere = redshifts_of(objects(5, tract=5064), 5)
    table = matched(tmp_path, elsewhere)
    assert table.rows == 0
    assert [verdict.check for verdict in table.verdicts if not verdict.passed] == ["not_empty"]


def test_positions_of_another_epoch_are_told_by_survey(tmp_path: Path) -> None:
    here, shifted = redshifts_of(OBJECTS, 600).slice(0, 300), redshifts_of(OBJECTS, 600).slice(300)
    moved = pa.array(shifted.column("dec").to_numpy() + 0.4 / 3600)
    shifted = shifted.set_column(shifted.column_names.index("dec"), "dec", moved)
    shifted = shifted.set_column(shifted.column_names.index("survey"), "survey", pa.array(["OLD"] * 300))
    offsets = verdict_of(matched(tmp_path, pa.concat_tables([here, shifted])), "coordinate_offsets")
    assert not offsets.passed
    assert "OLD by" in offsets.summary
    assert "MADEUP" not in offsets.summary
    medians = {row["survey"]: row["median_dec_offset_arcsec"] for row in offsets.rows}
    assert medians["OLD"] == pytest.approx(0.4, abs=0.05)


def placed(ra: FloatArray, dec: FloatArray) -> pa.Table:
    """Return objects at some places of the tract."""
    patch = DP1.skymap.patch_of(TRACT, ra, dec)
    ids = [ObjectIds(4).first(TRACT, int(each)) + number for number, each in enumerate(patch)]
    return objects(len(ra), obj_coord_ra=ra, obj_coord_dec=dec, obj_patch=patch, obj_objectId=ids)


def test_a_file_that_is_an_arcsecond_off_is_told_by_chance_matches_and_offsets(tmp_path: Path) -> None:
    """The epoch's own objects lie beyond the radius: what is matched is another within it."""
    box, rng = DP1.skymap.inner_box(TRACT), np.random.default_rng(6)
    side_deg = 122 / 3600
    ra, dec = box.ra_min + 0.3 + rng.uniform(0, side_deg, 600), box.dec_min + 0.5 + rng.uniform(0, side_deg, 600)
    field = placed(ra, dec)
    shifted = redshifts_of(field, 600, ra=ra, dec=dec + 1 / 3600)
    table = matched(tmp_path, shifted, field)
    chance, offsets = (verdict_of(table, name) for name in ("chance_matches", "coordinate_offsets"))
    assert not chance.passed
    share = chance.numbers["expected_false_share"]
    assert isinstance(share, float)
    assert share > 0.7
    assert not offsets.passed
    [row] = offsets.rows
    assert row["median_dec_offset_arcsec"] == pytest.approx(1, abs=0.02)
    assert row["median_ra_offset_arcsec"] == pytest.approx(0, abs=0.02)


def test_a_crowded_field_without_counterparts_is_warned_of(tmp_path: Path) -> None:
    """Objects 2 arcsec apart on a line, redshifts at random places along it: every match is by chance."""
    box = DP1.skymap.inner_box(TRACT)
    rows, dec = 600, box.dec_min + 0.5
    ra = box.ra_min + 0.3 + np.arange(rows) * 2 / 3600
    crowd = placed(ra, np.full(rows, dec))
    at = np.random.default_rng(5).uniform(ra[0], ra[-1], 300)
    chance = verdict_of(
        matched(tmp_path, redshifts_of(crowd, 300, ra=at, dec=np.full(300, dec)), crowd), "chance_matches"
    )
    assert not chance.passed
    share = chance.numbers["expected_false_share"]
    assert isinstance(share, float)
    assert share > 0.2


def test_bands_that_are_missing_and_objects_in_the_wrong_patch_are_warned_of(tmp_path: Path) -> None:
    griz = objects(200, obj_u_gaap1p0Flux=[None] * 200, obj_y_gaap1p0Flux=[None] * 200)
    table = matched(tmp_path, redshifts_of(griz, 200), griz)
    bands = verdict_of(table, "bands_observed")
    assert not bands.passed
    assert bands.summary == "4 bands: g, r, i, z; nothing in u, y"
    ra = objects(200).column("obj_coord_ra").to_numpy()
    shifted = objects(200, obj_coord_ra=np.where(np.arange(200) < 20, ra + 0.2, ra))
    (tmp_path / "shifted").mkdir()
    geometry = verdict_of(matched(tmp_path / "shifted", redshifts_of(shifted, 200), shifted), "patch_geometry")
    assert not geometry.passed
    assert "objects lie outside the inner region of their patch" in geometry.summary
    assert {"id", "claims", "lies_in"} == set(geometry.rows[0])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> WrittenTable:
    """A tract that was published."""
    return matched(tmp_path_factory.mktemp("good"), redshifts_of(OBJECTS, 50))


def _moved(table: pa.Table) -> pa.Table:
    dec = table.column("obj_coord_dec")[3].as_py() + 2 / 3600
    return with_value(with_value(table, "sz_dec", 3, dec), "sz_distance_arcsec", 3, 2.0)


def _other_id(table: pa.Table, bits: int) -> pa.Table:
    return with_value(table, "obj_objectId", 3, table.column("obj_objectId")[3].as_py() ^ (1 << bits))


MUTANTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "an object of another release": (lambda table: _other_id(table, 57), "of_release"),
    "an id of another patch": (lambda table: _other_id(table, 36), "of_release"),
    "another tract": (lambda table: with_value(table, "obj_tract", 3, 5064), "of_release"),
    "a redshift of grade 2": (lambda table: with_value(table, "sz_grade", 3, 2), "redshift_grade"),
    "a star": (lambda table: with_value(table, "sz_class", 3, "STAR"), "redshift_grade"),
    "a QSO": (lambda table: with_value(table, "sz_class", 3, "QSO"), "redshift_grade"),
    "an unknown type": (lambda table: with_value(table, "sz_type", 3, "x"), "redshift_grade"),
    "a negative redshift": (lambda table: with_value(table, "sz_redshift", 3, -0.1), "contract"),
    "a pair of 2 arcsec": (_moved, "match_distance"),
    "a distance that is not theirs": (
        lambda table: with_value(table, "sz_distance_arcsec", 3, 0.7),
        "match_distance",
    ),
    "two objects with one redshift": (
        lambda table: with_value(table, "sz_id", 3, table.column("sz_id")[4].as_py()),
        "unique_matches",
    ),
    "a flux outside the cuts": (lambda table: with_value(table, "obj_i_gaap1p0Flux", 3, 100.0), "magnitude_cuts"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_is_wrong_with_a_pair_refuses_the_tract(mutant: str, good: WrittenTable, tmp_path: Path) -> None:
    change, check = MUTANTS[mutant]
    with pytest.raises(TableRefusedError) as refused:
        write_rows(Lake(tmp_path), SPEC, [change(read_rows(good.path))], PROVENANCE)
    assert check in {verdict.check for verdict in refused.value.verdicts if not verdict.passed}


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("obj_refExtendedness", None, "of_release"),
        ("obj_objectId", None, "contract"),
        ("obj_patch", 100, "of_release"),
    ],
)
def test_what_is_wrong_with_an_object_refuses_the_tract(name: str, value: Any, check: str, tmp_path: Path) -> None:
    lake, spec = Lake(tmp_path / "lake"), objects_spec(DP1)
    provenance = replace(PROVENANCE, table=spec.table, matching=None)
    with pytest.raises(TableRefusedError) as refused:
        write_rows(lake, spec, [with_value(OBJECTS, name, 3, value)], provenance)
    assert check in {verdict.check for verdict in refused.value.verdicts if not verdict.passed}
