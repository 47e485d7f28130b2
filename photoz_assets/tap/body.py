"""The body of an answer on its way in: unpacked, without a stall, and held against the digest that is stated.

A body that begins as gzip does is unpacked as such even if its head does not say so: services hand out the packed
file that they keep.
"""

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import requests
import urllib3

from photoz_assets.tap import digests
from photoz_assets.tap.digests import Digest
from photoz_assets.tap.errors import Protocol, Transient

_GZIP: Final = b"\x1f\x8b"
_PIECE_BYTES: Final = 1 << 20
# To unpack many small members of gzip takes time that grows with the square of what is unpacked at once.
_CODED_PIECE_BYTES: Final = 1 << 16
# No coding asks for nearly as much before it gives its next byte.
_LONGEST_NOTHING_BYTES: Final = 1 << 20
# A body that arrives more slowly than this is not arriving: a read timeout alone lets one byte a minute pass.
_SLOWEST_BYTES: Final = 1 << 14
_SLOWEST_SECONDS: Final = 120.0


def pieces(response: requests.Response, *, clock: Callable[[], float]) -> Iterator[bytes]:
    """Yield a body without its content coding, in pieces of up to 1 MiB.

    Parameters
    ----------
    response
        The answer, of which nothing has been read.
    clock
        Monotonic seconds.

    Raises
    ------
    Transient
        The body stopped arriving; `Damaged` if it has another digest than the answer states.
    Protocol
        The body unpacks to nothing.
    """
    digest = digests.stated(response)
    sent = _Sent(response, digest, clock)
    sent.begin(clock())
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding in {"", "identity"} and sent.starts_with(_GZIP):
        coding = "gzip"
    unpacked = urllib3.HTTPResponse(
        io.BufferedReader(sent), headers={"Content-Encoding": coding}, preload_content=False
    )
    waited_seconds, waited_for_bytes = 0.0, 0
    while True:
        asked = clock()
        sent.begin(asked)
        piece = unpacked.read1(_PIECE_BYTES, decode_content=True)
        if not piece:
            break
        waited_seconds += clock() - asked
        waited_for_bytes += len(piece)
        if waited_for_bytes >= _SLOWEST_BYTES:
            waited_seconds, waited_for_bytes = 0.0, 0
        elif waited_seconds > _SLOWEST_SECONDS:
            raise _stalled(waited_for_bytes, waited_seconds)
        if digest:
            digest.take_unpacked(piece)
        yield piece
    if digest:
        digest.judge()


class _Sent(io.RawIOBase):
    """A body as it is sent, read until it unpacks to something."""

    def __init__(self, response: requests.Response, digest: Digest | None, clock: Callable[[], float]) -> None:
        self._raw = response.raw
        self._most_bytes = _CODED_PIECE_BYTES if "Content-Encoding" in response.headers else _PIECE_BYTES
        self._start = b""
        self._digest = digest
        self._clock = clock
        self._asked = 0.0
        self._bytes = 0

    def begin(self, now: float) -> None:
        """Begin to wait for something, now."""
        self._asked, self._bytes = now, 0

    def starts_with(self, magic: bytes) -> bool:
        """Return whether the body starts with some bytes, which are left to be read."""
        while len(self._start) < len(magic) and (piece := self._read(len(magic) - len(self._start))):
            self._start += piece
        if self._start == magic:
            self._most_bytes = _CODED_PIECE_BYTES
        return self._start == magic

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come."""
        piece, self._start = (self._start or self._read(len(buffer))), b""
        buffer[: len(piece)] = piece
        return len(piece)

    def _read(self, most_bytes: int) -> bytes:
        """Read what has come, of up to so many bytes.

        Raises
        ------
        ArchiveError
            It has unpacked to nothing for too long.
        """
        if self._bytes > _LONGEST_NOTHING_BYTES:
            raise Protocol(f"over {_LONGEST_NOTHING_BYTES} bytes unpack to nothing")
        if self._bytes and (seconds := self._clock() - self._asked) > _SLOWEST_SECONDS:
            raise _stalled(0, seconds)
        piece: bytes = self._raw.read1(min(most_bytes, self._most_bytes), decode_content=False)
        self._bytes += len(piece)
        if self._digest:
            self._digest.take_sent(piece)
        return piece


def _stalled(count: int, seconds: float) -> Transient:
    return Transient(f"the answer stalled: {count} bytes in {seconds:.0f} s")
