"""A tract's refresh as the pipeline does it, through a faulty archive: what came of it, and what it left."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.ingest import QueryLimits, fetch_tract
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.survey.selection import Selection
from photoz_assets.tap.client import TapClient
from photoz_assets_tests.dp02 import DP02
from photoz_assets_tests.reliability.proxy import FaultyProxy
from photoz_assets_tests.tap.faulty_server import Clock

TRACT = 3638
KEY = "mt_match_objectId"
CANARY = "gt-canary-4f1a9c0b7e52.d3adb33f"
# What is the same for all, or differs from machine to machine.
_LEFT_OUT = (
    r" at https?://.*",
    r"\. The last good table stays as it was.*",
    r"^matched_galaxies of tract \d+ is refused by its checks\. ",
    r": \[SSL.*",
    r": '<\?xml.*",
)
# How many rows there are is the simulated sky's business.
_ROWS = r"(?<![0-9])([0-9]{4,6}|[0-9]{1,3},[0-9]{3})(?![0-9])"


@dataclass(frozen=True)
class Outcome:
    """What came of a refresh, and the lines that it said."""

    error: str | None
    said: tuple[str, ...]

    @property
    def text(self) -> str:
        """The outcome in one line that is the same each time."""
        if self.error is None:
            return "recovered"
        text = self.error
        for pattern in _LEFT_OUT:
            text = re.sub(pattern, "", text)
        return f"refused: {re.sub(_ROWS, 'N', text)}"

    @property
    def retries(self) -> int:
        """How many requests and downloads were made again."""
        return sum(line.startswith("retry ") for line in self.said)


@dataclass
class World:
    """An archive behind a faulty proxy, and a lake that holds the tract's last good table.

    ``held`` gets what a test opens and has to close in the end.
    """

    proxy: FaultyProxy
    lake: Lake
    clock: Clock = field(default_factory=Clock)
    limits: QueryLimits = field(default_factory=QueryLimits)
    selection: Selection = field(default_factory=Selection)
    url: str | None = None
    archive: TapClient | None = None
    read_seconds: float | None = None
    prefer_parquet: bool = False
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def path(self) -> Path:
        """Where the tract's table lies."""
        return self.lake.table("matched_galaxies", TRACT)

    def digest(self) -> str:
        """Return the digest of the tract's table."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def rows(self) -> pa.Table:
        """Read the tract's table, in one order."""
        return pq.ParquetFile(self.path).read().sort_by(KEY)

    def allow(self, read_seconds: float | None) -> None:
        """Set how long requests may take from now on; None leaves it as it is."""
        self.read_seconds = read_seconds
        if self.archive and read_seconds is not None:
            self.archive.wait_at_most(read_seconds)

    def refresh(self) -> Outcome:
        """Ask for the tract, audit and publish it, as the asset does."""
        said: list[str] = []
        try:
            with as_dagster_failure():
                self._refresh(said)
        except dg.Failure as failure:
            return Outcome(failure.description, tuple(said))
        return Outcome(None, tuple(said))

    def _refresh(self, said: list[str]) -> None:
        archive = TapClient(
            self.url or f"{self.proxy.base}/tap",
            token=CANARY,
            clock=self.clock,
            sleep=self.clock.sleep,
            on_event=said.append,
            prefer_parquet=self.prefer_parquet,
        )
        self.archive = archive
        self.allow(self.read_seconds)
        fetch_tract(
            archive,
            self.lake,
            DP02,
            self.selection,
            TRACT,
            run_id="run",
            limits=self.limits,
            log=said.append,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def leftovers(self) -> list[str]:
        """List what a run must not leave behind beside the lake."""
        return leftovers(self.lake)


def leftovers(lake: Lake) -> list[str]:
    """List the staged files and the records of jobs beside a lake."""
    return [path.name for folder in (lake.staging, lake.jobs) for path in folder.glob("*")]


@contextmanager
def standing(url: str, lake: Lake) -> Iterator[World]:
    """Put the proxy before an archive."""
    with FaultyProxy(url).running() as proxy:
        assert isinstance(proxy, FaultyProxy)
        world = World(proxy=proxy, lake=lake)
        with world.held:
            yield world


def lost_and_wrong(after: pa.Table, truth: pa.Table) -> tuple[int, int]:
    """Count the rows of the truth that a table lacks, and its rows that are none of the truth's."""
    if after.equals(truth):
        return 0, 0
    found, true = (Counter(map(repr, table.to_pylist())) for table in (after, truth))
    return (true - found).total(), (found - true).total()
