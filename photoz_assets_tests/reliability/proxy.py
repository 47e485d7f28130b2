"""A proxy between the client and the embedded archive, over real HTTP, that does to single requests what a test says."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

import requests

from photoz_assets_tests.tap.faulty_server import Answer, FaultyServer, Request

Forward: TypeAlias = Callable[[], Answer]
Change: TypeAlias = Callable[[Request, Forward], Answer]

CAPABILITIES, SYNC, SUBMIT = ("GET", "/tap/capabilities$"), ("POST", "/tap/sync$"), ("POST", "/tap/async$")
JOB_LIST, POLL, PHASE, RESULT = (
    ("GET", "/tap/async/?$"),
    ("GET", "/tap/async/[^/]+$"),
    ("POST", "/phase$"),
    ("GET", "/results/result$"),
)
_PASSED_ON = ("Content-Type", "Location")


@dataclass
class Fault:
    """What is done to the requests of one kind: to ``times`` of them, after ``skip`` that go through.

    A kind is a method, or none for all of them, and a pattern of the path.
    """

    kind: tuple[str, str]
    answer: Answer | Change
    times: float = math.inf
    skip: int = 0
    _met: int = field(default=0, init=False)

    def strikes(self, request: Request) -> bool:
        """Return whether this request is struck, and count it."""
        method, path = self.kind
        if request.method != (method or request.method) or not re.search(path, request.path):
            return False
        self._met += 1
        return self.skip < self._met <= self.skip + self.times


class FaultyProxy(FaultyServer):
    """Passes requests on to an archive, but for those that a fault strikes.

    ``states_digest`` tells whether the digest that the archive states of a result is passed on: many do not state one.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__()
        parts = urlsplit(upstream)
        self._upstream = f"{parts.scheme}://{parts.netloc}"
        self.faults: list[Fault] = []
        self.states_digest = False

    @property
    def jobs(self) -> int:
        """How many queries the archive was told to run."""
        runs = [each for each in self.requests if each.parameters.get("PHASE") == "RUN"]
        return len({each.path for each in runs})

    def asked_for(self, kind: tuple[str, str]) -> list[Request]:
        """List the requests of one kind."""
        return [each for each in self.requests if each.method == kind[0] and re.search(kind[1], each.path)]

    def next_answer(self, request: Request) -> Answer:
        """Take note of a request; answer it as a fault says, else as the archive does."""
        self.requests.append(request)
        for fault in self.faults:
            if fault.strikes(request):
                if isinstance(fault.answer, Answer):
                    return fault.answer
                return fault.answer(request, lambda: self._forward(request))
        return self._forward(request)

    def _forward(self, request: Request) -> Answer:
        named = ("Host", "Authorization", *(["Content-Type"] if request.is_in_parts else []))
        headers = {name: request.headers[name] for name in named if name in request.headers}
        # For the addresses that the archive gives.
        scheme = {"X-Forwarded-Proto": urlsplit(self.base).scheme}
        part = "data" if request.method == "POST" else "params"
        response = requests.request(
            request.method,
            f"{self._upstream}{request.path}",
            headers=headers | scheme | {"Accept-Encoding": "identity"},
            allow_redirects=False,
            timeout=60,
            **{part: request.body if request.is_in_parts else request.parameters},  # type: ignore[arg-type]  # of the one or the other
        )
        names = (*_PASSED_ON, "Repr-Digest") if self.states_digest else _PASSED_ON
        kept = {name: response.headers[name] for name in names if name in response.headers}
        return Answer(status=response.status_code, body=response.content, headers=kept)


def rewritten(pattern: bytes, replacement: bytes) -> Change:
    """Change the text of an answer."""

    def change(_: Request, forward: Forward) -> Answer:
        answer = forward()
        return Answer(status=answer.status, headers=answer.headers, body=re.sub(pattern, replacement, answer.body))

    return change


def cut(length: int, *, has_length: bool = True) -> Change:
    """Send only the beginning of an answer."""

    def change(_: Request, forward: Forward) -> Answer:
        answer = forward()
        return Answer(headers=answer.headers, body=answer.body, cut_to=length, has_length=has_length)

    return change
