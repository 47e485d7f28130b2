"""Documents damaged at random, Parquet files and job documents: one of our errors or a table of the schema, soon."""

import tempfile
from contextlib import suppress
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photoz_assets.tap import documents, parquet
from photoz_assets.tap.errors import ArchiveError
from photoz_assets_tests.effort import effort
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
SOON = settings(
    max_examples=effort(300, 10_000), deadline=timedelta(seconds=5), suppress_health_check=list(HealthCheck)
)


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
@given(body=damaged(FILES))
def test_damaged_parquet_is_one_of_our_errors_or_a_table_of_the_schema(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result"
        path.write_bytes(b"PAR1" + body[4:])
        held = pa.total_allocated_bytes()
        with suppress(ArchiveError):
            for batch in parquet.read(path, SCHEMA, batch_rows=16):
                batch.validate(full=True)
                assert batch.schema.equals(SCHEMA)
                assert pa.total_allocated_bytes() - held < LARGEST_BYTES


@SOON
@given(body=damaged(JOBS))
def test_damaged_job_document_is_one_of_our_errors_or_a_job(body: bytes) -> None:
    with suppress(ArchiveError):
        job = documents.parse_job(body, url="http://archive/tap/async/abc")
        assert job.phase
        assert job.rows is None or job.rows >= 0


@pytest.mark.parametrize("file", FILES)
def test_undamaged_parquet_is_read(file: bytes, tmp_path: Path) -> None:
    (tmp_path / "result").write_bytes(file)
    read = pa.Table.from_batches(list(parquet.read(tmp_path / "result", SCHEMA, batch_rows=16)))
    assert read.equals(ROWS)
