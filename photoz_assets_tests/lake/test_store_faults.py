"""A lake in an object store where the store, the network or others fail: all of a publication, or none."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from photoz_assets import connect
from photoz_assets.environment import StoreUrl
from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.postgres_locks import LockDatabaseError, PostgresLocks
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.object_store import BUCKET, ObjectStore, needs_object_store
from photoz_assets_tests.postgres import needs_postgres, running_database
from photoz_assets_tests.samples import galaxies, store
from photoz_assets_tests.store_proxy import Lost, Meanwhile, Refused, StoreFault, StoreProxy, store_proxy

deltalake = pytest.importorskip("deltalake", reason="needs the extra s3")
from obstore.store import S3Store  # noqa: E402 - an extra

pytestmark = needs_object_store

EMBEDDED = ArchiveIdentity.declared("dp02_dc2_catalogs", "Embedded archive, simulated: density 0.01", {})
TRACT = 3638
TABLE, COMMIT, IDENTITY = r"/matched_galaxies-\w+\.parquet", r"/_delta_log/\d+\.json", r"/lake\.json"


def provenance() -> Provenance:
    return Provenance(
        table="matched_galaxies",
        code_version="1",
        archive=EMBEDDED,
        selection=Selection(),
        tract=TRACT,
        created=datetime.now(UTC).isoformat(),
    )


def publish(lake: Lake, rows: int) -> None:
    store(lake, galaxies(rows), provenance())


def rows_of(lake: Lake) -> tuple[int, int]:
    """Return how many rows readers find, and how many galaxies."""
    with connect(lake.name) as connection:
        counts = connection.sql("SELECT count(*), count(DISTINCT mt_id_truth_type) FROM matched_galaxies")
        [(rows, ids)] = counts.fetchall()
    return rows, ids


@pytest.fixture
def proxy(object_store: ObjectStore, place: StoreUrl, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreProxy]:
    """Stand between the lake and the server."""
    del place
    with store_proxy(object_store.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.base)
        yield running


@pytest.fixture
def lake(proxy: StoreProxy, machine: Callable[[str], Lake]) -> Lake:
    """A lake with one publication of fifty rows, behind the proxy."""
    del proxy
    made = machine("one")
    publish(made, 50)
    return made


@pytest.mark.parametrize("what", [Lost(), Refused(503, "SlowDown"), Refused(500, "InternalError")])
@pytest.mark.parametrize("pattern", [TABLE, COMMIT])
def test_answer_that_is_lost_or_late_changes_nothing(
    lake: Lake, proxy: StoreProxy, pattern: str, what: Lost | Refused
) -> None:
    proxy.faults = [fault := StoreFault("PUT", pattern, what, times=1)]
    publish(lake, 60)
    assert fault.met >= 1
    assert rows_of(lake) == (60, 60)
    assert len(deltalake.DeltaTable(f"{lake.name}/matched_galaxies").file_uris()) == 1


def test_answers_that_are_all_lost_leave_what_landed(lake: Lake, proxy: StoreProxy) -> None:
    proxy.faults = [fault := StoreFault("PUT", COMMIT, Lost())]
    publish(lake, 60)
    assert fault.met >= 1
    assert rows_of(lake) == (60, 60)


def test_lost_answers_of_the_first_publication_of_a_lake_change_nothing(
    proxy: StoreProxy, machine: Callable[[str], Lake]
) -> None:
    proxy.faults = [StoreFault("PUT", pattern, Lost(), times=1) for pattern in (IDENTITY, TABLE, COMMIT)]
    made = machine("one")
    publish(made, 50)
    assert [fault.met > 0 for fault in proxy.faults] == [True] * 3
    assert made.archive() == EMBEDDED
    assert rows_of(made) == (50, 50)


@pytest.mark.parametrize(
    ("pattern", "what", "complaint"),
    [
        (TABLE, Refused(503, "SlowDown"), r"asked too often\. Run again later \(SlowDown\)"),
        (COMMIT, Refused(503, "SlowDown"), r"asked too often\. Run again later"),
        ("", Refused(403, "RequestTimeTooSkewed"), "the clocks differ. Set this machine's"),
        (TABLE, Refused(403, "AccessDenied"), r"Let it list, read and write below this URL"),
        (COMMIT, Refused(403, "AccessDenied"), r"Let it list, read and write below this URL"),
    ],
)
def test_refused_publication_leaves_the_former(
    lake: Lake, proxy: StoreProxy, pattern: str, what: Refused, complaint: str
) -> None:
    proxy.faults = [StoreFault("PUT", pattern, what)]
    with pytest.raises(PhotozError, match=complaint) as raised:
        publish(lake, 60)
    assert "\n" not in str(raised.value)
    proxy.faults = []
    assert rows_of(lake) == (50, 50)
    assert pq.read_metadata(lake.table("matched_galaxies", TRACT)).num_rows == 50
    publish(lake, 70)
    assert rows_of(lake) == (70, 70)


@pytest.mark.parametrize("code", ["AccessDenied", "RequestTimeTooSkewed"])
@pytest.mark.parametrize("ask", [Lake.assets, lambda lake: lake.tracts("matched_galaxies"), Lake.exports])
def test_reader_who_may_not_list_is_told(
    lake: Lake, proxy: StoreProxy, machine: Callable[[str], Lake], ask: Callable[[Lake], object], code: str
) -> None:
    del lake
    proxy.faults = [StoreFault("GET", "list-type=2", Refused(403, code))]
    with pytest.raises(PhotozError, match=code) as raised:
        ask(machine("two"))
    assert "\n" not in str(raised.value)


def test_copy_that_breaks_off_is_fetched_again(
    lake: Lake, proxy: StoreProxy, machine: Callable[[str], Lake]
) -> None:
    del lake
    proxy.faults = [fault := StoreFault("GET", TABLE, Lost(after_bytes=1000), times=1)]
    other = machine("two")
    assert pq.read_table(other.table("matched_galaxies", TRACT)).num_rows == 50
    assert fault.met >= 2


def test_copy_that_always_breaks_off_is_none(
    lake: Lake, proxy: StoreProxy, machine: Callable[[str], Lake]
) -> None:
    del lake
    proxy.faults = [StoreFault("GET", TABLE, Lost(after_bytes=1000))]
    other = machine("two")
    with pytest.raises(PhotozError) as raised:
        other.table("matched_galaxies", TRACT)
    assert "\n" not in str(raised.value)
    assert not other.place("matched_galaxies", TRACT).exists()
    assert list(other.staging.iterdir()) == []


def test_truncated_entry_of_a_log_is_told_and_what_to_do_helps(
    lake: Lake, place: StoreUrl, machine: Callable[[str], Lake]
) -> None:
    publish(lake, 60)
    bucket = S3Store(BUCKET, prefix=place.prefix, client_options={"allow_http": True})
    entry = "matched_galaxies/_delta_log/00000000000000000001.json"
    text = bytes(bucket.get(entry).bytes())
    bucket.put(entry, text[: len(text) // 2])
    other = machine("two")
    with pytest.raises(
        PhotozError, match=r"last entry in its _delta_log is damaged\. Move it elsewhere"
    ) as raised:
        other.tracts("matched_galaxies")
    assert "\n" not in str(raised.value)
    with pytest.raises(PhotozError, match="last entry"):
        publish(other, 70)
    bucket.delete(entry)
    assert rows_of(other) == (50, 50)


def test_lake_of_a_newer_version_is_read_by_none(
    lake: Lake, place: StoreUrl, machine: Callable[[str], Lake]
) -> None:
    del lake
    bucket = S3Store(BUCKET, prefix=place.prefix, client_options={"allow_http": True})
    bucket.put("lake.json", json.dumps({"layout": 2, "archive": {"name": "new"}}).encode())
    for ask in (Lake.assets, lambda other: other.tracts("matched_galaxies"), lambda other: publish(other, 60)):
        with pytest.raises(PhotozError, match="newer photoz_assets: update this one"):
            ask(machine("two"))


@needs_postgres
def test_commit_waits_for_that_of_another_machine(lake: Lake, place: StoreUrl) -> None:
    with running_database() as database, closing(PostgresLocks(database.url, lake.name)) as other:
        locked = open_lake(place, locks := PostgresLocks(database.url, lake.name))
        held = other.acquire("commit-matched_galaxies", "another machine")
        assert held is not None
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publish, locked, 60)
            with pytest.raises(TimeoutError):
                publishing.result(1)
            assert rows_of(lake) == (50, 50)
            held.release()
            publishing.result(60)
        locks.close()
    assert rows_of(lake) == (60, 60)


@needs_postgres
def test_database_of_the_locks_that_goes_loses_nothing(lake: Lake, proxy: StoreProxy, place: StoreUrl) -> None:
    with running_database() as database:
        locked = open_lake(place, PostgresLocks(database.url, lake.name))
        # In the middle of a commit, which the log decides and not the lock.
        proxy.faults = [fault := StoreFault("PUT", COMMIT, Meanwhile(database.stop), times=1)]
        publish(locked, 60)
        assert fault.met == 1
        assert rows_of(lake) == (60, 60)
        with pytest.raises(LockDatabaseError) as raised:
            publish(locked, 70)
        assert "\n" not in str(raised.value)
        assert rows_of(lake) == (60, 60)
        assert list(locked.staging.iterdir()) == []
