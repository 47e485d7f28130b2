"""Answers without an end, or larger than they look: bounded in bytes, in time and in memory, whatever they answer."""

import base64
import gzip
import tracemalloc
from functools import cache
from typing import Final

import pyarrow as pa
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets_tests.reliability.cases import BOMB, RECOVERS, Arrange, Case, check, struck
from photoz_assets_tests.reliability.proxy import CAPABILITIES, POLL, RESULT, SUBMIT, SYNC, Fault, Forward
from photoz_assets_tests.reliability.world import World
from photoz_assets_tests.tap.faulty_server import Answer, Request

MOST_MEMORY_BYTES: Final = 1 << 27
SPACES: Final = b" " * (1 << 16)
# A document's beginning, and what may follow it for ever.
BEGUN: Final = b'<?xml version="1.0"?><VOTABLE>'
COMMENTS: Final = b"<!--" + SPACES + b"-->"


def endless(kind: tuple[str, str], *, status: int = 200) -> Arrange:
    """Answer with a document that never ends."""
    return struck(Fault(kind, Answer(status=status, body=BEGUN, endless=COMMENTS)))


@cache
def _bomb() -> bytes:
    """Compress a gigabyte of a document into one megabyte."""
    return gzip.compress(BEGUN) + gzip.compress(SPACES * 1024) * 16


def bomb(kind: tuple[str, str], *, status: int = 200) -> Arrange:
    """Answer with a small body that unpacks to a large one."""
    return struck(Fault(kind, Answer(status=status, body=_bomb(), headers={"Content-Encoding": "gzip"})))


def _nothing(kind: tuple[str, str]) -> Arrange:
    """Answer with a compressed body that never gives a byte."""
    empty = gzip.compress(b"") * 1024
    return struck(Fault(kind, Answer(endless=empty, headers={"Content-Encoding": "gzip"})))


def entities(kind: tuple[str, str], *, status: int = 200) -> Arrange:
    """Answer with entities that unfold."""
    return struck(Fault(kind, Answer(status=status, body=BOMB)))


def _dripping(world: World, _: ArchiveServer) -> None:
    world.allow(read_seconds=0.5)
    world.proxy.faults = [Fault(CAPABILITIES, Answer(head_drips=True))]


def _to_itself(request: Request, _: Forward) -> Answer:
    return Answer(status=302, headers={"Location": request.path}, endless=SPACES)


def _for_ever(_: Request, forward: Forward) -> Answer:
    """Repeat the rows of a result without an end."""
    beginning, tag, following = forward().body.partition(b'<STREAM encoding="base64">')
    rows = base64.b64decode(following.partition(b"<")[0])
    # Three times anything is base64 without padding.
    return Answer(body=beginning + tag, endless=base64.b64encode(rows * 3))


LONG, WIDE = "a document of over 4194304 bytes", "over [0-9]+ bytes come before the rows"
NOTHING = "over 1048576 bytes unpack to nothing"
# fmt: off
CASES = [
    Case("Limits", "header that drips for ever", "a byte of the capabilities' header now and then", _dripping,
         "did not answer in time", 0),
    Case("Limits", "redirect whose body never ends, once", "the result lies at its own address",
         struck(Fault(RESULT, _to_itself, times=1)), RECOVERS, 1),
    Case("Limits", "refusal that never ends", "HTTP 400 for the capabilities", endless(CAPABILITIES, status=400), "HTTP 400", 0),
    Case("Limits", "capabilities that never end", "comments for ever", endless(CAPABILITIES), LONG, 0),
    Case("Limits", "answer of TAP_SCHEMA that never ends", "comments for ever", endless(SYNC), WIDE, 0),
    Case("Limits", "document of a new job that never ends", "comments for ever", endless(SUBMIT), LONG, 0),
    Case("Limits", "document of a job that never ends", "comments for ever", endless(POLL), LONG, 0),
    Case("Limits", "result that never begins", "comments for ever", endless(RESULT), WIDE, 1),
    Case("Limits", "result that never ends", "its rows for ever", struck(Fault(RESULT, _for_ever)),
         "rows came in, the archive counted", 1),
    Case("Limits", "gzip bomb in place of a refusal", "1 MB for 1 GB", bomb(CAPABILITIES, status=400), "HTTP 400", 0),
    Case("Limits", "gzip bomb in place of the capabilities", "1 MB for 1 GB", bomb(CAPABILITIES), LONG, 0),
    Case("Limits", "gzip bomb in place of TAP_SCHEMA", "1 MB for 1 GB", bomb(SYNC), WIDE, 0),
    Case("Limits", "gzip bomb in place of a job", "1 MB for 1 GB", bomb(POLL), LONG, 0),
    Case("Limits", "gzip bomb in place of a result", "1 MB for 1 GB", bomb(RESULT), WIDE, 1),
    Case("Limits", "gzip without an end that unpacks to nothing, in place of a job", "empty members for ever",
         _nothing(POLL), NOTHING, 0),
    Case("Limits", "gzip without an end that unpacks to nothing, in place of a result", "empty members for ever",
         _nothing(RESULT), NOTHING, 1),
    Case("Limits", "XML bomb in place of a refusal", "nested entities", entities(CAPABILITIES, status=400), "HTTP 400", 0),
    Case("Limits", "XML bomb in place of the capabilities", "nested entities", entities(CAPABILITIES), "cannot be read", 0),
    Case("Limits", "XML bomb in place of TAP_SCHEMA", "nested entities", entities(SYNC), "the document is broken", 0),
]
# fmt: on
FAULTS = [case.fault for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_answer_without_an_end_is_bounded(
    case: Case, world: World, one_tract: ArchiveServer, truth: pa.Table
) -> None:
    tracemalloc.start()
    try:
        check(case, world, one_tract, truth)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < MOST_MEMORY_BYTES
