"""The command ``photoz-butler``: a Butler repository of the embedded archive's own rows, for trying it."""

from pathlib import Path

import click

from photoz_archive.commands import SettingsCommand, default_data_dir, density_option, extra_needed


def _tracts(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(tract) for tract in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of tracts such as 3637,3638") from None


@click.command(cls=SettingsCommand, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--repository",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the repository; it must not be there yet.",
)
@click.option(
    "--tracts", default="3637,3638", callback=_tracts, help="Tracts whose tables it holds, with commas between."
)
@density_option
@click.option(
    "--data-dir",
    default=default_data_dir,
    show_default=False,
    envvar="PHOTOZ_ARCHIVE_DIR",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The embedded archive's folder, whose rows it takes; by default .archive.",
)
def main(*, repository: Path, tracts: tuple[int, ...], density: float, data_dir: Path) -> None:
    """Make a Butler repository with the simulated galaxies that the embedded archive serves over TAP.

    The settings of the archive in .env of the current folder hold here too, so that both give the same rows.
    """
    with extra_needed("butler", "the Butler's client"):
        from photoz_archive.butler.repository import COLLECTION, make_repository  # noqa: PLC0415  (slow)
        from photoz_archive.sky.store import SkyStore  # noqa: PLC0415  (slow to load)

        try:
            store = SkyStore(data_dir.expanduser() / "sky", density=density)
            make_repository(repository, store, tracts, say=click.echo)
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"The simulated repository is {repository.absolute()}, its collection {COLLECTION}.")
    click.echo(f"Materialize the assets of the group butler with PHOTOZ_BUTLER_REPOSITORY={repository.absolute()}")


if __name__ == "__main__":
    main()
