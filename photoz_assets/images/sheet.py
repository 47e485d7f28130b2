"""The stamps of a tract: of chosen galaxies in some bands and of control objects, as rows of the lake's table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from photoz_assets.errors import PhotozError
from photoz_assets.images.audit import Measured, judge, measure
from photoz_assets.images.choice import Choice, Galaxy, choose, choose_controls
from photoz_assets.images.cutouts import CutoutSource, Window
from photoz_assets.images.stamp import Stamp, plane_of
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.images import stamps_spec

SIZE_ARCSEC: Final = 12.0
CONTROL_BAND: Final = "r"

_SIZE_LIMITS_ARCSEC: Final = (2.0, 60.0)
# By turns the controls' second bands, where the sheet has r alone.
_OTHER_BANDS: Final = "gi"


class SheetError(PhotozError):
    """A sheet of stamps cannot be as it is asked for; nothing was asked of the archive."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How stamps are cut: in which bands, and how wide in arcsec; `SheetError` tells of none that can be."""

    bands: str = "gri"
    size_arcsec: float = SIZE_ARCSEC

    def __post_init__(self) -> None:
        if not self.bands or not set(self.bands) <= set(BANDS) or len(set(self.bands)) < len(self.bands):
            raise SheetError(f"the bands are {self.bands!r}: expected some of {''.join(BANDS)}, each once")
        low, high = _SIZE_LIMITS_ARCSEC
        if not low <= self.size_arcsec <= high:
            raise SheetError(f"a stamp is {self.size_arcsec:g} arcsec wide: expected {low:g} to {high:g}")

    @property
    def ordered(self) -> tuple[str, ...]:
        """The bands, the bluest first."""
        return tuple(band for band in BANDS if band in self.bands)


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """A galaxy and its stamps by band."""

    galaxy: Galaxy
    stamps: dict[str, Stamp]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What a tract's stamps show: chosen galaxies, controls, and what the controls say of the images."""

    chosen: Sequence[Pictured]
    controls: Sequence[Pictured]
    verdicts: Sequence[Verdict]
    rows: pa.Table


def make_sheet(
    source: CutoutSource, tract: int, choice: Choice, layout: Layout, log: Callable[[str], None]
) -> Sheet:
    """Choose galaxies and controls of a tract, have their stamps cut, and hold the controls against the catalogue.

    Parameters
    ----------
    source
        Gives the cutouts; its lake has the galaxies.
    tract
        Of the release.
    choice, layout
        Which galaxies, and how their stamps are cut.
    log
        Is told how far it is, a line an object.

    Raises
    ------
    ChoiceError, NoImageError, StampError, ArchiveError
        As ``choose`` and ``CutoutSource.stamp``.
    """
    lake, release = source.lake, source.release
    chosen = choose(lake, release, tract, choice)
    controls = choose_controls(lake, release, tract, chosen)
    bands, others = layout.ordered, [band for band in layout.ordered if band != CONTROL_BAND] or [*_OTHER_BANDS]
    wanted = [(galaxy, bands, layout.size_arcsec) for galaxy in chosen]
    wanted += [
        (galaxy, (CONTROL_BAND, others[number % len(others)]), SIZE_ARCSEC)
        for number, galaxy in enumerate(controls)
    ]
    pictured = []
    for number, (galaxy, galaxys, size) in enumerate(wanted, 1):
        pictured.append(Pictured(galaxy=galaxy, stamps=_stamps(source, tract, galaxy, galaxys, size)))
        log(f"{number} of {len(wanted)}: {galaxy.object_id}, {galaxy.chosen_by}, {''.join(galaxys)}")
    shown, judged = pictured[: len(chosen)], pictured[len(chosen) :]
    measured = list(_measured(judged))
    spec = stamps_spec(release)
    rows = pa.Table.from_pylist([_row(*each) for each in _each(pictured)], schema=spec.schema)
    return Sheet(chosen=shown, controls=judged, verdicts=judge(measured), rows=rows)


def _stamps(
    source: CutoutSource, tract: int, galaxy: Galaxy, bands: Sequence[str], size_arcsec: float
) -> dict[str, Stamp]:
    windows = [
        Window(tract=tract, patch=galaxy.patch, band=band, ra=galaxy.ra, dec=galaxy.dec, size_arcsec=size_arcsec)
        for band in bands
    ]
    return {window.band: source.stamp(window, str(galaxy.object_id)) for window in windows}


def _measured(controls: Sequence[Pictured]) -> Iterator[Measured]:
    return (measure(*each) for each in _each(controls))


def _each(pictured: Sequence[Pictured]) -> Iterator[tuple[Galaxy, str, Stamp]]:
    return ((each.galaxy, band, stamp) for each in pictured for band, stamp in each.stamps.items())


def _row(galaxy: Galaxy, band: str, stamp: Stamp) -> dict[str, object]:
    height, width = stamp.image.shape
    return {
        "object_id": galaxy.object_id,
        "band": band,
        "chosen_by": galaxy.chosen_by,
        "patch": galaxy.patch,
        "ra": galaxy.ra,
        "dec": galaxy.dec,
        "redshift": galaxy.redshift,
        "flux": galaxy.fluxes[band],
        "width": width,
        "height": height,
        **plane_of(stamp),
        "unit_flux": stamp.njy_per_unit,
        "pixels": pa.array(stamp.image.ravel(), mask=~np.isfinite(stamp.image.ravel())),
    }
