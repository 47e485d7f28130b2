"""What `photoz status` says of time: how old what is asked for weekly may get."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from photoz_assets.commands.cli import main
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets_tests.dp02 import SKYINFO


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance that the command looks at, in a folder without ``.env``."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def _status() -> tuple[dict[str, Any], str]:
    """Ask for the status as JSON and in words."""
    shown, words = (CliRunner().invoke(main, ["status", *arguments]) for arguments in (["--json"], []))
    assert shown.exit_code == words.exit_code == 0, shown.output + words.output
    return json.loads(shown.output), words.output


@pytest.mark.usefixtures("instance")
@pytest.mark.parametrize(
    ("days", "freshness"), [(7.9, "fresh"), (8.1, "ageing"), (14.9, "ageing"), (15.1, "overdue"), (-1, "overdue")]
)
def test_listing_of_the_sky_ages_after_a_week_and_is_overdue_after_two(
    days: float, freshness: str, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    created = datetime.now(UTC) - timedelta(days=days)
    provenance = Provenance(table="skyinfo", code_version="1", created=created.isoformat(timespec="milliseconds"))
    rows = pa.table({name: [1.0] for name in SKYINFO.names}).cast(SKYINFO.schema)
    publish(lake, stage(lake, SKYINFO, [rows], lambda: provenance))
    found, words = _status()
    assert {asset["asset"]: asset["freshness"] for asset in found["assets"] if asset["files"]} == {
        "skyinfo": freshness
    }
    [line] = [line for line in words.splitlines() if line.startswith("skyinfo ")]
    assert line.split()[-1] == freshness
