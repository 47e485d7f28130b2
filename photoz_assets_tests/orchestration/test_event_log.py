"""What a materialization leaves in Dagster's database: enough to look at, little enough to keep for ever."""

from pathlib import Path

import dagster as dg
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.runs import Runs

LIMIT_BYTES = 200_000


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.db"))


@pytest.mark.slow
def test_event_log_grows_by_less_than_its_limit_a_materialization(archive: ArchiveServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        runs = Runs(archive.url, tmp_path / "lake", instance)
        # The first run makes the databases.
        assert runs(job="refresh_tracts", tract=3831).success
        before = _size(home / "history" / "runs")
        materialized = 0
        for tract in (3637, 3638):
            refreshed = runs(job="refresh_tracts", tract=tract)
            assert refreshed.success
            materialized += len(refreshed.materialized)
        grown = (_size(home / "history" / "runs") - before) / materialized
    assert materialized == 4
    assert grown < LIMIT_BYTES, f"{grown:,.0f} bytes a materialization"
