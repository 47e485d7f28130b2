"""Object ids: those that Rubin's notebooks print are of the release and of the place that stand beside them."""

import duckdb
import pytest

from photoz_assets.survey.object_ids import ObjectIds
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.dp2 import RELEASE as DP2

# Of dp1.lsst.io and dp2.lsst.io.
IN_DP1, IN_DP2 = 611255759837069429, 743582465276248313
POSITION_IN_DP1 = (53.13130494487106, -27.743080378923775)


def holds(ids: ObjectIds | None, object_id: int, tract: int, patch: int) -> bool:
    assert ids is not None
    condition = ids.condition("id", "tract", "patch")
    row = f"SELECT {object_id}::BIGINT AS id, {tract} AS tract, {patch} AS patch"
    return bool(duckdb.connect().sql(f"SELECT {condition} FROM ({row})").fetchall()[0][0])


def test_published_ids_are_of_their_release_tract_and_patch() -> None:
    tract, patch = (int(number) for number in DP1.skymap.tract_and_patch(*POSITION_IN_DP1))
    assert (tract, patch) == (5063, 34)
    assert holds(DP1.object_ids, IN_DP1, tract, patch)
    assert holds(DP2.object_ids, IN_DP2, 3347, 89)


@pytest.mark.parametrize(
    ("ids", "tract", "patch"),
    [(ObjectIds(5), 5063, 34), (ObjectIds(4), 5064, 34), (ObjectIds(4), 5063, 33)],
    ids=["another release", "another tract", "another patch"],
)
def test_ids_of_elsewhere_are_told(ids: ObjectIds, tract: int, patch: int) -> None:
    assert not holds(ids, IN_DP1, tract, patch)


@pytest.mark.parametrize(("tract", "patch"), [(0, 0), (5063, 34), (18_937, 99)])
def test_ids_of_a_patch_run_from_its_first(tract: int, patch: int) -> None:
    ids = ObjectIds(4)
    first = ids.first(tract, patch)
    assert holds(ids, first, tract, patch)
    assert holds(ids, first + 2**36 - 1, tract, patch)
    assert not holds(ids, first - 1, tract, patch)
    assert not holds(ids, first + 2**36, tract, patch)
