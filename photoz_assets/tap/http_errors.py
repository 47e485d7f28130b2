"""What the failures of the HTTP libraries mean, as errors of the archive."""

import ssl
from collections.abc import Callable, Iterator
from typing import Final

import requests
import urllib3

from photoz_assets.tap.errors import ArchiveError, Protocol, Rejected, Transient

MOST_REDIRECTS: Final = 5

# The first that fits explains; a failure's cause is looked at as well as the failure.
_EXPLANATIONS: Final[tuple[tuple[tuple[type[Exception], ...], Callable[[str], ArchiveError]], ...]] = (
    (
        (ssl.SSLCertVerificationError,),
        lambda cause: Rejected(
            f"the archive's certificate is not trusted: {cause}",
            hint="Check the URL; name the authority of a private certificate in REQUESTS_CA_BUNDLE.",
        ),
    ),
    (
        (requests.TooManyRedirects,),
        lambda _: Protocol(f"redirected more than {MOST_REDIRECTS} times"),
    ),
    (
        (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema),
        lambda cause: Rejected(f"not a usable URL: {cause}"),
    ),
    (
        (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError, UnicodeError),
        lambda cause: Protocol(f"the answer is not encoded as it says: {cause}"),
    ),
    (
        (urllib3.exceptions.NameResolutionError,),
        lambda _: Transient(
            "the archive's host name is unknown", hint="Check the URL (PHOTOZ_TAP_URL) and the network."
        ),
    ),
    (
        (ConnectionRefusedError,),
        lambda _: Transient(
            "the archive refuses connections", hint="Check the URL and whether the service is up."
        ),
    ),
    (
        (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError),
        lambda _: Transient("the archive did not answer in time"),
    ),
)


def translated(error: Exception) -> ArchiveError:
    """Return the error that a failure of the HTTP libraries means."""
    beneath = tuple(causes(error))
    for kinds, explain in _EXPLANATIONS:
        if any(isinstance(each, kinds) for each in beneath):
            return explain(str(beneath[-1]))
    return Transient(f"the connection broke: {beneath[-1]}")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what lies beneath it, the innermost last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        inner = [
            arg for arg in (*current.args, getattr(current, "reason", None)) if isinstance(arg, BaseException)
        ]
        current = inner[-1] if inner else current.__cause__ or current.__context__
