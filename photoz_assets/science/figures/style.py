"""The house style: what every figure wears, set on the figure itself and never in matplotlib's global settings.

No figure's content stands here, and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure

from photoz_assets.science.bins import Counts, Edges

HEADING_PT: Final = 19
CAPTION_PT: Final = 13
LABEL_PT: Final = 16
TICK_PT: Final = 14
NOTE_PT: Final = 12

# Okabe and Ito's blue and vermilion, which every common colour vision tells apart.
BLUE: Final = "#0072b2"
VERMILION: Final = "#d55e00"
GREY: Final = "#5f6368"
# Light for few and dark for many, so that empty bins can stay white.
DENSITY: Final = "viridis_r"
COUNT_LABEL: Final = "galaxies per bin"

_HEADER_INCHES: Final = 0.95
_LINE_INCHES: Final = 0.36
_MARGIN_INCHES: Final = 0.15
_FRAME_WIDTH: Final = 1.4


@dataclass(frozen=True)
class Caption:
    """What a figure shows the data of: a tract, field or survey, where they come from, and how many.

    ``origin`` is the archive's own word, such as 'embedded archive, simulated' or 'DC2 simulation'.
    """

    title: str
    origin: str
    num_galaxies: int


def new_figure(
    heading: str, caption: Caption, alt_text: str, *, size_inches: tuple[float, float], of: str = "galaxies"
) -> Figure:
    """Make an empty figure with its heading and caption.

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
    of
        What the caption counts.
    """
    width, height = size_inches
    figure = Figure(figsize=size_inches, facecolor="white")
    FigureCanvasAgg(figure)
    below = 1 - _HEADER_INCHES / height
    left, low = _MARGIN_INCHES / width, _MARGIN_INCHES / height
    figure.set_layout_engine("constrained", rect=(left, low, 1 - 2 * left, below - low))
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
    figure.set_label(f"{alt_text} {caption.title}, {number}; {caption.origin}.")
    return figure


def dress(axes: Axes, x_label: str = "", y_label: str = "") -> None:
    """Give axes their labels, ticks inwards on all sides and a frame of the house's weight."""
    axes.set_xlabel(x_label, fontsize=LABEL_PT)
    axes.set_ylabel(y_label, fontsize=LABEL_PT)
    axes.tick_params(which="both", direction="in", top=True, right=True, labelsize=TICK_PT, width=_FRAME_WIDTH)
    axes.tick_params(which="major", length=7, pad=7)
    axes.tick_params(which="minor", length=4, width=1)
    for spine in axes.spines.values():
        spine.set_linewidth(_FRAME_WIDTH)


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
    """Say in the middle of the axes, before all lines, that there is nothing to draw."""
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
    """Make a colour map from a light tint of a colour, for one galaxy, to the colour itself."""
    tint = 1 - 0.3 * (1 - np.array(to_rgb(color)))
    return LinearSegmentedColormap.from_list(f"tints of {color}", [tuple(tint), color])


def count_colors(*counts: Counts, colors: Colormap | str = DENSITY) -> ScalarMappable:
    """Make the logarithmic colour scale that fits the counts of all panels, from one galaxy upwards."""
    most = max(int(panel.max(initial=0)) for panel in counts)
    return ScalarMappable(LogNorm(1, max(most, 10)), colors)


def draw_counts(axes: Axes, counts: Counts, x_edges: Edges, y_edges: Edges, colors: ScalarMappable) -> None:
    """Draw counts, shape (x bins, y bins), as a map; empty bins stay white, and it is said if all are."""
    axes.set(xlim=x_edges[[0, -1]], ylim=y_edges[[0, -1]])
    if not counts.any():
        say_empty(axes)
    filled = np.ma.masked_equal(counts.T, 0)
    drawn = axes.pcolormesh(x_edges, y_edges, filled, cmap=colors.cmap)
    drawn.set_norm(colors.norm)


def add_color_bar(figure: Figure, drawn: ScalarMappable, axes: Axes | Sequence[Axes], label: str) -> None:
    """Add the colour scale of a map beside its axes, as high as they are, or of several maps beside them all."""
    if isinstance(axes, Axes):
        bar = figure.colorbar(drawn, cax=axes.inset_axes((1.03, 0, 0.035, 1)))
    else:
        bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
    bar.set_label(label, fontsize=LABEL_PT)
    bar.ax.tick_params(labelsize=TICK_PT)
