"""An error as an answer: the document in which TAP tells one, whatever its status (DALI 1.1 sec. 4.4)."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from photoz_archive.service.votable import error_document

VOTABLE: Final = "application/x-votable+xml"


def refusal(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that tells an error."""
    return Response(error_document(message), status_code=status, headers=dict(headers or {}), media_type=VOTABLE)
