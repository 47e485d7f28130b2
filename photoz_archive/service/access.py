"""Who may send requests, and how often: the token, the rate limit, and the faults that hide the service."""

import secrets
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from photoz_archive.service.query_service import QueryService
from photoz_archive.service.refusal import refusal

_WINDOW_SECONDS: Final = 60
# Results lie here for a service that redirects to them: open to all, and to no token.
BUCKET: Final = "/bucket"


class RateLimit:
    """So many requests in a minute's window; None is no limit."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._times: deque[float] = deque()

    def refusal(self) -> Response | None:
        """Count a request, or return the answer that tells when to come back."""
        if self._limit is None:
            return None
        now = time.monotonic()
        while self._times and self._times[0] <= now - _WINDOW_SECONDS:
            self._times.popleft()
        if len(self._times) < self._limit:
            self._times.append(now)
            return None
        again = datetime.now(UTC) + timedelta(seconds=_WINDOW_SECONDS - (now - self._times[0]) + 1)
        return refusal(
            f"Rate limit of {self._limit} requests a minute exceeded; come back at the time of Retry-After",
            429,
            {"Retry-After": format_datetime(again, usegmt=True), "X-RateLimit-Limit": str(self._limit)},
        )


class AccessMiddleware:
    """Lets a request through to the service, or answers it.

    What says what the service is, at ``open_paths``, needs no token.
    """

    def __init__(
        self, app: ASGIApp, *, archive: QueryService, token: str | None, open_paths: frozenset[str]
    ) -> None:
        self._app = app
        self._archive = archive
        self._token = token
        self._open = open_paths
        self._rate = RateLimit(archive.profile.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request; pass everything else on."""
        answer = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        faults = self._archive.faults
        if faults.html:
            return HTMLResponse(
                "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>"
            )
        if request.scope["path"].startswith(f"{BUCKET}/"):
            return self._bucket_refusal(request)
        if faults.unauthorized or not self._is_allowed(request):
            return refusal(
                "Authentication is required: send a bearer token",
                401,
                {"WWW-Authenticate": 'Bearer realm="photoz-archive"'},
            )
        return self._rate.refusal()

    def _bucket_refusal(self, request: Request) -> Response | None:
        if "authorization" not in request.headers:
            return None
        # A bucket is no part of the TAP service, and has no documents of TAP.
        return PlainTextResponse("Invalid credentials for this bucket\n", status_code=401)

    def _is_allowed(self, request: Request) -> bool:
        if self._token is None or request.scope["path"] in self._open:
            return True
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(sent.strip().encode(), self._token.encode())


def other_host(url: URL) -> URL | None:
    """Return the same URL under another name of this machine, or None where it has none."""
    other = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(url.hostname or "")
    return None if other is None else url.replace(hostname=other)
