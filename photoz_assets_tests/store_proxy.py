"""A proxy between an object store and its clients, over HTTP, that does to single requests what a test says."""

import http.client
import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

# What does not concern the next connection.
_OF_A_CONNECTION: Final = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Refused:
    """The store is not asked; the answer is an error of S3's."""

    status: int
    code: str


@dataclass(frozen=True)
class Lost:
    """The store is asked, and the connection closed before its answer, or after so many bytes of it."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Meanwhile:
    """The store is asked after something else has happened."""

    happens: Callable[[], object]


@dataclass
class StoreFault:
    """What is done to the requests of one kind: to ``times`` of them, after ``skip`` that go through.

    A kind is a method and a pattern of path and query.
    """

    method: str
    pattern: str
    what: Refused | Lost | Meanwhile
    times: float = math.inf
    skip: int = 0
    met: int = field(default=0, init=False)

    def strikes(self, method: str, target: str) -> bool:
        """Return whether this request is struck, and count it."""
        if method != self.method or not re.search(self.pattern, target):
            return False
        self.met += 1
        return self.skip < self.met <= self.skip + self.times


@dataclass
class StoreProxy:
    """Where it answers, and the faults in force."""

    base: str
    faults: list[StoreFault] = field(default_factory=list)


@contextmanager
def store_proxy(upstream: str) -> Iterator[StoreProxy]:
    """Pass requests on to a store, on a free port of loopback, for the time of a block."""
    handler = type("Handler", (_Handler,), {"upstream": urlsplit(upstream).netloc})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        proxy = StoreProxy(f"http://127.0.0.1:{server.server_address[1]}")
        handler.proxy = proxy  # type: ignore[attr-defined]  # the class that was made just now
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: StoreProxy
    upstream: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Stay silent."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        struck = (fault for fault in self.proxy.faults if fault.strikes(self.command, self.path))
        what = next((fault.what for fault in struck), None)
        if isinstance(what, Refused):
            text = f"<Error><Code>{what.code}</Code><Message>a test says so</Message></Error>".encode()
            self._answer(what.status, [("Content-Type", "application/xml")], text)
            return
        if isinstance(what, Meanwhile):
            what.happens()
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        # As it came, the host included: it is signed.
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if not isinstance(what, Lost):
            self._answer(answer.status, answer.getheaders(), content, answer.getheader("Content-Length"))
            return
        if what.after_bytes is not None:
            self._answer(answer.status, answer.getheaders(), content[: what.after_bytes], str(len(content)))
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - the base class names them

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
