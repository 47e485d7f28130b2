"""A refresh that is killed at a random moment: the lake is whole, and the next run completes."""

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import pyarrow.parquet as pq
import pytest
from PIL import Image

from photoz_archive.service.server import ArchiveServer
from photoz_assets import connect
from photoz_assets.lake.layout import Lake
from photoz_assets_tests.effort import SOAK, effort
from photoz_assets_tests.reliability.records import FaultRecord, SoakRecord, note, note_soak
from photoz_assets_tests.reliability.stages import STAGES, Timeline
from photoz_assets_tests.reliability.workers import forking, refreshing
from photoz_assets_tests.reliability.world import TRACT, leftovers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SEED: Final = 20261124
LIMITS: Final = (25.0, 25.5)
# How often `make soak` aims at each stage: a run that draws takes many times as long as one that does not.
AIMS: Final = {"ingest": 6, "audit": 5, "publication": 5, "drawing": 2, "writing of figures": 2}
KILLS: Final = effort(len(AIMS), 200)
DRAWN: Final = ("drawing", "writing of figures")
KILLED = FaultRecord(
    "Process", "kill -9 at any moment of ingest, audit, publication and drawing",
    "200 random moments (one in each stage in `make test`)", "the lake is readable, each table the old or the new one; the next run completes",
)  # fmt: skip
FAULTS = [KILLED.fault]


def _aims(chance: random.Random) -> list[str]:
    """List the stages to aim at: each once, or many times at random."""
    return chance.choices(list(AIMS), list(AIMS.values()), k=KILLS) if SOAK else list(AIMS)


def check_lake(lake: Lake, rows: dict[float, int]) -> None:
    """Read all that a reader can find: every table whole and of one of the selections, every figure complete."""
    for path in lake.root.rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        asset = path.name.removesuffix(".parquet")
        provenance = lake.provenance(asset, TRACT)
        assert provenance.selection is not None
        assert provenance.rows_stored == table.num_rows
        if asset == "matched_galaxies":
            assert table.num_rows == rows[provenance.selection.faint_limit_mag]
    for path in lake.root.rglob("*.png"):
        with Image.open(path) as image:
            image.load()
    with connect(lake.root) as connection:
        for (view,) in connection.execute("SHOW TABLES").fetchall():
            connection.view(view).fetchall()


def whole_refresh(url: str, lake: Lake, limit: float, *, drawing: bool) -> Timeline:
    """Refresh and draw without being killed; give how that went."""
    timeline = Timeline(forking())
    process = refreshing(url, lake.root, limit, drawing=drawing, timeline=timeline)
    process.join(120)
    assert process.exitcode == 0
    return timeline


def killed_refresh(url: str, lake: Lake, limit: float, *, aim: str, after_seconds: float) -> str:
    """Kill a refresh, so long after it has entered a stage; give the stage that it died in."""
    timeline = Timeline(forking())
    process = refreshing(url, lake.root, limit, drawing=aim in DRAWN, timeline=timeline)
    deadline = time.monotonic() + 120
    while process.is_alive() and not timeline.is_in_or_after(aim):
        assert time.monotonic() < deadline, f"{aim} never began"
        time.sleep(0.001)
    process.join(after_seconds)
    process.kill()
    process.join()
    return timeline.stage


def test_run_that_is_killed_at_a_random_moment_harms_nothing(
    one_tract: ArchiveServer, lake: Lake, tell: Callable[[str], None]
) -> None:
    started = time.monotonic()
    rows: dict[float, int] = {}
    whole: dict[bool, Timeline] = {}
    for limit, drawing in zip(LIMITS, (True, False), strict=True):
        whole[drawing] = whole_refresh(one_tract.url, lake, limit, drawing=drawing)
        rows[limit] = pq.read_metadata(lake.table("matched_galaxies", TRACT)).num_rows
    assert rows[LIMITS[0]] < rows[LIMITS[1]]
    chance, hits = random.Random(SEED), Counter[str]()
    for number, aim in enumerate(_aims(chance)):
        limit = LIMITS[number % 2]
        after_seconds = chance.uniform(0, whole[aim in DRAWN].seconds(aim))
        hits[killed_refresh(one_tract.url, lake, limit, aim=aim, after_seconds=after_seconds)] += 1
        check_lake(lake, rows)
        whole_refresh(one_tract.url, lake, limit, drawing=aim in DRAWN)
        check_lake(lake, rows)
        assert lake.provenance("matched_galaxies", TRACT).selection.faint_limit_mag == limit  # type: ignore[union-attr]  # it has one
        assert leftovers(lake) == []
        if number % 10 == 9:
            tell(f"{number + 1} of {KILLS} kills, seed {SEED}, {time.monotonic() - started:.0f} s: {dict(hits)}")
    reported = ", ".join(f"{hits[stage]} in {stage}" for stage in STAGES if hits[stage])
    note(KILLED)
    note_soak(
        SoakRecord("kills", f"{KILLS} (seed {SEED})", f"every lake whole, every next run completed; {reported}"),
        started,
    )
