"""Figures of the sky: maps of tracts and patches in right ascension and declination."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from photoz_assets.science.figures.style import (
    Caption,
    add_color_bar,
    dress,
    new_figure,
    say_empty,
    tints_of,
)
from photoz_assets.science.palette import BLUE
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import RingsSkyMap

SKY_SIZE_INCHES: Final = (10.4, 9.3)

_TRACT_LABEL_PT: Final = 8
# A tract is some two degrees wide, its number a thirtieth of the axes.
_WIDEST_WITH_NUMBERS_DEG: Final = 60.0


def sky_map(tracts: pa.Table, patches: pa.Table, caption: Caption) -> Figure:
    """Draw every tract and patch, tracts labelled, patches coloured by their number of objects.

    Parameters
    ----------
    tracts, patches
        In the columns of the assets of these names.
    caption
        Its number is that of the objects, or of the patches where these have not been counted.
    """
    counted = patches.column("num_objects").null_count == 0
    figure = new_figure(
        "Tracts and patches",
        caption,
        "Map of the sky with every tract, labelled, and its patches"
        + (", coloured by their number of objects." if counted else "."),
        size_inches=SKY_SIZE_INCHES,
        of="objects" if counted else "patches",
    )
    sky = Sky.on(figure, caption.release)
    corners = [
        np.column_stack((sky.shown_ra(ra), dec))
        for ra, dec in zip(patches.column("ra").to_pylist(), patches.column("dec").to_pylist(), strict=True)
    ]
    if not corners:
        say_empty(sky.axes, "no patches")
    else:
        drawn = PolyCollection(corners, edgecolors="white", linewidths=0.25)
        sky.axes.add_collection(drawn)
        if counted:
            color_by(drawn, patches.column("num_objects").to_numpy())
            add_color_bar(figure, drawn, sky.axes, "objects per patch")
    names = tracts.column("tract").to_pylist()
    sky.fill(names)
    sky.label(names)
    return figure


@dataclass(frozen=True)
class Sky:
    """Axes in right ascension and declination, on which tracts of a skymap are drawn."""

    axes: Axes
    release: Release

    @property
    def skymap(self) -> RingsSkyMap:
        """The release's."""
        return self.release.skymap

    @classmethod
    def on(cls, figure: Figure, release: Release) -> Self:
        """Put axes on a figure that show all of a release, stretched so that shapes in its middle are true."""
        window = release.window
        middle = math.radians((window.dec_min + window.dec_max) / 2)
        axes = figure.add_subplot(aspect=1 / math.cos(middle))
        dress(axes, "RA [deg]", "Dec [deg]")
        axes.set(xlim=(window.ra_min, window.ra_max), ylim=(window.dec_min, window.dec_max))
        if window.ra_max > 360:  # noqa: PLR2004 - it reaches over the zero of right ascension
            axes.xaxis.set_major_formatter(lambda ra, _: f"{ra % 360:g}")
        return cls(axes, release)

    def shown_ra(self, ra_deg: Sequence[float]) -> Sequence[float]:
        """Return right ascensions of one region as the axes have them, which may reach beyond 0 and 360 deg.

        The region is not torn where it lies across the zero of right ascension.
        """
        west = self.release.window.ra_min
        first = ra_deg[0] - 360 * math.floor((ra_deg[0] - west) / 360)
        return [ra - 360 * round((ra - first) / 360) for ra in ra_deg]

    def centre(self, tract: int) -> tuple[float, float]:
        """Return a tract's centre as the axes have it."""
        ra, dec = self.skymap.centre(tract)
        return self.shown_ra([ra])[0], dec

    def fill(self, tracts: Sequence[int], color: str = "none") -> PolyCollection:
        """Draw the inner regions of tracts, filled with one colour or left open."""
        corners = [self._corners_deg(tract) for tract in tracts]
        filled = PolyCollection(corners, facecolors=color, edgecolors="black", linewidths=1)
        self.axes.add_collection(filled)
        return filled

    def label(self, tracts: Sequence[int]) -> None:
        """Write the numbers of tracts into them, with a light rim so that they stand out on any colour.

        Of a release whose window is so wide that they would lie on each other, the fields are named instead.
        """
        rim = withStroke(linewidth=2, foreground="white")
        for text, (ra_deg, dec_deg) in self._labels(tracts):
            self.axes.text(
                self.shown_ra([ra_deg])[0],
                dec_deg,
                text,
                ha="center",
                va="center",
                fontsize=_TRACT_LABEL_PT,
                fontweight="bold",
                clip_on=True,
                path_effects=[rim],
            )

    def _labels(self, tracts: Sequence[int]) -> list[tuple[str, tuple[float, float]]]:
        window = self.release.window
        if window.ra_max - window.ra_min <= _WIDEST_WITH_NUMBERS_DEG:
            return [(str(tract), self.skymap.centre(tract)) for tract in tracts]
        above_deg = (window.dec_max - window.dec_min) / 30
        return [
            (name, (field.ra_deg, field.dec_deg + field.radius_deg + above_deg))
            for name, field in self.release.fields.items()
        ]

    def _corners_deg(self, tract: int) -> list[tuple[float, float]]:
        box = self.skymap.inner_box(tract)
        west, east = self.shown_ra([box.ra_min, box.ra_max])
        south, north = box.dec_min, box.dec_max
        return [(west, south), (east, south), (east, north), (west, north)]


def color_by(regions: PolyCollection, values: NDArray[np.floating | np.integer]) -> None:
    """Colour regions by their values, one or more, light for the lowest; labels stay readable on all."""
    low, high = float(values.min()), float(values.max())
    regions.set(facecolors=None, cmap=tints_of(BLUE), array=values)
    # A scale needs a width, even if all values are alike or zero.
    regions.set_clim(0.97 * low, max(1.03 * high, 1.0))
