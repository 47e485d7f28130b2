"""What the tests found when they injected a fault, and the page that lists it.

Each test of a fault makes a `FaultRecord` and holds it against ``docs/reliability.md``. The page's table is made of
those records and of nothing else: ``make soak`` writes it, or

    PHOTOZ_FAULT_RECORDS=FOLDER python -m pytest photoz_assets_tests/reliability
    python -m photoz_assets_tests.reliability.records FOLDER
"""

import json
import os
import re
import sys
import time
import uuid
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any, Final

from photoz_assets_tests.effort import SOAK

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
GROUPS: Final = ("Transport", "Service", "Data", "Process", "Limits", "Security")
_BEGIN, _END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
_SOAK_BEGIN, _SOAK_END = "<!-- soak: begin -->\n", "<!-- soak: end -->\n"
_FOLDER: Final = "PHOTOZ_FAULT_RECORDS"
_HEADINGS: Final = ("fault", "injected", "outcome", "retries", "archive jobs", "rows lost", "wrong rows published")


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
    """Tell whether records are written down, to make the page anew."""
    return _FOLDER in os.environ


def listed() -> list[list[str]]:
    """Give the cells of the page's table, a list for each fault."""
    _, _, table = PAGE.read_text().partition(_BEGIN)
    lines = re.findall(r"^\| (.+) \|$", table.partition(_END)[0], re.MULTILINE)
    rows = [re.split(r" \| ", line) for line in lines]
    return [row for row in rows if row[0] not in {_HEADINGS[0], "---"}]


def render(records: list[FaultRecord]) -> str:
    """Write the tables of all groups."""
    sections = []
    for group in GROUPS:
        lines = [record.line for record in sorted(set(records)) if record.group == group]
        head = f"| {' | '.join(_HEADINGS)} |\n|{' --- |' * len(_HEADINGS)}"
        sections.append("\n".join([f"### {group}\n", head, *lines, ""]))
    return "\n".join(sections)


def render_soak(records: list[SoakRecord]) -> str:
    """Write the table of the long tests."""
    head = "| part | extent | found | seconds |\n| --- | --- | --- | --- |"
    return "\n".join([head, *(record.line for record in sorted(records)), ""])


def main(folder: str) -> None:
    """Put the records of a folder into the page."""
    faults = [FaultRecord(**text) for text in _read(folder, FaultRecord)]
    soaks = [SoakRecord(**text) for text in _read(folder, SoakRecord)]
    page = _between(PAGE.read_text(), _BEGIN, _END, render(faults))
    PAGE.write_text(_between(page, _SOAK_BEGIN, _SOAK_END, render_soak(soaks)))


def _read(folder: str, kind: type) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in Path(folder).glob(f"{kind.__name__}-*.json")]


def _between(page: str, begin: str, end: str, text: str) -> str:
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    main(sys.argv[1])
