"""The README and the docs: every command and piece of code in them runs; what is made is current."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from photoz_archive_tests.shared import FIELD_TRACTS
from photoz_assets import __version__
from photoz_assets_tests.forked import Ended, run_code, run_command
from photoz_assets_tests.runs import Published, Runs
from tools.assets_page import page as assets_page
from tools.assets_page import without_new_version
from tools.pictures import PICTURES
from tools.reference_pages import pages as reference_pages

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What a reader runs once and this test does not, by its beginning, and where it is run or why it is not.
ELSEWHERE = {
    "make demo": "test_demo",
    ".venv/bin/python -m pytest": "the tests are what runs",
    "make ui": "orchestration/test_page",
    ".venv/bin/photoz stamps": "orchestration/test_stamps",
    ".venv/bin/dagster asset materialize -m photoz_assets.definitions --select galaxies_hats": "orchestration/"
    "test_hats: needs an extra",
    ".venv/bin/photoz ui": "orchestration/test_page: a page runs until it is ended",
    ".venv/bin/photoz-archive": "photoz_archive_tests/service/test_command: a server runs until it is stopped",
    ".venv/bin/photoz-butler": "photoz_archive_tests/butler/test_command",
    ".venv/bin/pip install": "changes the environment",
    "PHOTOZ_RELEASE=dp1": "orchestration/test_spectroscopy: a sky of another release takes long to make",
    "PHOTOZ_BUTLER_REPOSITORY=": "a setting, and the real one needs a token",
    "BUTLER_RUBIN_ACCESS_TOKEN=": "a token",
    ".venv/bin/python -m pip install": "changes the environment",
    "sudo ": "lake/test_sharing: needs root and a group",
    "umask 002": "a shell's own, as above",
    "mkdir -p .dagster && cp deploy/dagster.postgres.yaml": "orchestration/test_postgres: needs a Postgres server",
}
# Languages of blocks that are no commands: settings for a file, diagrams, patches (test_extend), queries, what
# the Python of RAIL, LSDB and an object store runs (`make rail`, `make hats`, `make s3`), and what commands print.
SHOWN = {"ini", "yaml", "mermaid", "diff", "sql", "py", "text"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the YAML files that the page made before it."""

    page: str
    number: int
    language: str
    text: str
    files: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.page}-{self.number}-{self.language}"


def _blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        files: tuple[tuple[str, str], ...] = ()
        for number, match in enumerate(FENCE.finditer(text)):
            if match[1] == "yaml" and (named := re.findall(r"`([\w.-]+\.yaml)`:\n$", text[: match.start()])):
                files += ((named[0], match[2]),)
            yield Block(page.name, number, match[1], match[2], files)


BLOCKS = list(_blocks())
# By the command, so that one that stands on several pages runs once.
COMMANDS = {
    line.split("#")[0].strip(): block
    for block in BLOCKS
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.strip() and not line.startswith(tuple(ELSEWHERE))
}


@pytest.fixture(scope="module")
def checkout(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a checkout after a demo: the lake below ``data``, the commands below ``.venv/bin``."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(published.lake.root, folder / "data")
    runs = Runs(published.url, folder / "data")
    assert runs("field_galaxies").success
    assert all(runs("photoz_galaxies", tract=tract).success for tract in FIELD_TRACTS)
    assert runs("photoz_sample", "photoz_model", "photoz_estimates").success
    assert runs("photoz_catalog", tract=3638).success
    assert runs("photoz_exports", profile="rail", job="export_photoz").success
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".env").write_text(f"PHOTOZ_TAP_URL={published.url}\n")
    return folder


def _environment(checkout: Path) -> dict[str, str]:
    (checkout / ".dagster").mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(checkout),
        "DAGSTER_HOME": str(checkout / ".dagster"),
        "PHOTOZ_DATA_DIR": str(checkout / "data"),
    }


def _run(checkout: Path, command: list[str]) -> "Ended | subprocess.CompletedProcess[str]":
    environment = _environment(checkout)
    folder, _, name = command[0].rpartition("/")
    if folder == ".venv/bin" and name in {"photoz", "dagster"}:
        return run_command([name, *command[1:]], checkout, environment)
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_code_runs(checkout: Path, block: Block) -> None:
    ran = run_code(block.text, checkout, _environment(checkout))
    assert ran.returncode == 0, ran.stderr[-2000:]


# After the code: a command may read the file that the code before it on the page writes.
@pytest.mark.parametrize(("line", "block"), COMMANDS.items(), ids=COMMANDS.keys())
def test_command_runs(checkout: Path, line: str, block: Block) -> None:
    command = shlex.split(line)
    if command[0] == "make":
        assert re.search(rf"^{command[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    if not command[0].startswith(".venv/") and shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    for name, text in block.files:
        (checkout / name).write_text(text)
    ran = _run(checkout, command)
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-2000:]


def test_every_block_says_its_language_and_is_run_or_only_shown() -> None:
    assert {block.language for block in BLOCKS} <= {"sh", "python"} | SHOWN
    assert COMMANDS


def test_what_is_run_elsewhere_still_stands_in_the_docs() -> None:
    everything = "\n".join(block.text for block in BLOCKS)
    assert [command for command in ELSEWHERE if command not in everything] == []


def test_what_make_is_said_to_make_it_makes() -> None:
    said = {target for page in PAGES for target in re.findall(r"`make ([a-z0-9]+)", page.read_text())}
    made = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"pictures", "postgres", "test", "check"} <= said <= made


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_module_has_its_place_in_the_architecture() -> None:
    package = ROOT / "photoz_assets"
    found = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    found |= {path.name for path in package.glob("*.py")} - {"__init__.py"}
    rooms = re.findall(r"^\| (`.+?) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    listed = set(re.findall(r"`([a-z_]+(?:/|\.py))`", " ".join(rooms)))
    assert found == listed


def test_every_picture_is_shown_described_and_made_by_a_script() -> None:
    shown = {
        Path(file).stem: words
        for page in PAGES
        for words, file in re.findall(r"!\[(.*?)\]\((.*?\.png)\)", page.read_text())
    }
    assert shown.keys() == {path.stem for path in (ROOT / "docs" / "images").iterdir()}
    assert shown.keys() == PICTURES | {"fidelity", "performance", "rail"}
    assert [name for name in PICTURES if "simulated" not in shown[name]] == []


def test_page_of_assets_is_current() -> None:
    former = (ROOT / "docs" / "assets.md").read_text()
    assert without_new_version(former) == [], "their columns have changed: raise their versions"
    assert former == assets_page(), "run `make docs`"


def test_pages_of_settings_commands_and_errors_are_current() -> None:
    for name, text in reference_pages().items():
        assert (ROOT / "docs" / name).read_text() == text, "run `make docs`"


def test_version_is_one() -> None:
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    listed = re.findall(r"^## (\d\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [__version__] == cited == listed[:1]
    assert version("photoz_assets") == __version__
