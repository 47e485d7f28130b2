"""The one way by which a table comes into the lake: stage, audit, publish or refuse.

Whoever has rows hands them over with the table's spec and their provenance. What the audit finds comes back with
the published table, or with the error that refuses it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from photoz_assets.errors import PhotozError
from photoz_assets.lake.audit import audit
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import StagedTable, publish, spill_folder, stage
from photoz_assets.survey.checks import Scope, Verdict
from photoz_assets.survey.table import TableSpec

STAYS: Final = "The last good table stays as it was"


class TableRefusedError(PhotozError):
    """A table is not published: its checks failed, or the answer cannot be read as the table.

    Attributes
    ----------
    verdicts
        What its checks found, as far as they came to be held against it.
    """

    def __init__(self, message: str, verdicts: Sequence[Verdict]) -> None:
        super().__init__(message)
        self.verdicts = tuple(verdicts)


@dataclass(frozen=True, kw_only=True)
class WrittenTable:
    """A published table: where it lies, what it holds, where that came from and what its checks found.

    ``path`` is its place on this machine, ``address`` what all machines call the file.
    """

    spec: TableSpec
    path: Path
    address: str
    rows: int
    provenance: Provenance
    verdicts: tuple[Verdict, ...]


def require_passed(spec: TableSpec, name: str, verdicts: Sequence[Verdict]) -> None:
    """Refuse a table if a check that blocks it failed.

    Raises
    ------
    TableRefusedError
        With the failed checks and what they found.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed and spec.check(verdict.check).blocking]
    if failed:
        found = "; ".join(f"{verdict.check}: {verdict.summary}" for verdict in failed)
        raise TableRefusedError(f"{name} is refused by its checks. {found}", verdicts)


def write_table(
    lake: Lake, spec: TableSpec, staged: StagedTable, scope: Scope, verdicts: Sequence[Verdict] = ()
) -> WrittenTable:
    """Hold a staged table against its checks; publish it, or refuse it. Either way it is staged no longer.

    Parameters
    ----------
    lake, spec, staged
        Where it goes, what it must be, and what it is.
    scope
        What it was asked for.
    verdicts
        Those of the checks that were judged before.

    Raises
    ------
    TableRefusedError
        A blocking check failed; what was there stays.
    ForeignArchiveError
        The lake holds tables of another archive or release.
    OSError, duckdb.Error
        The disk is full or fails.
    """
    try:
        found = (*verdicts, *_audited(spec, staged, scope))
        name = spec.table if scope.tract is None else f"{spec.table} of tract {scope.tract}"
        require_passed(spec, name, found)
        path = publish(lake, staged)
    finally:
        staged.discard()
    address = lake.publisher.address(path)
    return WrittenTable(
        spec=spec, path=path, address=address, rows=staged.rows, provenance=staged.provenance, verdicts=found
    )


def write_rows(
    lake: Lake,
    spec: TableSpec,
    rows: Iterable[pa.RecordBatch | pa.Table],
    provenance: Provenance,
    verdicts: Sequence[Verdict] = (),
    *,
    count: Callable[[int], Verdict] | None = None,
) -> WrittenTable:
    """Stage rows in the columns of a spec and write them as ``write_table`` does.

    Parameters
    ----------
    lake, spec, provenance
        Where the rows go, what they must be, and where they came from.
    rows
        Any number of batches.
    verdicts
        Those of the checks that were judged before.
    count
        Judges the number of staged rows.

    Raises
    ------
    TableRefusedError, ForeignArchiveError, OSError, duckdb.Error
        As ``write_table``.
    """
    staged = stage(lake, spec, rows, lambda: provenance)
    scope = Scope(
        selection=provenance.selection,
        tract=provenance.tract,
        sampling=provenance.sampling,
        matching=provenance.matching,
    )
    counted = [count(staged.rows)] if count else []
    return write_table(lake, spec, staged, scope, [*verdicts, *counted])


def _audited(spec: TableSpec, staged: StagedTable, scope: Scope) -> list[Verdict]:
    rules = spec.rules(scope)
    return audit(staged.path, rules, spill=spill_folder(staged.path)) if rules else []
