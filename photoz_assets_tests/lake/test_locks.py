"""Claims hold between processes and die with them."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from photoz_assets.lake.locks import Claim, claimed


def _hold(path: Path, ready: Connection) -> None:
    claim = Claim.take(path)
    ready.send(claim is not None)
    signal.pause()


@pytest.fixture
def spawn() -> multiprocessing.context.SpawnContext:
    return multiprocessing.get_context("spawn")


def test_take_while_another_holds_gives_none(tmp_path: Path) -> None:
    first = Claim.take(tmp_path / "a")
    assert first is not None
    assert Claim.take(tmp_path / "a") is None
    first.release()
    assert Claim.take(tmp_path / "a") is not None


def test_take_of_a_missing_file_not_to_be_made_gives_none(tmp_path: Path) -> None:
    assert Claim.take(tmp_path / "a", create=False) is None
    assert not (tmp_path / "a").exists()


def test_claim_of_a_killed_process_is_free_at_once(
    tmp_path: Path, spawn: multiprocessing.context.SpawnContext
) -> None:
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_hold, args=(tmp_path / "a", theirs))
    process.start()
    assert ours.recv()
    assert Claim.take(tmp_path / "a") is None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert Claim.take(tmp_path / "a") is not None


def test_rename_keeps_the_claim(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path / "a")
    assert claim is not None
    claim.rename(tmp_path / "b")
    assert Claim.take(tmp_path / "b") is None
    assert not (tmp_path / "a").exists()


def test_release_with_removal_leaves_no_file_and_may_be_repeated(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path / "a")
    assert claim is not None
    claim.release(remove=True)
    claim.release(remove=True)
    assert not (tmp_path / "a").exists()


def test_claimed_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), claimed(tmp_path / "a"):
        raise RuntimeError
    assert Claim.take(tmp_path / "a") is not None
