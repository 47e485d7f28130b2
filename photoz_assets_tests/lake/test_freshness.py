"""How each tract stands, by the lake alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from photoz_assets.lake.freshness import NO_LISTING, Listing, StaleReason, listed_as, stale_reasons
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.table import Column, TableSpec
from photoz_assets_tests.dp02 import MATCHED_GALAXIES, SKYINFO
from photoz_assets_tests.samples import galaxies

TRACTS = (3637, 3638)
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
WORDS = "Embedded archive, simulated: a sky (density 0.01, seed 1, version 3)."


def declared(words: str = WORDS) -> ArchiveIdentity:
    return ArchiveIdentity.declared("dp02_dc2_catalogs", words, {})


def store(
    lake: Lake,
    tract: int,
    at: datetime = NOON,
    *,
    seconds: float | None = None,
    words: str = WORDS,
    listing: str | None = None,
) -> None:
    """Store a tract, by default as the code did that noted no listing with it."""
    provenance = Provenance(
        table="matched_galaxies",
        code_version="1",
        tract=tract,
        selection=Selection(),
        archive=declared(words),
        created=at.isoformat(),
        seconds=seconds,
        listing=listing,
    )
    publish(lake, stage(lake, MATCHED_GALAXIES, [galaxies(2, tract=tract)], partial(replace, provenance)))


def list_sky(lake: Lake, at: datetime, *, num: int = 100, words: str = WORDS) -> Listing:
    """Store a listing of the sky, a patch a tract, in which the first tract holds ``num`` objects."""
    listing = Listing(lake)
    values = {name: [0.0] * len(TRACTS) for name in SKYINFO.names}
    values |= {"tract": list(TRACTS), "patch": [0] * len(TRACTS), "num": [num, 100]}
    [batch] = pa.table(values, schema=SKYINFO.schema).to_batches()
    provenance = Provenance(table="skyinfo", code_version="1", created=at.isoformat(), archive=declared(words))
    publish(lake, stage(lake, SKYINFO, map(listing.count, [batch]), lambda: listing.noted(provenance)))
    return listing


def judged(lake: Lake, spec: TableSpec = MATCHED_GALAXIES) -> dict[int, str]:
    found = stale_reasons(lake, TRACTS, Selection(), spec)
    return {tract: str(reason) for tract, reason in found.items()}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    for tract in TRACTS:
        store(lake, tract)
    return lake


def test_tract_of_another_code_version_is_stale(lake: Lake) -> None:
    assert judged(lake) == dict.fromkeys(TRACTS, "current")
    assert judged(lake, replace(MATCHED_GALAXIES, version=2)) == dict.fromkeys(TRACTS, "of another code version")


@pytest.mark.parametrize(
    ("seconds", "reason"), [(600, "changed at the archive"), (60, "current"), (None, "current")]
)
def test_change_seen_while_a_tract_was_on_its_way_may_not_be_in_it(
    lake: Lake, seconds: float | None, reason: str
) -> None:
    list_sky(lake, NOON - timedelta(hours=1))
    list_sky(lake, NOON + timedelta(minutes=5), num=101)
    store(lake, 3637, NOON + timedelta(minutes=10), seconds=seconds)
    assert judged(lake) == {3637: reason, 3638: "current"}


def test_changed_word_makes_tracts_stale_until_they_are_asked_for_again(lake: Lake) -> None:
    list_sky(lake, NOON)
    listing = list_sky(lake, NOON + timedelta(hours=1), words=WORDS.replace("version 3", "version 4"))
    assert listing.changed == TRACTS
    assert judged(lake) == dict.fromkeys(TRACTS, "changed at the archive")
    store(lake, 3637, NOON + timedelta(hours=2), words=WORDS.replace("version 3", "version 4"))
    again = list_sky(lake, NOON + timedelta(hours=3), words=WORDS.replace("version 3", "version 4"))
    assert again.changed == ()
    assert judged(lake) == {3637: "current", 3638: "changed at the archive"}


FAR = NOON + timedelta(days=400)


@pytest.mark.parametrize("at", [NOON, FAR, NOON - timedelta(days=400)], ids=["right", "ahead", "behind"])
def test_no_clock_decides_what_has_changed(lake: Lake, at: datetime) -> None:
    """Whatever the clock said when a tract was asked for, what was listed later counts."""
    list_sky(lake, NOON)
    for tract in TRACTS:
        store(lake, tract, at, listing=listed_as(lake, tract))
    list_sky(lake, NOON + timedelta(hours=1))
    assert judged(lake) == dict.fromkeys(TRACTS, "current")
    list_sky(lake, NOON + timedelta(hours=2), num=101)
    assert judged(lake) == {3637: "changed at the archive", 3638: "current"}
    store(lake, 3637, at, listing=listed_as(lake, 3637))
    assert judged(lake) == dict.fromkeys(TRACTS, "current")
    list_sky(lake, NOON + timedelta(hours=3), num=101, words=WORDS.replace("version 3", "version 4"))
    assert judged(lake) == dict.fromkeys(TRACTS, "changed at the archive")


def test_change_listed_while_a_tract_was_on_its_way_is_seen(lake: Lake) -> None:
    list_sky(lake, NOON)
    asked = listed_as(lake, 3637)
    list_sky(lake, NOON, num=101)
    store(lake, 3637, FAR, listing=asked)
    assert judged(lake)[3637] == "changed at the archive"


def test_tract_that_is_older_than_all_listings_is_stale_once_one_differs(lake: Lake) -> None:
    assert listed_as(lake, 3637) == NO_LISTING
    for tract in TRACTS:
        store(lake, tract, FAR, listing=NO_LISTING)
    list_sky(lake, NOON)
    assert judged(lake) == dict.fromkeys(TRACTS, "current")
    list_sky(lake, NOON, num=101)
    assert judged(lake) == {3637: "changed at the archive", 3638: "current"}


def test_damaged_listing_makes_no_tract_stale(lake: Lake) -> None:
    list_sky(lake, NOON)
    store(lake, 3637, listing=listed_as(lake, 3637))
    place = lake.table("skyinfo")
    place.write_bytes(place.read_bytes()[:-100])
    assert listed_as(lake, 3637) == NO_LISTING
    assert judged(lake) == dict.fromkeys(TRACTS, "current")


def _without(name: str) -> TableSpec:
    return replace(MATCHED_GALAXIES, columns=tuple(each for each in MATCHED_GALAXIES if each.name != name))


def _with(name: str, **facts: Any) -> TableSpec:
    columns = (replace(each, **facts) if each.name == name else each for each in MATCHED_GALAXIES)
    return replace(MATCHED_GALAXIES, columns=tuple(columns))


EBV = Column(name="obj_ebv", type=pa.float64(), description="Reddening", unit="mag")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (replace(MATCHED_GALAXIES, columns=(*MATCHED_GALAXIES, EBV)), "columns differ: + obj_ebv"),
        (_without("ts_mag_r"), "columns differ: - ts_mag_r"),
        (_with("ts_mag_r", type=pa.float64()), "columns differ: ts_mag_r float for double"),
        (_with("ts_ra", unit="rad"), "columns differ: ts_ra in deg for rad"),
        (replace(MATCHED_GALAXIES, columns=MATCHED_GALAXIES.columns[::-1]), "columns differ: their order"),
        (replace(MATCHED_GALAXIES, columns=(EBV,)), "and 40 more"),
    ],
    ids=["added", "removed", "retyped", "another unit", "another order", "all"],
)
def test_changed_contract_makes_tracts_stale_and_says_which_columns_differ(
    lake: Lake, spec: TableSpec, reason: str
) -> None:
    assert spec.fingerprint != MATCHED_GALAXIES.fingerprint
    found = judged(lake, spec)
    assert all(each.endswith(reason) for each in found.values()), found
    assert all(len(each) < 200 for each in found.values())


def test_other_description_is_no_difference(lake: Lake) -> None:
    reworded = _with("ts_ra", description="Other words", ucd="meta")
    assert reworded.fingerprint == MATCHED_GALAXIES.fingerprint
    assert judged(lake, reworded) == dict.fromkeys(TRACTS, "current")


def test_reasons_are_compared_as_values() -> None:
    assert StaleReason("columns differ", "+ obj_ebv") != StaleReason.OTHER_COLUMNS
    assert StaleReason("current") == StaleReason.CURRENT
