"""What the archive's commands share: settings from the environment or ``.env``, and words for what is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from dotenv import load_dotenv


class SettingsCommand(click.Command):
    """A command that takes ``.env`` of the current folder before its options look at the environment."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the file, then the options; what is already set stays."""
        path = Path.cwd() / ".env"
        try:
            load_dotenv(path, override=False)
        except UnicodeDecodeError as error:
            raise click.ClickException(
                f"{path} is no text in UTF-8: write it anew, a line for each variable"
            ) from error
        return super().make_context(*args, **extra)


class SettingsGroup(SettingsCommand, click.Group):
    """A group of commands, and a command itself, that does the same."""


density_option: Final = click.option(
    "--density",
    default=None,
    envvar="PHOTOZ_ARCHIVE_DENSITY",
    show_envvar=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the real source density; by default the one of each release.",
)


def default_data_dir() -> Path:
    """Return ``.archive`` in the checkout that this package runs from, else in the current folder."""
    root = Path(__file__).resolve().parents[1]
    return (root if (root / "pyproject.toml").is_file() else Path.cwd()) / ".archive"


@contextmanager
def extra_needed(extra: str, part: str) -> Iterator[None]:
    """End with one line where a library of an extra, which is a part of the project, is not installed.

    Raises
    ------
    click.ClickException
        With what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{part} is not installed ({error.name} is missing): pip install 'photoz_assets[{extra}]'"
        ) from error
