"""A fault of the archive as a case: how it is injected, what must come of it, and what it may cost."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import pyarrow as pa

from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.reliability.proxy import JOB_LIST, POLL, Fault, rewritten
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.world import CANARY, World, lost_and_wrong

Arrange: TypeAlias = Callable[[World, ArchiveServer], None]

RECOVERS: Final = "^recovered"
BOMB: Final = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><VOTABLE>&c;</VOTABLE>'
)
EXTERNAL: Final = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><VOTABLE>&a;</VOTABLE>'
)


@dataclass(frozen=True)
class Case:
    """A fault, how it is injected, what must come of it, and how many queries the archive may run for it."""

    group: str
    fault: str
    injected: str
    arrange: Arrange
    outcome: str
    jobs: int
    leaves_job: bool = False


def struck(*faults: Fault) -> Arrange:
    """Have the proxy do something to single requests."""

    def arrange(world: World, _: ArchiveServer) -> None:
        # Each run of a case starts to count anew.
        world.proxy.faults = [Fault(each.kind, each.answer, each.times, each.skip) for each in faults]

    return arrange


def in_the_middle(*faults: Fault) -> Arrange:
    """Have the proxy do something to requests after three polls, in which the job still runs on any machine."""
    return struck(Fault(POLL, rewritten(b"COMPLETED", b"EXECUTING"), times=3), *faults)


def check(case: Case, world: World, archive: ArchiveServer, truth: pa.Table) -> None:
    """Refresh the tract under a case's fault; hold what comes of it against the case and the page."""
    before = world.digest()
    case.arrange(world, archive)
    outcome = world.refresh()
    assert re.search(case.outcome, outcome.text), outcome
    assert "\n" not in outcome.text
    assert CANARY not in outcome.text + "".join(outcome.said)
    assert (world.digest() == before) == (outcome.error is not None)
    assert world.proxy.jobs == case.jobs
    assert world.proxy.asked_for(JOB_LIST) == [], "what others ask is none of our business"
    assert bool(world.leftovers()) == case.leaves_job
    lost, wrong = lost_and_wrong(world.rows(), truth)
    assert (lost, wrong) == (0, 0)
    note(
        FaultRecord(
            group=case.group,
            fault=case.fault,
            injected=case.injected,
            outcome=outcome.text,
            retries=outcome.retries,
            jobs=world.proxy.jobs,
            rows_lost=lost,
            wrong_rows=wrong,
        )
    )
