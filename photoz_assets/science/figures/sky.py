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
    BLUE,
    Caption,
    add_color_bar,
    dress,
    new_figure,
    say_empty,
    tints_of,
)
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import RingsSkyMap

SKY_SIZE_INCHES: Final = (10.4, 9.3)

_TRACT_LABEL_PT: Final = 8


def sky_map(tracts: pa.Table, patches: pa.Table, caption: Caption) -> Figure:
    """Draw every tract and patch, tracts labelled, patches coloured by their number of objects.

    Parameters
    ----------
    tracts, patches
        In the columns of the assets of these names.
    caption
        Its number is that of the objects.
    """
    figure = new_figure(
        "Tracts and patches",
        caption,
        "Map of the sky with every tract, labelled, and its patches, coloured by their number of objects.",
        size_inches=SKY_SIZE_INCHES,
        of="objects",
    )
    sky = Sky.on(figure, caption.release)
    corners = [
        np.column_stack(corner)
        for corner in zip(patches.column("ra").to_pylist(), patches.column("dec").to_pylist(), strict=True)
    ]
    if not corners:
        say_empty(sky.axes, "no patches")
    else:
        drawn = PolyCollection(corners, edgecolors="white", linewidths=0.25)
        sky.axes.add_collection(drawn)
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
    skymap: RingsSkyMap

    @classmethod
    def on(cls, figure: Figure, release: Release) -> Self:
        """Put axes on a figure that show all of a release, stretched so that shapes in its middle are true."""
        window = release.window
        middle = math.radians((window.dec_min + window.dec_max) / 2)
        axes = figure.add_subplot(aspect=1 / math.cos(middle))
        dress(axes, "RA [deg]", "Dec [deg]")
        axes.set(xlim=(window.ra_min, window.ra_max), ylim=(window.dec_min, window.dec_max))
        return cls(axes, release.skymap)

    def fill(self, tracts: Sequence[int], color: str = "none") -> PolyCollection:
        """Draw the inner regions of tracts, filled with one colour or left open."""
        corners = [self._corners_deg(tract) for tract in tracts]
        filled = PolyCollection(corners, facecolors=color, edgecolors="black", linewidths=1)
        self.axes.add_collection(filled)
        return filled

    def label(self, tracts: Sequence[int]) -> None:
        """Write the numbers of tracts into them, with a light rim so that they stand out on any colour."""
        rim = withStroke(linewidth=2, foreground="white")
        for tract in tracts:
            ra_deg, dec_deg = self.skymap.centre(tract)
            self.axes.text(
                ra_deg,
                dec_deg,
                str(tract),
                ha="center",
                va="center",
                fontsize=_TRACT_LABEL_PT,
                fontweight="bold",
                clip_on=True,
                path_effects=[rim],
            )

    def _corners_deg(self, tract: int) -> list[tuple[float, float]]:
        box = self.skymap.inner_box(tract)
        west, east, south, north = box.ra_min, box.ra_max, box.dec_min, box.dec_max
        return [(west, south), (east, south), (east, north), (west, north)]


def color_by(regions: PolyCollection, values: NDArray[np.floating | np.integer]) -> None:
    """Colour regions by their values, one or more, light for the lowest; labels stay readable on all."""
    low, high = float(values.min()), float(values.max())
    regions.set(facecolors=None, cmap=tints_of(BLUE), array=values)
    # A scale needs a width, even if all values are alike or zero.
    regions.set_clim(0.97 * low, max(1.03 * high, 1.0))
