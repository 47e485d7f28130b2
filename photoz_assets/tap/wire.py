"""Time limits of the connection beneath HTTP: for a whole read, however slowly a server sends its bytes.

The limit of a socket is one between two bytes, and no library has another for the head of an answer: a head that
drips for ever would hold a run for ever. Here the whole head of an answer, with what precedes it, and each
read of its body, with the framing of its chunks, has to come within that limit.
"""

import http.client
import io
import math
import socket
import time
from typing import Any, Final

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Wire(io.RawIOBase):
    """The bytes that come over a connection, within the time that was last allowed for them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._bytes = connection.makefile("rb", buffering=0)
        limit = connection.gettimeout()
        self._seconds = math.inf if limit is None else limit
        self._until = math.inf

    def readable(self) -> bool:
        """Return True."""
        return True

    def allow(self) -> None:
        """Allow the connection's time limit, from now on."""
        self._until = time.monotonic() + self._seconds

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come.

        Raises
        ------
        TimeoutError
            The time is spent.
        """
        left_seconds = self._until - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError("timed out")
        if math.isfinite(left_seconds):
            self._connection.settimeout(left_seconds)
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        """Let the connection go."""
        self._bytes.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose reads end in time."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._wire = _Wire(sock)
        self.fp = io.BufferedReader(self._wire)

    def begin(self) -> None:
        """Read the head."""
        self._wire.allow()
        super().begin()

    def read1(self, n: int = -1) -> bytes:
        """Read what has come of the body."""
        self._wire.allow()
        return super().read1(n)


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: Final = {"http": _Pool, "https": _SecurePool}


class TimedAdapter(requests.adapters.HTTPAdapter):
    """Sends requests over such a wire, through a proxy too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
