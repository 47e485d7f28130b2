"""The notebooks, as far as they can be held without being run; `make site` runs them."""

import ast
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").iterdir())
CELL = re.compile(r"^```\{code-cell\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_text_with_code_that_parses_and_stops_its_server(notebook: Path) -> None:
    # Text of MyST has no outputs that could get into git.
    assert notebook.suffix == ".md"
    text = notebook.read_text()
    assert "file_format: mystnb" in text
    assert "simulated" in text
    cells = CELL.findall(text)
    assert len(cells) == text.count("```{")
    for cell in cells:
        ast.parse(cell)
    assert "server.stop()" in cells[-1]


def test_every_cell_of_the_first_notebook_has_its_successor_in_its_order() -> None:
    [text] = [path.read_text() for path in NOTEBOOKS if path.stem == "get_data"]
    named: list[int] = []
    for line in re.findall(r"^# (\[\d+\].*)$", "\n".join(CELL.findall(text)), re.MULTILINE):
        for first, last in re.findall(r"\[(\d+)\](?:-\[(\d+)\])?", line):
            named += range(int(first), int(last or first) + 1)
    # It has no cell 62.
    assert named == [*range(1, 62), 63]
