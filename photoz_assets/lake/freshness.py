"""The state of the survey: whether each tract's stored galaxies are current and, if not, why.

The lake alone is the judge: a tract's file says what it is of, and the newest stored ``skyinfo`` says what the
archive lists. What came of the runs that tried is in Dagster's instance: see ``tract_status``.
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import ClassVar, Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.lake.footers import Found, StoredFooter, columns_schema, read_footers
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import ArchiveIdentity, InvalidTableFileError, Provenance, read_rows
from photoz_assets.survey.matching import Matching
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.table import TableSpec

_Counts = dict[tuple[int, int], int]

_COUNTED: Final = ("tract", "patch", "num")

# What stands in a tract's provenance if the lake held no listing of the sky when it was asked for.
NO_LISTING: Final = "none"


@dataclass(frozen=True)
class StaleReason:
    """How a tract's stored galaxies stand; as text, the reason in words.

    ``detail`` says what differs, where that is known: the columns.
    """

    kind: str
    detail: str = ""

    CURRENT: ClassVar["StaleReason"]
    MISSING: ClassVar["StaleReason"]
    CHANGED: ClassVar["StaleReason"]
    OTHER_SELECTION: ClassVar["StaleReason"]
    OTHER_MATCHING: ClassVar["StaleReason"]
    OTHER_REDSHIFTS: ClassVar["StaleReason"]
    OTHER_CODE: ClassVar["StaleReason"]
    OTHER_COLUMNS: ClassVar["StaleReason"]
    UNREADABLE: ClassVar["StaleReason"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


StaleReason.CURRENT = StaleReason("current")
StaleReason.MISSING = StaleReason("missing")
StaleReason.CHANGED = StaleReason("changed at the archive")
StaleReason.OTHER_SELECTION = StaleReason("of another selection")
StaleReason.OTHER_MATCHING = StaleReason("of another matching")
StaleReason.OTHER_REDSHIFTS = StaleReason("of other redshifts")
StaleReason.OTHER_CODE = StaleReason("of another code version")
StaleReason.OTHER_COLUMNS = StaleReason("columns differ")
StaleReason.UNREADABLE = StaleReason("damaged, or not ours")


class Listing:
    """A new listing of the sky on its way into the lake, held against the one before.

    The archive tells of a change, without a query over its rows, by the number of objects in each patch and by the
    words in which it declares itself. When a change was first seen travels in the provenance of ``skyinfo`` from
    listing to listing.
    """

    def __init__(self, lake: Lake) -> None:
        path = lake.table("skyinfo")
        self._before: _Counts | None = None
        self._seen: dict[str, str] = {}
        self._archive: ArchiveIdentity | None = None
        self._redeclared = False
        if path.exists():
            provenance = lake.provenance("skyinfo")
            self._seen = dict(provenance.changes_seen)
            self._archive = provenance.archive
            self._before = _counts(read_rows(path, _COUNTED))
        self._now: _Counts = {}

    def count(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Take note of some rows of the new listing, and pass them on."""
        self._now |= _counts(batch)
        return batch

    @property
    def changed(self) -> tuple[int, ...]:
        """The tracts that have changed since the listing before: all, if the archive declares itself otherwise.

        Else those whose patches hold other numbers of objects; none in a first listing.
        """
        if self._before is None:
            return ()
        differing = self._before.items() ^ self._now.items()
        if self._redeclared:
            differing = self._before.items() | self._now.items()
        return tuple(sorted({tract for (tract, _), _ in differing}))

    def noted(self, provenance: Provenance) -> Provenance:
        """Return the provenance of the new listing with when each tract was last seen to have changed."""
        before, now = self._archive, provenance.archive
        self._redeclared = before is not None and now is not None and before.fingerprint != now.fingerprint
        seen = dict.fromkeys(map(str, self.changed), provenance.created or "")
        return replace(provenance, changes_seen=self._seen | seen)


def _counts(rows: pa.Table | pa.RecordBatch) -> _Counts:
    columns = (rows.column(name).to_pylist() for name in _COUNTED)
    return {(tract, patch): number for tract, patch, number in zip(*columns, strict=True)}


@dataclass(frozen=True, kw_only=True)
class _StoredListing:
    """The listing of the sky that the lake holds."""

    archive: str
    counts: Mapping[int, list[tuple[int, int]]]
    changes_seen: Mapping[str, str]

    @classmethod
    def read(cls, lake: Lake, tract: int | None = None) -> Self | None:
        """Read it, or what it says of one tract; None if there is none, or none that can be read."""
        path = lake.table("skyinfo")
        # One bad file must not keep the tracts from being refreshed: the next listing fails by it, and names it.
        with suppress(InvalidTableFileError, FileNotFoundError, NotADirectoryError):
            provenance = lake.provenance("skyinfo")
            rows = read_rows(path, _COUNTED)
            if tract is not None:
                rows = rows.filter(pc.field("tract") == tract)
            rows = rows.sort_by([("tract", "ascending"), ("patch", "ascending")])
            listed = zip(*(rows.column(name).to_numpy().tolist() for name in _COUNTED), strict=True)
            return cls(
                archive=provenance.archive.fingerprint if provenance.archive else "",
                counts={
                    key: [(patch, number) for _, patch, number in patches]
                    for key, patches in groupby(listed, itemgetter(0))
                },
                changes_seen=provenance.changes_seen,
            )
        return None

    def digest(self, tract: int) -> str:
        """Return a digest of the archive's declaration and of the numbers of objects in a tract's patches."""
        return hashlib.sha256(f"{self.archive} {self.counts.get(tract, [])}".encode()).hexdigest()[:12]


def listed_as(lake: Lake, tract: int) -> str:
    """Return what the lake's listing of the sky says of a tract, for its provenance if it is asked for now.

    A tract is stale when the listing says something else than it did then. So no clock decides what has changed.
    """
    listing = _StoredListing.read(lake, tract)
    return NO_LISTING if listing is None else listing.digest(tract)


def stale_reasons(
    lake: Lake,
    tracts: Iterable[int],
    selection: Selection,
    spec: TableSpec,
    matching: Matching | None = None,
) -> dict[int, StaleReason]:
    """Return how the stored galaxies of each tract stand.

    Parameters
    ----------
    lake
        Where the spec's table and ``skyinfo`` lie; without the latter, or if it is damaged, no tract counts as
        changed.
    tracts
        The tracts of the survey.
    selection, spec, matching
        What a current tract is of; where it has a matching, also of the redshifts that the lake holds.
    """
    stored = lake.publisher.listed(spec.table)
    footers = dict(zip(stored, read_footers(lake, spec.table, list(stored.values())), strict=True))
    current = _Current(
        selection=selection,
        spec=spec,
        listing=_StoredListing.read(lake),
        matching=matching,
        redshifts=_redshifts(lake) if matching else None,
    )
    return {tract: current.judge(footers.get(tract)) for tract in tracts}


def _redshifts(lake: Lake) -> set[str] | None:
    """Return the digests of the files of redshifts that the lake holds; None if it has none that can be read."""
    with suppress(InvalidTableFileError, FileNotFoundError, NotADirectoryError):
        return _digests(lake.provenance("specz"))
    return None


def _digests(provenance: Provenance) -> set[str]:
    return {str(file.get("sha256")) for file in provenance.redshift_files}


@dataclass(frozen=True, kw_only=True)
class _Current:
    """What a current tract is of."""

    selection: Selection
    spec: TableSpec
    listing: _StoredListing | None
    matching: Matching | None
    redshifts: set[str] | None
    _compared_columns: dict[bytes, str] = field(default_factory=dict)

    def judge(self, footer: Found) -> StaleReason:
        """Return how a tract stands of which this was found."""
        if footer is None:
            return StaleReason.MISSING
        # One bad file must not keep the other tracts from being refreshed.
        with suppress(InvalidTableFileError):
            if isinstance(footer, StoredFooter):
                return self._compared(footer.provenance, footer.columns)
        return StaleReason.UNREADABLE

    def _compared(self, stored: Provenance, columns: bytes) -> StaleReason:
        if stored.selection != self.selection:
            return StaleReason.OTHER_SELECTION
        if (otherwise := self._matched_otherwise(stored)) is not None:
            return otherwise
        if stored.code_version != self.spec.code_version:
            return StaleReason.OTHER_CODE
        if differences := self._differences(columns):
            return replace(StaleReason.OTHER_COLUMNS, detail=differences)
        if self.listing is not None and _has_changed(stored, self.listing):
            return StaleReason.CHANGED
        return StaleReason.CURRENT

    def _differences(self, columns: bytes) -> str:
        """Return in words how the columns of a file differ from the spec's; of most tracts they are alike."""
        if columns not in self._compared_columns:
            self._compared_columns[columns] = self.spec.differences(columns_schema(columns))
        return self._compared_columns[columns]

    def _matched_otherwise(self, stored: Provenance) -> StaleReason | None:
        if stored.matching != self.matching:
            return StaleReason.OTHER_MATCHING
        if self.redshifts is not None and _digests(stored) != self.redshifts:
            return StaleReason.OTHER_REDSHIFTS
        return None


def _has_changed(stored: Provenance, listing: _StoredListing) -> bool:
    """Return whether the archive has changed a tract since it was asked for, as far as the listing tells."""
    change = listing.changes_seen.get(str(stored.tract))
    if stored.listing == NO_LISTING:
        # All listings are later than the tract.
        return change is not None
    if stored.listing is not None and stored.tract is not None:
        return stored.listing != listing.digest(stored.tract)
    # Files that name no listing are older than the rule.
    return change is not None and stored.created is not None and datetime.fromisoformat(change) > _asked(stored)


def _asked(stored: Provenance) -> datetime:
    """Return when a table was asked for: a change that was seen while it was on its way may not be in it."""
    made = datetime.fromisoformat(str(stored.created))
    return made - timedelta(seconds=stored.seconds or 0)
