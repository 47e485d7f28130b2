"""Documents damaged at random: one of our errors or a table of the schema, soon; and what is published of them."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from photoz_assets.ingest import TRANSIENT_RETRY
from photoz_assets.tap import documents, parquet
from photoz_assets.tap.errors import ArchiveError
from photoz_assets_tests.effort import Progress, effort
from photoz_assets_tests.memory import within_memory
from photoz_assets_tests.reliability.proxy import RESULT, Fault, Forward
from photoz_assets_tests.reliability.records import SoakRecord, note_soak
from photoz_assets_tests.reliability.world import Outcome, World, lost_and_wrong
from photoz_assets_tests.tap.faulty_server import Answer, Request
from photoz_assets_tests.tap.uws import job_document

SCHEMA = pa.schema([("id", pa.int64()), ("flux", pa.float64()), ("flag", pa.bool_()), ("key", pa.string())])
ROWS = pa.table(
    [
        range(40),
        [number / 7 for number in range(40)],
        [True, False, None, True] * 10,
        [f"{n}_1" for n in range(40)],
    ],
    schema=SCHEMA,
)
LARGEST_BYTES = 1 << 28
JOBS = [
    job_document(
        "COMPLETED", rows=7, progress=(1, 2), maxrec=10, result="http://archive/tap/async/abc/results/result"
    ),
    job_document("ERROR", error="IllegalArgumentException: no", prefix=""),
]
SEED = 20261124
DOCUMENTS = effort(150, 10_000)
FOUND = f"none took over 5 s or {LARGEST_BYTES >> 20} MiB, none raised another error than ours"
SOON = settings(max_examples=DOCUMENTS, deadline=timedelta(seconds=5), suppress_health_check=list(HealthCheck))


def _parquet(compression: str, *, dictionary: bool, rows_of_a_group: int) -> bytes:
    file = BytesIO()
    pq.write_table(ROWS, file, compression=compression, use_dictionary=dictionary, row_group_size=rows_of_a_group)
    return file.getvalue()


FILES = [
    _parquet("snappy", dictionary=False, rows_of_a_group=20),
    _parquet("zstd", dictionary=True, rows_of_a_group=7),
    _parquet("none", dictionary=False, rows_of_a_group=40),
]


@st.composite
def damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    body = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        # The beginning and the end are where a format says what follows.
        middle = draw(st.integers(0, len(body)))
        start = draw(st.sampled_from([middle, min(middle, 40), max(0, len(body) - middle // 4)]))
        end = min(len(body), start + draw(st.sampled_from([0, 1, 2, 20])))
        piece = draw(
            st.binary(max_size=8) | st.sampled_from([b"", b"\xff\xff\xff\xff\x0f", b"9" * 30, bytes(body[:30])])
        )
        body[start:end] = piece
    return bytes(body)


@SOON
@seed(SEED)
@given(body=damaged(FILES))
def read_parquet(progress: Progress, body: bytes) -> None:
    progress.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result"
        path.write_bytes(b"PAR1" + body[4:])
        held = pa.total_allocated_bytes()
        with within_memory(LARGEST_BYTES), suppress(ArchiveError):
            for batch in parquet.read(path, SCHEMA, batch_rows=16):
                batch.validate(full=True)
                assert batch.schema.equals(SCHEMA)
                assert pa.total_allocated_bytes() - held < LARGEST_BYTES


def test_damaged_parquet_is_one_of_our_errors_or_a_table_of_the_schema(tell: Callable[[str], None]) -> None:
    started = time.monotonic()
    read_parquet(Progress(tell, f"damaged Parquet files, seed {SEED}", DOCUMENTS))
    note_soak(SoakRecord("damaged Parquet files", f"{DOCUMENTS} (seed {SEED})", FOUND), started)


@SOON
@seed(SEED)
@given(body=damaged(JOBS))
def read_job(progress: Progress, body: bytes) -> None:
    progress.step()
    with within_memory(LARGEST_BYTES), suppress(ArchiveError):
        job = documents.parse_job(body, url="http://archive/tap/async/abc")
        assert job.phase
        assert job.rows is None or job.rows >= 0


def test_damaged_job_document_is_one_of_our_errors_or_a_job(tell: Callable[[str], None]) -> None:
    started = time.monotonic()
    read_job(Progress(tell, f"damaged job documents, seed {SEED}", DOCUMENTS))
    note_soak(SoakRecord("damaged job documents", f"{DOCUMENTS} (seed {SEED})", FOUND), started)


@pytest.mark.parametrize("file", FILES)
def test_undamaged_parquet_is_read(file: bytes, tmp_path: Path) -> None:
    (tmp_path / "result").write_bytes(file)
    read = pa.Table.from_batches(list(parquet.read(tmp_path / "result", SCHEMA, batch_rows=16)))
    assert read.equals(ROWS)


REFRESHES, STATED_REFRESHES = effort(10, 300), effort(5, 300)
MOST_PIECES = 3


def _hurt(body: bytes, seed: int) -> bytes:
    """Replace one to three short pieces of a result; as letters of base64 half of the time, which stay readable."""
    chance, hurt = random.Random(seed), bytearray(body)
    for _ in range(chance.randint(1, MOST_PIECES)):
        near = chance.randrange(min(4000, len(hurt)))
        start = chance.choice(
            [near, len(hurt) - 1 - near, chance.randrange(len(hurt)), chance.randrange(len(hurt))]
        )
        length = chance.choice([0, 1, 2, 20])
        letters = bytes(chance.choices(b"ABCDEFabcdef0123456789+/", k=length))
        hurt[start : start + length] = chance.choice(
            [letters, letters, chance.randbytes(length), b"", bytes(hurt[:30])]
        )
    return bytes(hurt)


def _refresh_through(world: World, hurt: Callable[[bytes], bytes]) -> Outcome:
    """Refresh the tract; hurt its result each time that it is fetched."""

    def change(_: Request, forward: Forward) -> Answer:
        answer = forward()
        return Answer(body=hurt(answer.body), headers=answer.headers)

    world.proxy.faults = [Fault(RESULT, change)]
    before = world.digest()
    outcome = world.refresh()
    assert world.leftovers() == []
    assert outcome.error is None or world.digest() == before
    return outcome


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_damaged_result_is_refused_or_published_with_its_rows_in_their_places(
    world: World, truth: pa.Table, tell: Callable[[str], None]
) -> None:
    started, found = time.monotonic(), Counter[str]()
    for number in range(REFRESHES):
        world.prefer_parquet = number % 2 == 1
        if _refresh_through(world, partial(_hurt, seed=SEED + number)).error is not None:
            found["refused"] += 1
        else:
            rows = world.rows()
            lost, wrong = lost_and_wrong(rows, truth)
            columns = sum(not rows[name].equals(truth[name]) for name in truth.column_names)
            # A value that another takes the place of, within all rules, cannot be known; rows that are moved can.
            # A piece of a VOTable is of a row or two; one of a packed page of Parquet, of some rows of a column.
            assert lost == wrong
            assert min(wrong, columns) <= MOST_PIECES * 2
            found[
                "published with a value changed in its place, which breaks no rule" if wrong else "published whole"
            ] += 1
        if number % 100 == 99:
            tell(f"{number + 1} of {REFRESHES} damaged results, seed {SEED}: {dict(found)}")
    assert found["refused"]
    reported = "; ".join(f"{times} {what}" for what, times in sorted(found.items()))
    note_soak(SoakRecord("damaged results, to publication", f"{REFRESHES} (seed {SEED})", reported), started)


@pytest.mark.timeout(1800)
def test_damaged_result_whose_digest_is_stated_is_never_published(
    world: World, truth: pa.Table, tell: Callable[[str], None]
) -> None:
    started, found = time.monotonic(), Counter[str]()
    world.proxy.states_digest = True
    for number in range(STATED_REFRESHES):
        world.prefer_parquet = number % 2 == 1
        came: list[bool] = []

        def hurt(body: bytes, seed: int = SEED + number, came: list[bool] = came) -> bytes:
            hurt_body = _hurt(body, seed)
            came.append(hurt_body == body)
            return hurt_body

        outcome = _refresh_through(world, hurt)
        assert (outcome.error is None) == came[-1]
        assert outcome.error is None or "not those of the digest that the archive states" in outcome.error
        assert len(came) == (1 if outcome.error is None else TRANSIENT_RETRY.attempts)
        assert lost_and_wrong(world.rows(), truth) == (0, 0)
        found["refused" if outcome.error else "published, since nothing was changed"] += 1
        if number % 100 == 99:
            tell(f"{number + 1} of {STATED_REFRESHES} damaged results with a digest, seed {SEED}: {dict(found)}")
    assert found["refused"]
    reported = "; ".join(f"{times} {what}" for what, times in sorted(found.items()))
    part = "damaged results with a stated digest, to publication"
    note_soak(
        SoakRecord(part, f"{STATED_REFRESHES} (seed {SEED})", f"{reported}; none with a wrong value"), started
    )
