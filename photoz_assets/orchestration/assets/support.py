"""What the modules of assets share: how figures are saved and shown, and what is said of stored tables."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
import pyarrow as pa

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import InvalidTableFileError, Provenance, carried_provenance, read_rows
from photoz_assets.lake.staging import atomic_write
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import TableSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photoz_assets.science.figures import Caption

CONTACT_SHEET: Final = "contact_sheet"


def caption(title: str, source: Provenance, release: Release, number: int) -> "Caption":
    """Return what figures say of their data: how many there are, where they come from, and who may have them."""
    from photoz_assets.science.figures import Caption  # noqa: PLC0415 - matplotlib is slow to load

    return Caption(title, source.origin(release.schema), number, release, rights=source.rights or "")


def show_figures(
    context: dg.AssetExecutionContext,
    lake: Lake,
    figures: Iterable[tuple[str, "Figure"]],
    tract: int | None = None,
) -> None:
    """Save an asset's figures, as they come, and of several a contact sheet; show one picture on the asset's page.

    One picture a materialization: what is embedded here stays in Dagster's database for ever.
    """
    show_figure(context, save_figures(lake, context.asset_key.path[-1], figures, tract))


def show_figure(context: dg.AssetExecutionContext, figure: Path) -> None:
    """Show a saved figure on the asset's page, as a thumbnail."""
    from photoz_assets.science import figures as drawing  # noqa: PLC0415 - matplotlib is slow to load

    # The asset's own metadata, not the output's: the output's event would hold the picture once more.
    context.add_asset_metadata(
        {
            "figures": dg.MetadataValue.md(drawing.thumbnail_markdown(figure)),
            "figures_folder": dg.MetadataValue.path(figure.parent),
        }
    )


def save_figures(
    lake: Lake, asset: str, figures: Iterable[tuple[str, "Figure"]], tract: int | None = None
) -> Path:
    """Save an asset's figures, as they come; return the only one, or the contact sheet of several."""
    from photoz_assets.science import figures as drawing  # noqa: PLC0415 - as above

    paths = []
    for name, figure in figures:
        paths.append(lake.figure(asset, name, tract))
        with atomic_write(lake, paths[-1]) as file:
            drawing.save(figure, file)
    if len(paths) == 1:
        return paths[0]
    sheet = lake.figure(asset, CONTACT_SHEET, tract)
    with atomic_write(lake, sheet) as file:
        drawing.contact_sheet(paths, file)
    return sheet


def selections(sources: Iterable[Provenance], release: Release) -> dict[int, str]:
    """Return of which selection each stored tract is, in words."""
    return {
        each.tract: release.text_of(each.selection) if each.selection else ""
        for each in sources
        if each.tract is not None
    }


def former_rows(lake: Lake, spec: TableSpec) -> pa.Table | None:
    """Return the rows of an asset without tracts as the lake holds them; None unless this code has made them.

    Only who compares the new with the old asks for them: what cannot be read is nothing to compare with.
    """
    with suppress(FileNotFoundError, NotADirectoryError, InvalidTableFileError):
        rows = read_rows(lake.table(spec.table))
        return rows if carried_provenance(rows).code_version == spec.code_version else None
    return None
