"""What is asked of the archive, for which table, and on which limits."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from photoz_assets.lake.provenance import Provenance
from photoz_assets.survey.checks import Scope
from photoz_assets.survey.table import TableSpec
from photoz_assets.tap.uploads import Upload

Transform = Callable[[pa.RecordBatch], pa.RecordBatch]


def _unchanged(provenance: Provenance) -> Provenance:
    return provenance


@dataclass(frozen=True, kw_only=True)
class TableQuery:
    """A query whose result is a table of the lake.

    Attributes
    ----------
    spec, scope
        The table, and what of it is asked for.
    adql, count_adql
        The query; and one for the number of its rows as ``num_rows``, sent only to a service whose jobs do not
        say theirs.
    transform
        Makes the columns of the spec of those that were selected.
    part
        Which part of the table this is, in words.
    listing
        What the lake's listing of the sky says of what is asked, for the provenance (``lake.freshness``).
    upload
        A table that both queries read, sent along.
    annotate
        Adds to the provenance what the rows told, once all have come.
    split
        Makes two queries whose results are this one's, for an archive that finds it too large; none where it is
        not to be split.
    """

    spec: TableSpec
    adql: str
    count_adql: str
    transform: Transform
    scope: Scope = field(default_factory=Scope)
    part: str | None = None
    listing: str | None = None
    upload: Upload | None = None
    annotate: Callable[[Provenance], Provenance] = _unchanged
    split: Callable[[], tuple["TableQuery", ...]] = tuple

    @property
    def name(self) -> str:
        """The table, the tract and the part, as a part of a file name and for people."""
        words = (self.spec.table, self.scope.tract, self.part)
        return "-".join(str(word) for word in words if word is not None)


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """How politely and for how long to ask.

    ``queries`` bounds the concurrent ones of all who share the lake's locks, ``deadline_seconds`` a query's life
    at the archive and its download, ``max_rows`` the rows of a result (MAXREC).
    """

    queries: int = 4
    deadline_seconds: float = 6 * 3600.0
    max_rows: int = 20_000_000
