"""What is asked of the archive, for which table, and on which limits."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from photoz_assets.lake.provenance import Provenance
from photoz_assets.survey.contracts import Contract
from photoz_assets.survey.selection import Selection

Completion = Callable[[pa.RecordBatch], pa.RecordBatch]


def _as_it_is(provenance: Provenance) -> Provenance:
    return provenance


@dataclass(frozen=True, kw_only=True)
class TableQuery:
    """What is asked of the archive, and for which table.

    ``complete`` makes the contract's columns of those that were selected. ``count_adql`` gives the number of
    rows as ``num_rows``; it is sent only to a service whose jobs do not say theirs. ``halves`` makes two questions
    whose answers are this one's, for an archive that finds it too large; none where it is not to be split.
    ``part`` says in words which part this is of which the table is made. ``annotate`` adds to the provenance what
    the rows told, once all have come.
    """

    contract: Contract
    adql: str
    count_adql: str
    complete: Completion
    code_version: str
    tract: int | None = None
    selection: Selection | None = None
    annotate: Callable[[Provenance], Provenance] = _as_it_is
    part: str | None = None
    halves: Callable[[], tuple["TableQuery", ...]] = tuple

    @property
    def name(self) -> str:
        """The table, the tract and the part, as a part of a file name and for people."""
        return "-".join(str(each) for each in (self.contract.table, self.tract, self.part) if each is not None)


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """How politely and for how long to ask.

    ``queries`` bounds the concurrent ones of this machine, ``deadline_seconds`` a query's life at the archive and
    its download, ``max_rows`` the rows of a result (MAXREC).
    """

    queries: int = 4
    deadline_seconds: float = 6 * 3600.0
    max_rows: int = 20_000_000
