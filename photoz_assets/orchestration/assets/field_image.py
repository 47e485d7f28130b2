"""A window of the field in colour, asked for by a person and never by a schedule."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
import numpy as np
from pydantic import Field

from photoz_assets.images.choice import ChoiceError
from photoz_assets.images.field import FieldWindow, read_field
from photoz_assets.images.sheet import Layout
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.tables import read_tables
from photoz_assets.orchestration.asset_keys import archive_key, asset_key
from photoz_assets.orchestration.assets.stamps import cutout_source, method_of
from photoz_assets.orchestration.assets.support import caption, show_figures
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import OWNERS, code_reference
from photoz_assets.orchestration.resources import ArchiveResource, ReleaseParam
from photoz_assets.survey.contracts.images import GROUP
from photoz_assets.survey.field import Field as Cone
from photoz_assets.survey.releases.release import OBSCORE, Release

if TYPE_CHECKING:
    from photoz_assets.science.figures import FieldGalaxies

NAME: Final = "field_image"


class FieldImageConfig(dg.Config):
    """Which window; by default in the middle of the release's field."""

    ra_deg: float | None = Field(default=None, ge=0, lt=360, description="Right ascension of its centre, ICRS")
    dec_deg: float | None = Field(default=None, ge=-90, le=90, description="Declination of its centre, ICRS")
    width_arcmin: float = Field(default=4.0, ge=0.5, le=10, description="Its width")
    bands: str = Field(default=Layout.bands, description="Bands, of ugrizy")


def _field_image(
    context: dg.AssetExecutionContext,
    config: FieldImageConfig,
    release: ReleaseParam,
    archive: ArchiveResource,
    lake: LakeResource,
) -> dg.MaterializeResult[None]:
    """A window of the field in colour, out of the archive's coadds, with the lake's galaxies coloured by redshift.

    On demand alone; by default 4 arcmin in the middle of the field. What was cut before is not asked for again.
    """
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    with as_dagster_failure():
        store, bands = lake.open(), Layout(bands=config.bands).ordered
        ra = release.field.ra_deg if config.ra_deg is None else config.ra_deg
        dec = release.field.dec_deg if config.dec_deg is None else config.dec_deg
        cone = Cone(ra_deg=ra, dec_deg=dec, radius_deg=config.width_arcmin / 60)
        files = _files(store, release, cone)
        source = cutout_source(archive, store, release, run_id=context.run.run_id, log=context.log.info)
        window = read_field(source, ra, dec, width_arcmin=config.width_arcmin, bands=bands, log=context.log.info)
        galaxies, provenance = _galaxies(store, release, files, window)
        number, title = (
            len(galaxies.x),
            f"RA {ra:g}, Dec {dec:g}, {config.width_arcmin:g} arcmin, {''.join(bands)}",
        )
        words = replace(caption(title, provenance, release, number), method=method_of(provenance))
        planes = [window.planes[band] for band in bands]
        picture = figures.field_picture(planes, release.skymap.pixel_scale_arcsec, galaxies, words)
        show_figures(context, store, [(NAME, picture)])
    return dg.MaterializeResult(metadata={"tract": window.tract, "galaxies": number, "bands": "".join(bands)})


def _files(lake: Lake, release: Release, cone: Cone) -> list[Path]:
    """Return the galaxies of the tracts around a window."""
    tracts = cone.tracts(release.skymap, lake.tracts("matched_galaxies"))
    if not tracts:
        raise ChoiceError(
            f"the lake holds no galaxies around RA {cone.ra_deg:g}, Dec {cone.dec_deg:g}: materialize "
            f"matched_galaxies of tract {int(release.skymap.tract_of(cone.ra_deg, cone.dec_deg))} first"
        )
    return [lake.table("matched_galaxies", tract) for tract in tracts]


def _galaxies(
    lake: Lake, release: Release, files: list[Path], window: FieldWindow
) -> tuple["FieldGalaxies", Provenance]:
    """Return the galaxies in a window, and where one of their tables came from."""
    from photoz_assets.science.figures import FieldGalaxies  # noqa: PLC0415 - matplotlib is slow to load

    stored, (ra, dec) = read_tables(lake, files), release.columns.position
    columns = stored.rows.select(ra, dec, release.columns.redshift).fetchnumpy()
    x, y = release.skymap.sky_to_pixel(window.tract, columns[ra], columns[dec])
    box = window.box
    inside = (x > box.left) & (x < box.right - 1) & (y > box.low) & (y < box.high - 1)
    redshift = np.asarray(columns[release.columns.redshift], float)[inside]
    return FieldGalaxies(x=x[inside] - box.left, y=y[inside] - box.low, redshift=redshift), stored.sources[0]


def field_image(release: Release) -> dg.AssetsDefinition:
    """Return the asset ``field_image`` of a release: a figure and no table."""
    make = dg.asset(
        key=asset_key(release, NAME),
        deps=[asset_key(release, "matched_galaxies"), archive_key(OBSCORE)],
        group_name=GROUP,
        kinds={"fits", "matplotlib"},
        owners=OWNERS,
        code_version="1",
        metadata=code_reference(_field_image),
    )
    return make(_field_image)
