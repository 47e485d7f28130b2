"""Images: what one coadd is like, asked for by patch and band and never by a schedule."""

from contextlib import closing
from math import isfinite
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
from pydantic import Field

from photoz_assets.lake.provenance import repository_provenance
from photoz_assets.lake.writing import write_rows
from photoz_assets.orchestration.assets.support import caption, show_figures
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import TableResult, lake_table
from photoz_assets.orchestration.resources import ButlerResource, ReleaseParam
from photoz_assets.survey.contracts.images import deep_coadd_spec
from photoz_assets.survey.releases.release import Release

if TYPE_CHECKING:
    from photoz_assets.images.facts import CoaddFacts


class CoaddConfig(dg.Config):
    """Which coadd; by default the notebook's."""

    tract: int = Field(default=4226, ge=0, description="Tract of the skymap")
    patch: int = Field(default=17, ge=0, description="Patch of the tract")
    band: str = Field(default="r", pattern="^[ugrizy]$", description="Band, one of ugrizy")


@lake_table(deep_coadd_spec)
def deep_coadd(
    context: dg.AssetExecutionContext,
    config: CoaddConfig,
    release: ReleaseParam,
    butler: ButlerResource,
    lake: LakeResource,
) -> TableResult:
    """One coadd out of the repository: its box, WCS, noise, PSF width and masks as a row, and a picture.

    By default that of the notebook: patch 17 of tract 4226 in r. Read without the LSST stack; no pixel is kept.
    """
    from photoz_assets.images.coadd import CoaddFile  # noqa: PLC0415 - for runs that look at images alone
    from photoz_assets.images.facts import coadd_facts  # noqa: PLC0415 - as above
    from photoz_assets.science import figures  # noqa: PLC0415 - matplotlib is slow to load

    spec = deep_coadd_spec(release)
    which: dict[str, int | str] = {"tract": config.tract, "patch": config.patch, "band": config.band}
    with closing(butler.open(release)) as repository:
        with repository.file(release.butler.coadds, **which) as path, CoaddFile.open(str(path)) as file:
            facts = coadd_facts(file)
        provenance = repository_provenance(
            spec, release, run_id=context.run.run_id, repository=repository.describe()
        )
    rows = pa.Table.from_pylist([{**which, **_row(facts, release)}], schema=spec.schema)
    table = write_rows(lake.open(), spec, [rows], provenance)
    title = f"tract {config.tract}, patch {config.patch}, {config.band}"
    words = caption(title, provenance, release, facts.box.shape[0] * facts.box.shape[1])
    noise = facts.noise / facts.picture_step
    picture = figures.coadd_picture(facts.picture, facts.box, noise, release.butler.coadds, words)
    show_figures(context, lake.open(), [("deep_coadd", picture)])
    return TableResult(table, metadata={"coadd": title, "mask": rows["mask_shares"][0].as_py()})


def _row(facts: "CoaddFacts", release: Release) -> dict[str, object]:
    """Return what a coadd is like in the columns of the table."""
    height, width = facts.box.shape
    shares = sorted(facts.shares.items(), key=lambda plane: (-plane[1], plane[0]))
    fwhm_arcsec = facts.psf_fwhm_pixels * release.skymap.pixel_scale_arcsec
    return {
        "left": facts.box.left,
        "low": facts.box.low,
        "width": width,
        "height": height,
        "ra": facts.centre_deg[0],
        "dec": facts.centre_deg[1],
        "unit_flux": facts.njy_per_unit,
        "noise": facts.noise if isfinite(facts.noise) else None,
        "psf_fwhm": fwhm_arcsec if isfinite(fwhm_arcsec) else None,
        "mask_shares": ", ".join(f"{plane} {share:.4f}" for plane, share in shares),
    }
