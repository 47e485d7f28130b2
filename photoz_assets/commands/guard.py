"""The guard of what ``photoz`` serves: what a browser asks on behalf of another origin's page is refused.

The Dagster page has no accounts: whoever reaches its port may start runs. A browser reaches it on behalf of any
page that it shows, so a request must be addressed to this server, come from its own page if it comes from a page
at all, and change nothing by GET, which every page may send.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MUTATION: Final = re.compile(r"\bmutation\b", re.ASCII)
_POLICY_VIOLATION: Final = 1008  # RFC 6455 sec. 7.4.1


class PageGuard:
    """Refuses what only a page of another origin would ask; an ASGI middleware, for WebSockets too.

    Parameters
    ----------
    app
        What is guarded.
    names
        The names and addresses of this server; the address that a request arrives at counts as well.
    shown
        Below which path files are shown to pages of other sites too, to be read and no more; None for nowhere.
    """

    def __init__(self, app: App, names: Collection[str], shown: str | None = None) -> None:
        self._app = app
        self._names = names
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403 and the reason."""
        reason = self._refusal(scope) if scope["type"] in {"http", "websocket"} else None
        if reason is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": f"{reason}\n".encode()})

    def _refusal(self, scope: Scope) -> str | None:
        """Return why a request is refused, or None."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        address = headers.get("host", "")
        here, _ = scope.get("server") or ("", None)
        if _host(address) not in {*self._names, here}:
            return f"Refused: this server is not {address!r}. Ask it by the address that photoz ui names."
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {
            f"http://{address}".lower(),
            f"https://{address}".lower(),
        }:
            return f"Refused: a page of {origin!r} may not ask this server."
        if headers.get("sec-fetch-site") == "cross-site" and not self._is_shown(scope):
            return "Refused: a page of another site may not ask this server. Type its address, or take a bookmark."
        if scope["type"] == "http" and scope["method"] != "POST" and _mutates(scope["query_string"]):
            return "Refused: a mutation must be sent by POST."
        return None

    def _is_shown(self, scope: Scope) -> bool:
        """Return whether a file is asked for that every page may show."""
        return (
            self._shown is not None
            and scope["type"] == "http"
            and scope["method"] in {"GET", "HEAD"}
            and scope["path"].startswith(self._shown)
        )


def _host(address: str) -> str | None:
    """Return the host of a ``Host`` header, without its port."""
    try:
        return urlsplit(f"//{address}").hostname
    except ValueError:
        return None


def _mutates(query: bytes) -> bool:
    """Return whether a query string may carry a mutation: GraphQL has but one spelling of that word."""
    return any(_MUTATION.search(value) for _, value in parse_qsl(query.decode("latin-1")))


def own_names(host: str) -> frozenset[str]:
    """Return the names and addresses that a server which listens on a host is asked by."""
    names = _LOOPBACK | {host.lower()}
    try:
        on_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        on_loopback = False
    return names if on_loopback else names | {socket.gethostname().lower(), socket.getfqdn().lower()}
