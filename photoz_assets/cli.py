"""The command line: ``photoz``. What a command does stands in the module of its name."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from photoz_assets import environment


@contextmanager
def _without_traceback() -> Iterator[None]:
    """End with one line instead of a traceback where a setting makes no sense."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _settle_environment() -> Path:
    """Take ``.env`` of the current folder, name Dagster's folder and see that it is set up; give it."""
    environment.load_env_file(Path.cwd())
    home = environment.dagster_home()
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    settings = environment.checkout_root() / "deploy" / "dagster.yaml"
    if settings.is_file() and not (home / "dagster.yaml").exists():
        shutil.copyfile(settings, home / "dagster.yaml")
    return home


@click.group()
@click.version_option(package_name="photoz_assets")
def main() -> None:
    """Photo-z data of the Rubin archive as Dagster assets."""


@main.command()
def demo() -> None:
    """Run the main job end to end and say where everything lies; exit 0 only if all of it holds."""
    with _without_traceback():
        _settle_environment()
        import dagster as dg  # noqa: PLC0415 - `photoz --help` answers at once without it

        from photoz_assets.demo import closing_table, run_demo  # noqa: PLC0415 - as above

        with dg.DagsterInstance.get() as instance:
            problems = run_demo(instance, click.echo)
            click.echo(closing_table())
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    if problems:
        sys.exit(1)
    click.echo("Everything holds. `make ui` shows it on http://127.0.0.1:3000.")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
@click.option(
    "--workspace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Dagster workspace to show; by default the checkout's.",
)
@click.option("--until-parent-ends", is_flag=True, help="End with the process that started this one.")
def ui(host: str, port: int, workspace: Path | None, *, until_parent_ends: bool) -> None:
    """Start the Dagster UI, its daemon and, while PHOTOZ_TAP_URL is unset, the embedded archive."""
    from photoz_assets.ui import UiError, serve  # noqa: PLC0415 - the other commands do without

    try:
        with _without_traceback():
            home = _settle_environment()
            shown = (workspace or environment.checkout_root() / "workspace.yaml").resolve()
            serve(host=host, port=port, workspace=shown, home=home, with_parent=until_parent_ends, say=click.echo)
    except UiError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("The Dagster UI has ended.")
