"""The digest that the head of an answer states of its body: which bytes it speaks of, and whether they came.

A VOTable has no checksum, and a changed value that breaks no rule cannot be told from a right one; but services
that keep their results in a store often state a digest. It helps against damage on the way, not against forgery.

Repr-Digest speaks of the body as it is sent, with its content coding and without that of the transfer, which in
an answer of status 200 is the whole representation (RFC 9530 sec. 3.1). x-goog-hash, of Google Cloud Storage,
speaks of the object as it is stored, which is not what is sent where the store unpacks it on the way.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

import requests

from photoz_assets.tap.errors import Damaged

# The best first. CRC32C, all that a composite object of Google's has, is not among what Python computes.
_ALGORITHMS: Final = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}
_PLAIN: Final = "identity"


class Digest:
    """A digest that an answer states, and those of the bytes that come.

    Parameters
    ----------
    name
        Its algorithm, as HTTP calls it.
    header
        Where it stands.
    value
        The digest.
    is_coded
        Whether the body has a content coding.
    """

    def __init__(self, name: str, header: str, value: bytes, *, is_coded: bool) -> None:
        self._name = f"{header}, {name}"
        self._value = value
        self._is_coded = is_coded
        self._sent, self._unpacked = (hashlib.new(_ALGORITHMS[name], usedforsecurity=False) for _ in range(2))

    def take_sent(self, piece: bytes) -> None:
        """Take note of bytes of the body as they were sent."""
        self._sent.update(piece)

    def take_unpacked(self, piece: bytes) -> None:
        """Take note of bytes of the body without its content coding."""
        if self._is_coded:
            self._unpacked.update(piece)

    def judge(self) -> None:
        """Judge the body, now that it has ended.

        A front that compresses what passes may leave the digest of what it found. Either proves that all came.

        Raises
        ------
        Damaged
            The bytes are others.
        """
        if self._value != self._sent.digest() and not (self._is_coded and self._value == self._unpacked.digest()):
            raise Damaged(
                f"the bytes that came are not those of the digest that the archive states ({self._name})"
            )


def stated(response: requests.Response) -> Digest | None:
    """Return the best digest that an answer states of its body; None if it states none that can be computed."""
    if response.status_code != requests.codes.ok:
        return None
    coding = response.headers.get("Content-Encoding", _PLAIN).strip().lower()
    found = {name: (header, value) for header, name, value in _stated(response.headers, coding)}
    best = next((name for name in _ALGORITHMS if name in found), None)
    return None if best is None else Digest(best, *found[best], is_coded=coding != _PLAIN)


def _stated(headers: Mapping[str, str], coding: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield the header, algorithm and value of each digest that can be computed, and is of what was sent."""
    names = ["Repr-Digest"]
    if headers.get("x-goog-stored-content-encoding", "").lower() in {coding, _PLAIN}:
        names.append("x-goog-hash")
    for header in names:
        for name, _, encoded in (each.strip().partition("=") for each in headers.get(header, "").split(",")):
            # RFC 9530 puts the bytes between colons.
            if value := _value(name.lower(), encoded.strip(":")):
                yield header, name.lower(), value


def _value(name: str, encoded: str) -> bytes | None:
    """Read a digest; None if it is none of that algorithm, or of an unknown one."""
    if name not in _ALGORITHMS:
        return None
    try:
        value = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return value if len(value) == hashlib.new(_ALGORITHMS[name], usedforsecurity=False).digest_size else None
