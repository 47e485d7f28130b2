"""Figures of pixels."""

from typing import Final

import numpy as np
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from photoz_assets.science.figures.style import Caption, add_color_bar, dress, new_figure
from photoz_assets.survey.skymap import PixelBox

_SIZE_INCHES: Final = (10.4, 9.3)
# The shades of grey in units of the noise; they are even up to the last.
_DARKEST_SIGMA: Final = -2.0
_BRIGHTEST_SIGMA: Final = 100.0
_LINEAR_SIGMA: Final = 3.0


def coadd_picture(
    picture: NDArray[np.float32], box: PixelBox, noise: float, heading: str, caption: Caption
) -> Figure:
    """Draw a coadd in shades of grey, by an asinh of its light.

    Parameters
    ----------
    picture
        In nJy a pixel, the first row the lowest.
    box
        The tract's pixels that it covers.
    noise
        Standard deviation of what the picture's empty parts hold, in nJy; NaN where it is not known.
    heading, caption
        The caption's number is that of the pixels.
    """
    figure = new_figure(
        heading,
        caption,
        "The image in shades of grey, brighter where there is more light, in pixels of the tract.",
        size_inches=_SIZE_INCHES,
        of="pixels",
    )
    axes = figure.add_subplot()
    sigma = noise if np.isfinite(noise) and noise > 0 else 1.0
    drawn = axes.imshow(
        picture,
        origin="lower",
        extent=(box.left - 0.5, box.right - 0.5, box.low - 0.5, box.high - 0.5),
        cmap="gray",
        norm=AsinhNorm(_LINEAR_SIGMA * sigma, vmin=_DARKEST_SIGMA * sigma, vmax=_BRIGHTEST_SIGMA * sigma),
    )
    dress(axes, "x, to the west (pixels of the tract)", "y, to the north (pixels of the tract)")
    bar = add_color_bar(figure, drawn, axes, "nJy per pixel")
    ticks = [step * 10.0**power for power in range(-3, 7) for step in (1, 3)]
    shown = [0.0, *(tick for tick in ticks if _LINEAR_SIGMA <= tick / sigma <= _BRIGHTEST_SIGMA)]
    bar.set_ticks(shown, labels=[f"{tick:g}" for tick in shown])
    bar.minorticks_off()
    return figure
