"""Write the pages of settings, commands and errors below docs/ from the code: a part of ``make docs``."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
from pydantic import AliasChoices

import photoz_assets
from photoz_archive.butler.main import main as photoz_butler
from photoz_archive.main import main as photoz_archive
from photoz_assets.commands.cli import main as photoz
from photoz_assets.environment import Settings, checkout_root
from photoz_assets.errors import PhotozError

_COMMANDS: Final = {"photoz": photoz, "photoz-archive": photoz_archive, "photoz-butler": photoz_butler}
_WIDTH: Final = 100
_DEFAULT_RELEASE: Final = {"release": "dp02"}


def pages() -> Mapping[str, str]:
    """Return the text of each page by its name below docs/."""
    return {
        "settings.md": "\n".join(_settings()) + "\n",
        "commands.md": "\n".join(_commands()) + "\n",
        "errors.md": "\n".join(_errors()) + "\n",
    }


def _settings() -> Iterator[str]:
    yield """# Settings

Made by `make docs` from `photoz_assets/environment.py`. Variables of the environment; they may stand in
`.env` too. What the shell sets wins, but for Dagster's own commands. An empty variable counts as unset, and
a wrong value says what it must be. The token is never written anywhere. What is decided run by run, the
magnitude cuts say, is configuration of Dagster's resources ([how](how-to.md#take-other-cuts)).

| variable | what it sets | default |
|---|---|---|"""
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            default = field.get_default(call_default_factory=True, validated_data=_DEFAULT_RELEASE)
            yield f"| `{field.validation_alias.choices[0]}` | {field.description} | {_default(default)} |"


def _default(value: object) -> str:
    if value is None:
        return "none"
    return f"`{value.relative_to(checkout_root())}/`" if isinstance(value, Path) else f"`{value}`"


def _commands() -> Iterator[str]:
    yield """# Commands

Made by `make docs` from the commands themselves, whose `--help` says the same. In a checkout they lie in
`.venv/bin`. What `make` makes, `make help` lists."""
    for name, command in _COMMANDS.items():
        yield f"\n## {name}"
        yield from _help(name, command)
        if isinstance(command, click.Group):
            for each in sorted(command.commands):
                yield f"\n### {name} {each}"
                yield from _help(f"{name} {each}", command.commands[each])


def _help(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH)
    yield f"\n```text\n{command.get_help(context)}\n```"


def _errors() -> Iterator[str]:
    yield """# Errors

Made by `make docs` from the code. All of them are `photoz_assets.errors.PhotozError`: something outside the
program went wrong, and the text says in one line what happened, to what, and what to do next. Any other
exception is a bug. What the lines mean that are seen most stands under [when something
fails](troubleshooting.md)."""
    room = None
    for error in sorted(_found(), key=lambda error: (error.__module__, error.__name__)):
        if error.__module__ != room:
            room = error.__module__
            yield f"\n## {room.removeprefix('photoz_assets.')}\n\n| error | kind of | when |\n|---|---|---|"
        kinds = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
        when = inspect.cleandoc(error.__doc__ or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        yield f"| `{error.__name__}` | {kinds} | {when} |"


def _found() -> set[type[PhotozError]]:
    """Return all errors of the package but their root."""
    for module in pkgutil.walk_packages(photoz_assets.__path__, "photoz_assets."):
        # What needs an extra that is not installed has no errors of its own.
        with suppress(ModuleNotFoundError):
            importlib.import_module(module.name)
    found: set[type[PhotozError]] = set()
    kinds: list[type[PhotozError]] = [PhotozError]
    while kinds:
        below = [each for each in kinds.pop().__subclasses__() if each.__module__.startswith("photoz_assets.")]
        found.update(below)
        kinds += below
    return found


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (checkout_root() / "docs" / name).write_text(text)


if __name__ == "__main__":
    main()
