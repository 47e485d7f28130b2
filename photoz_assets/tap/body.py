"""The body of an answer on its way in: unpacked, without a stall, and held against the digest that is stated."""

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import requests
import urllib3

from photoz_assets.tap import digests
from photoz_assets.tap.digests import Digest
from photoz_assets.tap.errors import Transient

_PIECE_BYTES: Final = 1 << 20
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
    """
    digest = digests.stated(response)
    coding = response.headers.get("Content-Encoding", "")
    unpacked = urllib3.HTTPResponse(
        io.BufferedReader(_Sent(response, digest)), headers={"Content-Encoding": coding}, preload_content=False
    )
    waited_seconds, waited_for_bytes = 0.0, 0
    while True:
        asked = clock()
        piece = unpacked.read1(_PIECE_BYTES, decode_content=True)
        if not piece:
            break
        waited_seconds += clock() - asked
        waited_for_bytes += len(piece)
        if waited_for_bytes >= _SLOWEST_BYTES:
            waited_seconds, waited_for_bytes = 0.0, 0
        elif waited_seconds > _SLOWEST_SECONDS:
            raise Transient(f"the answer stalled: {waited_for_bytes} bytes in {waited_seconds:.0f} s")
        if digest:
            digest.take_unpacked(piece)
        yield piece
    if digest:
        digest.judge()


class _Sent(io.RawIOBase):
    """A body as it is sent."""

    def __init__(self, response: requests.Response, digest: Digest | None) -> None:
        self._raw = response.raw
        self._digest = digest

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come."""
        piece: bytes = self._raw.read1(len(buffer), decode_content=False)
        if self._digest:
            self._digest.take_sent(piece)
        buffer[: len(piece)] = piece
        return len(piece)
