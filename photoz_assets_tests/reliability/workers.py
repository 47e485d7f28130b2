"""What tests have other processes do: forked from one that has imported everything, so that each starts at once."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Final, TypeAlias
from unittest.mock import patch

import matplotlib.figure  # noqa: F401 - to have it imported before the fork

import photoz_assets.definitions  # noqa: F401 - as above
from photoz_assets.ingest import QueryLimits
from photoz_assets.lake import staging
from photoz_assets.lake.audit import audit
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.locks import locked
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.lake.staging import StagedTable, publish, spill_folder, stage
from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets.survey.checks import Scope
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import DP02, MATCHED_GALAXIES
from photoz_assets_tests.reliability.proxy import FaultyProxy
from photoz_assets_tests.reliability.stages import Timeline
from photoz_assets_tests.reliability.world import TRACT, World
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.samples import galaxies
from photoz_assets_tests.tap.faulty_server import Clock

_IDENTITY: Final = ArchiveIdentity.declared("dp02_dc2_catalogs", "Embedded archive, simulated", {})


def forking() -> ForkServerContext:
    """Return what starts such processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def refreshing(
    url: str, root: Path, faint_limit_mag: float, *, drawing: bool = False, timeline: Timeline | None = None
) -> ForkServerProcess:
    """Start a process that refreshes the tract as the asset does; or by a run of it and of its diagnostics."""
    process = forking().Process(
        target=_draw if drawing else _refresh, args=(url, root, faint_limit_mag, timeline or Timeline(forking()))
    )
    process.start()
    return process


def _refresh(url: str, root: Path, faint_limit_mag: float, timeline: Timeline) -> None:
    timeline.watch()
    outcome = _world(url, root, faint_limit_mag).refresh()
    timeline.enter("end")
    sys.exit(outcome.error)


def _world(url: str, root: Path, faint_limit_mag: float) -> World:
    return World(
        proxy=FaultyProxy(url),
        url=url,
        lake=Lake(root),
        clock=PassingClock(),
        selection=Selection(faint_limit_mag=faint_limit_mag),
    )


def taking_turns(url: str, root: Path, faint_limit_mag: float, queries: int) -> ForkServerProcess:
    """Start a process that refreshes the tract with no more than so many queries at a time, of all processes."""
    process = forking().Process(target=_take_turns, args=(url, root, faint_limit_mag, queries))
    process.start()
    return process


def _take_turns(url: str, root: Path, faint_limit_mag: float, queries: int) -> None:
    world = _world(url, root, faint_limit_mag)
    world.limits = QueryLimits(queries=queries)
    sys.exit(world.refresh().error)


def _draw(url: str, root: Path, faint_limit_mag: float, timeline: Timeline) -> None:
    timeline.watch()
    # What a run says is of no interest, and mixes with what others say.
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
    selection = SelectionResource(faint_limit_mag=faint_limit_mag)
    run = Runs(url, root)("matched_galaxies", "diagnostics", tract=TRACT, selection=selection)
    timeline.enter("end")
    sys.exit(not run.success)


def _same(provenance: Provenance) -> Provenance:
    return provenance


def running(url: str, root: Path, tracts: tuple[int, ...]) -> ForkServerProcess:
    """Start a process that refreshes tracts by runs of the real definitions, one after the other."""
    process = forking().Process(target=_run, args=(url, root, tracts))
    process.start()
    return process


def _run(url: str, root: Path, tracts: tuple[int, ...]) -> None:
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
    runs = Runs(url, root)
    sys.exit(not all(runs("matched_galaxies", tract=tract).success for tract in tracts))


class PassingClock(Clock):
    """The clock on the wall, for processes in which time passes."""

    def __call__(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


Seconds: TypeAlias = "SynchronizedArray[float]"


def seconds(count: int) -> Seconds:
    """Return numbers that processes share, all 0."""
    return forking().Array("d", count)


def publishing(root: Path, seed: int, tracts: int, waited: Seconds) -> ForkServerProcess:
    """Start a process that stages, audits and publishes tables of its own of the first tracts.

    ``waited`` gets at the seed's place how long it waited at most for the lock of publication.
    """
    process = forking().Process(target=_publish_timed, args=(root, seed, tracts, waited))
    process.start()
    return process


def _publish_timed(root: Path, seed: int, tracts: int, waited: Seconds) -> None:
    @contextmanager
    def timed(path: Path) -> Iterator[None]:
        begun = time.monotonic()
        with locked(path):
            waited[seed] = max(waited[seed], time.monotonic() - begun)
            yield

    with patch.object(staging, "locked", timed):
        _publish(Lake(root), seed, tracts)


def _publish(lake: Lake, seed: int, tracts: int) -> None:
    for tract in DP02.tracts[seed % tracts : tracts] + DP02.tracts[: seed % tracts]:
        staged = staged_table(lake, 200 + seed, tract=tract, seed=seed)
        rules = MATCHED_GALAXIES.rules(Scope(Selection(), tract))
        verdicts = audit(staged.path, rules, spill=spill_folder(staged.path))
        assert all(verdict.passed for verdict in verdicts)
        publish(lake, staged)


def staged_table(lake: Lake, rows: int, *, tract: int = TRACT, seed: int = 0) -> StagedTable:
    """Stage a table of made-up galaxies."""
    provenance = Provenance(
        table="matched_galaxies", code_version="1", archive=_IDENTITY, selection=Selection(), tract=tract
    )
    batches = galaxies(rows, tract=tract, seed=seed).to_batches(100)
    return stage(lake, MATCHED_GALAXIES, batches, partial(_same, provenance))


def standing_still(root: Path) -> ForkServerProcess:
    """Start a process that stages a table of the tract, and then does nothing for ever."""
    process = forking().Process(target=_stand_still, args=(root,))
    process.start()
    return process


def _stand_still(root: Path) -> None:
    kept = staged_table(Lake(root), 10)
    signal.pause()
    kept.discard()
