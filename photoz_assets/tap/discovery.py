"""Where a platform says that its services are: the discovery document of the Rubin Science Platform.

A platform answers at ``/repertoire/discovery`` with JSON that names its releases and the services of each (RSP's
Repertoire, https://repertoire.lsst.io).
"""

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from photoz_assets.tap.errors import Protocol, Rejected
from photoz_assets.tap.retry import Retrying, RetryPolicy
from photoz_assets.tap.transport import ArchiveSession

_PATH: Final = "/repertoire/discovery"


def is_discovery(url: str) -> bool:
    """Return whether a URL is one of a discovery document."""
    return urlsplit(url.strip()).path.rstrip("/").endswith(_PATH)


def discover_tap(url: str, release: str, *, on_event: Callable[[str], None]) -> str:
    """Ask a discovery document for the TAP base URL of a release. No token is sent.

    Parameters
    ----------
    url
        Of the document.
    release
        The release's name.
    on_event
        Told of retries, a line each.

    Raises
    ------
    Rejected
        The platform has no such release, or no TAP service for it.
    ArchiveError
        The document cannot be had, or is none.
    """
    place = url.strip()
    session = ArchiveSession(place)
    retrying = Retrying(policy=RetryPolicy(), on_event=on_event)
    with session.translate_errors(place):
        document = retrying(lambda: session.document(place))
    services = _services(place, document)
    if release not in services:
        named = ", ".join(sorted(services)) or "none"
        raise Rejected(
            f"{place} names no release {release!r}, but: {named}. Set PHOTOZ_RELEASE, or PHOTOZ_TAP_URL"
        )
    found = services[release].get("tap")
    if found is None:
        raise Rejected(f"{place} names no TAP service of {release}: set PHOTOZ_TAP_URL to one")
    return found


def _services(place: str, document: bytes) -> dict[str, dict[str, str]]:
    """Return the URLs of the services of each release."""
    try:
        datasets: dict[str, Any] = json.loads(document)["datasets"]
        return {
            name: {service: str(facts["url"]) for service, facts in dataset.get("services", {}).items()}
            for name, dataset in datasets.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Protocol(f"{place} is no discovery document: check PHOTOZ_TAP_URL") from error
