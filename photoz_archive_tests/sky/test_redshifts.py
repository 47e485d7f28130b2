"""Mock surveys of the simulated sky: what they find, what they get wrong, and which objects it truly is of."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from click.testing import CliRunner
from pyarrow import csv

from photoz_archive.main import main
from photoz_archive.sky.redshifts import REDSHIFTS, redshifts_of, true_objects
from photoz_archive.sky.store import SkyStore
from photoz_assets.survey.redshift_files import PHOTOZ_SERVER, STAR_GRADE
from photoz_assets.survey.releases import dp1

# ECDFS's own tract.
TRACT = 5063
DENSITY = 0.1
GOOD = (3, 4)


@pytest.fixture(scope="module")
def store(sky_folder: Path) -> SkyStore:
    made = SkyStore(sky_folder / "sky", release=dp1.RELEASE, density=DENSITY)
    made.ensure((TRACT,))
    return made


@pytest.fixture(scope="module")
def redshifts(store: SkyStore) -> pd.DataFrame:
    """The rows, with the truth that each is of beside them."""
    rows: pd.DataFrame = redshifts_of(store, (TRACT,)).to_pandas()
    [path] = store.files("TruthSummary", (TRACT,))
    truths = pq.read_table(path, columns=["id_truth_type", "ra", "dec", "redshift", "flux_i"]).to_pandas()
    return rows.merge(truths, on="id_truth_type", suffixes=("", "_true"))


def test_columns_are_those_of_the_photoz_servers_catalogues(redshifts: pd.DataFrame) -> None:
    named = {value for value in vars(PHOTOZ_SERVER).values() if isinstance(value, str)}
    assert named <= set(REDSHIFTS.names) <= set(redshifts.columns)
    assert redshifts.CRD_ID.is_unique
    assert set(redshifts.source) == {"embedded archive, simulated"}
    assert redshifts.survey.str.startswith("SIM-").all()


def test_same_sky_has_the_same_redshifts(store: SkyStore) -> None:
    assert redshifts_of(store, (TRACT,)).equals(redshifts_of(store, (TRACT,)))


def test_surveys_are_of_their_kinds(redshifts: pd.DataFrame) -> None:
    galaxies = redshifts[redshifts.spectype == "GALAXY"]
    i_mag = 31.4 - 2.5 * np.log10(galaxies.flux_i)
    by_survey = dict(list(galaxies.groupby("survey")))
    assert i_mag[by_survey["SIM-BRIGHT"].index].max() < 22
    assert by_survey["SIM-COLOUR"].redshift.between(0.6, 1.2).mean() > 0.8
    assert set(by_survey["SIM-PENCIL"].instrument_type) == {"s", "g"}
    assert set(by_survey["SIM-MANYBAND"].instrument_type) == {"p"}
    assert {"STAR", "QSO"} <= set(redshifts.spectype)
    stars = redshifts[redshifts.z_flag_homogenized == STAR_GRADE]
    assert (stars.spectype == "STAR").all()
    assert stars.z.abs().max() < 0.1


def test_faint_sources_lack_redshifts_more_often(redshifts: pd.DataFrame) -> None:
    deep = redshifts[redshifts.survey == "SIM-MANYBAND"]
    i_mag = 31.4 - 2.5 * np.log10(deep.flux_i)
    good = deep.z_flag_homogenized.isin(GOOD)
    assert good[i_mag < 22.5].mean() > 0.9
    assert good[i_mag > 23.8].mean() < 0.6


def test_some_good_redshifts_are_wrong_and_positions_scatter(redshifts: pd.DataFrame) -> None:
    good = redshifts[redshifts.z_flag_homogenized.isin(GOOD) & (redshifts.spectype == "GALAXY")]
    wrong = (good.z - good.redshift).abs() > 5 * good.z_err
    assert len(good) > 1500
    assert 0.008 < wrong.mean() < 0.022
    east = (redshifts.ra - redshifts.ra_true) * np.cos(np.radians(redshifts.dec))
    distance_arcsec = np.hypot(east, redshifts.dec - redshifts.dec_true) * 3600
    assert np.sqrt((distance_arcsec**2).mean()) == pytest.approx(0.1, rel=0.05)


def test_sources_are_in_several_surveys(redshifts: pd.DataFrame) -> None:
    surveys = redshifts.groupby("id_truth_type").survey.nunique()
    assert 0.03 < (surveys > 1).mean() < 0.3


def test_purity_and_completeness_of_a_match_are_known(store: SkyStore) -> None:
    rows = redshifts_of(store, (TRACT,))
    true = true_objects(store, rows, (TRACT,)).drop_null().to_pandas().set_index("CRD_ID").objectId
    [path] = store.files("Object", (TRACT,))
    objects = pq.read_table(path, columns=["objectId", "coord_ra", "coord_dec"]).to_pandas()
    mine = SkyCoord(rows["ra"].to_numpy(), rows["dec"].to_numpy(), unit="deg")
    nearest, distance, _ = mine.match_to_catalog_sky(SkyCoord(objects.coord_ra, objects.coord_dec, unit="deg"))
    matched = pd.Series(objects.objectId.to_numpy()[nearest], index=rows["CRD_ID"].to_pylist())
    matched = matched[distance.arcsec < 0.75]
    right = (matched == true.reindex(matched.index)).sum()
    assert right / len(matched) > 0.95
    assert right / len(true) > 0.97
    assert set(true) <= set(objects.objectId)


@pytest.mark.parametrize("name", ["specz.parquet", "specz.csv"])
def test_command_writes_the_catalogue_and_none_over_another(
    sky_folder: Path, store: SkyStore, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    where = [f"--density={DENSITY}", f"--data-dir={sky_folder}", f"--tract={TRACT}"]
    done = CliRunner().invoke(main, ["specz", str(out), *where])
    assert done.exit_code == 0, done.output
    assert "simulated redshifts of DP1's simulated sky" in done.output
    read = csv.read_csv(out) if out.suffix == ".csv" else pq.read_table(out)
    assert read.column_names == REDSHIFTS.names
    assert len(read) == len(redshifts_of(store, (TRACT,)))
    again = CliRunner().invoke(main, ["specz", str(out), *where])
    assert again.exit_code == 1
    assert again.output.strip().endswith("is there already: name another file, or remove it first")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["specz.txt"], "specz.txt must end in .parquet or .csv"),
        (["specz.csv", "--tract=3637"], "the sky has no tracts [3637]"),
        (["specz.csv", "--release=dp9"], "'dp9' is not one of"),
    ],
)
def test_command_refuses_in_one_line_what_it_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["specz", *arguments, f"--data-dir={tmp_path}"])
    assert done.exit_code != 0
    assert words in done.output.splitlines()[-1]
