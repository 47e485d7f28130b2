"""The faults of a Butler server, injected: what is said of them, and what must not be."""

from typing import Any

import pytest

from photoz_assets.butler.repository import ButlerError, Repository
from photoz_assets_tests.dp02 import DP02, OBJECT_TABLE

aiohttp = pytest.importorskip("aiohttp", reason="the extra butler is not installed")
pytest.importorskip("lsst.daf.butler", reason="the extra butler is not installed")

FILE = "https://bucket.example/root/objectTable_tract_3638.parq"
SIGNED = f"{FILE}?X-Goog-Signature=c0ffee&X-Goog-Expires=3600"


class Faulty:
    """A Butler whose every answer is one error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get(self, *_arguments: object, **_keywords: object) -> Any:
        raise self.error


def _failure(error: Exception) -> ButlerError:
    repository = Repository(
        location="https://archive.example/butler", collections=("c",), skymap="DC2", _butler=Faulty(error)
    )
    with pytest.raises(ButlerError) as caught:
        list(repository.read(DP02.butler.objects, 3638, OBJECT_TABLE))
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(SIGNED),
        aiohttp.ClientError(f"403, message='Forbidden', url='{SIGNED}'"),
        OSError(f"reading {SIGNED}\nended early"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_signed_url_of_a_file_is_shown_without_its_signature(error: Exception) -> None:
    failure = _failure(error)
    assert FILE in str(failure)
    assert "c0ffee" not in str(failure)
    assert "\n" not in str(failure)
    # What a log shows of it are its cause and, unless that is suppressed, its context.
    assert failure.__cause__ is None
    assert failure.__suppress_context__


def test_refusal_of_a_server_is_told_with_its_cause() -> None:
    refusal = RuntimeError("Error while communicating with Butler server")
    refusal.__cause__ = OSError("401 Unauthorized")
    failure = _failure(refusal)
    assert str(failure).endswith("tract 3638: Error while communicating with Butler server (401 Unauthorized)")


def test_error_of_our_own_is_no_fault_of_the_repository() -> None:
    repository = Repository(location="x", collections=("c",), skymap="DC2", _butler=Faulty(TypeError("ours")))
    with pytest.raises(TypeError, match="ours"):
        list(repository.read(DP02.butler.objects, 3638, OBJECT_TABLE))
