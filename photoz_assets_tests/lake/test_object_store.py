"""A lake in an object store: the same tables as on a disk, for every machine that reads it."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from photoz_assets import connect
from photoz_assets.commands.page import AtlasPages
from photoz_assets.commands.query import QueryError, write_query
from photoz_assets.environment import SettingError, StoreUrl
from photoz_assets.errors import PhotozError
from photoz_assets.lake.footers import read_footers, require_footer
from photoz_assets.lake.freshness import StaleReason, stale_reasons
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.provenance import ArchiveIdentity, InvalidTableFileError, Provenance, verify_rows
from photoz_assets.lake.publishing import ForeignArchiveError, NoVersionError, UnreadableLakeError
from photoz_assets.lake.staging import atomic_write
from photoz_assets.lake.views import UnreadableTableWarning
from photoz_assets.orchestration.embedded_archive import require_embedded_archive
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.object_store import BUCKET, CURL, ObjectStore, needs_object_store
from photoz_assets_tests.samples import galaxies, store

deltalake = pytest.importorskip("deltalake", reason="needs the extra s3")
from obstore.store import S3Store  # noqa: E402 - an extra

from photoz_assets.lake.delta_publisher import DeltaPublisher  # noqa: E402 - as above

pytestmark = needs_object_store

EMBEDDED = ArchiveIdentity.declared("dp02_dc2_catalogs", "Embedded archive, simulated: density 0.01", {})
OTHER = ArchiveIdentity.declared("dp02_dc2_catalogs", "Data Preview 0.2", {})
TRACT = 3638


@pytest.fixture
def lake(machine: Callable[[str], Lake]) -> Lake:
    return machine("one")


def provenance(tract: int = TRACT, archive: ArchiveIdentity = EMBEDDED) -> Provenance:
    return Provenance(
        table="matched_galaxies",
        code_version="1",
        archive=archive,
        selection=Selection(),
        tract=tract,
        created=datetime.now(UTC).isoformat(),
    )


def test_every_machine_reads_what_one_has_published(lake: Lake, machine: Callable[[str], Lake]) -> None:
    for tract in (3637, TRACT):
        store(lake, galaxies(50, tract=tract), provenance(tract))
    other = machine("two")
    assert other.root != lake.root
    assert other.tracts("matched_galaxies") == (3637, TRACT)
    assert pq.read_table(other.table("matched_galaxies", TRACT)).equals(galaxies(50))
    assert not other.table("matched_galaxies", 3639).exists()
    assert other.archive() == EMBEDDED
    assert other.assets() == ["matched_galaxies"]
    with connect(lake.name) as connection:
        rows = connection.sql("SELECT * FROM matched_galaxies")
        assert rows.columns == [*MATCHED_GALAXIES.names, "tract"]
        counts = rows.aggregate("tract, count(*), sum(ts_redshift)", "tract").order("tract").fetchall()
    redshifts = [sum(galaxies(50, tract=tract).column("ts_redshift").to_pylist()) for tract in (3637, TRACT)]
    assert counts == [(3637, 50, pytest.approx(redshifts[0])), (TRACT, 50, pytest.approx(redshifts[1]))]


def test_published_again_the_new_counts_and_the_old_stays_a_version(
    lake: Lake, machine: Callable[[str], Lake]
) -> None:
    store(lake, galaxies(50), provenance())
    other = machine("two")
    assert pq.read_metadata(other.table("matched_galaxies", TRACT)).num_rows == 50
    store(lake, galaxies(70), provenance())
    assert pq.read_metadata(other.table("matched_galaxies", TRACT)).num_rows == 70
    count = "SELECT count(*) FROM matched_galaxies"
    with connect(lake.name) as now, connect(lake.name, {"matched_galaxies": 0}) as before:
        assert now.sql(count).fetchall() == [(70,)]
        assert before.sql(count).fetchall() == [(50,)]
    with pytest.raises(NoVersionError, match="holds no skyinfo"):
        connect(lake.name, {"skyinfo": 0})
    with pytest.raises(NoVersionError, match="has no version 9 of matched_galaxies"):
        connect(lake.name, {"matched_galaxies": 9})


def test_lake_as_of_versions_shows_them_and_takes_nothing(
    lake: Lake, machine: Callable[[str], Lake], place: StoreUrl
) -> None:
    for rows in (50, 70):
        store(lake, galaxies(rows), provenance())
    other = machine("two")
    before = open_lake(place, versions={"matched_galaxies": 0})
    fetched = before.publisher.fetch("matched_galaxies")
    assert fetched.versions == {"matched_galaxies": 0}
    assert pq.read_metadata(fetched.places[TRACT]).num_rows == 50
    # Each in a folder of its own: neither takes the other's copy for its own.
    assert pq.read_metadata(other.table("matched_galaxies", TRACT)).num_rows == 70
    assert pq.read_metadata(before.table("matched_galaxies", TRACT)).num_rows == 50
    with pytest.raises(PhotozError, match="open it without them to publish"):
        store(before, galaxies(60), provenance())
    with pytest.raises(NoVersionError, match="is a folder, which keeps no versions"):
        open_lake(other.root, versions={"matched_galaxies": 0})


def test_copies_that_nobody_uses_go_when_there_are_too_many(
    lake: Lake, machine: Callable[[str], Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tract in (3636, 3637, TRACT):
        store(lake, galaxies(50, tract=tract), provenance(tract))
    monkeypatch.setenv("PHOTOZ_WORK_GB", "0")
    other = machine("two")
    places = [other.table("matched_galaxies", tract) for tract in (3636, 3637)]
    # They may be about to be read.
    assert all(place.exists() for place in places)
    monkeypatch.setattr("photoz_assets.lake.delta_publisher._IN_USE_SECONDS", 0.0)
    other.table("matched_galaxies", TRACT)
    assert not any(place.exists() for place in places)
    assert pq.read_metadata(lake.table("matched_galaxies", 3636)).num_rows == 50


def test_query_reads_the_lake_alone(lake: Lake, place: StoreUrl, tmp_path: Path) -> None:
    store(lake, galaxies(50), provenance())
    sink = BytesIO()
    write_query(place, "SELECT tract, count(*) AS num FROM matched_galaxies GROUP BY ALL", "csv", sink)
    assert sink.getvalue() == b"tract,num\n3638,50\n"
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(QueryError, match="reads the lake alone"):
        write_query(place, f"SELECT * FROM '{tmp_path}/secret.csv'", "csv", sink)


def test_state_of_tracts_is_known_without_their_rows(lake: Lake, machine: Callable[[str], Lake]) -> None:
    for tract in (3637, TRACT):
        store(
            lake, galaxies(50, tract=tract), replace(provenance(tract), code_version=MATCHED_GALAXIES.code_version)
        )
    other = machine("two")
    found = stale_reasons(other, (3636, 3637, TRACT), Selection(), MATCHED_GALAXIES)
    assert found == {3636: StaleReason.MISSING, 3637: StaleReason.CURRENT, TRACT: StaleReason.CURRENT}
    assert not other.place("matched_galaxies", TRACT).exists()
    files = other.files("matched_galaxies")
    rows = [
        require_footer(footer, path).rows
        for footer, path in zip(read_footers(other, "matched_galaxies", files), files, strict=True)
    ]
    assert rows == [50, 50]


def test_of_two_archives_that_race_for_an_empty_lake_one_gets_it(machine: Callable[[str], Lake]) -> None:
    lakes = [machine(name) for name in "abcdefgh"]

    def fill(number: int) -> ArchiveIdentity | None:
        archive = (EMBEDDED, OTHER)[number % 2]
        try:
            store(lakes[number], galaxies(5, tract=number), provenance(number, archive))
        except ForeignArchiveError:
            return None
        return archive

    with ThreadPoolExecutor(len(lakes)) as pool:
        owners = set(pool.map(fill, range(len(lakes)))) - {None}
    assert owners == {lakes[0].archive()}
    assert len(lakes[0].tracts("matched_galaxies")) == len(lakes) // 2


def test_of_machines_that_publish_a_tract_at_once_one_file_counts(machine: Callable[[str], Lake]) -> None:
    lakes = [machine(name) for name in "abcdef"]
    with ThreadPoolExecutor(len(lakes)) as pool:
        futures = [pool.submit(store, lake, galaxies(5), provenance()) for lake in lakes]
    assert [future.exception() for future in futures] == [None] * len(lakes)
    with connect(lakes[0].name) as connection:
        assert connection.sql("SELECT count(*) FROM matched_galaxies").fetchall() == [(5,)]


def test_readers_see_the_old_or_the_new_while_a_tract_is_published_again(
    lake: Lake, machine: Callable[[str], Lake]
) -> None:
    sizes = [100 + number for number in range(8)]
    store(lake, galaxies(sizes[0]), provenance())
    reader = machine("two")

    def publish_all() -> None:
        for size in sizes[1:]:
            store(lake, galaxies(size), provenance())

    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish_all)
        while True:
            done = publishing.done()
            with connect(lake.name) as connection:
                [(rows, ids)] = connection.sql(
                    "SELECT count(*), count(DISTINCT mt_id_truth_type) FROM matched_galaxies"
                ).fetchall()
            assert rows == ids
            assert rows in sizes
            assert pq.read_table(reader.table("matched_galaxies", TRACT)).num_rows in sizes
            if done:
                break
    publishing.result()
    assert rows == sizes[-1]


def test_figures_and_lists_come_to_every_machine(lake: Lake, machine: Callable[[str], Lake]) -> None:
    with atomic_write(lake, lake.tract_list) as file:
        file.write_text("kept")
    with atomic_write(lake, lake.export("rail", "test.hdf5")) as file:
        file.write_bytes(b"exported")
    with atomic_write(lake, lake.work / "cutouts" / "one") as file:
        file.write_bytes(b"of this machine alone")
    other = machine("two")
    kept = "exports/rail/test.hdf5"
    assert other.publisher.address(other.root / kept) == f"{lake.name}/{kept}"
    assert other.tract_list.read_text() == "kept"
    assert other.exports() == {"rail": [other.root / "exports" / "rail" / "test.hdf5"]}


def test_atlas_beside_the_page_brings_what_another_machine_has_made(
    lake: Lake, machine: Callable[[str], Lake]
) -> None:
    def asked(pages: AtlasPages, path: str) -> Response:
        return asyncio.run(
            pages.get_response(path, {"type": "http", "method": "GET", "path": path, "headers": []})
        )

    pages = AtlasPages(machine("two"))
    assert asked(pages, "index.html").status_code == 404
    for name in ("index.html", "tracts/1/index.html"):
        with atomic_write(lake, lake.atlas / name) as file:
            file.write_text(name)
    for name in ("index.html", "tracts/1/index.html"):
        found = asked(pages, name)
        assert isinstance(found, FileResponse)
        assert Path(found.path).read_text() == name
    with pytest.raises(HTTPException, match="404"):
        asked(pages, "tracts/2/index.html")


def test_what_others_put_into_the_store_is_no_table(lake: Lake, place: StoreUrl) -> None:
    store(lake, galaxies(50), provenance())
    bucket = S3Store(BUCKET, prefix=place.prefix, client_options={"allow_http": True})
    foreign = BytesIO()
    pq.write_table(galaxies(9), foreign)
    bucket.put("matched_galaxies/tract=3639/matched_galaxies.parquet", foreign.getvalue())
    deltalake.write_deltalake(f"{place}/theirs", pa.table({"a": [1]}))
    assert lake.tracts("matched_galaxies") == (TRACT,)
    assert lake.assets() == ["matched_galaxies"]
    with pytest.raises(UnreadableLakeError, match="theirs is a Delta table that photoz_assets did not write"):
        lake.tracts("theirs")


def test_file_that_the_log_names_and_nobody_has_is_told(
    lake: Lake, machine: Callable[[str], Lake], place: StoreUrl
) -> None:
    store(lake, galaxies(50), provenance())
    bucket = S3Store(BUCKET, prefix=place.prefix, client_options={"allow_http": True})
    [[found]] = bucket.list("matched_galaxies/tract=3638")
    bucket.delete(found["path"])
    other = machine("two")
    for read in (
        lambda: other.table("matched_galaxies", TRACT),
        lambda: other.publisher.metadata(other.place("matched_galaxies", TRACT)),
    ):
        with pytest.raises(
            InvalidTableFileError, match="is named by its log but is not there: materialize matched_galaxies again"
        ):
            read()
    store(lake, galaxies(60), provenance())
    assert pq.read_metadata(other.table("matched_galaxies", TRACT)).num_rows == 60


def test_damaged_object_is_told_by_who_reads_all_rows(
    lake: Lake, machine: Callable[[str], Lake], place: StoreUrl
) -> None:
    store(lake, galaxies(500), provenance())
    bucket = S3Store(BUCKET, prefix=place.prefix, client_options={"allow_http": True})
    [[found]] = bucket.list("matched_galaxies/tract=3638")
    content = bytearray(bucket.get(found["path"]).bytes())
    content[2000:2100] = bytes(100)
    bucket.put(found["path"], bytes(content))
    other = machine("two")
    [file] = other.files("matched_galaxies")
    with pytest.raises(InvalidTableFileError, match="no whole Parquet file"):
        verify_rows(other.publisher.bring(file))


@pytest.mark.skipif(CURL is None, reason="needs curl")
def test_bucket_that_keeps_versions_of_its_objects_is_as_any_other(
    object_store: ObjectStore, place: StoreUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOZ_WORK_DIR", str(tmp_path))
    object_store.configure("versioned")
    object_store.configure(
        "versioned", "?versioning=", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    )
    lake = open_lake(StoreUrl("versioned", place.prefix))
    for rows in (50, 60):
        store(lake, galaxies(rows), provenance())
        with atomic_write(lake, lake.tract_list) as file:
            file.write_text(str(rows))
    with pytest.raises(ForeignArchiveError):
        store(lake, galaxies(9), provenance(archive=OTHER))
    monkeypatch.setenv("PHOTOZ_WORK_DIR", str(tmp_path / "another"))
    other = open_lake(StoreUrl("versioned", place.prefix))
    assert other.assets() == ["matched_galaxies"]
    assert pq.read_metadata(other.table("matched_galaxies", TRACT)).num_rows == 60
    assert other.tract_list.read_text() == "60"
    with connect(lake.name, version={"matched_galaxies": 0}) as connection:
        assert connection.execute("SELECT count(*) FROM matched_galaxies").fetchall() == [(50,)]
    assert isinstance(other.store, DeltaPublisher)
    [removed] = other.store.vacuum(0, dry_run=False)
    assert removed.startswith("matched_galaxies/tract=3638/")
    with connect(lake.name) as connection:
        assert connection.execute("SELECT count(*) FROM matched_galaxies").fetchall() == [(60,)]


def test_lake_whose_identity_a_rule_of_the_bucket_removed_stays_of_its_archive(
    lake: Lake, machine: Callable[[str], Lake], place: StoreUrl
) -> None:
    store(lake, galaxies(50), provenance())
    bucket = S3Store(BUCKET, prefix=place.prefix, client_options={"allow_http": True})
    before = bytes(bucket.get("lake.json").bytes())
    bucket.delete("lake.json")
    other = machine("two")
    assert other.archive() == EMBEDDED
    with pytest.raises(ForeignArchiveError):
        store(other, galaxies(9), provenance(archive=OTHER))
    store(other, galaxies(60), provenance())
    assert bytes(bucket.get("lake.json").bytes()) == before


def test_log_that_others_have_given_what_would_be_read_wrongly_is_refused(
    lake: Lake, machine: Callable[[str], Lake]
) -> None:
    store(lake, galaxies(50), provenance())
    log = deltalake.DeltaTable(f"{lake.name}/matched_galaxies")
    log.alter.add_feature(deltalake.TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
    complaint = "uses features of Delta that photoz_assets does not read"
    with pytest.raises(UnreadableLakeError, match=complaint):
        machine("two").table("matched_galaxies", TRACT)
    with pytest.warns(UnreadableTableWarning, match=complaint):
        connect(lake.name)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{}", "is not what photoz_assets wrote"), ('{"layout": 2, "archive": %s}', "newer photoz_assets")],
)
def test_identity_of_others_is_refused(lake: Lake, place: StoreUrl, text: str, complaint: str) -> None:
    bucket = S3Store(BUCKET, prefix=place.prefix, client_options={"allow_http": True})
    archive = json.dumps({"release": "r", "description": "d", "fingerprint": "f"})
    bucket.put("lake.json", text.replace("%s", archive).encode())
    with pytest.raises(UnreadableLakeError, match=complaint):
        store(lake, galaxies(5), provenance())


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        (("AWS_SECRET_ACCESS_KEY", "wrong"), "AWS_SECRET_ACCESS_KEY"),
        (("AWS_ACCESS_KEY_ID", "wrong"), "there is no such key"),
        (("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), "see to AWS_ENDPOINT_URL"),
    ],
)
def test_store_that_cannot_be_asked_is_told_in_a_line(
    machine: Callable[[str], Lake], monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str], complaint: str
) -> None:
    monkeypatch.setenv(*setting)
    monkeypatch.setattr("photoz_assets.lake.object_store._RETRIES", 0)
    for ask in (Lake.assets, Lake.archive, lambda lake: lake.tracts("skyinfo")):
        with pytest.raises(PhotozError, match=complaint) as raised:
            ask(machine("one"))
        assert "\n" not in str(raised.value)


def test_missing_bucket_is_told(lake: Lake) -> None:
    missing = open_lake(StoreUrl("no-such-bucket", "lake"))
    for ask in (Lake.assets, Lake.archive, lambda asked: store(asked, galaxies(5), provenance())):
        with pytest.raises(PhotozError, match="there is no such bucket"):
            ask(missing)
    assert lake.assets() == []


def test_embedded_archive_is_refused(place: StoreUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(place))
    with pytest.raises(SettingError, match="is shared, and the embedded archive is each machine's own"):
        require_embedded_archive()


def test_vacuum_removes_what_no_version_needs(lake: Lake, machine: Callable[[str], Lake]) -> None:
    for rows in (50, 60):
        store(lake, galaxies(rows), provenance())
    assert isinstance(lake.store, DeltaPublisher)
    assert lake.store.vacuum(7, dry_run=False) == []
    [removed] = lake.store.vacuum(0, dry_run=False)
    assert removed.startswith("matched_galaxies/tract=3638/")
    assert pq.read_metadata(machine("two").table("matched_galaxies", TRACT)).num_rows == 60


def test_kept_files_are_listed_recalled_and_dropped(lake: Lake, machine: Callable[[str], Lake]) -> None:
    pages = [lake.atlas / "tracts" / name for name in ("1/index.html", "1/a.png", "2/index.html")]
    for page in pages:
        with atomic_write(lake, page) as file:
            file.write_text(page.parent.name)
    other = machine("two")
    folder = other.atlas / "tracts"
    here = [other.atlas / "tracts" / page.relative_to(lake.atlas / "tracts") for page in pages]
    assert list(other.kept.listed(folder, "*/index.html")) == [here[0], here[2]]
    other.kept.recall_all(folder, "*/index.html")
    assert [page.exists() for page in here] == [True, False, True]
    with atomic_write(lake, pages[0]) as file:
        file.write_text("new")
    lake.kept.drop(lake.atlas / "tracts" / "2")
    other.kept.recall_all(folder, "*/index.html")
    assert here[0].read_text() == "new"
    assert not here[2].exists()
    assert not pages[2].exists()
    assert other.kept.recall(here[1]).read_text() == "1"
