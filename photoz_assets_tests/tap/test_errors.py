import pickle

import pytest

from photoz_assets.errors import PhotozError
from photoz_assets.tap import errors
from photoz_assets.tap.errors import ArchiveError, ContractViolation, Transient


def test_error_is_one_line_of_what_where_and_what_next() -> None:
    error = Transient("the archive\n  is   down", url="https://archive.example/tap", status=503, hint="Wait.")
    assert str(error) == "the archive is down (HTTP 503) at https://archive.example/tap. Wait."


def test_error_of_a_page_is_cut() -> None:
    assert len(str(ArchiveError("x" * 10_000))) < 700


def test_error_keeps_the_closest_url() -> None:
    assert ArchiveError("lost", url="https://a/job/1").at("https://a").url == "https://a/job/1"
    assert ArchiveError("lost").at("https://a").url == "https://a"


@pytest.mark.parametrize(
    "error",
    [
        ArchiveError("token s3cret is bad", url="https://a/?t=s3cret", hint="Replace s3cret."),
        ContractViolation("column s3cret is missing"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_without_a_secret_has_none_anywhere(error: ArchiveError) -> None:
    error.redacted("s3cret")
    assert "s3cret" not in str(error) + repr(error) + repr(vars(error))


@pytest.mark.parametrize(
    "error",
    [
        Transient("busy", url="https://a", status=429, retry_after_seconds=3, hint="Wait."),
        ContractViolation("column a is missing", "column b is not expected").at("https://a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_survives_pickling(error: ArchiveError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_every_error_has_the_one_root() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(kinds) == 16
    assert all(issubclass(kind, ArchiveError) for kind in kinds if kind is not PhotozError)
    assert issubclass(ArchiveError, PhotozError)
