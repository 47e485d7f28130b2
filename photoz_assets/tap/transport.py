"""HTTP as this client does it: one session that knows whom it may trust and how long it may wait.

Every request of the package goes through `ArchiveSession`: the token's rules, time limits, proxies, the user
agent, where redirects may lead, and every failure as an `ArchiveError`. No word of TAP is known here, but that a
refusal may carry a VOTable with the reason.
"""

import platform
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.auth import AuthBase
from requests.utils import select_proxy

from photoz_assets.tap import documents
from photoz_assets.tap.body import pieces
from photoz_assets.tap.errors import ArchiveError, Busy, Missing, Protocol, Rejected, Transient, Unauthorized
from photoz_assets.tap.hosts import host_of, is_inward, is_loopback
from photoz_assets.tap.http_errors import MOST_REDIRECTS, causes, translated
from photoz_assets.tap.links import resolve
from photoz_assets.tap.wire import TimedAdapter

# Of a refusal, or of what nobody reads beside a redirect.
_LONGEST_ASIDE_BYTES: Final = 1 << 16
_LONGEST_ASIDE_SECONDS: Final = 30.0
_LONGEST_DOCUMENT_BYTES: Final = 1 << 22  # capabilities and jobs take some 50 kB; their query a few kB more
_LONGEST_DOCUMENT_SECONDS: Final = 600.0
_TRANSIENT_STATUSES: Final = frozenset({408, 425, 500, 502, 504})
_BUSY_STATUSES: Final = frozenset({429, 503})
_MISSING_STATUSES: Final = frozenset({404, 410})
_PROXY_STATUSES: Final = frozenset({407, 502, 503, 504})
_UPGRADE_STATUS: Final = 426
_FULL_STATUS: Final = 507
# What nginx, Apache, Tomcat and Go's server answer to plain http at a port of https.
_WANTS_TLS: Final = re.compile(
    rb"plain HTTP request was sent to HTTPS|speaking plain HTTP to an SSL|port requires TLS|"
    rb"HTTP request to an HTTPS",
    re.IGNORECASE,
)
_HARMLESS_METHODS: Final = frozenset({"GET", "HEAD"})

_REDIRECT_HINT: Final = "It was not followed: check the URL (PHOTOZ_TAP_URL), and whom it belongs to."
_PROXY_HINT: Final = "Check HTTP_PROXY and HTTPS_PROXY, and name in NO_PROXY what needs none; it was tried again."
_FULL_HINT: Final = (
    "Nothing is wrong with the request, but it was not sent again (RFC 4918): delete jobs that are done with, or "
    "have its operator make room."
)
_WITHHELD_HINT: Final = (
    "A token never goes over plain http to another machine: give an https URL in PHOTOZ_TAP_URL."
)

Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin:
    """Return the scheme, host and port of a URL, the unit of trust (RFC 6454).

    Raises
    ------
    Rejected
        Not an absolute http or https URL, or one with a user or password in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Rejected(f"not a URL: {url!r}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Rejected(f"not an http or https URL: {_without_user(parts)!r}")
    if parts.username or parts.password:
        raise Rejected(
            f"credentials in the URL {_without_user(parts)}",
            hint="Give the token in PHOTOZ_TAP_TOKEN and the URL without it.",
        )
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme]


def _without_user(parts: SplitResult) -> str:
    """Print a URL without user and password."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def user_agent() -> str:
    """Name this client as the IVOA note "Operational Identification of Software Components" (2019) asks."""
    return (
        f"photoz_assets/{version('photoz_assets')} python-requests/{requests.__version__} "
        f"Python/{platform.python_version()} ({platform.system()}) (IVOA-science)"
    )


class _BearerToken(AuthBase):
    """Adds the token to requests for one origin; the only object that knows it, and it does not print it.

    Over plain http it goes to this machine alone: on the way to another, anybody can read it.
    """

    def __init__(self, token: str | None, base_url: str) -> None:
        self._token = (token or "").strip()
        self._origin = origin_of(base_url)
        self.is_withheld = bool(self._token) and self._origin[0] == "http" and not is_loopback(base_url)
        # Checked here because the libraries below print a header that they refuse.
        if not (self._token.isascii() and self._token.isprintable() and " " not in self._token):
            raise Rejected(
                "the token has characters that no HTTP header may carry",
                hint="Set PHOTOZ_TAP_TOKEN to the token alone, without quotes or line breaks.",
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def conceal(self, error: ArchiveError) -> None:
        """Replace the token in an error, which may quote an answer that quotes it."""
        if self._token:
            error.redacted(self._token)

    def is_quoted_in(self, error: BaseException) -> bool:
        """Return whether the failures beneath an error show the token."""
        return bool(self._token) and any(self._token in repr(cause.args) for cause in causes(error))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        is_ours = bool(request.url) and origin_of(request.url or "") == self._origin
        if self._token and is_ours and not self.is_withheld:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ArchiveSession(requests.Session):
    """A session with one archive.

    Parameters
    ----------
    base_url
        The archive's TAP URL; its origin alone is sent the token.
    token
        Bearer token, or None for an anonymous session; over plain http it goes to this machine alone.
    connect_seconds, read_seconds
        Time limits of every request: to be connected; for the head of an answer, and for each piece of its body.
    clock
        Monotonic seconds.

    Raises
    ------
    Rejected
        The URL cannot be one of a TAP service, or the token cannot be sent in a header.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        connect_seconds: float = 10.0,
        read_seconds: float = 90.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, TimedAdapter())
        self.max_redirects = MOST_REDIRECTS
        self._base_url = base_url
        self._origin = origin_of(base_url)
        # Set even without a token: a session with `auth` does not look into the user's netrc.
        self.auth = self._bearer = _BearerToken(token, base_url)
        self.headers["User-Agent"] = user_agent()
        self.timeout_seconds = (connect_seconds, read_seconds)
        self._clock = clock

    def __repr__(self) -> str:
        scheme, host, port = self._origin
        return f"{type(self).__name__}({scheme}://{host}:{port})"

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Take the token off a redirect that leaves the archive's origin; nothing puts it on again.

        Raises
        ------
        Rejected
            The redirect is not to be followed.
        """
        target = prepared_request.url or ""
        if origin_of(target) != self._origin:
            prepared_request.headers.pop("Authorization", None)
        self._refuse_redirect(response, target)

    def _refuse_redirect(self, response: requests.Response, target: str) -> None:
        """Refuse a redirect that would have us ask, or change, what the archive has no business with."""
        here, there = origin_of(response.url), origin_of(target)
        if here == there:
            return
        if (moved := self._moved(response.url, target)) is not None:
            raise Rejected(
                f"the archive has moved to {moved}", url=response.url, hint="Set PHOTOZ_TAP_URL to that."
            )
        if response.request.method not in _HARMLESS_METHODS:
            raise Rejected(
                f"the archive sends a {response.request.method} on to another origin, {_origin_text(target)}",
                url=response.url,
                hint=_REDIRECT_HINT,
            )
        self.refuse_inward(target, response.url)

    def _moved(self, url: str, target: str) -> str | None:
        """Return the URL that the archive has moved to if a redirect leads to the same resource by https."""
        base, asked, found = urlsplit(self._base_url), urlsplit(url), urlsplit(target)
        path = asked.path.removeprefix(base.path)
        is_upgrade = (asked.scheme, found.scheme) == ("http", "https") and host_of(url) == host_of(target)
        if not (is_upgrade and origin_of(url) == self._origin and asked.path.startswith(base.path)):
            return None
        if not found.path.endswith(path):
            return None
        return found._replace(path=found.path.removesuffix(path), query="", fragment="").geturl()

    def refuse_inward(self, target: str, source: str) -> None:
        """Refuse to follow a link from another machine into this one, or into what is linked to it alone.

        Raises
        ------
        Rejected
            The target is such.
        """
        if host_of(target) == host_of(source) or is_loopback(source):
            return
        if is_inward(target, looks_up=self._proxy(target) is None):
            raise Rejected(
                f"the archive leads to this machine or its own network, {_origin_text(target)}",
                url=source,
                hint=_REDIRECT_HINT,
            )

    def _proxy(self, url: str) -> str | None:
        """Return the proxy that a URL is asked through, None for none."""
        if is_loopback(url):
            return None
        return select_proxy(url, self.merge_environment_settings(url, {}, None, None, None)["proxies"])

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a redirect leads, resolved as other links are."""
        location: str | None = super().get_redirect_target(resp)
        return location and (resolve(resp.url, location) or location)

    def resolve_redirects(self, resp: requests.Response, *args: Any, **kwargs: Any) -> Any:
        """Follow redirects, without the base class's way to read all of each one's body first."""
        if resp.is_redirect:
            with suppress(ArchiveError):
                self._beginning(resp)
        return super().resolve_redirects(resp, *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send one request; every hop of a redirect comes through here.

        Raises
        ------
        ArchiveError
            Any failure, and any answer with a status from 400.
        """
        kwargs["timeout"] = kwargs.get("timeout") or self.timeout_seconds
        if is_loopback(request.url or ""):
            kwargs["proxies"] = {}
        proxy = select_proxy(request.url or "", kwargs.get("proxies"))
        with _naming(proxy), self.translate_errors(request.url):
            try:
                response = super().send(request, **kwargs)
            except requests.exceptions.ProxyError as error:
                raise Transient(
                    f"the proxy does not answer: {list(causes(error))[-1]}", hint=_PROXY_HINT
                ) from error
            except requests.RequestException:
                raise
            except ValueError as error:
                raise Protocol(f"the answer leads to what is no URL: {error}") from error
            if response.status_code >= requests.codes.bad_request:
                raise self._refusal(response)
            return response

    @contextmanager
    def translate_errors(self, url: str | None) -> Iterator[None]:
        """Raise every failure as an `ArchiveError`, which names the URL and never shows the token."""
        try:
            yield
        except ArchiveError as error:
            self._bearer.conceal(error.at(url))
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            failure = translated(error).at(url)
            self._bearer.conceal(failure)
            # An archive may redirect to a URL with the token in it, which the libraries' own errors show.
            raise failure from (None if self._bearer.is_quoted_in(error) else error)

    def chunks(self, response: requests.Response) -> Generator[bytes]:
        """Yield the decoded body as it arrives, in pieces of up to 1 MiB, and close the response.

        Raises
        ------
        Transient
            The connection broke, the body is shorter than announced, or it stopped arriving; `Damaged` if it has
            another digest than the answer states.
        Protocol
            The body is not encoded as it says, or unpacks to nothing.
        """
        with closing(response), self.translate_errors(response.url):
            yield from pieces(response, clock=self._clock)

    def body(
        self,
        response: requests.Response,
        *,
        within_seconds: float = _LONGEST_DOCUMENT_SECONDS,
        most_bytes: int = _LONGEST_DOCUMENT_BYTES,
    ) -> bytes:
        """Read a whole document, of up to 4 MiB unless told otherwise.

        Raises
        ------
        ArchiveError
            As `chunks`; `Protocol` if the document is longer, `Transient` if it takes longer.
        """
        parts: list[bytes] = []
        started = self._clock()
        with closing(self.chunks(response)) as chunks, self.translate_errors(response.url):
            for chunk in chunks:
                parts.append(chunk)
                if sum(map(len, parts)) > most_bytes:
                    raise Protocol(f"a document of over {most_bytes} bytes")
                if self._clock() - started > within_seconds:
                    raise Transient(f"a document did not arrive within {within_seconds:.0f} s")
        return b"".join(parts)

    def document(self, url: str, *, within_seconds: float = _LONGEST_DOCUMENT_SECONDS, **parameters: str) -> bytes:
        """GET a document of up to 4 MiB.

        Parameters
        ----------
        url
            Of the document.
        within_seconds
            A time limit, for each step and for the whole, that is tighter than the session's.
        **parameters
            Of the query.

        Raises
        ------
        ArchiveError
            Any failure.
        """
        total_seconds = max(1.0, min(within_seconds, _LONGEST_DOCUMENT_SECONDS))
        limits = self.no_longer_than(total_seconds)
        response = self.get(url, params=parameters, stream=True, timeout=limits)
        return self.body(response, within_seconds=total_seconds)

    def no_longer_than(self, seconds: float) -> tuple[float, float]:
        """Return this session's time limits for a request, or tighter ones of at least a second."""
        connect_seconds, read_seconds = self.timeout_seconds
        return min(connect_seconds, max(seconds, 1.0)), min(read_seconds, max(seconds, 1.0))

    def _beginning(self, response: requests.Response) -> bytes:
        """Read the beginning of a body that may be of any size, and close it."""
        body, started = b"", self._clock()
        with closing(self.chunks(response)) as chunks:
            for chunk in chunks:
                body += chunk
                if len(body) >= _LONGEST_ASIDE_BYTES or self._clock() - started > _LONGEST_ASIDE_SECONDS:
                    break
        return body[:_LONGEST_ASIDE_BYTES]

    def _refusal(self, response: requests.Response) -> ArchiveError:
        """Turn an answer with a status from 400 into an error that tells the archive's reason."""
        body = b""
        try:
            body = self._beginning(response)
        except ArchiveError as error:
            reason = f"{response.reason or 'no reason given'} (and the reason was cut off: {error.message})"
        else:
            reason = documents.reason_of(body) or response.reason or "no reason given"
        status = response.status_code
        if origin_of(response.url)[0] == "http" and (status == _UPGRADE_STATUS or _WANTS_TLS.search(body)):
            return Rejected("the archive takes https alone at this URL", status=status)
        if status in {401, 403}:
            hint = _WITHHELD_HINT if self._bearer.is_withheld else None
            return Unauthorized(reason, status=status, hint=hint)
        if status in _TRANSIENT_STATUSES | _BUSY_STATUSES:
            kind = Busy if status in _BUSY_STATUSES else Transient
            waiting = retry_after_seconds(response.headers.get("Retry-After"), response.headers.get("Date"))
            return kind(reason, status=status, retry_after_seconds=waiting)
        if status == requests.codes.proxy_authentication_required:
            return Rejected(reason, status=status, hint=_PROXY_HINT)
        if status in _MISSING_STATUSES:
            return Missing(reason, status=status)
        failure = documents.failure(reason, otherwise=Rejected)
        failure.status = status
        if status == _FULL_STATUS and type(failure) is Rejected:
            failure.hint = _FULL_HINT
        return failure


@contextmanager
def _naming(proxy: str | None) -> Iterator[None]:
    """Name the proxy in an error that may be its."""
    try:
        yield
    except ArchiveError as error:
        may_be_its = error.status in _PROXY_STATUSES or (error.status is None and isinstance(error, Transient))
        words = f"(asked through the proxy {_without_user(urlsplit(proxy))})" if proxy and may_be_its else ""
        if words not in error.message:
            error.message = f"{error.message} {words}"
            error.args = (error.message,)
        raise


def _origin_text(url: str) -> str:
    """Print the origin of a URL."""
    scheme, host, port = origin_of(url)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def retry_after_seconds(value: str | None, date: str | None = None) -> float | None:
    """Read a Retry-After header (RFC 9110 sec. 10.2.3): seconds or an HTTP date.

    Parameters
    ----------
    value
        The header; None if there was none.
    date
        The answer's own Date header: where it is given, our clock may be wrong without harm.

    Returns
    -------
    float | None
        Seconds from now, at least 0; None if the header is missing or says nothing that can be understood.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    until, now = _http_date(value), (_http_date(date) if date else None) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until else None


def _http_date(text: str) -> datetime | None:
    """Read an HTTP date; one without a zone is UTC, as HTTP has it."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
