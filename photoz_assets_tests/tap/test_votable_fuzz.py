"""Documents damaged at random: whatever comes in, one of our errors or an intact table comes out, soon."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from photoz_assets.tap import votable
from photoz_assets.tap.errors import ArchiveError
from photoz_assets_tests.effort import Progress, effort
from photoz_assets_tests.memory import within_memory
from photoz_assets_tests.reliability.records import SoakRecord, note_soak
from photoz_assets_tests.tap import documents
from photoz_assets_tests.tap.documents import Columns, in_pieces

SCHEMA = pa.schema([("id", pa.int64()), ("flux", pa.float64()), ("flag", pa.bool_()), ("key", pa.string())])
ROWS: Columns = {
    "id": ("long", None, list(range(40))),
    "flux": ("double", None, [number / 7 for number in range(40)]),
    "flag": ("boolean", None, [True, False, None, True] * 10),
    "key": ("char", "*", [f"{number}_1" for number in range(40)]),
}
DOCUMENTS = {
    serialization: documents.votable(ROWS, serialization=serialization)
    for serialization in ("binary2", "tabledata")
}
LARGEST_BYTES = 1 << 25
SEED = 20261124
COUNT = effort(150, 20_000)
FRAGMENTS = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"<",
    b"</",
    b"&",
    b"]]>",
    b"<!--",
    b"<![CDATA[",
    b"=",
    b"AAAA",
    b"<TD>",
    b"9" * 30,
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    body = bytearray(DOCUMENTS[draw(st.sampled_from(sorted(DOCUMENTS)))])
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + draw(st.sampled_from([0, 1, 20, 1000])))))
        origin = draw(st.integers(0, len(body)))
        body[start:end] = draw(st.sampled_from([*FRAGMENTS, bytes(body[origin : origin + 60])]))
    return bytes(body)


@settings(max_examples=COUNT, deadline=timedelta(seconds=5), suppress_health_check=list(HealthCheck))
@seed(SEED)
@given(document=damaged(), piece=st.sampled_from([1, 13, 1 << 20]))
def decode(progress: Progress, document: bytes, piece: int) -> None:
    progress.step()
    with within_memory(LARGEST_BYTES), suppress(ArchiveError):
        for batch in list(votable.decode(in_pieces(document, piece), SCHEMA)):
            batch.validate(full=True)
            assert batch.schema.equals(SCHEMA)


# What other tests left for the collector may be found in the middle of this one.
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("error", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_decode_of_a_damaged_document_is_one_of_our_errors_or_a_table_of_the_schema(
    tell: Callable[[str], None],
) -> None:
    started = time.monotonic()
    decode(Progress(tell, f"damaged VOTables, seed {SEED}", COUNT))
    found = f"none took over 5 s or {LARGEST_BYTES >> 20} MiB, none raised another error than ours"
    note_soak(SoakRecord("damaged VOTables", f"{COUNT} (seed {SEED})", found), started)
