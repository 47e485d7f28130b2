"""The state of the survey: whether each tract's stored galaxies are current and, if not, why.

Judged by the lake alone: what a tract is of stands in its file, and what the archive lists stands in the newest
stored ``skyinfo``. What came of the runs that tried stands in Dagster's instance: see ``refresh``.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import InvalidTableFileError, Provenance, damage_errors
from photoz_assets.survey.selection import Selection

_Counts = dict[tuple[int, int], int]

_COUNTED: Final = ("tract", "patch", "num")


class StaleReason(StrEnum):
    """How a tract's stored galaxies stand; the value is the reason in words."""

    CURRENT = "current"
    MISSING = "missing"
    CHANGED = "changed at the archive"
    OTHER_SELECTION = "of another selection"
    OTHER_CODE = "of another code version"
    UNREADABLE = "damaged, or not ours"


class Listing:
    """A new listing of the sky on its way into the lake, held against the one before.

    The number of objects in each patch is what the archive tells of a change without a query over its rows.
    When a change was first seen travels in the provenance of ``skyinfo`` from listing to listing.
    """

    def __init__(self, lake: Lake) -> None:
        path = lake.table("skyinfo")
        self._before: _Counts | None = None
        self._seen: dict[str, str] = {}
        if path.exists():
            self._seen = dict(lake.provenance("skyinfo").changes_seen)
            with damage_errors(path):
                self._before = _counts(pq.read_table(path, columns=list(_COUNTED)))
        self._now: _Counts = {}

    def count(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Take note of some rows of the new listing, and pass them on."""
        self._now |= _counts(batch)
        return batch

    @property
    def changed(self) -> tuple[int, ...]:
        """The tracts whose patches hold other numbers of objects than before; none in a first listing."""
        if self._before is None:
            return ()
        differing = self._before.items() ^ self._now.items()
        return tuple(sorted({tract for (tract, _), _ in differing}))

    def noted(self, provenance: Provenance) -> Provenance:
        """Give the provenance of the new listing with when each tract was last seen to have changed."""
        now = dict.fromkeys(map(str, self.changed), provenance.created or "")
        return replace(provenance, changes_seen=self._seen | now)


def _counts(rows: pa.Table | pa.RecordBatch) -> _Counts:
    columns = (rows.column(name).to_pylist() for name in _COUNTED)
    return {(tract, patch): number for tract, patch, number in zip(*columns, strict=True)}


def stale_reasons(
    lake: Lake, tracts: Iterable[int], *, selection: Selection, code_version: str
) -> dict[int, StaleReason]:
    """Tell how the stored galaxies of tracts stand.

    Parameters
    ----------
    lake
        Where ``matched_galaxies`` and ``skyinfo`` lie; without the latter, or if it is damaged, no tract counts as
        changed.
    tracts
        The tracts of the survey.
    selection, code_version
        What a current tract is of.
    """
    listed: Mapping[str, str] = {}
    # One bad file must not keep the tracts from being refreshed: the next listing fails by it, and names it.
    with suppress(InvalidTableFileError):
        listed = lake.provenance("skyinfo").changes_seen if lake.table("skyinfo").exists() else {}
    held = set(lake.tracts("matched_galaxies"))
    return {
        tract: _standing(lake, tract, selection, code_version, listed.get(str(tract)))
        if tract in held
        else StaleReason.MISSING
        for tract in tracts
    }


def _standing(lake: Lake, tract: int, selection: Selection, code_version: str, changed: str | None) -> StaleReason:
    try:
        stored = lake.provenance("matched_galaxies", tract)
    except InvalidTableFileError:
        # One bad file must not keep the other tracts from being refreshed.
        return StaleReason.UNREADABLE
    if stored.selection != selection:
        return StaleReason.OTHER_SELECTION
    if stored.code_version != code_version:
        return StaleReason.OTHER_CODE
    if changed is not None and stored.created is not None and datetime.fromisoformat(changed) > _asked(stored):
        return StaleReason.CHANGED
    return StaleReason.CURRENT


def _asked(stored: Provenance) -> datetime:
    """Tell when a table was asked for: a change that was seen while it was on its way may not be in it."""
    made = datetime.fromisoformat(str(stored.created))
    return made - timedelta(seconds=stored.seconds or 0)
