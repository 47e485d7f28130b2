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
import uuid
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
GROUPS: Final = ("Transport", "Service", "Data", "Process", "Limits", "Security")
_BEGIN, _END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
_FOLDER: Final = "PHOTOZ_FAULT_RECORDS"
_HEADINGS: Final = ("fault", "injected", "outcome", "retries", "archive jobs", "rows lost", "wrong rows published")


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
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def note(record: FaultRecord) -> None:
    """Write a record down where the environment says so; else hold it against the page.

    Raises
    ------
    AssertionError
        The page says otherwise.
    """
    assert record.group in GROUPS
    if folder := os.environ.get(_FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{uuid.uuid4().hex}.json").write_text(json.dumps(asdict(record)))
    else:
        assert record.line in PAGE.read_text().splitlines(), f"make soak writes this line: {record.line}"


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


def main(folder: str) -> None:
    """Put the records of a folder into the page."""
    names = {each.name for each in fields(FaultRecord)}
    texts = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    records = [FaultRecord(**{name: text[name] for name in names}) for text in texts]
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n{render(records)}\n{_END}{after}")


if __name__ == "__main__":
    main(sys.argv[1])
