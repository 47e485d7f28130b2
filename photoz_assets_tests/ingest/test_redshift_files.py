"""The user's files of redshifts: the same rows out of each format, and one clear line for each that is wrong."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from photoz_assets.ingest import redshift_files
from photoz_assets.ingest.redshift_files import RedshiftFileError, RedshiftFiles, Redshifts, read_redshifts
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.redshift_files import RedshiftColumns
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets_tests.spectroscopic import objects, redshifts_of, write_csv

OBJECTS = objects(40)
GOOD = redshifts_of(OBJECTS, 40)


def read(*paths: Path, **settings: Any) -> Redshifts:
    return read_redshifts(RedshiftFiles(paths=paths, **settings), DP1)


def replaced(name: str, values: Any) -> pa.Table:
    return GOOD.set_column(GOOD.column_names.index(name), name, pa.array(values))


def write_parquet(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


def as_astropy(table: pa.Table) -> Table:
    return Table({name: np.array(table.column(name).to_pylist()) for name in table.column_names})


def write_by_astropy(table: pa.Table, path: Path) -> Path:
    form = {"format": "fits"} if path.suffix == ".fits" else {"format": "votable"}
    as_astropy(table).write(path, **form)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("z.csv", write_csv),
        ("z.parquet", write_parquet),
        ("z.fits", write_by_astropy),
        ("z.vot", write_by_astropy),
    ],
)
def test_every_format_gives_the_same_rows(
    name: str, write: Callable[[pa.Table, Path], Path], tmp_path: Path
) -> None:
    path = write(GOOD, tmp_path / name)
    found = read(path, licence="CC BY 4.0", citation="Somebody 2026")
    assert found.rows.schema.equals(SPECZ.schema)
    assert (found.came, sum(found.refused.values())) == (40, 0)
    assert found.rows.column("sz_id").to_pylist() == GOOD.column("CRD_ID").to_pylist()
    np.testing.assert_allclose(found.rows.column("sz_redshift").to_numpy(), GOOD.column("z").to_numpy())
    assert found.rows.column("sz_grade").to_pylist() == [4] * 40
    assert found.rows.column("sz_class").to_pylist() == [None] * 40
    [file] = found.files
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (file["name"], file["rows"]) == (name, 40)
    assert (file["licence"], file["citation"]) == ("CC BY 4.0", "Somebody 2026")


def test_columns_as_pandas_and_fits_leave_them_give_the_same_rows(tmp_path: Path) -> None:
    """Words as categories, ids with gaps as floating numbers, and a column of vectors beside."""
    numbers = replaced("CRD_ID", [float(number) for number in range(40)])
    words = numbers.column("survey").dictionary_encode()
    odd = numbers.set_column(numbers.column_names.index("survey"), "survey", words)
    parquet = read(write_parquet(odd, tmp_path / "z.parquet"))
    with_vectors = as_astropy(numbers)
    with_vectors["image"] = np.zeros((40, 2))
    with_vectors.write(tmp_path / "z.fits")
    fits = read(tmp_path / "z.fits")
    for found in (parquet, fits):
        assert found.rows.column("sz_id").to_pylist() == [str(number) for number in range(40)]
        assert found.rows.column("sz_survey").to_pylist() == GOOD.column("survey").to_pylist()


def test_a_mark_of_the_encoding_is_passed_over(tmp_path: Path) -> None:
    path = write_csv(GOOD, tmp_path / "z.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path).rows.num_rows == 40


def test_columns_and_what_the_files_do_not_say_come_from_the_configuration(tmp_path: Path) -> None:
    bare = GOOD.select(["ra", "dec", "z"]).rename_columns(["RA", "DEC", "ZBEST"])
    paths = [write_csv(bare.slice(start, 20), tmp_path / f"deep{start}.csv") for start in (0, 20)]
    columns = RedshiftColumns(ra="RA", dec="DEC", redshift="ZBEST")
    rows = read(*paths, columns=columns, redshift_type="g", grade=3).rows.to_pylist()
    assert len(rows) == 40
    assert len({row["sz_id"] for row in rows}) == 40
    assert {(row["sz_type"], row["sz_grade"], row["sz_survey"]) for row in rows} == {
        ("g", 3, "deep0"),
        ("g", 3, "deep20"),
    }


def test_stars_and_qsos_are_told_apart(tmp_path: Path) -> None:
    table = replaced("z_flag_homogenized", [6.0, *[4.0] * 39]).append_column(
        "spectype", pa.array(["", "QSO", "galaxy", "STAR", *[None] * 36])
    )
    rows = read(write_parquet(table, tmp_path / "z.parquet")).rows.to_pylist()
    assert [row["sz_class"] for row in rows[:5]] == ["STAR", "QSO", "GALAXY", "STAR", None]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("ra", None, "without a position"),
        ("dec", float("nan"), "without a position"),
        ("dec", -91.0, "with a position that is none"),
        ("ra", 361.0, "with a position that is none"),
        ("z", None, "without a redshift"),
        ("z", float("inf"), "without a redshift"),
        ("z", -0.1, "with a negative redshift"),
        ("z", 99.0, "with a redshift above 20"),
        ("z_err", -1.0, "with a negative error"),
        ("instrument_type_homogenized", "x", "of an unknown type"),
        ("instrument_type_homogenized", None, "of an unknown type"),
        ("z_flag_homogenized", 5.0, "of an unknown grade"),
        ("CRD_ID", "CRD000001", "of a name that was there"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_and_counted(
    column: str, value: Any, reason: str, tmp_path: Path
) -> None:
    values = [value, *GOOD.column(column).to_pylist()[1:]]
    found = read(write_parquet(replaced(column, values), tmp_path / "z.parquet"))
    assert {name: number for name, number in found.refused.items() if number} == {reason: 1}
    assert found.rows.num_rows == 39


def test_a_grade_that_is_missing_is_unknown_and_no_row_is_lost(tmp_path: Path) -> None:
    table = replaced("z_flag_homogenized", [None, float("nan"), *[4.0] * 38])
    rows = read(write_parquet(table, tmp_path / "z.parquet")).rows
    assert rows.column("sz_grade").to_pylist()[:3] == [0, 0, 4]


def in_hours(path: Path) -> Path:
    table = as_astropy(GOOD)
    table["ra"].unit = "h"
    table.write(path, format="votable")
    return path


def sexagesimal(path: Path) -> Path:
    return write_csv(replaced("ra", ["03:32:31.2"] * 40), path)


RA, DEC = (GOOD.column(name).to_numpy() for name in ("ra", "dec"))

WRONG: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no such file": ("z.csv", lambda _: None, "cannot be read: No such file"),
    "a folder": ("z.csv", Path.mkdir, "is no file"),
    "another format": ("z.txt", lambda path: path.write_text("ra"), "ends in .csv, .fits"),
    "empty": ("z.csv", lambda path: path.write_bytes(b""), "is empty"),
    "no rows": ("z.csv", lambda path: write_csv(GOOD.slice(0, 0), path), "has no rows"),
    "no column": (
        "z.csv",
        lambda path: write_csv(GOOD.drop_columns(["z"]), path),
        "has no column z for the redshift: name its own in the configuration of specz (columns)",
    ),
    "no grades": (
        "z.csv",
        lambda path: write_csv(GOOD.drop_columns(["z_flag_homogenized"]), path),
        "in the configuration of specz (columns), or say grade for all of its rows",
    ),
    "no parquet": ("z.parquet", lambda path: path.write_bytes(b"PAR1 and no more"), "cannot be read as parquet"),
    "no fits": ("z.fits", lambda path: path.write_bytes(b"SIMPLE" * 100), "cannot be read"),
    "cut off": ("z.vot", lambda path: path.write_text("<VOTABLE><RESOURCE>"), "cannot be read as vot"),
    "unit of hours": ("z.vot", in_hours, "the column ra is in hours: give degrees"),
    "hours": (
        "z.csv",
        lambda path: write_csv(replaced("ra", RA / 15), path),
        "lies in a tract of DP1; 40 do if it is right ascension in hours",
    ),
    "swapped": (
        "z.csv",
        lambda path: write_csv(replaced("ra", DEC).set_column(2, "dec", pa.array(RA)), path),
        "lies in a tract of DP1; 40 do if it is right ascension and declination swapped",
    ),
    "elsewhere": (
        "z.csv",
        lambda path: write_csv(replaced("dec", DEC + 60), path),
        "none of 40 positions lies in a tract of DP1",
    ),
    "sexagesimal": ("z.csv", sexagesimal, "ra is sexagesimal, '03:32:31.2': give degrees"),
    "no numbers": (
        "z.csv",
        lambda path: write_csv(replaced("z", ["high"] * 40), path),
        "z holds 'high', which is no number",
    ),
    "nothing of use": (
        "z.csv",
        lambda path: write_csv(replaced("z", [-1.0] * 40), path),
        "none of 40 rows is a redshift: 40 with a negative redshift",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_wrong_is_refused_in_one_line_that_names_it(case: str, tmp_path: Path) -> None:
    name, write, words = WRONG[case]
    path = tmp_path / name
    write(path)
    with pytest.raises(RedshiftFileError) as refused:
        read(path)
    said = str(refused.value)
    assert words in said
    assert str(path) in said
    assert "\n" not in said


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redshift_files, "MOST_BYTES", 100)
    with pytest.raises(RedshiftFileError, match=r"has 0.0 GiB, more than"):
        read(write_csv(GOOD, tmp_path / "z.csv"))
