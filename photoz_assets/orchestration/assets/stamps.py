"""Stamps of a tract's chosen galaxies, asked for by a person and never by a schedule.

The asset and the command that does without a run publish them by the same function.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import Field

from photoz_assets.images.choice import Choice
from photoz_assets.images.cutouts import CutoutSource
from photoz_assets.images.sheet import CONTROL_BAND, SIZE_ARCSEC, Layout, Pictured, make_sheet
from photoz_assets.ingest.tap_ingest import identify
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance, derived_provenance
from photoz_assets.lake.writing import WrittenTable, write_rows
from photoz_assets.orchestration.assets.support import caption, save_figures, show_figure
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import TableResult, lake_table
from photoz_assets.orchestration.resources import ArchiveResource, ReleaseParam
from photoz_assets.survey.bands import AB_ZERO_POINT_MAG
from photoz_assets.survey.contracts.images import stamps_spec
from photoz_assets.survey.releases.release import Release

if TYPE_CHECKING:
    from photoz_assets.science.figures import StampPicture

STAMPS: Final = "stamps"


class StampsConfig(dg.Config):
    """Which galaxies, and how their stamps are cut."""

    where: str | None = Field(
        default=None,
        description="Condition in DuckDB's SQL over the columns of matched_galaxies; other tables in subqueries. "
        "By default, and without an order, the worst of flux_agreement, coordinate_offsets and photoz_estimates",
    )
    order_by: str | None = Field(default=None, description="What comes first, in SQL; by default the smallest id")
    limit: int = Field(default=Choice.limit, description="The most galaxies, 200 at most")
    bands: str = Field(default=Layout.bands, description="Bands, of ugrizy")
    size_arcsec: float = Field(default=SIZE_ARCSEC, description="Width of a stamp, 2 to 60")


@dataclass(frozen=True, kw_only=True)
class PublishedStamps:
    """Stamps in the lake: their table, and their sheet as a PNG."""

    table: WrittenTable
    figure: Path


@lake_table(stamps_spec, deps=["matched_galaxies"])
def stamps(
    context: dg.AssetExecutionContext,
    config: StampsConfig,
    release: ReleaseParam,
    archive: ArchiveResource,
    lake: LakeResource,
) -> TableResult:
    """Stamps of one tract's worst or chosen galaxies out of the archive's coadds: pixels with WCS, and one sheet.

    On demand alone. By default the worst of the checks and of the redshift estimates; by configuration any
    condition in SQL. Twelve control objects come with them, by which the images are held against the catalogue.
    What was cut before is not asked for again.
    """
    store, choice = lake.open(), Choice(where=config.where, order_by=config.order_by, limit=config.limit)
    layout = Layout(bands=config.bands, size_arcsec=config.size_arcsec)
    source = cutout_source(archive, store, release, run_id=context.run.run_id, log=context.log.info)
    made = publish_stamps(
        source, int(context.partition_key), choice, layout, run_id=context.run.run_id, log=context.log.info
    )
    show_figure(context, made.figure)
    return TableResult(made.table, metadata={"where": config.where or "the worst", "bands": config.bands})


def cutout_source(
    archive: ArchiveResource, lake: Lake, release: Release, *, run_id: str, log: Callable[[str], None]
) -> CutoutSource:
    """Return what cuts a release's images for a lake, in the name of a run.

    Raises
    ------
    ForeignArchiveError
        The lake holds tables of another archive.
    SettingError, ArchiveError
        As ``ArchiveResource.client``, and where the archive cannot be asked.
    """
    client = archive.client(release, run_id=run_id, log=log)
    identity = identify(client, release)
    lake.require_same_archive(identity)
    return CutoutSource(
        client=client,
        release=release,
        lake=lake,
        folder=lake.cutouts / f"{release.name}-{identity.fingerprint}",
        quota=archive.cutout_quota(lake, client.url, log),
    )


def publish_stamps(
    source: CutoutSource, tract: int, choice: Choice, layout: Layout, *, run_id: str, log: Callable[[str], None]
) -> PublishedStamps:
    """Make the stamps of a tract, and publish their table and their sheet; what fails leaves both as they were.

    Raises
    ------
    ChoiceError, NoImageError, StampError, ArchiveError
        As ``make_sheet``.
    TableRefusedError, OSError
        As ``write_rows``.
    """
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    lake, release = source.lake, source.release
    spec, galaxies = stamps_spec(release), lake.provenance("matched_galaxies", tract)
    sheet = make_sheet(source, tract, choice, layout, log)
    provenance = derived_provenance(spec, run_id=run_id, source=galaxies, tract=tract, inputs=[galaxies])
    shown = [_picture(each, layout.ordered) for each in sheet.chosen]
    controls = [_picture(each, [CONTROL_BAND]) for each in sheet.controls]
    title = f"Tract {tract}, {''.join(layout.ordered)}, {layout.size_arcsec:g} arcsec"
    words = replace(caption(title, provenance, release, len(shown)), method=method_of(provenance))
    figure = save_figures(lake, STAMPS, [(STAMPS, figures.stamp_sheet(shown, controls, words))], tract)
    return PublishedStamps(table=write_rows(lake, spec, [sheet.rows], provenance, sheet.verdicts), figure=figure)


def method_of(source: Provenance) -> str:
    """Return what a figure of simulated pixels says of them: a catalogue's errors are not drawn."""
    if source.archive is None or not source.archive.made_up:
        return ""
    return "Drawn from the simulation's truth: misfits of its catalogue cannot be seen in the pixels"


def _picture(pictured: Pictured, bands: Sequence[str]) -> "StampPicture":
    """Return what the sheet shows of a galaxy: some of its bands, the bluest first."""
    from photoz_assets.science.figures import StampPicture  # noqa: PLC0415 - matplotlib is slow to load

    galaxy, band = pictured.galaxy, bands[len(bands) // 2]
    x, y = pictured.stamps[band].pixels_of(galaxy.ra, galaxy.dec)
    flux = galaxy.fluxes[band]
    magnitude = f"{AB_ZERO_POINT_MAG - 2.5 * math.log10(flux):.2f}" if flux is not None and flux > 0 else "none"
    return StampPicture(
        planes=[pictured.stamps[band].image for band in bands],
        x=float(x),
        y=float(y),
        words=[
            str(galaxy.object_id),
            f"z {galaxy.redshift:.2f}, {band} {magnitude}",
            f"{galaxy.chosen_by}, {', '.join(pictured.stamps)}",
        ],
    )
