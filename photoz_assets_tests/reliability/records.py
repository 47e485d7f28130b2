"""What the tests found when they injected a fault: held against ``docs/reliability.md``, or written down to make it.

Each test of a fault makes a `FaultRecord`, each long test a `SoakRecord`. The page's tables are made of those and of
nothing else (``page``).
"""

import json
import os
import time
import uuid
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from photoz_assets_tests.effort import SOAK

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
GROUPS: Final = ("Transport", "Service", "Data", "Process", "Limits", "Security")
_FOLDER: Final = "PHOTOZ_FAULT_RECORDS"
Record = TypeVar("Record", "FaultRecord", "SoakRecord")


@dataclass(frozen=True, order=True)
class SoakRecord:
    """A long test at full length: what was done, how much of it, what came of it, and how long that took."""

    part: str
    extent: str
    found: str
    seconds: int = 0

    @property
    def line(self) -> str:
        """The record as a row of the page's table."""
        return f"| {self.part} | {self.extent} | {self.found} | {self.seconds} |"


@dataclass(frozen=True, order=True)
class FaultRecord:
    """A fault, how it was injected and what came of it.

    ``retries`` are requests and downloads that were made again, ``jobs`` the queries that the archive ran; both are
    None where no archive takes part.
    """

    group: str
    fault: str
    injected: str
    outcome: str
    retries: int | None = None
    jobs: int | None = None
    rows_lost: int = 0
    wrong_rows: int = 0

    @property
    def line(self) -> str:
        """The record as a row of the page's table."""
        cells = ["" if cell is None else str(cell) for cell in astuple(self)[1:]]
        return f"| {' | '.join(cell.replace('<', '&lt;').replace('|', chr(92) + '|') for cell in cells)} |"


def note(record: FaultRecord) -> None:
    """Write a record down where the environment says so; else hold it against the page.

    Raises
    ------
    AssertionError
        The page says otherwise.
    """
    assert record.group in GROUPS
    if recording():
        _write_down(record)
    else:
        assert record.line in PAGE.read_text().splitlines(), f"make soak writes this line: {record.line}"


def note_soak(record: SoakRecord, started: float) -> None:
    """Write down what came of a long test, if it was done at full length and the environment says where.

    ``started`` is the monotonic second in which it began.
    """
    if SOAK and recording():
        _write_down(replace(record, seconds=round(time.monotonic() - started)))


def _write_down(record: FaultRecord | SoakRecord) -> None:
    folder = Path(os.environ[_FOLDER])
    folder.mkdir(parents=True, exist_ok=True)
    kind = type(record).__name__
    (folder / f"{kind}-{uuid.uuid4().hex}.json").write_text(json.dumps(asdict(record)))


def recording() -> bool:
    """Return whether records are written down, to make the page anew."""
    return _FOLDER in os.environ


def read(folder: Path) -> tuple[list[FaultRecord], list[SoakRecord]]:
    """Read what was written down in a folder."""
    return _read(folder, FaultRecord), _read(folder, SoakRecord)


def _read(folder: Path, kind: type[Record]) -> list[Record]:
    return [kind(**json.loads(path.read_text())) for path in folder.glob(f"{kind.__name__}-*.json")]
