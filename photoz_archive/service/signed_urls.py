"""URLs that need no token, because they are signed: whoever has one is granted what it asks for, for a while."""

import hmac
import secrets
import time
from collections.abc import Mapping
from urllib.parse import urlencode

from photoz_archive.service.errors import ServiceError


class SignatureError(ServiceError):
    """The URL was not signed here, was changed, or has expired."""

    status = 403


class UrlSigner:
    """Signs the queries of URLs with a key of its own; they hold until their time, or this process, is over."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def signed(self, query: Mapping[str, str], seconds: float) -> str:
        """Return a query with its end and its signature."""
        granted = {**query, "Expires": str(round(time.time() + seconds))}
        return urlencode({**granted, "Signature": self._signature(granted)})

    def check(self, query: Mapping[str, str]) -> None:
        """Refuse a query that is not as it was signed.

        Raises
        ------
        SignatureError
            With what is wrong.
        """
        granted = {name: value for name, value in query.items() if name != "Signature"}
        if not hmac.compare_digest(self._signature(granted).encode(), query.get("Signature", "").encode()):
            raise SignatureError("the signature of this URL does not match")
        if time.time() > int(granted["Expires"]):
            raise SignatureError("this URL has expired; ask the cutout service for another one")

    def _signature(self, granted: Mapping[str, str]) -> str:
        return hmac.new(self._key, urlencode(sorted(granted.items())).encode(), "sha256").hexdigest()
