"""What the environment says: where things lie and which archive is asked. Resolved at each call."""

import os
from pathlib import Path


def checkout_root() -> Path:
    """Give the checkout that this package runs from, or the current folder if it is installed elsewhere."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def data_dir() -> Path:
    """Give the lake's folder: ``PHOTOZ_DATA_DIR`` or ``data`` in the checkout."""
    return Path(os.environ.get("PHOTOZ_DATA_DIR") or checkout_root() / "data")


def archive_dir() -> Path:
    """Give the embedded archive's folder: ``PHOTOZ_ARCHIVE_DIR`` or ``.archive`` in the checkout."""
    return Path(os.environ.get("PHOTOZ_ARCHIVE_DIR") or checkout_root() / ".archive")


def archive_density() -> float:
    """Give the embedded sky's share of the real source density: ``PHOTOZ_ARCHIVE_DENSITY`` or 0.01."""
    return float(os.environ.get("PHOTOZ_ARCHIVE_DENSITY") or 0.01)


def tap_url() -> str | None:
    """Give ``PHOTOZ_TAP_URL``, if it is set."""
    return os.environ.get("PHOTOZ_TAP_URL") or None


def tap_token() -> str | None:
    """Give ``PHOTOZ_TAP_TOKEN``, else ``ACCESS_TOKEN``, if one is set."""
    return os.environ.get("PHOTOZ_TAP_TOKEN") or os.environ.get("ACCESS_TOKEN") or None
