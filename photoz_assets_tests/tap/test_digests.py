import base64
import gzip
import hashlib
from collections.abc import Callable

import pyarrow as pa
import pytest

from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import Damaged, Protocol, Transient
from photoz_assets.tap.retry import RetryPolicy
from photoz_assets.tap.transport import ArchiveSession
from photoz_assets_tests.tap.documents import binary2, by_hand, longs
from photoz_assets_tests.tap.faulty_server import Answer, Clock, FaultyServer
from photoz_assets_tests.tap.uws import capabilities

BODY = b"<VOTABLE>rows</VOTABLE>"
# Without the time in it: the names of the tests have to be the same in all processes of the suite.
PACKED = gzip.compress(BODY, mtime=0)
GZIP = {"Content-Encoding": "gzip"}
GOOGLES_PLAIN = {"x-goog-stored-content-encoding": "identity"}
GOOGLES_GZIP = {"x-goog-stored-content-encoding": "gzip"}


def digest(algorithm: str, body: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()


def fetched(server: FaultyServer, body: bytes, headers: dict[str, str], *, status: int = 200) -> bytes:
    server.answer("GET", "/r", Answer(body=body, headers=headers, status=status))
    return ArchiveSession(server.base).document(f"{server.base}/r")


# Each as its standard, or Google's documentation, has it.
STATED: dict[str, Callable[[bytes], dict[str, str]]] = {
    "Repr-Digest": lambda body: {"Repr-Digest": f"sha-256=:{digest('sha256', body)}:"},
    "Repr-Digest of two": lambda body: {
        "Repr-Digest": f"unixsum=:AAA=:, sha-512=:{digest('sha512', body)}:, md5=:{digest('md5', body)}:"
    },
    "x-goog-hash": lambda body: {"x-goog-hash": f"crc32c=n03x6A==,md5={digest('md5', body)}", **GOOGLES_PLAIN},
}


@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
def test_stated_digest_of_what_was_sent_lets_it_pass_and_no_other(
    server: FaultyServer, stated: Callable[[bytes], dict[str, str]]
) -> None:
    assert fetched(server, BODY, stated(BODY)) == BODY
    with pytest.raises(Damaged, match="are not those of the digest that the archive states") as caught:
        fetched(server, BODY.replace(b"rows", b"cows"), stated(BODY))
    assert isinstance(caught.value, Transient), "the next download may be whole"
    assert isinstance(caught.value, Protocol), "and if not, the result is refused"


def test_strongest_digest_counts(server: FaultyServer) -> None:
    headers = {
        "x-goog-hash": f"md5={digest('md5', b'other')}",
        "Repr-Digest": f"sha-256=:{digest('sha256', BODY)}:",
        **GOOGLES_PLAIN,
    }
    assert fetched(server, BODY, headers) == BODY


@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
@pytest.mark.parametrize("of", [PACKED, BODY], ids=["as it is sent", "before a front packed it"])
def test_stated_digest_of_a_compressed_body(
    server: FaultyServer, stated: Callable[[bytes], dict[str, str]], of: bytes
) -> None:
    googles = GOOGLES_GZIP if of is PACKED else GOOGLES_PLAIN
    assert fetched(server, PACKED, stated(of) | GZIP | googles) == BODY
    with pytest.raises(Damaged):
        fetched(server, gzip.compress(b"<VOTABLE>cows</VOTABLE>"), stated(of) | GZIP | googles)


@pytest.mark.parametrize(
    "headers",
    [
        {"Repr-Digest": "sha-256=:AAAA:"},
        {"Repr-Digest": "sha-256"},
        {"Repr-Digest": "sha-256=:not base64:"},
        {"Repr-Digest": "sha-256=:\N{LATIN SMALL LETTER E WITH ACUTE}:"},
        {"Repr-Digest": "crc32c=:n03x6A==:, sha-1024=:AAAA:"},
        {"Repr-Digest": ""},
        {"x-goog-hash": "crc32c=n03x6A==", **GOOGLES_PLAIN},
        {"x-goog-hash": f"md5={digest('md5', b'other')}"},
        {"x-goog-hash": f"md5={digest('md5', PACKED)}", **GOOGLES_GZIP},
        {"Repr-Digest": f"id-sha-256=:{digest('sha256', b'other')}:"},
    ],
    ids=str,
)
def test_digest_that_is_none_or_of_who_knows_which_bytes_is_passed_over(
    server: FaultyServer, headers: dict[str, str]
) -> None:
    assert fetched(server, BODY, headers) == BODY


@pytest.mark.parametrize("change", [(b"AAAA", b"A*AA"), (b"</STREAM>", b"</STREAN>"), (b"<TABLE>", b"<TABLE<")])
def test_result_that_is_damaged_beyond_decoding_is_called_damaged(
    server: FaultyServer, change: tuple[bytes, bytes]
) -> None:
    table = by_hand('<FIELD name="id" datatype="long"/>', binary2(longs(list(range(9)))))
    headers = {"Repr-Digest": f"sha-256=:{digest('sha256', table)}:"}
    server.answer("GET", "/tap/capabilities", Answer(body=capabilities()))
    server.answer("POST", "/tap/sync", Answer(body=table.replace(*change), headers=headers))
    clock = Clock()
    client = TapClient(f"{server.base}/tap", clock=clock, sleep=clock.sleep, policy=RetryPolicy(attempts=1))
    with pytest.raises(Damaged):
        client.query("SELECT id FROM t", pa.schema([("id", pa.int64())]))
