"""The official schemas are read from their package once, kept, and made anew where what was kept is damaged."""

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from photoz_archive.service.fields import PRIMITIVES
from photoz_archive.service.official import OfficialSchemaError, official_schemas

# The smallest of them.
NAME = "dp02_obscore"


def kept(folder: Path) -> Path:
    [file] = folder.glob(f"{NAME},*.json")
    return file


def test_schema_is_kept_by_its_name_and_the_packages_version(tmp_path: Path) -> None:
    [schema] = official_schemas([NAME], tmp_path / "new" / "folder")
    assert (schema.name, [table.name for table in schema.tables]) == ("ivoa", ["ObsCore"])
    assert f"lsst-sdm-schemas={version('lsst-sdm-schemas')}," in kept(tmp_path / "new" / "folder").name


def test_kept_schema_needs_no_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = official_schemas([NAME], tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert official_schemas([NAME], tmp_path) == before
    with pytest.raises(OfficialSchemaError):
        official_schemas(["oga_live_obscore"], tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"bservation", b"bservatiom", 1),
        lambda content: b"\xff" + content,
    ],
    ids=["empty", "cut off", "one letter", "no text"],
)
def test_damaged_file_is_made_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    before = official_schemas([NAME], tmp_path)
    whole = kept(tmp_path).read_bytes()
    kept(tmp_path).write_bytes(damage(whole))
    assert kept(tmp_path).read_bytes() != whole
    assert official_schemas([NAME], tmp_path) == before
    assert kept(tmp_path).read_bytes() == whole


def test_what_a_killed_process_left_half_written_is_no_schema(tmp_path: Path) -> None:
    before = official_schemas([NAME], tmp_path)
    kept(tmp_path).rename(kept(tmp_path).with_suffix(".part"))
    assert official_schemas([NAME], tmp_path) == before


def test_schemas_of_later_releases_are_read_by_their_names(tmp_path: Path) -> None:
    first, second = official_schemas(["dp1", "dp2"], tmp_path)
    assert (first.name, second.name) == ("dp1", "dp2")
    for schema in (first, second):
        objects = next(table for table in schema.tables if table.name == "Object")
        # In DP2 they are references to the columns of another file.
        assert len(objects.columns) > 1200
        coordinate = next(column for column in objects.columns if column.name == "coord_ra")
        assert (coordinate.datatype, coordinate.unit) == ("double", "deg")
        assert {column.datatype for table in schema.tables for column in table.columns} <= set(PRIMITIVES)


def test_unknown_schema_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(OfficialSchemaError, match=r"the schemas dp9 cannot be read .*No such file") as refusal:
        official_schemas(["dp9"], tmp_path)
    assert "\n" not in str(refusal.value)


def test_library_that_fails_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "felis").mkdir()
    (tmp_path / "felis" / "__init__.py").write_text("raise RuntimeError('no luck')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OfficialSchemaError, match=r"no luck.*pip install --force-reinstall") as refusal:
        official_schemas(["obsloctap"], tmp_path / "kept")
    assert "\n" not in str(refusal.value)
