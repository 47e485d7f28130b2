"""The exports: each in its reader's own words, the same bytes for the same rows, refused if anything is wrong."""

import errno
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoz_assets.lake import staging
from photoz_assets.lake.durable import put_in_place
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.writing import TableRefusedError
from photoz_assets.photoz import exports
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.exports import RIGHTS_FILE, write_profile
from photoz_assets.photoz.galaxies import tract_galaxies
from photoz_assets.photoz.profiles import PROFILES, Profile
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.sampling import SPLITS, Sampling
from photoz_assets_tests.dp02 import COLUMNS, PHOTOZ_GALAXIES
from photoz_assets_tests.samples import galaxies, with_value

ROWS = 200
TRACT = 3638
# Galaxies of the sample below: a u flux below zero (in the test set), no y flux (training), point-like (test).
NOT_DETECTED, NOT_OBSERVED, POINT_LIKE = 4, 1, 0
PROVENANCE = Provenance(
    table="photoz_sample",
    code_version="1",
    run_id="run",
    sampling=Sampling(),
    rights="Data rights holders only",
    citation="Somebody 2026",
)


@pytest.fixture(scope="module")
def sample() -> pa.Table:
    """A sample of one tract, with a galaxy of each kind that readers take in their own way."""
    table = with_value(galaxies(ROWS), COLUMNS.flux("u"), NOT_DETECTED, -2.0)
    table = with_value(table, COLUMNS.flux("y"), NOT_OBSERVED, None)
    table = with_value(table, COLUMNS.extendedness, POINT_LIKE, 0.0)
    drawn = tract_galaxies(duckdb.from_arrow(table), PHOTOZ_GALAXIES, COLUMNS, TRACT, Sampling())
    return drawn.rows.project(f"*, {TRACT}::BIGINT AS tract").to_arrow_table()


def _write(folder: Path, profile: Profile, sample: pa.Table) -> dict[str, Any]:
    """Write a profile's files; return their columns by the file's name."""
    written = write_profile(Lake(folder), profile, duckdb.from_arrow(sample), PROVENANCE)
    assert written.verdict.passed
    found: dict[str, Any] = {}
    for file in profile.files:
        path = written.folder / file
        if path.suffix == ".parquet":
            found[file] = pq.read_table(path).to_pydict()
            continue
        with h5py.File(path) as stored:
            columns = stored[profile.group] if profile.group else stored
            found[file] = {name: columns[name][:] for name in columns}
    return found


def _row(sample: pa.Table, number: int) -> dict[str, Any]:
    """Return the sample's row of one of the galaxies above."""
    wanted = TRACT * 2**48 + number
    [row] = [row for row in sample.to_pylist() if row["object_id"] == wanted]
    return dict(row)


def _found(files: dict[str, Any], id_name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return what the one file that has a galaxy says of it; nothing if none has it."""
    for columns in files.values():
        for place in np.flatnonzero(np.asarray(columns[id_name]) == row["object_id"]):
            return {name: values[place] for name, values in columns.items()}
    return {}


def test_rail_has_99_where_nothing_was_detected_and_no_galaxy_that_it_cannot_say(
    tmp_path: Path, sample: pa.Table
) -> None:
    files = _write(tmp_path, PROFILES["rail"], sample)
    assert set(files) == {"training.hdf5", "validation.hdf5", "test.hdf5"}
    assert sum(len(columns["redshift"]) for columns in files.values()) == ROWS - 1
    assert list(files["test.hdf5"]) == [
        "object_id",
        *(f"mag_{band}_lsst" for band in BANDS),
        *(f"mag_err_{band}_lsst" for band in BANDS),
        "redshift",
    ]
    assert _found(files, "object_id", _row(sample, NOT_OBSERVED)) == {}
    faint = _row(sample, NOT_DETECTED)
    found = _found(files, "object_id", faint)
    assert found["mag_u_lsst"] == 99.0
    assert found["mag_err_u_lsst"] == faint["mag_1sigma_u"]
    assert (found["mag_g_lsst"], found["redshift"]) == (faint["mag_g"], faint["redshift"])
    for split in SPLITS:
        rows = [row for row in sample.to_pylist() if row["split"] == split and not row["state_y"]]
        assert files[f"{split}.hdf5"]["object_id"].tolist() == [row["object_id"] for row in rows]


def test_pz_challenge_has_its_names_at_the_top_level_and_nan(tmp_path: Path, sample: pa.Table) -> None:
    files = _write(tmp_path, PROFILES["pz_challenge"], sample)
    assert [name.split("_")[-2] for name in files] == ["training", "test"]
    for columns in files.values():
        assert set(columns) == {"object_id", "redshift"} | {
            f"mag_{band}_lsst{end}" for band in BANDS for end in ("", "_err")
        }
    found = _found(files, "object_id", _row(sample, NOT_DETECTED))
    assert np.isnan([found["mag_u_lsst"], found["mag_u_lsst_err"]]).all()
    assert np.isfinite([found["mag_g_lsst"], found["mag_g_lsst_err"]]).all()
    assert _found(files, "object_id", _row(sample, NOT_OBSERVED)) == {}


def test_txpipe_has_infinities_and_ratios_of_extended_objects(tmp_path: Path, sample: pa.Table) -> None:
    files = _write(tmp_path, PROFILES["txpipe"], sample)
    assert set(files) == {"photometry_catalog.hdf5", "spectroscopic_catalog.hdf5"}
    faint = _row(sample, NOT_DETECTED)
    found = _found(files, "id", faint)
    assert (found["mag_u"], found["snr_u"], found["tract"]) == (np.inf, 0.0, TRACT)
    # As its own code has it: the error of the flux over the flux of a magnitude of 30.
    error_njy = 10 ** ((31.4 - faint["mag_1sigma_u"]) / 2.5)
    assert found["mag_err_u"] == pytest.approx(2.5 / np.log(10) * error_njy / 10 ** ((31.4 - 30) / 2.5), rel=1e-9)
    assert found["snr_g"] == pytest.approx(2.5 / np.log(10) / faint["mag_err_g"])
    unobserved = _found(files, "id", _row(sample, NOT_OBSERVED))
    assert np.isnan([unobserved[name] for name in ("mag_y", "mag_err_y", "snr_y")]).all()
    assert _found(files, "id", _row(sample, POINT_LIKE)) == {}


def test_pz_server_has_every_galaxy_and_says_which_train(tmp_path: Path, sample: pa.Table) -> None:
    [columns] = _write(tmp_path, PROFILES["pz_server"], sample).values()
    assert len(columns["redshift"]) == ROWS
    assert [split == "training" for split in columns["split"]] == columns["is_training_set"]
    assert columns["split"] == sorted(columns["split"], key=SPLITS.index)
    assert {"ra", "dec", "object_id"} <= set(columns)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_files_say_where_they_came_from_and_are_the_same_bytes_for_the_same_rows(
    tmp_path: Path, sample: pa.Table, profile: Profile
) -> None:
    first, second = (
        write_profile(Lake(tmp_path / name), profile, duckdb.from_arrow(sample), PROVENANCE) for name in ("a", "b")
    )
    for file in profile.files:
        path = first.folder / file
        assert path.read_bytes() == (second.folder / file).read_bytes()
        told = _told(path)
        assert told["photoz_assets.sample"] == rows_digest(sample)
        assert told["photoz_assets.sampling"] == Sampling().fingerprint
        assert told["rights"] == PROVENANCE.rights
        provenance = Provenance.from_json(told["photoz_assets.provenance"])
        assert provenance == PROVENANCE.with_rows(provenance.rows_stored or 0)
    assert (first.folder / "RIGHTS.txt").read_text() == "Data rights holders only\nCite: Somebody 2026\n"


def _told(path: Path) -> dict[str, str]:
    if path.suffix == ".parquet":
        return {name.decode(): text.decode() for name, text in pq.read_schema(path).metadata.items()}
    with h5py.File(path) as stored:
        return dict(stored.attrs)


def test_made_up_rows_come_without_rights(tmp_path: Path, sample: pa.Table) -> None:
    free = replace(PROVENANCE, rights=None, citation=None)
    written = write_profile(Lake(tmp_path), PROFILES["rail"], duckdb.from_arrow(sample), free)
    assert not (written.folder / "RIGHTS.txt").exists()
    assert "rights" not in _told(written.folder / "test.hdf5")


def test_licence_and_citation_of_the_redshifts_stand_beside_the_files(tmp_path: Path, sample: pa.Table) -> None:
    files = (
        {"name": "deep.csv", "licence": "CC BY 4.0", "citation": "Deep 2025"},
        {"name": "wide.fits", "licence": "", "citation": ""},
    )
    of_redshifts = "Redshifts of deep.csv: CC BY 4.0\nCite for deep.csv: Deep 2025\n"
    # Made-up objects have no rights; redshifts matched with them may have.
    for rights, of_release in ((None, ""), (PROVENANCE.rights, "Data rights holders only\nCite: Somebody 2026\n")):
        provenance = replace(PROVENANCE, rights=rights, redshift_files=files)
        written = write_profile(Lake(tmp_path), PROFILES["rail"], duckdb.from_arrow(sample), provenance)
        assert (written.folder / "RIGHTS.txt").read_text() == of_release + of_redshifts


def _columns(profile: str, **columns: str) -> Callable[[pytest.MonkeyPatch], Profile]:
    """A profile some of whose columns are made otherwise."""
    right = PROFILES[profile]
    return lambda _: replace(right, columns={**right.columns, **columns})


def _writing(change: Callable[[pa.Table], pa.Table]) -> Callable[[pytest.MonkeyPatch], Profile]:
    """The right profile, but other rows reach the disk."""

    def wrong(monkeypatch: pytest.MonkeyPatch) -> Profile:
        write = exports._write
        monkeypatch.setattr(
            exports,
            "_write",
            lambda path, profile, rows, facts: write(path, profile, change(rows), facts),
        )
        return PROFILES["rail"]

    return wrong


def _permuted(rows: pa.Table) -> pa.Table:
    redshifts = rows.column("redshift").take(pa.array(range(rows.num_rows - 1, -1, -1)))
    return rows.set_column(rows.column_names.index("redshift"), "redshift", redshifts)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_columns("rail", mag_u_lsst="coalesce(mag_u, 'nan')::DOUBLE"), "1 rows hold what the reader cannot take"),
        (_columns("rail", mag_g_lsst="pow(10, (31.4 - mag_g) / 2.5)"), "rows hold what the reader cannot take"),
        (_columns("rail", mag_err_r_lsst="-mag_err_r::DOUBLE"), "rows hold what the reader cannot take"),
        (_columns("pz_challenge", mag_u_lsst="coalesce(mag_u, 99)::DOUBLE"), "1 rows hold what the reader cannot"),
        (_columns("txpipe", mag_u="coalesce(mag_u, 'nan')::DOUBLE"), "1 rows hold what the reader cannot take"),
        (_columns("pz_server", is_training_set="true"), "rows hold what the reader cannot take"),
        (_writing(lambda rows: rows.slice(1)), "1 rows are unaccounted for"),
        (_writing(_permuted), "other rows than were to be written"),
    ],
    ids=[
        "NaN",
        "nJy",
        "negative error",
        "another's mark",
        "NaN for inf",
        "test set",
        "lost row",
        "permuted redshifts",
    ],
)
def test_wrong_export_is_refused_and_the_last_good_one_stays(
    tmp_path: Path,
    sample: pa.Table,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[pytest.MonkeyPatch], Profile],
    message: str,
) -> None:
    wrong = fault(monkeypatch)
    lake = Lake(tmp_path)
    for file in wrong.files:
        lake.export(wrong.name, file).parent.mkdir(parents=True, exist_ok=True)
        lake.export(wrong.name, file).write_text("the last good one")
    with pytest.raises(TableRefusedError, match=message) as refused:
        write_profile(lake, wrong, duckdb.from_arrow(sample), PROVENANCE)
    [verdict] = refused.value.verdicts
    assert not verdict.passed
    for file in wrong.files:
        assert lake.export(wrong.name, file).read_text() == "the last good one"
    assert not (lake.export(wrong.name, "RIGHTS.txt")).exists()
    assert list(lake.staging.iterdir()) == []


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_tables_io_reads_every_export_with_no_option_set(
    tmp_path: Path, sample: pa.Table, profile: Profile
) -> None:
    """By the library that RAIL, the data challenge and the PZ Server read files with."""
    tables_io = pytest.importorskip("tables_io")
    expected = _write(tmp_path, profile, sample)
    for file in profile.files:
        read = tables_io.read(str(Lake(tmp_path).export(profile.name, file)))
        columns = read[profile.group] if profile.group else read
        assert set(getattr(columns, "column_names", columns)) == set(expected[file])
        for name, values in expected[file].items():
            np.testing.assert_array_equal(np.asarray(columns[name]), np.asarray(values))


def _export(lake: Lake, rows: pa.Table) -> None:
    write_profile(lake, PROFILES["rail"], duckdb.connect().from_arrow(rows), PROVENANCE)


def _digests(lake: Lake) -> set[str]:
    """The samples that the files of the export for RAIL are of."""
    digests = set()
    for file in PROFILES["rail"].files:
        with h5py.File(lake.export("rail", file)) as stored:
            digests.add(str(stored.attrs["photoz_assets.sample"]))
    return digests


def test_files_of_a_profile_are_of_one_sample_whoever_else_exports(tmp_path: Path, sample: pa.Table) -> None:
    lake = Lake(tmp_path)
    samples = [sample, sample.slice(0, ROWS // 2)]
    for _ in range(8):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(partial(_export, lake), samples))
        assert len(_digests(lake)) == 1


def test_files_of_a_profile_are_of_one_sample_whenever_an_export_stops(
    tmp_path: Path, sample: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, other = Lake(tmp_path / "lake"), sample.slice(0, ROWS // 2)
    _export(lake, sample)
    found = [_digests(lake)]
    while found[-1] == found[0]:
        with monkeypatch.context() as fault:
            fault.setattr(staging, "put_in_place", _stopping(len(found)))
            with suppress(OSError):
                _export(lake, other)
        found.append(_digests(lake))
    assert len(found) > 2, "it was stopped before it was done"
    assert found[-1] == {rows_digest(other)}
    # What was stopped is swept.
    assert len(list(lake.root.rglob("*.hdf5"))) == len(PROFILES["rail"].files)
    assert list(lake.staging.iterdir()) == []


def test_export_takes_the_place_of_a_folder_that_a_copied_lake_has(tmp_path: Path, sample: pa.Table) -> None:
    _export(Lake(tmp_path / "lake"), sample)
    copy, other = Lake(tmp_path / "copy"), sample.slice(0, ROWS // 2)
    shutil.copytree(tmp_path / "lake", copy.root)
    for rows in (other, sample):
        _export(copy, rows)
        assert _digests(copy) == {rows_digest(rows)}
        assert copy.exports().keys() == {"rail"}
    assert {path.name for path in copy.exports()["rail"]} == {*PROFILES["rail"].files, RIGHTS_FILE}


def _stopping(moment: int) -> Callable[[Path, Path], None]:
    """Put files in their place until so many are there; then the disk fails."""
    moments = iter(range(1, moment))

    def put(written: Path, destination: Path) -> None:
        if next(moments, None) is None:
            raise OSError(errno.EIO, "the disk fails")
        put_in_place(written, destination)

    return put
