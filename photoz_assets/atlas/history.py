"""How good the redshifts were at each refresh, kept beside the pages: the lake itself holds the last alone.

A line of JSON each, the newest last; what stands there is only added to.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.staging import atomic_write
from photoz_assets.survey.contracts.redshifts import METRICS

FILE: Final = "quality.jsonl"


@dataclass(frozen=True, kw_only=True)
class QualityEntry:
    """The quality of all test galaxies after one refresh.

    ``made`` is UTC in ISO 8601; ``metrics`` and ``errors`` are numbers by the names of ``METRICS``, the errors
    those that chance gives.
    """

    made: str
    run_id: str
    estimator: str
    num_galaxies: int
    metrics: Mapping[str, float]
    errors: Mapping[str, float]

    @classmethod
    def of_row(cls, row: Mapping[str, Any], *, made: str, run_id: str, estimator: str) -> "QualityEntry":
        """Return the entry of a row of ``photoz_quality``."""
        return cls(
            made=made,
            run_id=run_id,
            estimator=estimator,
            num_galaxies=row["num_galaxies"],
            metrics={name: row[name] for name in METRICS},
            errors={name: row[f"{name}_error"] for name in METRICS},
        )


def kept_history(lake: Lake, now: QualityEntry | None) -> list[QualityEntry]:
    """Return the entries so far, the oldest first, after the present one was added if it is new.

    A line that cannot be read stays where it is, and is passed over.

    Raises
    ------
    OSError
        The disk is full or fails; what was there stays.
    """
    path = lake.kept.recall(lake.atlas / FILE)
    lines = path.read_text().splitlines() if path.exists() else []
    entries = [entry for line in lines if (entry := _read(line)) is not None]
    if now is None or any((entry.made, entry.run_id) == (now.made, now.run_id) for entry in entries):
        return entries
    with atomic_write(lake, path) as written:
        written.write_text("".join(f"{line}\n" for line in [*lines, json.dumps(asdict(now), sort_keys=True)]))
    return [*entries, now]


def _read(line: str) -> QualityEntry | None:
    with suppress(ValueError, TypeError, KeyError):
        entry = QualityEntry(**json.loads(line))
        if all(
            isinstance(entry.metrics[name], float) and isinstance(entry.errors[name], float) for name in METRICS
        ):
            return entry
    return None
