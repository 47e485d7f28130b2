"""A real HTTP server that answers what a test tells it to, faults of the wire included."""

import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_DRIP_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer; the faults are those of the wire.

    ``cut_to`` sends only so many bytes of the body and closes the connection; ``pause_seconds`` is slept before
    each piece of the body; ``resets`` resets the connection after the body (TCP RST); ``hang_up`` closes it
    without an answer. Until the client hangs up, ``head_drips`` sends a header byte by byte, and ``endless`` is
    sent after the body, again and again.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    has_length: bool = True
    is_chunked: bool = False
    cut_to: int | None = None
    hang_up: bool = False
    resets: bool = False
    pause_seconds: float = 0.0
    piece_bytes: int = 1 << 16
    head_drips: bool = False
    endless: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it arrived; of one in parts only the body says what is in it."""

    method: str
    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def is_in_parts(self) -> bool:
        """Whether it brings a table along."""
        return self.headers.get("Content-Type", "").startswith("multipart/")


Route = Answer | Callable[[Request], Answer]


class FaultyServer:
    """Answers each path with the next of its answers, and with the last of them from then on."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.base = ""
        self._answers: dict[tuple[str, str], list[Route]] = defaultdict(list)

    def answer(self, method: str, path: str, *answers: Route) -> None:
        """Say how a path is answered, in place of what was said before."""
        self._answers[method, path] = list(answers)

    def asked(self, method: str, path: str) -> list[Request]:
        """List the requests of a path."""
        return [each for each in self.requests if (each.method, each.path) == (method, path)]

    def next_answer(self, request: Request) -> Answer:
        """Take note of a request and choose its answer."""
        self.requests.append(request)
        answers = self._answers[request.method, request.path]
        if not answers:
            return Answer(status=404, body=b"nothing here", headers={"Content-Type": "text/plain"})
        route = answers.pop(0) if len(answers) > 1 else answers[0]
        return route if isinstance(route, Answer) else route(request)

    @contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator["FaultyServer"]:
        """Serve on a free port of the loopback interface, over TLS if so told."""
        handler = type("Handler", (_Handler,), {"faulty": self})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
            if tls is not None:
                http.socket = tls.wrap_socket(http.socket, server_side=True)
            http.daemon_threads = True
            thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            self.base = f"{'https' if tls else 'http'}://127.0.0.1:{http.server_address[1]}"
            try:
                yield self
            finally:
                http.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Serves the answers of one server."""

    faulty: FaultyServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class names it)
        """Stay silent."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            method=self.command,
            path=parts.path,
            parameters=dict(parse_qsl(parts.query) + parse_qsl(body.decode())),
            headers=dict(self.headers),
            body=body,
        )
        self._send(self.faulty.next_answer(request))

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815  (the base class names them)

    def _send(self, answer: Answer) -> None:
        if answer.hang_up:
            self.close_connection = True
            return
        if answer.head_drips:
            self._drip_head()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.has_length and not answer.endless:
            self.send_header("Content-Length", str(len(answer.body)))
        if answer.endless or answer.cut_to is not None or not (answer.has_length or answer.is_chunked):
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            self._send_body(answer)
        except OSError:
            self.close_connection = True

    def _drip_head(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while True:
                self.wfile.write(b"x")
                time.sleep(_DRIP_SECONDS)

    def _send_body(self, answer: Answer) -> None:
        body = answer.body[: answer.cut_to]
        for start in range(0, len(body), answer.piece_bytes):
            time.sleep(answer.pause_seconds)
            piece = body[start : start + answer.piece_bytes]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.is_chunked else piece)
            self.wfile.flush()
        while answer.endless:
            self.wfile.write(answer.endless)
        if answer.resets:
            self._reset()
        elif answer.is_chunked and answer.cut_to is None:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.naps.append(seconds)
        self.now += seconds


class HurriedClock(Clock):
    """A clock that moves whenever it is read."""

    def __init__(self, *, step: float) -> None:
        super().__init__()
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def certified(folder: Path) -> ssl.SSLContext:
    """Make a certificate that vouches for itself, ``cert.pem`` in a folder; give what serves TLS with it."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """Serve TLS with a certificate that nobody vouches for."""
    context = certified(folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/tap"
        thread.join(5)
