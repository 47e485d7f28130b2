"""File locks hold between processes and die with them."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from photoz_assets.lake.locks import FileLock, locked


def _hold(path: Path, ready: Connection) -> None:
    lock = FileLock.acquire(path)
    ready.send(lock is not None)
    signal.pause()


@pytest.fixture
def spawn() -> multiprocessing.context.SpawnContext:
    return multiprocessing.get_context("spawn")


def test_take_while_another_holds_gives_none(tmp_path: Path) -> None:
    first = FileLock.acquire(tmp_path / "a")
    assert first is not None
    assert FileLock.acquire(tmp_path / "a") is None
    first.release()
    assert FileLock.acquire(tmp_path / "a") is not None


def test_take_of_a_missing_file_not_to_be_made_gives_none(tmp_path: Path) -> None:
    assert FileLock.acquire(tmp_path / "a", create=False) is None
    assert not (tmp_path / "a").exists()


def test_claim_of_a_killed_process_is_free_at_once(
    tmp_path: Path, spawn: multiprocessing.context.SpawnContext
) -> None:
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_hold, args=(tmp_path / "a", theirs))
    process.start()
    assert ours.recv()
    assert FileLock.acquire(tmp_path / "a") is None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert FileLock.acquire(tmp_path / "a") is not None


def test_rename_keeps_the_lock(tmp_path: Path) -> None:
    lock = FileLock.acquire(tmp_path / "a")
    assert lock is not None
    lock.rename(tmp_path / "b")
    assert FileLock.acquire(tmp_path / "b") is None
    assert not (tmp_path / "a").exists()


def test_release_with_removal_leaves_no_file_and_may_be_repeated(tmp_path: Path) -> None:
    lock = FileLock.acquire(tmp_path / "a")
    assert lock is not None
    lock.release(remove=True)
    lock.release(remove=True)
    assert not (tmp_path / "a").exists()


def test_claimed_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "a"):
        raise RuntimeError
    assert FileLock.acquire(tmp_path / "a") is not None
