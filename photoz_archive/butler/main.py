"""The command ``photoz-butler``: a Butler repository of the embedded archive's own rows, for trying it."""

import re
from pathlib import Path

import click

from photoz_archive.commands import SettingsCommand, default_data_dir, density_option, extra_needed


def _tracts(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(tract) for tract in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of tracts such as 3637,3638") from None


def _images(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, int, str] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+):(\d+)(?::([ugrizy]+))?", text, re.ASCII)
    if found is None:
        raise click.BadParameter(f"{text!r} is no patch such as 4226:17, or 4226:17:gri with its bands")
    return int(found[1]), int(found[2]), found[3] or "r"


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
@click.option(
    "--images",
    metavar="TRACT:PATCH[:BANDS]",
    callback=_images,
    help="Patch whose deepCoadd it holds, 4226:17 or 4226:17:gri; in r where no bands are named.",
)
@click.option(
    "--images-as",
    type=click.Choice(["exposure", "masked"]),
    show_default="masked where lsst-images is installed",
    help="How it holds them: as DP0.2 does, or so that every client with lsst-images gets them.",
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
def main(
    *,
    repository: Path,
    tracts: tuple[int, ...],
    images: tuple[int, int, str] | None,
    images_as: str | None,
    density: float | None,
    data_dir: Path,
) -> None:
    """Make a Butler repository with the simulated galaxies that the embedded archive serves over TAP.

    The settings of the archive in .env of the current folder hold here too, so that both give the same rows.
    """
    with extra_needed("butler", "the Butler's client"):
        from photoz_archive.butler.coadds import PatchImages, StoredAs  # noqa: PLC0415  (slow to load)
        from photoz_archive.butler.repository import COLLECTION, make_repository  # noqa: PLC0415  (slow)
        from photoz_archive.sky.store import SkyStore  # noqa: PLC0415  (slow to load)

        try:
            store = SkyStore(data_dir.expanduser() / "sky", density=density)
            make_repository(
                repository,
                store,
                tracts,
                images=PatchImages(*images) if images else None,
                images_as=StoredAs(images_as) if images_as else None,
                say=click.echo,
            )
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"The simulated repository is {repository.absolute()}, its collection {COLLECTION}.")
    click.echo(f"Materialize the assets of the group butler with PHOTOZ_BUTLER_REPOSITORY={repository.absolute()}")


if __name__ == "__main__":
    main()
