"""The command ``photoz-archive``: the embedded archive as a server of its own."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from photoz_archive.commands import SettingsGroup, default_data_dir, density_option, extra_needed
from photoz_archive.service.disk import DEFAULT_LIMITS, DiskLimits
from photoz_assets.survey.releases import release_named, release_names

_Command = TypeVar("_Command", bound=Callable[..., Any])

_PROFILES = ("friendly", "rubin", "plain")
_GIGABYTE = 10**9


def _disk_option(name: str, default: int, what: str) -> Callable[[_Command], _Command]:
    """Return an option for a bound of the disk, in GB."""
    return click.option(
        f"--{name}-gb",
        default=default / _GIGABYTE,
        envvar=f"PHOTOZ_ARCHIVE_{name.upper()}_GB",
        show_envvar=True,
        type=click.FloatRange(0, min_open=True),
        help=f"GB of disk that {what} may take.",
    )


_data_dir_option: Final = click.option(
    "--data-dir",
    envvar="PHOTOZ_ARCHIVE_DIR",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of its rows, jobs and results; made if it is missing.",
)


@click.group(
    cls=SettingsGroup,
    invoke_without_command=True,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]},
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@density_option
@_data_dir_option
@click.option("--profile", default="friendly", type=click.Choice(_PROFILES), help="How the service behaves.")
@_disk_option("spill", DEFAULT_LIMITS.spill_bytes, "running queries which outgrow the memory")
@_disk_option("result", DEFAULT_LIMITS.result_bytes, "one result of a job")
@_disk_option("store", DEFAULT_LIMITS.store_bytes, "all results of jobs together")
@click.option("--token-env", metavar="NAME", help="Environment variable that holds the bearer token to ask for.")
@click.pass_context
def main(
    context: click.Context,
    *,
    host: str,
    port: int,
    density: float | None,
    data_dir: Path | None,
    profile: str,
    spill_gb: float,
    result_gb: float,
    store_gb: float,
    token_env: str | None,
) -> None:
    """Serve simulated catalogs of Rubin's releases over TAP, as Rubin's archive does.

    Rows are made on first use and kept. The first line printed is the URL of the service, once it answers. The
    variables may stand in .env of the current folder.
    """
    if context.invoked_subcommand is not None:
        return
    if data_dir is None:
        raise click.UsageError("Missing option '--data-dir' (env var: 'PHOTOZ_ARCHIVE_DIR').")
    token = os.environ.get(token_env) if token_env else None
    if token_env and not token:
        raise click.ClickException(
            f"the environment variable {token_env} is empty; set it to the token to ask for"
        )
    folder = data_dir.expanduser()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with extra_needed("archive", "the embedded archive"):
        from photoz_archive.service.listing import LISTED_SCHEMAS  # noqa: PLC0415  (not for --help)
        from photoz_archive.service.official import OfficialSchemaError, official_schemas  # noqa: PLC0415  (as above)

        def read_ahead() -> None:
            # What goes wrong is met again by the server.
            with suppress(ModuleNotFoundError, OfficialSchemaError, OSError):
                official_schemas(LISTED_SCHEMAS, folder / "schemas")

        # On an empty folder another process reads the official schemas, while this one loads all else.
        threading.Thread(target=read_ahead, daemon=True).start()
        from photoz_archive.service.profile import Profile  # noqa: PLC0415  (as above)
        from photoz_archive.service.server import ArchiveServer  # noqa: PLC0415  (slow to load)

        server = ArchiveServer(
            folder,
            density=density,
            host=host,
            port=port,
            profile=getattr(Profile, profile)(),
            token=token,
            limits=DiskLimits(
                spill_bytes=round(spill_gb * _GIGABYTE),
                result_bytes=round(result_gb * _GIGABYTE),
                store_bytes=round(store_gb * _GIGABYTE),
            ),
        )
        try:
            server.start()
        except OSError as error:
            raise click.ClickException(
                f"cannot serve {host}:{port} from {data_dir}: {error.strerror or error}; "
                "choose another --host, --port or --data-dir"
            ) from error
        except OfficialSchemaError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"The simulated archive answers at {server.url} (stop it with Ctrl-C)")
    sys.stdout.flush()
    stopping.wait()
    server.stop()


@main.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--release",
    "name",
    default="dp1",
    envvar="PHOTOZ_RELEASE",
    type=click.Choice(release_names()),
    help="Whose sky it is of.",
)
@click.option("--tract", "tracts", multiple=True, type=int, help="A tract of it; by default all of the release.")
@density_option
@_data_dir_option
def specz(out: Path, *, name: str, tracts: tuple[int, ...], density: float | None, data_dir: Path | None) -> None:
    """Write redshifts of the simulated sky, as mock surveys would have them, to a Parquet or CSV file.

    Their columns are those of the Photo-z Server's combined catalogues. Tracts that are missing are made.
    """
    if out.exists():
        raise click.ClickException(f"{out} is there already: name another file, or remove it first")
    folder = (data_dir or default_data_dir()).expanduser()
    with extra_needed("archive", "the embedded archive"):
        from photoz_archive.sky.redshift_file import write_redshifts  # noqa: PLC0415  (not for --help)
        from photoz_archive.sky.store import SkyStore  # noqa: PLC0415  (as above)

        release = release_named(name)
        try:
            store = SkyStore(folder / "sky", release=release, density=density)
            count = write_redshifts(out, store, tracts or release.tracts)
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{out} holds {count:,} simulated redshifts of {release.title}'s simulated sky")


if __name__ == "__main__":
    main()
