"""Slots bound what runs at a time, free themselves, and say who holds them."""

import threading
from collections.abc import Callable
from pathlib import Path

from photoz_assets.lake.slots import PATIENCE_SECONDS, slot


def test_slots_never_hold_more_than_their_count(tmp_path: Path) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal inside, most
        with slot(tmp_path, count=2, holder=str(number), sleep=lambda _: None):
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == 0
    assert 1 <= most <= 2


def test_waiting_over_a_minute_says_for_whom(tmp_path: Path) -> None:
    now = 0.0
    reported: list[str] = []
    with slot(tmp_path, count=1, holder="run A for matched_galaxies-3637"):
        thread = threading.Thread(target=_wait, args=(tmp_path, reported, lambda: now))
        thread.start()
        while not reported:
            now += PATIENCE_SECONDS
    thread.join()
    assert reported[0].startswith("run B waits for one of 1 archive slots")
    assert "run A for matched_galaxies-3637" in reported[0]


def _wait(folder: Path, reported: list[str], clock: Callable[[], float]) -> None:
    with slot(folder, count=1, holder="run B", log=reported.append, clock=clock, sleep=lambda _: None):
        pass


def test_slot_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(3):
        with slot(tmp_path, count=1, holder="run"):
            pass
