"""Imports point one way: assets -> (tap, storage, science, queries) -> (contracts, selection)."""

import ast
from pathlib import Path

import pytest

import photoz_assets

ROOT = Path(photoz_assets.__file__).parent

# What each part may import of the project, besides itself.
FACTS = {"bands", "data", "environment", "words"}
ALLOWED: dict[str, set[str]] = {
    "bands": set(),
    "data": set(),
    "environment": set(),
    "words": set(),
    "contracts": {"bands"},
    "selection": {"bands"},
    "science": FACTS | {"contracts"},
    "queries": FACTS | {"contracts", "selection", "science"},
    "tap": {"words"},
    "columns": {"contracts"},
    "storage": FACTS | {"columns", "contracts", "selection"},
    "derivation": {"contracts", "storage"},
    "ingest": FACTS | {"contracts", "derivation", "selection", "storage", "tap"},
    "state": {"selection", "storage"},
    "butler": FACTS | {"contracts", "science", "storage"},
    "partitions": {"data"},
    "conditions": set(),
    "embedded_archive": FACTS | {"contracts", "science"},
}
SHELLS = {
    "refresh",
    "status",
    "resources",
    "progress",
    "checks",
    "assets",
    "automation",
    "definitions",
    "instance",
    "demo",
    "ui",
    "cli",
}
DAGSTER_FREE = {
    "bands",
    "data",
    "environment",
    "words",
    "contracts",
    "selection",
    "science",
    "queries",
    "tap",
    "derivation",
    "ingest",
    "state",
    "butler",
}


def _modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _part(path: Path) -> str:
    inside = path.relative_to(ROOT).with_suffix("").parts
    return inside[0]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _imported_parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in _imports(path) if name.startswith("photoz_assets.")} - {_part(path)}


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_what_lies_before_it(path: Path) -> None:
    part = _part(path)
    if part == "__init__":
        assert _imported_parts(path) == set()
    elif part in ALLOWED:
        assert _imported_parts(path) <= ALLOWED[part]
    else:
        assert part in SHELLS, f"say in this test what {part} may import"


def test_only_the_archive_resource_knows_the_embedded_archive() -> None:
    knowing = {
        str(path.relative_to(ROOT))
        for path in _modules()
        if _part(path) != "embedded_archive" and "embedded_archive" in _imported_parts(path)
    }
    assert knowing == {"resources.py"}


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_science_and_storage_know_no_dagster(path: Path) -> None:
    free = _part(path) in DAGSTER_FREE | {"embedded_archive"}
    free |= _part(path) == "storage" and path.name != "io_manager.py"
    if free:
        assert not {name for name in _imports(path) if name.split(".")[0] == "dagster"}
