"""``photoz stamps``: stamps of chosen galaxies into the lake, with all checks, without a run of Dagster."""

import uuid
from collections.abc import Callable
from contextlib import closing

from photoz_assets.errors import PhotozError
from photoz_assets.images.choice import Choice, tracts_of
from photoz_assets.images.sheet import Layout
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.assets.stamps import cutout_source, publish_stamps
from photoz_assets.orchestration.resources import ArchiveResource
from photoz_assets.survey.releases.release import Release
from photoz_assets.text import listed


class WhichTractError(PhotozError):
    """Stamps are of one tract, and it is not plain of which; nothing was asked of the archive."""


def make_stamps(
    lake: Lake, release: Release, choice: Choice, layout: Layout, *, tract: int | None, log: Callable[[str], None]
) -> list[str]:
    """Make the stamps of a tract, by default of the only one that has such galaxies.

    Parameters
    ----------
    lake, release
        Where the galaxies are and the stamps go, and whose they are.
    choice, layout, tract
        Which galaxies, and how their stamps are cut.
    log
        Takes a line on each thing that happens.

    Returns
    -------
    list[str]
        The checks that failed, a line each.

    Raises
    ------
    WhichTractError
        Several tracts have such galaxies, or none.
    PhotozError
        The stamps cannot be made; the last ones stay.
    """
    if tract is None:
        tract = _only(tracts_of(lake, choice.where or "true"))
    archive, run_id = ArchiveResource(), str(uuid.uuid4())
    with closing(archive):
        source = cutout_source(archive, lake, release, run_id=run_id, log=log)
        made = publish_stamps(source, tract, choice, layout, run_id=run_id, log=log)
    log(f"tract {tract}: {made.table.rows:,} stamps in {made.table.path}, shown in {made.figure}")
    verdicts = made.table.verdicts
    for verdict in verdicts:
        if verdict.passed:
            log(f"{verdict.check}: {verdict.summary}")
    return [f"{verdict.check}: {verdict.summary}" for verdict in verdicts if not verdict.passed]


def _only(tracts: tuple[int, ...]) -> int:
    if len(tracts) == 1:
        return tracts[0]
    if tracts:
        raise WhichTractError(f"such galaxies are in the tracts {listed(tracts, 10)}: name one with --tract")
    raise WhichTractError("no galaxy of the lake meets the condition")
