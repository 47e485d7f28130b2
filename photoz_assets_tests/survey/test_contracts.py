"""The contracts: the names and types that readers of the lake rely on."""

import pytest
from astropy import units
from astropy.io.votable.ucd import parse_ucd

from photoz_assets.survey.table import Contract
from photoz_assets_tests.dp02 import MATCHED_GALAXIES, SKYINFO, TABLES

BANDS = "ugrizy"
SEED_COLUMNS = [
    "mt_id_truth_type",
    "mt_match_objectId",
    *(f"ts_{name}" for name in ("ra", "dec", "truth_type", "mag_r", "is_pointsource", "redshift")),
    *(f"ts_flux_{band}" for band in BANDS),
    "obj_coord_ra",
    "obj_coord_dec",
    *(f"obj_{band}_cModelFlux" for band in BANDS),
    *(f"obj_{band}_cModelMag" for band in BANDS),
]


def test_matched_galaxies_starts_with_the_seeds_columns_and_has_47() -> None:
    assert list(MATCHED_GALAXIES.names[:28]) == SEED_COLUMNS
    assert MATCHED_GALAXIES.names[28:35] == (
        "mt_match_candidate",
        "mt_match_count",
        "mt_match_chisq",
        "obj_tract",
        "obj_patch",
        "obj_detect_isPrimary",
        "obj_refExtendedness",
    )
    assert set(MATCHED_GALAXIES.names[35:]) == {
        f"obj_{band}_{name}" for band in "ugrizy" for name in ("cModelFluxErr", "cModel_flag")
    }
    assert len(MATCHED_GALAXIES.names) == 47


def test_skyinfo_has_the_seeds_nine_columns() -> None:
    assert SKYINFO.names == ("tract", "patch", "minRA", "maxRA", "minDEC", "maxDEC", "meanRA", "meanDEC", "num")


def test_magnitudes_are_computed_here_and_never_asked_for() -> None:
    assert not [column.name for column in MATCHED_GALAXIES.selected if "Mag" in column.name]


@pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())
def test_columns_are_unique_described_in_known_units_and_of_valid_ucds(contract: Contract) -> None:
    assert len(contract.names) > 0
    assert len(set(contract.names)) == len(contract.names)
    for column in contract:
        assert column.description
        assert column.ucd
        parse_ucd(column.ucd, check_controlled_vocabulary=True)
        if column.unit:
            units.Unit(column.unit, format="vounit")


@pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())
def test_every_column_has_an_origin_that_exists(contract: Contract) -> None:
    for column in contract:
        assert column.source or column.derived_from
        for origin in column.derived_from:
            table, _, name = origin.rpartition(".")
            if table in TABLES:
                assert name in TABLES[table].names, f"{contract.table}.{column.name}"
