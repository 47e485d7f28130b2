"""Slots bound what runs at a time, free themselves, and say who holds them."""

import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from photoz_assets.lake.locks import FileLocks
from photoz_assets.lake.slots import PATIENCE_SECONDS, slot

_WORKERS: Final = 5
_AT_MOST_SECONDS: Final = 60.0


@pytest.mark.parametrize("count", [1, 2])
def test_slots_never_hold_more_than_their_count(tmp_path: Path, count: int) -> None:
    """As many as there are slots come in, stay until all of them are seen, and nobody else comes in meanwhile."""
    inside: queue.Queue[int] = queue.Queue()
    leave = threading.Semaphore(0)

    def work(number: int) -> None:
        with slot(FileLocks(tmp_path), count=count, holder=str(number), sleep=lambda _: time.sleep(0.001)):
            inside.put(number)
            assert leave.acquire(timeout=_AT_MOST_SECONDS)

    with ThreadPoolExecutor(_WORKERS) as pool, ExitStack() as stack:
        # If the test fails, nobody is left inside.
        stack.callback(leave.release, _WORKERS)
        working = [pool.submit(work, number) for number in range(_WORKERS)]
        for _ in range(count):
            inside.get(timeout=_AT_MOST_SECONDS)
        for _ in range(_WORKERS - count):
            # While all slots are held, whoever waits looks a hundred times and gets none.
            with pytest.raises(queue.Empty):
                inside.get(timeout=0.1)
            leave.release()
            inside.get(timeout=_AT_MOST_SECONDS)
    assert [each.exception() for each in working] == [None] * _WORKERS


def test_slots_bound_processes_too(tmp_path: Path) -> None:
    """A process that holds the only slot keeps this one waiting until it is killed."""
    code = (
        "import sys, time; from pathlib import Path; from photoz_assets.lake.slots import slot\n"
        "from photoz_assets.lake.locks import FileLocks\n"
        "with slot(FileLocks(Path(sys.argv[1])), count=1, holder='the other process'):\n"
        "    print('in', flush=True); time.sleep(600)"
    )
    waited: list[float] = []
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:

        def wait(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                other.kill()
                other.wait(_AT_MOST_SECONDS)

        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "in\n"
            with slot(FileLocks(tmp_path), count=1, holder="this one", sleep=wait):
                assert len(waited) == 3
        finally:
            other.kill()


def test_waiting_over_a_minute_says_for_whom_and_again_as_often(tmp_path: Path) -> None:
    now = 0.0
    reported: list[str] = []
    holder = ExitStack()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if len(reported) == 2:
            holder.close()

    holder.enter_context(slot(FileLocks(tmp_path), count=1, holder="run A for matched_galaxies-3637"))
    with slot(FileLocks(tmp_path), count=1, holder="run B", log=reported.append, clock=lambda: now, sleep=sleep):
        assert 2 * PATIENCE_SECONDS <= now < 2 * PATIENCE_SECONDS + 2
    assert reported == ["run B waits for one of 1 archive slots, held by: run A for matched_galaxies-3637"] * 2


def test_slot_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(3):
        with slot(FileLocks(tmp_path), count=1, holder="run"):
            pass
