"""The command line: ``photoz``. What a command does stands in the module of its name."""

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from photoz_assets.errors import PhotozError

if TYPE_CHECKING:
    from photoz_assets.environment import Settings
    from photoz_assets.lake.layout import Lake
    from photoz_assets.survey.releases.release import Release

_warn: Final = partial(click.echo, err=True)


@contextmanager
def _without_traceback() -> Iterator[None]:
    """End with one line where something outside the program went wrong; a bug keeps its traceback."""
    try:
        yield
    except PhotozError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        # Whoever reads has seen enough; click ends quietly.
        raise
    except PermissionError as error:
        raise click.ClickException(
            f"{error.filename or 'a file'} is not this account's to use ({error.strerror}): see to whose it is, "
            "or name other folders with PHOTOZ_DATA_DIR, PHOTOZ_ARCHIVE_DIR and DAGSTER_HOME"
        ) from error
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        raise click.ClickException(
            f"the disk failed{where}: {error.strerror or error}. Free some space, or see to what lies there"
        ) from error


def _settings() -> "Settings":
    """Take ``.env`` of the current folder into the environment and return what it says."""
    from photoz_assets.environment import (  # noqa: PLC0415 - `photoz --help` does without
        load_env_file,
        settings,
        spare_loopback,
    )

    load_env_file(Path.cwd())
    spare_loopback()
    return settings()


def _open_home(home: Path) -> Path:
    """Name Dagster's folder to Dagster, and see that it can be written in."""
    os.environ["DAGSTER_HOME"] = str(home)
    _make_writable(home, "DAGSTER_HOME")
    return home


def _make_writable(folder: Path, variable: str) -> None:
    """Make a folder, if it is not there, and see that files can be made in it.

    Raises
    ------
    click.ClickException
        They cannot, with the variable that names another folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise click.ClickException(
            f"the folder {folder} cannot be made or written in ({error.strerror}): "
            f"set {variable} to one that can, or see to this one"
        ) from error


def _make_ready_for_runs(settings: "Settings") -> None:
    """See that runs can write their tables and, while no archive is named, that the embedded one can serve."""
    from photoz_assets.lake.opening import open_lake  # noqa: PLC0415 - as above
    from photoz_assets.orchestration.embedded_archive import require_embedded_archive  # noqa: PLC0415 - as above

    lake = open_lake(settings.data_dir)
    _make_writable(lake.root, "PHOTOZ_DATA_DIR" if lake.store is None else "PHOTOZ_WORK_DIR")
    _refuse_anothers(lake)
    if settings.tap_url is None:
        require_embedded_archive()
        _make_writable(settings.archive_dir, "PHOTOZ_ARCHIVE_DIR")


def _lake_and_release(settings: "Settings") -> tuple["Lake", "Release"]:
    """Return the lake, and the release with the tracts that the lake lists."""
    from photoz_assets.lake.opening import open_lake  # noqa: PLC0415 - as above
    from photoz_assets.lake.tract_list import with_kept_tracts  # noqa: PLC0415 - as above
    from photoz_assets.survey.releases import release_named  # noqa: PLC0415 - as above

    lake = open_lake(settings.data_dir)
    return lake, with_kept_tracts(release_named(settings.release), lake)


@contextmanager
def _shared_lake_and_release(settings: "Settings") -> Iterator[tuple["Lake", "Release"]]:
    """Give the same, with the locks of all who share Dagster's instance, where it is on Postgres."""
    lake, release = _lake_and_release(settings)
    # Without settings of its own it is on this machine, and need not be made for that.
    if not (settings.dagster_home / "dagster.yaml").is_file():
        yield lake, release
        return
    from photoz_assets.commands.instance import open_instance  # noqa: PLC0415 - as above
    from photoz_assets.orchestration.instance_locks import shared_lake  # noqa: PLC0415 - as above

    with (
        open_instance(_open_home(settings.dagster_home), _warn) as instance,
        shared_lake(settings.data_dir, instance) as shared,
    ):
        yield shared, release


def _refuse_anothers(lake: "Lake") -> None:
    """See that runs can write wherever the lake's tables, figures and locks lie already.

    Raises
    ------
    click.ClickException
        Another account keeps them to itself.
    """
    from photoz_assets.lake.sharing import SHARE, kept_by_another  # noqa: PLC0415 - `photoz --help` does without

    if (kept := kept_by_another(lake)) is not None:
        raise click.ClickException(f"{kept} in the lake cannot be written by this account: {SHARE}")


@click.group()
@click.version_option(package_name="photoz_assets")
def main() -> None:
    """Photo-z data of the Rubin archive as Dagster assets."""


@main.command()
def demo() -> None:
    """Fill the lake for one field.

    Runs the main job end to end, with every check, and says where everything lies. Exits with 0 only if all of it
    holds.
    """
    with _without_traceback():
        settings = _settings()
        from photoz_assets.commands.demo import closing_table, last_line, run_demo  # noqa: PLC0415 - as above
        from photoz_assets.commands.instance import open_instance  # noqa: PLC0415 - as above

        home = _open_home(settings.dagster_home)
        _make_ready_for_runs(settings)
        with open_instance(home, _warn) as instance:
            problems = run_demo(instance, click.echo)
            click.echo(closing_table())
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    if problems:
        sys.exit(1)
    click.echo(last_line())


@main.command()
@click.argument("tracts", nargs=-1, required=True, type=int, metavar="TRACT...")
def fetch(tracts: tuple[int, ...]) -> None:
    """Fetch the galaxies of tracts.

    Asks the archive for each, holds it against all checks and publishes it, as a run of matched_galaxies does, but
    without a run: Dagster's pages do not show it. Exits with 1 if a tract could not be fetched.
    """
    with _without_traceback():
        settings = _settings()
        from photoz_assets.commands.fetch import fetch as fetch_tracts  # noqa: PLC0415 - as above

        _make_ready_for_runs(settings)
        with _shared_lake_and_release(settings) as (lake, release):
            problems = fetch_tracts(lake, release, tracts, click.echo)
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    if problems:
        sys.exit(1)


@main.command()
@click.option(
    "--tract", type=int, default=None, help="Tract of the galaxies; by default the only one that has such."
)
@click.option("--where", default=None, help="Condition in SQL over the columns of matched_galaxies.")
@click.option("--order-by", default=None, help="What comes first, in SQL.")
@click.option("--limit", type=int, default=24, show_default=True, help="The most galaxies, 200 at most.")
@click.option("--bands", default="gri", show_default=True, help="Bands of the stamps, of ugrizy.")
@click.option("--size", type=float, default=12.0, show_default=True, help="Width of a stamp in arcsec, 2 to 60.")
def stamps(
    *, tract: int | None, where: str | None, order_by: str | None, limit: int, bands: str, size: float
) -> None:
    """Cut stamps of galaxies out of the archive's images.

    By default of the worst galaxies of the checks and of the redshift estimates; else of those of a condition, in
    which other tables of the lake can stand in subqueries. Twelve control objects come with them. What was cut
    before is not asked for again, and an interrupted command goes on where it was. Exits with 1 if a check fails.
    """
    with _without_traceback():
        settings = _settings()
        from photoz_assets.commands.stamps import make_stamps  # noqa: PLC0415 - as above
        from photoz_assets.images.choice import Choice  # noqa: PLC0415 - as above
        from photoz_assets.images.sheet import Layout  # noqa: PLC0415 - as above

        choice = Choice(where=where, order_by=order_by, limit=limit)
        layout = Layout(bands=bands, size_arcsec=size)
        _make_ready_for_runs(settings)
        with _shared_lake_and_release(settings) as (lake, release):
            problems = make_stamps(lake, release, choice, layout, tract=tract, log=click.echo)
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    if problems:
        sys.exit(1)


@main.command()
@click.option("--update", is_flag=True, help="Ask the archive, and keep its list in the lake.")
def tracts(*, update: bool) -> None:
    """List the tracts of the release.

    One number a line, as the location has them for partitions. The package knows the tracts that are published; of
    a release without a published list, those of its fields, until the archive is asked. Start the location again
    after that.
    """
    with _without_traceback():
        settings = _settings()
        lake, release = _lake_and_release(settings)
        if update:
            from photoz_assets.commands.tracts import update as update_tracts  # noqa: PLC0415 - as above

            _make_ready_for_runs(settings)
            release = update_tracts(lake, release, _warn)
    click.echo("\n".join(map(str, release.tracts)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--check", is_flag=True, help="Exit with 1 if a tract is stale or failed, a check failed or a file is damaged."
)
@click.option("--verify", is_flag=True, help="Read all rows of all files, too, not their footers alone.")
def status(*, as_json: bool, check: bool, verify: bool) -> None:
    """Say what is there and how it stands.

    Lists assets, tracts, failed checks, damaged files, and what is fresh. Asks the lake and Dagster's instance,
    never the archive.
    """
    with _without_traceback():
        settings = _settings()
        from photoz_assets.commands.instance import open_instance  # noqa: PLC0415 - as above
        from photoz_assets.commands.status import status as found_status  # noqa: PLC0415 - as above
        from photoz_assets.commands.status import text  # noqa: PLC0415 - as above
        from photoz_assets.definitions import build_definitions  # noqa: PLC0415 - as above
        from photoz_assets.orchestration.resources import SelectionResource  # noqa: PLC0415 - as above

        lake, release = _lake_and_release(settings)
        with open_instance(_open_home(settings.dagster_home), _warn) as instance:
            found = found_status(
                lake,
                instance,
                build_definitions(release=release),
                release=release,
                selection=SelectionResource().selection(),
                butler=settings.butler_repository is not None,
                verify=verify,
            )
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else text(found))
    if check and not found.well:
        sys.exit(1)


@main.command()
@click.option("--port", default=3001, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
def atlas(port: int) -> None:
    """Show the atlas: the lake's pages, on this machine's loopback.

    They work as files as well, and from any web server. The asset atlas makes them.
    """
    with _without_traceback():
        settings = _settings()
        from photoz_assets.commands.atlas import serve_atlas  # noqa: PLC0415 - as above

        lake, _ = _lake_and_release(settings)
        serve_atlas(lake, port=port, log=click.echo)


@main.command()
@click.argument("sql")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "csv", "json", "parquet", "arrow"]),
    default="table",
    show_default=True,
    help="How rows are written; a table shows the first and the last of many.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="File to write; by default the standard output.",
)
def query(sql: str, layout: str, output: Path | None) -> None:
    """Ask the lake in SQL.

    DuckDB's; each asset that has files is a view of its name. Takes one statement that reads, SELECT or DESCRIBE
    say, and nothing but the lake is read. Where columns share a name, csv repeats it; json, parquet and arrow
    number it. Exits with 1 if the query fails.
    """
    if output is None and layout in {"parquet", "arrow"} and sys.stdout.isatty():
        raise click.UsageError(f"{layout} is nothing for a terminal: name a file with --output")
    with _without_traceback(), _plain_warnings():
        data_dir = _settings().data_dir
        from photoz_assets.commands.query import write_query  # noqa: PLC0415 - as above

        with _sink(output) as sink:
            write_query(data_dir, sql, layout, sink)


@main.command()
@click.option(
    "--days", type=click.IntRange(min=0), default=7, show_default=True, help="Keep what was needed since."
)
@click.option("--dry-run", is_flag=True, help="Name the files and remove none.")
def vacuum(*, days: int, dry_run: bool) -> None:
    """Remove what no version of a lake in an object store needs.

    Files that have been superseded for that long, and those of publications that never came to their end. Versions
    that needed them can be opened no more. Who reads an older version for longer than that is to be told first.
    """
    with _without_traceback():
        lake, _ = _lake_and_release(_settings())
        if lake.store is None:
            raise click.ClickException(f"the lake {lake.name} is a folder, which keeps no former versions")
        removed = lake.store.vacuum(days, dry_run=dry_run)
    for name in removed:
        click.echo(name)
    click.echo(f"{len(removed)} files {'would be ' if dry_run else ''}removed from {lake.name}", err=True)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show warnings, of tables that cannot be read say, as a line each."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _warn(f"Warning: {message}")
        yield


@contextmanager
def _sink(output: Path | None) -> Iterator[BinaryIO]:
    """Open what a query writes: a file that is there once it is whole, or the standard output."""
    if output is None:
        yield sys.stdout.buffer
    elif output.exists() and not output.is_file():
        with output.open("wb") as sink:
            yield sink
    else:
        partial_file = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            with partial_file.open("wb") as sink:
                yield sink
            partial_file.replace(output)
        finally:
            partial_file.unlink(missing_ok=True)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--workspace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Dagster workspace to show; by default the checkout's.",
)
@click.option(
    "--release",
    "releases",
    multiple=True,
    help="Release to show, by its name; again for another beside it. By default that of PHOTOZ_RELEASE.",
)
@click.option("--until-parent-ends", is_flag=True, help="End with the process that started this one.")
def ui(
    host: str, port: int, workspace: Path | None, releases: tuple[str, ...], *, until_parent_ends: bool
) -> None:
    """Start the Dagster UI and what it needs.

    That is its daemon and, while PHOTOZ_TAP_URL is unset, the embedded archive. Each of several releases has a
    code location and a lake of its own. The page has no accounts: whoever reaches its port may start runs, with
    your token. Pages of other origins are refused.
    """
    try:
        with _without_traceback():
            settings = _settings()
            from photoz_assets.commands.ui import serve  # noqa: PLC0415 - as above
            from photoz_assets.commands.workspace import workspace_of  # noqa: PLC0415 - as above

            home = _open_home(settings.dagster_home)
            _make_ready_for_runs(settings)
            shown = workspace.resolve() if workspace else workspace_of(releases, home)
            serve(
                host=host,
                port=port,
                workspace=shown,
                settings=settings,
                with_parent=until_parent_ends,
                log=click.echo,
            )
    except KeyboardInterrupt:
        click.echo("The Dagster UI has ended.")
