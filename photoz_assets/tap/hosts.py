"""Hosts that are this machine or linked to it alone: no archive may lead there, and no proxy is asked for them."""

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from photoz_assets.tap.names import fold

_LOCAL_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, empty if there is none."""
    try:
        return fold(urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine; no name is looked up."""
    host = host_of(url)
    if host in _LOCAL_NAMES or host.endswith(".localhost"):
        return True
    addresses = _addresses(host, flags=socket.AI_NUMERICHOST)
    return bool(addresses) and all(each.is_loopback or each.is_unspecified for each in addresses)


def is_inward(url: str, *, looks_up: bool) -> bool:
    """Return whether a URL leads to this machine or to what is linked to it alone, such as a cloud's metadata.

    Parameters
    ----------
    url
        Of http or https.
    looks_up
        Whether to look its name up, since a name may have such an address.
    """
    if is_loopback(url):
        return True
    addresses = _addresses(host_of(url), flags=0 if looks_up else socket.AI_NUMERICHOST)
    return any(each.is_loopback or each.is_unspecified or each.is_link_local for each in addresses)


def _addresses(host: str, *, flags: int) -> list[Address]:
    """Return the addresses of a host in any of their spellings, none if it has none."""
    try:
        found = socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM, 0, flags)
    except (OSError, UnicodeError):
        return []
    addresses = [ipaddress.ip_address(str(where[0]).partition("%")[0]) for *_, where in found]
    return [getattr(each, "ipv4_mapped", None) or each for each in addresses]
