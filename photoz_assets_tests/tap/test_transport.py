import gzip
import shutil
import socket
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from photoz_assets.tap import hosts, transport
from photoz_assets.tap.errors import (
    ArchiveError,
    Busy,
    Missing,
    Protocol,
    Rejected,
    TooLarge,
    Transient,
    Unauthorized,
)
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets.tap.transport import ArchiveSession, retry_after_seconds
from photoz_assets_tests.tap.documents import error_document
from photoz_assets_tests.tap.faulty_server import Answer, FaultyServer, HurriedClock, tls_server

CANARY = "gt-canary-0123456789.secret"


def authorizations(server: FaultyServer) -> list[str | None]:
    return [request.headers.get("Authorization") for request in server.requests]


def test_token_goes_to_the_archives_origin(server: FaultyServer) -> None:
    server.answer("GET", "/tap/capabilities", Answer(body=b"fine"))
    session = ArchiveSession(f"{server.base}/tap", token=f" {CANARY}\n")
    assert session.document(f"{server.base}/tap/capabilities") == b"fine"
    assert authorizations(server) == [f"Bearer {CANARY}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_token_does_not_follow_a_redirect_to_another_port(
    server: FaultyServer, elsewhere: FaultyServer, status: int
) -> None:
    server.answer("GET", "/tap/r", Answer(status=status, headers={"Location": f"{elsewhere.base}/bucket/r"}))
    elsewhere.answer("GET", "/bucket/r", Answer(body=b"rows"))
    assert ArchiveSession(f"{server.base}/tap", token=CANARY).document(f"{server.base}/tap/r") == b"rows"
    assert authorizations(elsewhere) == [None]
    assert CANARY not in str([request.headers for request in elsewhere.requests])


def test_token_does_not_come_back_after_a_detour(server: FaultyServer, elsewhere: FaultyServer) -> None:
    server.answer("GET", "/tap/r", Answer(status=302, headers={"Location": f"{elsewhere.base}/r"}))
    elsewhere.answer("GET", "/r", Answer(status=302, headers={"Location": f"{server.base}/tap/other"}))
    server.answer("GET", "/tap/other", Answer(body=b"rows"))
    ArchiveSession(f"{server.base}/tap", token=CANARY).document(f"{server.base}/tap/r")
    assert authorizations(server) == [f"Bearer {CANARY}", None]


def test_token_follows_a_redirect_within_the_origin(server: FaultyServer) -> None:
    server.answer("GET", "/tap/r", Answer(status=303, headers={"Location": "/files/r"}))
    server.answer("GET", "/files/r", Answer(body=b"rows"))
    ArchiveSession(f"{server.base}/tap", token=CANARY).document(f"{server.base}/tap/r")
    assert authorizations(server) == [f"Bearer {CANARY}"] * 2


def test_token_of_an_https_archive_never_goes_over_http(server: FaultyServer) -> None:
    server.answer("GET", "/tap/r", Answer(body=b"rows"))
    session = ArchiveSession(server.base.replace("http:", "https:"), token=CANARY)
    session.document(f"{server.base}/tap/r")
    assert authorizations(server) == [None]


def test_netrc_is_not_asked_for_credentials(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answer("GET", "/tap/r", Answer(status=303, headers={"Location": "/tap/s"}))
    server.answer("GET", "/tap/s", Answer(body=b"rows"))
    ArchiveSession(f"{server.base}/tap").document(f"{server.base}/tap/r")
    assert authorizations(server) == [None, None]


def test_token_is_shown_nowhere(server: FaultyServer) -> None:
    session = ArchiveSession(f"{server.base}/tap", token=CANARY)
    assert CANARY not in repr(session) + str(session) + repr(vars(session))
    server.answer("GET", "/tap/r", Answer(status=401, body=f"bad token {CANARY}".encode()))
    with pytest.raises(Unauthorized, match=r"bad token \*\*\*") as caught:
        session.document(f"{server.base}/tap/r")
    assert CANARY not in repr(caught.value) + repr(vars(caught.value)) + repr(caught.value.args)


@pytest.mark.parametrize("length", [150, 190, 480])
def test_token_in_a_quotation_that_is_cut_short_is_not_shown_in_part(server: FaultyServer, length: int) -> None:
    server.answer("GET", "/tap/r", Answer(status=400, body=b"x" * length + CANARY.encode() + b"y" * 500))
    server.answer("GET", "/tap/s", Answer(status=400, body=error_document("x" * length + CANARY + "y" * 500)))
    session = ArchiveSession(f"{server.base}/tap", token=CANARY)
    for path in ("r", "s"):
        with pytest.raises(Rejected) as caught:
            session.document(f"{server.base}/tap/{path}")
        assert CANARY[:8] not in repr(caught.value) + str(caught.value)


def test_token_in_a_redirect_is_shown_by_no_error_beneath(server: FaultyServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}/login?token={CANARY}"
    server.answer("GET", "/tap/r", Answer(status=302, headers={"Location": nowhere}))
    with pytest.raises(Transient) as caught:
        ArchiveSession(f"{server.base}/tap", token=CANARY).document(f"{server.base}/tap/r")
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "nul\0", "ünicode"])
def test_token_that_no_header_can_carry_is_refused_unseen(token: str) -> None:
    with pytest.raises(Rejected, match="characters") as caught:
        ArchiveSession("https://archive.example/tap", token=token)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "archive.example/tap", "ftp://archive.example", "https://", "http://[::1", "http://host:port/"]
)
def test_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Rejected, match="URL"):
        ArchiveSession(url)


def test_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(Rejected, match="credentials") as caught:
        ArchiveSession("https://me:hidden@archive.example/tap")
    assert "hidden" not in str(caught.value)


def test_user_agent_names_program_and_purpose(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer())
    ArchiveSession(server.base).document(f"{server.base}/tap")
    agent = server.requests[0].headers["User-Agent"]
    assert agent.startswith("photoz_assets/")
    assert "pyVO" not in agent
    assert agent.endswith("(IVOA-science)")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Rejected),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, Missing),
        (410, Missing),
        (408, Transient),
        (429, Busy),
        (500, Transient),
        (501, Rejected),
        (502, Transient),
        (503, Busy),
        (504, Transient),
        (507, Rejected),
    ],
)
def test_status_becomes_its_error(server: FaultyServer, status: int, error: type[ArchiveError]) -> None:
    server.answer("GET", "/tap", Answer(status=status, body=error_document("the reason")))
    with pytest.raises(ArchiveError, match="the reason") as caught:
        ArchiveSession(server.base).document(f"{server.base}/tap")
    assert type(caught.value) is error
    assert caught.value.status == status
    assert caught.value.url == f"{server.base}/tap"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "shown"),
    [(b"", "Bad Request"), (b"<html><p>a page</p></html>", "Bad Request"), (b"plain words", "plain words")],
)
def test_refusal_without_a_votable_shows_what_it_can(server: FaultyServer, body: bytes, shown: str) -> None:
    server.answer("GET", "/tap", Answer(status=400, body=body))
    with pytest.raises(Rejected, match=shown) as caught:
        ArchiveSession(server.base).document(f"{server.base}/tap")
    assert "<" not in str(caught.value)


def test_refusal_in_words_that_mean_something_else_is_that(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(status=400, body=error_document("Maximum running queries reached (12)")))
    with pytest.raises(Transient):
        ArchiveSession(server.base).document(f"{server.base}/tap")


NOW = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17),
        (" 0 ", 0),
        (format_datetime(NOW + timedelta(seconds=40), usegmt=True), 40),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
def test_retry_after_in_either_form_is_seconds_by_the_servers_clock(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after_seconds(value, format_datetime(NOW, usegmt=True)) == seconds


def test_retry_after_date_without_the_servers_clock_is_by_ours() -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert retry_after_seconds(value) == pytest.approx(100, abs=5)


def test_429_carries_when_to_come_back(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(status=429, headers={"Retry-After": "7"}))
    with pytest.raises(Transient) as caught:
        ArchiveSession(server.base).document(f"{server.base}/tap")
    assert caught.value.retry_after_seconds == 7


def test_archive_without_room_says_what_to_do_and_is_not_asked_again(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(status=507, body=error_document("The store is full")))
    session = ArchiveSession(server.base)
    with pytest.raises(Rejected, match="The store is full") as caught:
        Retrying(policy=RetryPolicy())(lambda: session.document(f"{server.base}/tap"))
    assert "Nothing is wrong with the request" in str(caught.value)
    assert "delete jobs" in str(caught.value)
    assert len(server.requests) == 1


def test_archive_without_room_for_a_result_of_that_size_is_told_by_its_words(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(status=507, body=error_document("The query's results are too large")))
    with pytest.raises(TooLarge, match="fewer columns"):
        ArchiveSession(server.base).document(f"{server.base}/tap")


def test_redirect_loop_ends(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(status=302, headers={"Location": "/tap"}))
    with pytest.raises(Protocol, match="redirected more than 5 times"):
        ArchiveSession(server.base).document(f"{server.base}/tap")
    assert len(server.requests) <= 7


@pytest.mark.parametrize(
    "location", ["ftp://archive.example/r", "http://", "file:///etc/passwd", "http://a:b@h/", "http://[::1"]
)
def test_redirect_to_what_is_no_web_address_is_refused(server: FaultyServer, location: str) -> None:
    server.answer("GET", "/tap", Answer(status=302, headers={"Location": location}))
    with pytest.raises((Rejected, Protocol)):
        ArchiveSession(server.base, token=CANARY).document(f"{server.base}/tap")


def test_refused_connection_is_transient() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(Transient, match="refuses connections"):
        ArchiveSession(f"http://127.0.0.1:{port}/tap").document(f"http://127.0.0.1:{port}/tap")


def test_unknown_host_is_transient_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    url = "http://archive.invalid/tap"
    with pytest.raises(Transient, match="host name is unknown"):
        ArchiveSession(url).document(url)


def test_silence_is_transient(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(body=b"late", pause_seconds=2))
    with pytest.raises(Transient, match="in time"):
        ArchiveSession(server.base, read_seconds=0.2).document(f"{server.base}/tap")


def test_hung_up_connection_is_transient(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(hang_up=True))
    with pytest.raises(Transient, match="connection broke"):
        ArchiveSession(server.base).document(f"{server.base}/tap")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_body_that_is_cut_is_transient(server: FaultyServer, is_chunked: bool) -> None:  # noqa: FBT001  (pytest's way)
    server.answer("GET", "/tap", Answer(body=bytes(200_000), cut_to=100_000, is_chunked=is_chunked))
    with pytest.raises(Transient, match="connection broke"):
        ArchiveSession(server.base).document(f"{server.base}/tap")


BODY = bytes(range(256)) * 4000


@pytest.mark.parametrize(
    "answer", [Answer(body=BODY), Answer(body=BODY, is_chunked=True), Answer(body=BODY, has_length=False)]
)
def test_body_of_any_framing_arrives_whole(server: FaultyServer, answer: Answer) -> None:
    server.answer("GET", "/tap", answer)
    assert ArchiveSession(server.base).document(f"{server.base}/tap") == BODY


def test_body_that_is_compressed_is_unpacked(server: FaultyServer) -> None:
    body = b"text " * 100_000
    server.answer("GET", "/tap", Answer(body=gzip.compress(body), headers={"Content-Encoding": "gzip"}))
    assert ArchiveSession(server.base).document(f"{server.base}/tap") == body


@pytest.mark.parametrize(
    "broken", [b"no gzip", gzip.compress(b"text " * 1000)[:-20] + b"x" * 20], ids=["no gzip", "damaged"]
)
def test_body_that_is_not_compressed_as_it_says_is_refused(server: FaultyServer, broken: bytes) -> None:
    server.answer("GET", "/tap", Answer(body=broken, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(Protocol, match="not encoded as it says"):
        ArchiveSession(server.base).document(f"{server.base}/tap")


def test_document_of_absurd_size_is_refused(server: FaultyServer) -> None:
    packed = gzip.compress(bytes(1 << 26))
    server.answer("GET", "/tap", Answer(body=packed, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(Protocol, match="a document of over"):
        ArchiveSession(server.base).document(f"{server.base}/tap")


def test_body_that_drips_is_given_up(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(body=bytes(100), piece_bytes=5, pause_seconds=0.01))
    with pytest.raises(Transient, match="stalled"):
        ArchiveSession(server.base, clock=HurriedClock(step=30)).document(f"{server.base}/tap")


def test_compressed_body_that_drips_and_unpacks_to_nothing_is_given_up(server: FaultyServer) -> None:
    gzipped = {"Content-Encoding": "gzip"}
    drip = Answer(body=gzip.compress(b"") * 100, headers=gzipped, piece_bytes=20, pause_seconds=0.01)
    server.answer("GET", "/tap", drip)
    with pytest.raises(Transient, match="stalled: 0 bytes"):
        ArchiveSession(server.base, clock=HurriedClock(step=30)).document(f"{server.base}/tap")


def test_document_that_takes_for_ever_is_given_up(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(body=bytes(1_000_000), piece_bytes=20_000, pause_seconds=0.01))
    with pytest.raises(Transient, match="did not arrive within 600 s"):
        ArchiveSession(server.base, clock=HurriedClock(step=60)).document(f"{server.base}/tap")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_untrusted_certificate_is_not_retried(tmp_path: Path) -> None:
    with tls_server(tmp_path) as url, pytest.raises(Rejected, match="certificate is not trusted"):
        ArchiveSession(url, token=CANARY).document(url)


def test_plain_http_behind_https_is_transient(server: FaultyServer) -> None:
    url = server.base.replace("http:", "https:")
    with pytest.raises(Transient):
        ArchiveSession(url).document(url)


def test_origin_counts_the_default_port() -> None:
    assert transport.origin_of("https://data.lsst.cloud/api/tap") == ("https", "data.lsst.cloud", 443)
    assert transport.origin_of("HTTPS://Data.LSST.cloud:443/") == ("https", "data.lsst.cloud", 443)


AWAY = "http://archive.example/api/tap"


@pytest.fixture
def away(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """Every machine but this one, whose names a proxy knows."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, server.base)
    return server


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "127.1", "0x7f000001"])
def test_loopback_is_never_asked_through_a_proxy(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    base = server.base.replace("127.0.0.1", host)
    server.answer("GET", "/tap/r", Answer(status=302, headers={"Location": "/tap/s"}))
    server.answer("GET", "/tap/s", Answer(body=b"rows"))
    assert ArchiveSession(base).document(f"{base}/tap/r") == b"rows"


@pytest.mark.parametrize("url", [AWAY, "https://archive.example/api/tap"])
def test_proxy_that_does_not_answer_is_named(
    away: FaultyServer, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    port = free_port()
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:hidden@127.0.0.1:{port}")
    with pytest.raises(Transient, match=rf"the proxy .*http://127\.0\.0\.1:{port}.*NO_PROXY") as caught:
        ArchiveSession(url).document(url)
    assert "hidden" not in str(caught.value)
    assert away.requests == []


@pytest.mark.parametrize("status", [407, 502, 503, 504])
def test_proxy_that_may_have_failed_is_named(away: FaultyServer, status: int) -> None:
    away.answer("GET", "/api/tap", Answer(status=status))
    with pytest.raises(ArchiveError, match=rf"\(asked through the proxy {away.base}\)"):
        ArchiveSession(AWAY).document(AWAY)


def test_proxy_is_not_named_where_the_archive_itself_says_no(away: FaultyServer) -> None:
    away.answer("GET", "/api/tap", Answer(status=400, body=error_document("no table t")))
    with pytest.raises(Rejected, match="no table t") as caught:
        ArchiveSession(AWAY).document(AWAY)
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_archive_that_has_moved_to_https_is_said_to_have(away: FaultyServer, method: str, status: int) -> None:
    new = "https://archive.example/api/tap"
    away.answer(method, "/api/tap/sync", Answer(status=status, headers={"Location": f"{new}/sync"}))
    with pytest.raises(Rejected, match=f"the archive has moved to {new} .*PHOTOZ_TAP_URL"):
        ArchiveSession(AWAY, token=CANARY).request(method, f"{AWAY}/sync")
    assert authorizations(away) == [None]


def test_redirect_of_a_result_to_https_is_no_move(away: FaultyServer) -> None:
    away.answer(
        "GET",
        "/api/tap/async/1/results/result",
        Answer(status=303, headers={"Location": "https://archive.example/r"}),
    )
    with pytest.raises(Transient):  # which is asked through a proxy that knows no TLS
        ArchiveSession(AWAY).document(f"{AWAY}/async/1/results/result")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>"),
        (400, b"Client sent an HTTP request to an HTTPS server.\n"),
        (400, b"Bad Request\nThis combination of host and port requires TLS.\n"),
        (426, b""),
    ],
)
def test_archive_that_takes_https_alone_says_so(server: FaultyServer, status: int, body: bytes) -> None:
    server.answer("GET", "/tap", Answer(status=status, body=body))
    with pytest.raises(Rejected, match=r"the archive takes https alone at this URL .*PHOTOZ_TAP_URL"):
        ArchiveSession(server.base).document(f"{server.base}/tap")


def test_redirect_under_a_double_slash_keeps_it(server: FaultyServer) -> None:
    server.answer("POST", "/tap//async", Answer(status=303, headers={"Location": "async/21"}))
    server.answer("GET", "/tap//async/21", Answer(body=b"job"))
    session = ArchiveSession(f"{server.base}/tap")
    assert session.body(session.post(f"{server.base}/tap//async", stream=True)) == b"job"


def test_token_never_goes_over_plain_http_to_another_machine(away: FaultyServer) -> None:
    away.answer("GET", "/api/tap", Answer(body=b"open to all"), Answer(status=401))
    session = ArchiveSession(AWAY, token=CANARY)
    assert session.document(AWAY) == b"open to all"
    with pytest.raises(Unauthorized, match="never goes over plain http"):
        session.document(AWAY)
    assert authorizations(away) == [None, None]


INWARD = [
    "127.0.0.1",
    "localhost",
    "foo.localhost",
    "127.1",
    "2130706433",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
]
INWARD += ["169.254.169.254", "[fe80::1]", "LocalHost."]


@pytest.mark.parametrize("host", INWARD)
@pytest.mark.parametrize("status", [302, 307])
def test_redirect_from_another_machine_into_this_one_is_not_followed(
    away: FaultyServer, elsewhere: FaultyServer, host: str, status: int
) -> None:
    inward = elsewhere.base.replace("127.0.0.1", host)
    away.answer("GET", "/api/tap", Answer(status=status, headers={"Location": f"{inward}/secret"}))
    with pytest.raises(Rejected, match="this machine or its own network"):
        ArchiveSession(AWAY).document(AWAY)
    assert elsewhere.requests == []
    assert len(away.requests) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1"])
def test_name_with_an_address_of_this_machine_leads_inward(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def resolve(host: str, *rest: object) -> list[tuple[object, ...]]:
        if rest[-1] and host == "metadata.example":
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert hosts.is_inward("http://metadata.example/", looks_up=True)
    assert not hosts.is_inward("http://metadata.example/", looks_up=False)


def test_redirect_between_other_machines_is_followed(away: FaultyServer) -> None:
    away.answer("GET", "/api/tap", Answer(status=303, headers={"Location": "http://bucket.example/r"}))
    away.answer("GET", "/r", Answer(body=b"rows"))
    assert ArchiveSession(AWAY).document(AWAY) == b"rows"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_of_a_change_to_another_origin_is_not_followed(
    server: FaultyServer, elsewhere: FaultyServer, method: str, status: int
) -> None:
    server.answer(method, "/tap/sync", Answer(status=status, headers={"Location": f"{elsewhere.base}/sync"}))
    with pytest.raises(Rejected, match=f"sends a {method} on to another origin, {elsewhere.base}"):
        ArchiveSession(f"{server.base}/tap").request(method, f"{server.base}/tap/sync")
    assert elsewhere.requests == []


MEMBERS = gzip.compress(BODY[:1000], mtime=0) + gzip.compress(BODY[1000:], mtime=0)


@pytest.mark.parametrize("body", [gzip.compress(BODY, mtime=0), MEMBERS], ids=["one", "two members"])
@pytest.mark.parametrize("piece_bytes", [1, 1 << 16])
@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}], ids=str)
def test_body_that_begins_as_gzip_is_unpacked(
    server: FaultyServer, body: bytes, piece_bytes: int, headers: dict[str, str]
) -> None:
    server.answer("GET", "/tap", Answer(body=body, piece_bytes=piece_bytes, headers=headers))
    assert ArchiveSession(server.base).document(f"{server.base}/tap") == BODY


@pytest.mark.parametrize("body", [b"", b"\x1f", b"\x1f?", b"rows"])
def test_body_that_does_not_begin_as_gzip_is_left_as_it_is(server: FaultyServer, body: bytes) -> None:
    server.answer("GET", "/tap", Answer(body=body, piece_bytes=1))
    assert ArchiveSession(server.base).document(f"{server.base}/tap") == body


def test_bomb_without_a_content_encoding_is_bounded(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(body=gzip.compress(bytes(1 << 26))))
    with pytest.raises(Protocol, match="a document of over"):
        ArchiveSession(server.base).document(f"{server.base}/tap")


def test_refusal_in_bytes_that_are_no_text_shows_none_of_them(server: FaultyServer) -> None:
    server.answer("GET", "/tap", Answer(status=400, body=bytes(range(256))))
    with pytest.raises(Rejected, match=r"says: Bad Request \(HTTP 400\)"):
        ArchiveSession(server.base).document(f"{server.base}/tap")
