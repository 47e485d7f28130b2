"""The tables of ``docs/reliability.md``, made of what the tests wrote down and of what they are given.

``make soak`` writes them, or, for that of the faults alone:

    PHOTOZ_FAULT_RECORDS=FOLDER python -m pytest photoz_assets_tests/reliability
    python -m photoz_assets_tests.reliability.page FOLDER

Without a folder, only those that need no run: the summary, the dialects, the page's guard and what was tried from
outside.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from photoz_assets_tests.commands.test_page import ASKED_BY_A_PAGE, FROM_ELSEWHERE, SPELLINGS, WAYS
from photoz_assets_tests.reliability.outside import ATTEMPTS
from photoz_assets_tests.reliability.records import GROUPS, PAGE, FaultRecord, SoakRecord, read
from photoz_assets_tests.tap.test_dialects import DIALECTS
from photoz_assets_tests.tap.test_inputs import EXPECTED

_FAULTS, _SOAK = "faults", "soak"
_MOST_NAMED: Final = 5
_HEADINGS: Final = ("fault", "injected", "outcome", "retries", "archive jobs", "rows lost", "wrong rows published")


def injected() -> list[str]:
    """List the faults that the tests of this folder inject: what their modules name ``FAULTS``."""
    names = (f"{__package__}.{path.stem}" for path in Path(__file__).parent.glob("test_*.py"))
    return sorted(fault for name in names for fault in getattr(import_module(name), "FAULTS", ()))


def listed() -> list[list[str]]:
    """Return the cells of the page's table of faults, a list for each."""
    return _cells(_FAULTS, _HEADINGS[0])


def _cells(table: str, heading: str) -> list[list[str]]:
    """Return the cells of a table of the page, without its heading."""
    begin, end = _marks(table)
    return _rows(PAGE.read_text().partition(begin)[2].partition(end)[0], heading)


def _rows(text: str, heading: str) -> list[list[str]]:
    rows = [re.split(r" \| ", line) for line in re.findall(r"^\| (.+) \|$", text, re.MULTILINE)]
    return [row for row in rows if row[0] not in {heading, "---"}]


def _marks(table: str) -> tuple[str, str]:
    """Return what stands before and after a table of the page."""
    return f"<!-- {table}: begin -->\n", f"<!-- {table}: end -->\n"


def render(records: list[FaultRecord]) -> str:
    """Write the tables of all groups."""
    sections = []
    for group in GROUPS:
        lines = [record.line for record in sorted(set(records)) if record.group == group]
        head = f"| {' | '.join(_HEADINGS)} |\n|{' --- |' * len(_HEADINGS)}"
        folded = f"<details>\n<summary>{len(lines)} faults</summary>\n"
        sections.append("\n".join([f"### {group}\n", folded, head, *lines, "\n</details>\n"]))
    return "\n".join(sections)


def _summary(page: str) -> str:
    """Sum up the page's table of faults, a line a group."""
    begin, end = _marks(_FAULTS)
    _, *sections = re.split(r"^### (.+)\n", page.partition(begin)[2].partition(end)[0], flags=re.MULTILINE)
    lines = []
    for group, text in zip(sections[::2], sections[1::2], strict=True):
        rows = _rows(text, _HEADINGS[0])
        came = Counter(re.split(r"\W", row[2])[0] for row in rows)
        others = len(rows) - came["recovered"] - came["refused"]
        sums = (sum(map(int, column)) for column in zip(*(row[-2:] for row in rows), strict=True))
        lines.append((group, *map(str, (len(rows), came["recovered"], came["refused"], others, *sums))))
    heading = ("faults of", "injected", "recovered from", "refused", "held otherwise", *_HEADINGS[-2:])
    return _table(heading, lines)


def render_soak(records: list[SoakRecord]) -> str:
    """Write the table of the long tests."""
    head = "| part | extent | found | seconds |\n| --- | --- | --- | --- |"
    return "\n".join([head, *(record.line for record in sorted(records)), ""])


def render_given() -> dict[str, str]:
    """Write the tables of what tests are given, by their names on the page."""
    ways = ", ".join(WAYS)
    asked = [
        *((kind, _listed(headers), ways, "refused") for kind, headers in FROM_ELSEWHERE.items()),
        ("a mutation by GET", f"{len(SPELLINGS)} spellings", "GET", "refused; nothing changes"),
        (
            "a page of another origin, in a browser",
            "; ".join(ASKED_BY_A_PAGE),
            "from another port of the same site, and from another site",
            "nothing changes",
        ),
        (
            "scripts, the own page, and other names of this machine",
            "no Origin, or its own",
            "GET, POST",
            "answered",
        ),
    ]
    return {
        "dialects": _table(
            ("service", "what of its form is tried", "asked for"),
            ((name, each.form, each.asked and f"`{each.asked}`") for name, each in DIALECTS.items()),
        ),
        "guard": _table(("what asks", "as", "by", "found"), asked),
        "inputs": _table(("input", "right"), ((f"`{name}`", each["is"]) for name, each in EXPECTED.items())),
        "outside": _table(
            ("tried", "found", "test"), ((each.tried, each.found, f"`{each.test}`") for each in ATTEMPTS)
        ),
    }


def _listed(headers: Iterable[Mapping[str, str]]) -> str:
    return ", ".join(f"`{value}`" if value else "none" for each in headers for value in each.values())


def _table(heading: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(cell or 'its default' for cell in line)} |\n" for line in lines)


def with_given(page: str) -> str:
    """Return the page with its tables of what tests are given as they are now, and its faults summed up."""
    for name, table in ({"summary": _summary(page)} | render_given()).items():
        page = _with(page, name, table)
    return page


def lacking(faults: list[FaultRecord], soaks: list[SoakRecord]) -> list[str]:
    """List the faults, and the long tests if there was any, that stand on the page or should, and were not found."""
    parts = {row[0] for row in _cells(_SOAK, "part")} if soaks else set()
    return sorted(
        (set(injected()) - {record.fault for record in faults}) | (parts - {each.part for each in soaks})
    )


def main(folder: str | None = None) -> None:
    """Put the records of a folder into the page, if they are those of a whole run, and what tests are given."""
    if folder is None:
        PAGE.write_text(with_given(PAGE.read_text()))
        return
    faults, soaks = read(Path(folder))
    if missing := lacking(faults, soaks):
        named = "; ".join(missing[:_MOST_NAMED]) + ("; ..." if len(missing) > _MOST_NAMED else "")
        sys.exit(
            f"docs/{PAGE.name} stays as it is: {folder} has no record of {len(missing)} of its lines, whose tests did "
            f"not run, were skipped or failed: {named}. Run them, with PHOTOZ_FAULT_RECORDS={folder}, and this again."
        )
    page = with_given(_with(PAGE.read_text(), _FAULTS, render(faults)))
    PAGE.write_text(_with(page, _SOAK, render_soak(soaks)) if soaks else page)


def _with(page: str, table: str, text: str) -> str:
    """Put a table into the page."""
    begin, end = _marks(table)
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    main(*sys.argv[1:2])
