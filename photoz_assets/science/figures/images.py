"""Figures of pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from photoz_assets.science.figures.style import (
    CAPTION_PT,
    Caption,
    add_color_bar,
    dress,
    new_figure,
)
from photoz_assets.science.palette import GREY, VERMILION
from photoz_assets.survey.skymap import PixelBox

_SIZE_INCHES: Final = (10.4, 9.3)
# The shades of grey in units of the noise; they are even up to the last.
_DARKEST_SIGMA: Final = -2.0
_BRIGHTEST_SIGMA: Final = 100.0
_LINEAR_SIGMA: Final = 3.0

# Of colour pictures, in units of the noise.
_BLACK_SIGMA: Final = -1.0
_STRETCH_SIGMA: Final = 8.0
_SOFTENING: Final = 8.0
# The share of the stretch at which shades have the slope of even ones.
_SLOPE: Final = 0.1
_SIGMA_PER_MAD: Final = 1.4826

_CELL_INCHES: Final = 2.05
_CELL_TEXT_INCHES: Final = 0.72
_SHEET_HEADER_INCHES: Final = 1.45
_SECTION_INCHES: Final = 0.5
_SHEET_EDGE_INCHES: Final = 0.2
_SHEET_COLUMNS: Final = 6
_CELL_PT: Final = 10.5
_MARK: Final = VERMILION
_CIRCLE_POINTS: Final = 13
_CIRCLE_LINE_POINTS: Final = 1.6
# More circles than that are smaller, so that together they hide no more of the sky.
_WIDE_CIRCLES: Final = 200
# Light at any redshift, since the sky is dark.
_REDSHIFTS: Final = LinearSegmentedColormap.from_list("redshifts", ["#56b4e9", "#f0e442", VERMILION])
_CONTROL_WORDS: Final = "Control objects, by which the images are held against the catalogue"


@dataclass(frozen=True, kw_only=True)
class StampPicture:
    """One stamp of a sheet.

    Attributes
    ----------
    planes
        Its images by band, the bluest first, each in nJy with the lowest row first: one is drawn in grey, more are
        drawn in colour. They may differ in shape by what the edge of a coadd cuts off.
    x, y
        Where the catalogue has the object, in pixels.
    words
        Lines to write below.
    """

    planes: Sequence[NDArray[np.float32]]
    x: float
    y: float
    words: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class FieldGalaxies:
    """Galaxies in a window: columns and rows of its pixels, and redshifts, each of shape (n,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    redshift: NDArray[np.float64]


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


def stamp_sheet(chosen: Sequence[StampPicture], controls: Sequence[StampPicture], caption: Caption) -> Figure:
    """Draw stamps of chosen galaxies, and apart from them those of control objects; north is up, east is left."""
    columns = _SHEET_COLUMNS if len(chosen) <= 8 * _SHEET_COLUMNS else 2 * _SHEET_COLUMNS
    sections = [(words, cells) for words, cells in (("", chosen), (_CONTROL_WORDS, controls)) if cells]
    cell = _CELL_INCHES + _CELL_TEXT_INCHES
    heights = [-(-len(cells) // columns) * cell + bool(words) * _SECTION_INCHES for words, cells in sections]
    width = 2 * _SHEET_EDGE_INCHES + columns * (_CELL_INCHES + _SHEET_EDGE_INCHES) - _SHEET_EDGE_INCHES
    height = _SHEET_HEADER_INCHES + sum(heights) + _SHEET_EDGE_INCHES
    figure = new_figure(
        "Stamps of galaxies",
        caption,
        "Small pictures of galaxies with id, redshift and magnitude, and apart from them of control objects.",
        size_inches=(width, height),
        color_bar=False,
    )
    # One set of axes in inches: one for each cell would take most of the time.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    top = height - _SHEET_HEADER_INCHES
    for (words, cells), section in zip(sections, heights, strict=True):
        if words:
            axes.text(_SHEET_EDGE_INCHES, top - 0.15, words, fontsize=CAPTION_PT, color=GREY, va="top")
        first = top - bool(words) * _SECTION_INCHES
        for number, picture in enumerate(cells):
            row, column = divmod(number, columns)
            left = _SHEET_EDGE_INCHES + column * (_CELL_INCHES + _SHEET_EDGE_INCHES)
            low = first - row * cell - _CELL_INCHES
            _draw_stamp(axes, picture, left, low)
        top -= section
    axes.set(xlim=(0, width), ylim=(0, height))
    return figure


def field_picture(
    planes: Sequence[NDArray[np.float32]],
    pixel_arcsec: float,
    galaxies: FieldGalaxies,
    caption: Caption,
) -> Figure:
    """Draw a window in colour with circles around galaxies, coloured by redshift; north is up, east is left.

    Parameters
    ----------
    planes
        Images of one shape, the bluest first, the lowest row first.
    pixel_arcsec
        The width of a pixel.
    galaxies
        What the circles are around.
    caption
        Its number is that of the galaxies.
    """
    figure = new_figure(
        "The field in colour",
        caption,
        "The sky in colour, with circles around galaxies, coloured by their redshifts.",
        size_inches=_SIZE_INCHES,
    )
    axes = figure.add_subplot()
    height, width = (length * pixel_arcsec / 60 for length in planes[0].shape)
    drawn = color_picture(planes) if len(planes) > 1 else _grey_picture(planes[0])
    axes.imshow(drawn, origin="lower", extent=(-width / 2, width / 2, -height / 2, height / 2))
    rows, columns = planes[0].shape
    shrunk = min(1.0, math.sqrt(_WIDE_CIRCLES / max(1, len(galaxies.redshift))))
    redshifts = ScalarMappable(Normalize(0, max(float(np.max(galaxies.redshift, initial=0)), 1.0)), _REDSHIFTS)
    axes.scatter(
        (galaxies.x + 0.5 - columns / 2) * pixel_arcsec / 60,
        (galaxies.y + 0.5 - rows / 2) * pixel_arcsec / 60,
        s=(shrunk * _CIRCLE_POINTS) ** 2,
        facecolors="none",
        edgecolors=[(*color,) for color in redshifts.to_rgba(galaxies.redshift).tolist()],
        linewidths=shrunk * _CIRCLE_LINE_POINTS,
    )
    axes.set(xlim=(-width / 2, width / 2), ylim=(-height / 2, height / 2))
    dress(axes, "to the west of the centre (arcmin)", "to the north of the centre (arcmin)")
    axes.tick_params(which="both", color="white")
    add_color_bar(figure, redshifts, axes, caption.release.columns.redshift_words)
    return figure


def _draw_stamp(axes: Axes, picture: StampPicture, left: float, low: float) -> None:
    """Draw a stamp into a cell, with a mark at either side of the object, so that nothing covers it."""
    rows, columns = (min(plane.shape[axis] for plane in picture.planes) for axis in (0, 1))
    planes = [plane[:rows, :columns] for plane in picture.planes]
    drawn = color_picture(planes) if len(planes) > 1 else _grey_picture(planes[0])
    pixel = _CELL_INCHES / max(rows, columns)
    extent = (left, left + columns * pixel, low, low + rows * pixel)
    axes.imshow(drawn, origin="lower", interpolation="nearest", extent=extent, aspect="auto")
    arm, gap = _CELL_INCHES / 10, _CELL_INCHES / 14
    x, y = left + (picture.x + 0.5) * pixel, low + (picture.y + 0.5) * pixel
    axes.plot([x - gap - arm, x - gap], [y, y], color=_MARK, linewidth=1.6)
    axes.plot([x, x], [y + gap, y + gap + arm], color=_MARK, linewidth=1.6)
    axes.text(left, low - 0.06, "\n".join(picture.words), va="top", fontsize=_CELL_PT, linespacing=1.25)


def color_picture(planes: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return images of two bands or more, the bluest first, as one in colour, shape (rows, columns, 3).

    Each is in units of its own noise, so that empty sky is grey; what has no data is dark. The formula is that of
    Lupton et al. (2004, PASP 116, 133), with the slope of astropy's ``make_lupton_rgb``, which is slow to load.
    """
    scaled = [np.nan_to_num(plane / _noise(plane)) - _BLACK_SIGMA for plane in planes]
    blue, green, red = scaled[0], scaled[len(scaled) // 2], scaled[-1]
    if len(scaled) == 2:  # noqa: PLR2004 - the third colour of two is between them
        green = (blue + red) / 2
    light = np.stack([red, green, blue], axis=-1)
    intensity = light.mean(axis=-1, keepdims=True)
    shade = np.arcsinh(_SOFTENING / _STRETCH_SIGMA * intensity) * (_SLOPE / np.arcsinh(_SLOPE * _SOFTENING))
    light *= np.divide(shade, intensity, out=np.zeros_like(shade), where=intensity > 0)
    light = np.maximum(light, 0)
    # What is too bright keeps its colour.
    return np.asarray(255 * light / np.maximum(light.max(axis=-1, keepdims=True), 1), np.uint8)


def _grey_picture(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    norm = AsinhNorm(_LINEAR_SIGMA, vmin=_DARKEST_SIGMA, vmax=_BRIGHTEST_SIGMA)
    shade = np.clip(np.asarray(norm(np.nan_to_num(plane / _noise(plane), nan=_DARKEST_SIGMA))), 0, 1)
    return np.repeat((255 * shade).astype(np.uint8)[:, :, None], 3, axis=2)


def _noise(plane: NDArray[np.float32]) -> float:
    """Return the standard deviation of an image's pixels around their median, robust; 1 where there is none."""
    known = plane[np.isfinite(plane)]
    spread = _SIGMA_PER_MAD * float(np.median(np.abs(known - np.median(known)))) if known.size else 0.0
    return spread or 1.0
