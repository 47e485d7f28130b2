"""Faults that the service can be told to make, so that a client is tested over real HTTP.

Nothing on the web reaches these: they are an attribute of the server object.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from photoz_archive.images.pixels import Coadd


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Misbehaviour, all off by default.

    Those that concern a result are left out for queries of TAP_SCHEMA alone, so that a client can still find
    out what the service offers.

    Attributes
    ----------
    rewrite
        Applied to each batch of a result before it is encoded; may change values, columns and types.
    overflow
        Marks the result as cut off though it is complete.
    report_rows
        The row count that the job names instead of the true one.
    truncate_after_bytes
        Ends the body of a result after that many bytes, as if it were complete.
    error_text
        Ends the query in ERROR with that text.
    most_rows
        Ends a query of more rows in ERROR, in the words of Rubin's archive.
    html
        Answers every request with an HTML page and status 200.
    unauthorized
        Answers every request with status 401.
    no_image_scope
        Answers requests for images with status 403, as to a token without the scope ``read:image``.
    rewrite_coadd
        Applied to the part of a coadd that a cutout is, before it is written; may change pixels and their place.
    """

    rewrite: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
    overflow: bool = False
    report_rows: int | None = None
    truncate_after_bytes: int | None = None
    error_text: str | None = None
    most_rows: int | None = None
    html: bool = False
    unauthorized: bool = False
    no_image_scope: bool = False
    rewrite_coadd: Callable[[Coadd], Coadd] | None = None
