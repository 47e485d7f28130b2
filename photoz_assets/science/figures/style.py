"""The house style of all figures, set on each figure and never in matplotlib's global settings.

What a figure shows is not here, nor is how it becomes a file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib.axis
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from photoz_assets.science.bins import Axis, Counts, Scale
from photoz_assets.science.palette import GREY
from photoz_assets.survey.releases.release import Release

HEADING_PT: Final = 19
CAPTION_PT: Final = 13
LABEL_PT: Final = 16
TICK_PT: Final = 14
NOTE_PT: Final = 12

# Light for few and dark for many, so that empty bins can stay white.
DENSITY: Final = "viridis_r"
COUNT_LABEL: Final = "galaxies per bin"

_HEADER_INCHES: Final = 0.95
_LINE_INCHES: Final = 0.36
_METHOD_INCHES: Final = 0.28
_EDGE_INCHES: Final = 0.15
# What tick labels and the label of an axis need.
LEFT_INCHES: Final = 1.15
_BELOW_INCHES: Final = 0.9
_RIGHT_INCHES: Final = 0.35
_GAP_INCHES: Final = 0.3
_BAR_INCHES: Final = 0.28
_BESIDE_BAR_INCHES: Final = 1.0
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FRAME_WIDTH: Final = 1.4


@dataclass(frozen=True)
class Caption:
    """What a figure's data are: of which tract, field or survey, from which archive, and how many galaxies.

    ``rights`` says who may have them; it is empty for made-up ones.
    ``origin`` is the archive's own word, such as 'embedded archive, simulated', or its release's.
    ``method`` says in a line of its own, or in more, how what is drawn came about, where that is not plain.
    """

    title: str
    origin: str
    num_galaxies: int
    release: Release
    rights: str = ""
    method: str = ""


def new_figure(
    heading: str,
    caption: Caption,
    alt_text: str,
    *,
    size_inches: tuple[float, float],
    panels: int = 1,
    gap_inches: float = _GAP_INCHES,
    color_bar: bool = True,
    of: str = "galaxies",
) -> Figure:
    """Return an empty figure with heading, caption, and margins for the labels around its axes.

    The margins are fixed: a layout that matplotlib computes has to draw all text beforehand, which takes longer
    than the rest of the figure.

    Parameters
    ----------
    heading
        What is drawn.
    caption
        Of which data.
    alt_text
        The figure in words; with the caption's it becomes the figure's label, which ``save`` writes into the file.
    size_inches
        Width and height.
    panels
        How many axes stand side by side.
    gap_inches
        Between them.
    color_bar
        Whether there is to be room for one.
    of
        What the caption counts.
    """
    width, height = size_inches
    figure = Figure(figsize=size_inches, facecolor="white")
    FigureCanvasAgg(figure)
    header_inches = _HEADER_INCHES + _LINE_INCHES * len(caption.method.splitlines())
    right_inches = _GAP_INCHES + _BAR_INCHES + _BESIDE_BAR_INCHES if color_bar else _RIGHT_INCHES
    axes_inches = (width - LEFT_INCHES - right_inches - (panels - 1) * gap_inches) / panels
    figure.subplots_adjust(
        left=LEFT_INCHES / width,
        right=1 - right_inches / width,
        bottom=_BELOW_INCHES / height,
        top=1 - header_inches / height,
        wspace=gap_inches / axes_inches,
        hspace=gap_inches / axes_inches,
    )
    left, low = _EDGE_INCHES / width, _EDGE_INCHES / height
    number = f"{caption.num_galaxies:,} {of}"
    figure.text(left, 1 - low, heading, fontsize=HEADING_PT, fontweight="bold", va="top")
    figure.text(
        left,
        1 - low - _LINE_INCHES / height,
        f"{caption.title} · {number} · {caption.origin}",
        fontsize=CAPTION_PT,
        color=GREY,
        va="top",
        wrap=True,
        # An archive's words are no mathematics, whatever signs they hold.
        parse_math=False,
    )
    label = f"{alt_text} {caption.title}, {number}; {caption.origin}."
    for number_of_line, line in enumerate(caption.method.splitlines(), start=1):
        below = 1 - low - (_LINE_INCHES + number_of_line * _METHOD_INCHES) / height
        figure.text(left, below, line, fontsize=CAPTION_PT, color=GREY, va="top", parse_math=False)
        label += f" {line}."
    if caption.rights:
        figure.text(1 - left, 1 - low, caption.rights, fontsize=NOTE_PT, color=GREY, va="top", ha="right")
        label += f" {caption.rights}."
    figure.set_label(label)
    return figure


def dress(axes: Axes, x_label: str = "", y_label: str = "") -> None:
    """Set the labels of axes, ticks inwards on all sides, and the frame."""
    axes.set_xlabel(x_label, fontsize=LABEL_PT)
    axes.set_ylabel(y_label, fontsize=LABEL_PT)
    axes.tick_params(which="both", direction="in", top=True, right=True, labelsize=TICK_PT, width=_FRAME_WIDTH)
    axes.tick_params(which="major", length=7, pad=7)
    axes.tick_params(which="minor", length=4, width=1)
    for spine in axes.spines.values():
        spine.set_linewidth(_FRAME_WIDTH)


def label_all(figure: Figure, x_label: str, y_label: str) -> None:
    """Write the labels that all axes share below and left of them."""
    width, height = figure.get_size_inches()
    figure.supxlabel(x_label, fontsize=LABEL_PT, y=_EDGE_INCHES / height, va="bottom")
    figure.supylabel(y_label, fontsize=LABEL_PT, x=_EDGE_INCHES / width, ha="left")


def note(axes: Axes, text: str, *, x: float = 0.97, y: float = 0.04, color: str = "black") -> None:
    """Write a short text into a corner of the axes, whose coordinates run from 0 to 1."""
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        ha="left" if x < 0.5 else "right",  # noqa: PLR2004 - the middle of the axes
        va="bottom" if y < 0.5 else "top",  # noqa: PLR2004 - the middle of the axes
        fontsize=NOTE_PT,
        color=color,
    )


def say_empty(axes: Axes, text: str = "no galaxies to show") -> None:
    """Write in the middle of the axes, in front of all lines, that there is nothing to draw."""
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=LABEL_PT,
        color=GREY,
        backgroundcolor="white",
        zorder=10,
    )


def tints_of(color: str) -> Colormap:
    """Return a colour map from a light tint of a colour, for one galaxy, to the colour itself."""
    tint = 1 - 0.3 * (1 - np.array(to_rgb(color)))
    return LinearSegmentedColormap.from_list(f"tints of {color}", [tuple(tint), color])


def count_colors(*counts: Counts, colors: Colormap | str = DENSITY) -> ScalarMappable:
    """Return the logarithmic colour scale for the counts of all panels, from one galaxy upwards."""
    most = max(int(panel.max(initial=0)) for panel in counts)
    return ScalarMappable(LogNorm(1, max(most, 10)), colors)


def draw_counts(axes: Axes, counts: Counts, x: Axis, y: Axis, colors: ScalarMappable) -> None:
    """Draw counts, shape (x bins, y bins), as a map; empty bins stay white, and a note says if all are empty."""
    if x.scale is Scale.LOGARITHMIC:
        axes.set_xscale("log")
        _label_decades(axes.xaxis)
    if y.scale is Scale.LOGARITHMIC:
        axes.set_yscale("log")
        _label_decades(axes.yaxis)
    axes.set(xlim=(x.low, x.high), ylim=(y.low, y.high))
    if not counts.any():
        say_empty(axes)
    filled = np.ma.masked_equal(counts.T, 0)
    drawn = axes.pcolormesh(x.edges, y.edges, filled, cmap=colors.cmap)
    drawn.set_norm(colors.norm)


def _label_decades(axis: matplotlib.axis.Axis) -> None:
    """Label a logarithmic axis at its decades only and in plain letters: more takes half of a figure's time."""
    axis.set_major_formatter(lambda value, _: f"10{f'{math.log10(value):.0f}'.translate(_SUPERSCRIPTS)}")
    axis.set_minor_locator(NullLocator())


def add_color_bar(figure: Figure, drawn: ScalarMappable, axes: Axes | Sequence[Axes], label: str) -> Colorbar:
    """Add the colour scale of a map beside its axes, as high as they are, or of several maps beside them all."""
    if isinstance(axes, Axes):
        # Axes of equal scales are smaller than their room: the bar goes with them.
        width, _ = axes.get_position().size * figure.get_size_inches()
        beside = axes.inset_axes((1 + _GAP_INCHES / width, 0, _BAR_INCHES / width, 1))
    else:
        boxes = Bbox.union([each.get_position() for each in axes])
        width, _ = figure.get_size_inches()
        place = (boxes.x1 + _GAP_INCHES / width, boxes.y0, _BAR_INCHES / width, boxes.height)
        beside = figure.add_axes(place, label="<colorbar>")
    bar = figure.colorbar(drawn, cax=beside)
    bar.set_label(label, fontsize=LABEL_PT)
    bar.ax.tick_params(labelsize=TICK_PT)
    if isinstance(drawn.norm, LogNorm):
        _label_decades(bar.ax.yaxis)
    return bar
