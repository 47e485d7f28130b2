"""What can go wrong between us and an archive, by what is to be done about it.

::

    ArchiveError
     ├─ Transient            the same request may succeed later: the only branch that is retried
     │   └─ Busy             the service has no room or is closed for a time: waited for
     ├─ Rejected             the request is wrong: ADQL, URL, table
     │   ├─ Unauthorized     the token is missing, wrong or expired
     │   └─ Missing          there is nothing (any more) at this URL
     ├─ Protocol             the answer is not what the standards promise
     │   └─ Damaged          nor is it what was sent: the next download may be whole (a Transient too)
     ├─ Truncated            the answer is not the whole result
     │   └─ CutShort         nor does it end as one does: the next download may be whole (a Transient too)
     ├─ ContractViolation    the result's columns are not those that were asked for
     ├─ TooLarge             the archive or this client refuses a result of that size
     ├─ JobFailed            the archive gave the job up
     ├─ JobAborted           somebody stopped the job
     └─ DeadlineExceeded     our own time budget is spent

Only the errors live here; who raises which, and what is retried, is the business of the other modules.
"""

# ruff: noqa: N818  (an error is named for what happened, and all share a root that says what they are)

import re
from typing import ClassVar, Final, Self

from photoz_assets.errors import PhotozError
from photoz_assets.text import one_line

_TELLTALE: Final = 8  # characters of a secret by which a part of it is known


def redact(text: str, secret: str) -> str:
    """Replace a secret in a text by ***, and its beginning alone, which a quotation that was cut short leaves."""
    start = re.escape(secret[:_TELLTALE])
    return re.sub(rf"{start}(?:{re.escape(secret[_TELLTALE:])}|[^\s'\"<>]*)", "***", text)


class ArchiveError(PhotozError):
    """An archive did not give what it was asked for.

    Its text is one line: what happened, to what, what to do next.

    Parameters
    ----------
    message
        What happened. Made one plain line of at most 500 characters.
    url
        What was asked, without credentials. Made one line too.
    status
        The HTTP status of the answer.
    retry_after_seconds
        How long the archive asks to be left alone.
    hint
        What to do next; the class has a default.
    """

    default_hint: ClassVar[str] = "See the archive's status page and the message above."

    def __init__(
        self,
        message: str,
        *,
        url: str | None = None,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(one_line(message))
        self.message = one_line(message)
        self.url = one_line(url) if url else None
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.hint = hint or self.default_hint

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status else ""
        place = f" at {self.url}" if self.url else ""
        return f"{self.message}{status}{place}. {self.hint}"

    def at(self, url: str | None) -> Self:
        """Name the URL, unless the error knows a closer one; return the error itself."""
        self.url = self.url or (one_line(url) if url else None)
        return self

    def redacted(self, secret: str) -> Self:
        """Replace a secret, or a beginning of it, in everything that the error says; return the error itself."""
        self.message = redact(self.message, secret)
        self.args = (self.message,)
        self.hint = redact(self.hint, secret)
        self.url = redact(self.url, secret) if self.url else None
        return self


class Transient(ArchiveError):
    """The network or the service is not well now; the same request may succeed later."""

    default_hint = "It was retried within the limits; try again later."


class Busy(Transient):
    """The service says that it has no room now, or is closed for a time; nothing is broken."""

    default_hint = "It was waited for within the limits; try again later."


class Rejected(ArchiveError):
    """The archive understood the request and refuses it; the same request never succeeds."""

    default_hint = "Correct the query or the URL (PHOTOZ_TAP_URL)."


class Unauthorized(Rejected):
    """The archive wants a token, or another one."""

    default_hint = "Set PHOTOZ_TAP_TOKEN to a valid token of this archive with the right to read its TAP service."


class Missing(Rejected):
    """There is nothing at this URL, or nothing any more."""

    default_hint = "Check the URL (PHOTOZ_TAP_URL); a job or its result may have been removed by the archive."


class Protocol(ArchiveError):
    """The answer is not what TAP, UWS or VOTable promise."""

    default_hint = "Check that the URL (PHOTOZ_TAP_URL) is a TAP service; if it is, it or a proxy misbehaves."


class Damaged(Protocol, Transient):
    """The bytes that came are not those that the archive states the digest of."""

    default_hint = "They were fetched again within the limits; if this lasts, a proxy changes what passes it."


class Truncated(ArchiveError):
    """The answer is not the whole result."""

    default_hint = "Nothing of it is used; ask again, or for less at a time."


class CutShort(Truncated, Transient):
    """The answer ends in its middle, though the connection did not break as far as HTTP can tell."""


class ContractViolation(ArchiveError):
    """The result's columns are not those that were asked for.

    ``problems`` has one entry for each column that is missing, unexpected or of another type.
    """

    default_hint = "The archive's schema changed or the service is misbehaving; compare with its TAP_SCHEMA."

    def __init__(self, *problems: str) -> None:
        super().__init__(f"the result breaks its contract: {'; '.join(problems)}")
        self.problems = tuple(map(one_line, problems))

    def redacted(self, secret: str) -> Self:
        """Replace a secret in everything that the error says; return the error itself."""
        self.problems = tuple(redact(problem, secret) for problem in self.problems)
        return super().redacted(secret)

    def __reduce__(self) -> tuple[type[Self], tuple[str, ...], dict[str, object]]:
        """Pickle by the problems, which are what the constructor takes."""
        return type(self), self.problems, self.__dict__


class TooLarge(ArchiveError):
    """The result is larger than the archive gives out or than this client takes."""

    default_hint = "Ask for a smaller region or fewer columns."


class JobFailed(ArchiveError):
    """The archive gave the job up, for a reason that is neither ours for certain nor known to pass."""

    default_hint = "Read the archive's message; if it is about the query, correct that."


class JobAborted(ArchiveError):
    """The job was stopped, by its owner in another session or by the archive."""

    default_hint = "Ask again if that was not intended."


class DeadlineExceeded(ArchiveError):
    """The time that we are willing to wait is spent."""

    default_hint = "Allow more time, or ask for a smaller region."
