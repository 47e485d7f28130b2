"""What the environment says: where things lie and which archive is asked.

Every function looks when it is called, so that a ``.env`` file, a test or a parent process can speak until then.
An empty variable counts as unset. What is done with the answers belongs elsewhere.
"""

import os
from pathlib import Path

from photoz_assets.errors import PhotozError
from photoz_assets.survey.dp02 import DEFAULT_DENSITY


class SettingError(PhotozError):
    """A variable of the environment makes no sense."""


def checkout_root() -> Path:
    """Give the checkout that this package runs from, or the current folder if it is installed elsewhere."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def load_env_file(folder: Path) -> None:
    """Take the variables of a folder's ``.env`` file, if there is one; what is already set stays.

    Notes
    -----
    Dagster's own commands read the ``.env`` of the current folder too, but let it win over what is set.
    """
    from dotenv import load_dotenv  # noqa: PLC0415 - a lake's reader does not need it

    load_dotenv(folder / ".env", override=False)


def dagster_home() -> Path:
    """Give Dagster's folder: ``DAGSTER_HOME`` or ``.dagster`` in the checkout."""
    return _folder("DAGSTER_HOME", ".dagster")


def data_dir() -> Path:
    """Give the lake's folder: ``PHOTOZ_DATA_DIR`` or ``data`` in the checkout."""
    return _folder("PHOTOZ_DATA_DIR", "data")


def archive_dir() -> Path:
    """Give the embedded archive's folder: ``PHOTOZ_ARCHIVE_DIR`` or ``.archive`` in the checkout."""
    return _folder("PHOTOZ_ARCHIVE_DIR", ".archive")


def archive_density() -> float:
    """Give the embedded sky's share of the real source density: ``PHOTOZ_ARCHIVE_DENSITY`` or 0.01.

    Raises
    ------
    SettingError
        The variable is no number above 0 and at most 1.
    """
    text = os.environ.get("PHOTOZ_ARCHIVE_DENSITY")
    if not text:
        return DEFAULT_DENSITY
    complaint = f"PHOTOZ_ARCHIVE_DENSITY must be a number above 0 and at most 1, for example 0.01; it is {text!r}"
    try:
        density = float(text)
    except ValueError:
        raise SettingError(complaint) from None
    if not 0 < density <= 1:
        raise SettingError(complaint)
    return density


def tap_url() -> str | None:
    """Give ``PHOTOZ_TAP_URL``, if it is set."""
    return os.environ.get("PHOTOZ_TAP_URL") or None


def tap_token() -> str | None:
    """Give ``PHOTOZ_TAP_TOKEN``, else ``ACCESS_TOKEN``, if one is set."""
    return os.environ.get("PHOTOZ_TAP_TOKEN") or os.environ.get("ACCESS_TOKEN") or None


def butler_repository() -> str | None:
    """Give ``PHOTOZ_BUTLER_REPOSITORY``, if it is set: a folder or the URL of a server."""
    return os.environ.get("PHOTOZ_BUTLER_REPOSITORY") or None


def _folder(variable: str, in_checkout: str) -> Path:
    """Give the absolute path that a variable names, a leading ``~`` being the home folder."""
    named = os.environ.get(variable)
    return Path(named).expanduser().absolute() if named else checkout_root() / in_checkout
