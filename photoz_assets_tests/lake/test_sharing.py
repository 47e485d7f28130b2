"""Two accounts of a machine on one lake: it works where the lake is a group's, or the line says what to do."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import pytest

import photoz_assets
from photoz_assets.lake.job_records import FileJobRecords, Question
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.sharing import kept_by_another
from photoz_assets.lake.slots import slot
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets_tests.samples import galaxies, store

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")

GROUP, ONE, OTHER = 20_000, 20_001, 20_002
PROVENANCE = Provenance(table="matched_galaxies", code_version="1", tract=3638)


@contextmanager
def _account(user: int, *, umask: int) -> Iterator[None]:
    """Be another account, of the group, for the time of a block."""
    former = os.umask(umask)
    os.setegid(GROUP)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.umask(former)


@pytest.fixture
def lake() -> Iterator[Lake]:
    """A folder that is the group's, as docs/how-to.md has it made."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shared = Path(folder) / "lake"
        shared.mkdir()
        os.chown(shared, ONE, GROUP)
        shared.chmod(0o2775)
        yield Lake(shared)


def _use(lake: Lake, rows: int) -> int:
    """Do what a run does that fetches a tract; return the rows that a reader finds then."""
    with (
        slot(lake.locks, count=1, holder="a run"),
        FileJobRecords(lake.jobs).own(
            Question(name="a", adql="SELECT 1", archive_url="http://a/tap"), "1"
        ) as record,
    ):
        record.note("http://a/tap/async/1")
        store(lake, galaxies(rows), PROVENANCE)
    with photoz_assets.connect(lake.root) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM matched_galaxies").fetchall()
    return int(found)


def test_accounts_of_a_group_publish_over_each_other_and_read(lake: Lake) -> None:
    for rows, user in enumerate((ONE, OTHER, ONE), start=1):
        with _account(user, umask=0o002):
            assert _use(lake, rows) == rows
            assert kept_by_another(lake) is None


def test_job_that_a_dead_run_of_the_other_account_left_is_taken_over(lake: Lake) -> None:
    with (
        _account(ONE, umask=0o002),
        suppress(KeyboardInterrupt),
        FileJobRecords(lake.jobs).own(
            Question(name="a", adql="SELECT 1", archive_url="http://a/tap"), "1"
        ) as record,
    ):
        record.note("http://a/tap/async/1")
        raise KeyboardInterrupt
    with (
        _account(OTHER, umask=0o002),
        FileJobRecords(lake.jobs).own(
            Question(name="a", adql="SELECT 1", archive_url="http://a/tap"), "2"
        ) as record,
    ):
        assert record.job_url == "http://a/tap/async/1"


def test_lake_that_the_other_account_keeps_to_itself_is_told_in_one_line(lake: Lake) -> None:
    with _account(ONE, umask=0o022):
        assert _use(lake, 1) == 1
    with _account(OTHER, umask=0o022):
        assert kept_by_another(lake) is not None
        with pytest.raises(dg.Failure) as failure, as_dagster_failure():
            _use(lake, 2)
        with photoz_assets.connect(lake.root) as connection:
            assert connection.execute("SELECT count(*) FROM matched_galaxies").fetchall() == [(1,)]
    told = str(failure.value.description)
    assert f"{lake.work}" in told
    assert "share the lake with a group (chmod -R g+rwX" in told
    assert "\n" not in told
