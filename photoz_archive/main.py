"""The command ``photoz-archive``: the embedded archive as a server of its own."""

import os
import signal
import sys
import threading
from pathlib import Path

import click

from photoz_archive.settings import SettingsCommand, density_option

_PROFILES = ("friendly", "rubin", "plain")


@click.command(cls=SettingsCommand, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@density_option
@click.option(
    "--data-dir",
    required=True,
    envvar="PHOTOZ_ARCHIVE_DIR",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of its rows, jobs and results; made if it is missing.",
)
@click.option("--profile", default="friendly", type=click.Choice(_PROFILES), help="How the service behaves.")
@click.option("--token-env", metavar="NAME", help="Environment variable that holds the bearer token to ask for.")
def main(*, host: str, port: int, density: float, data_dir: Path, profile: str, token_env: str | None) -> None:
    """Serve simulated DC2-like catalogs over TAP, as Rubin's archive does.

    Rows are made on first use and kept. The first line printed is the URL of the service, once it answers. The
    variables may stand in .env of the current folder.
    """
    token = os.environ.get(token_env) if token_env else None
    if token_env and not token:
        raise click.ClickException(
            f"the environment variable {token_env} is empty; set it to the token to ask for"
        )
    from photoz_archive.service.profile import Profile  # noqa: PLC0415  (not for --help)
    from photoz_archive.service.server import ArchiveServer  # noqa: PLC0415  (slow to load)

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    server = ArchiveServer(
        data_dir.expanduser(),
        density=density,
        host=host,
        port=port,
        profile=getattr(Profile, profile)(),
        token=token,
    )
    try:
        server.start()
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(
            f"cannot serve {host}:{port} from {data_dir}: {reason}; choose another --host, --port or --data-dir"
        ) from error
    click.echo(f"The simulated archive answers at {server.url} (stop it with Ctrl-C)")
    sys.stdout.flush()
    stopping.wait()
    server.stop()


if __name__ == "__main__":
    main()
