"""Figures of the survey: the distributions of its galaxies, and its tracts on the sky.

All figures are drawn from the statistics and histograms of the tracts; no galaxy is read again.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from photoz_assets.science.figures.sky import SKY_SIZE_INCHES, Sky, color_by
from photoz_assets.science.figures.style import (
    LABEL_PT,
    TICK_PT,
    Caption,
    add_color_bar,
    dress,
    new_figure,
    say_empty,
)
from photoz_assets.science.palette import BLUE, MISSING, STATE_COLORS
from photoz_assets.science.statistics import magnitude_axis, redshift_axis, summed_counts
from photoz_assets.survey.bands import BAND_COLORS, BAND_SYMBOLS, BANDS
from photoz_assets.survey.contracts.diagnostics import MAGNITUDE_BINS
from photoz_assets.survey.skymap import RingsSkyMap

Measured = Mapping[int, pa.Table]
"""For each tract that is held, its statistics in the columns of the asset ``diagnostics``."""

SurveyFigure = Callable[[Measured, pa.Table, Caption], Figure]
"""Of the held tracts' statistics, the table ``survey_diagnostics`` and the caption, as all figures here."""

_WIDE_INCHES: Final = (10.0, 7.4)
_HELD: Final = "#66aad8"
_BELOW_THE_TRACTS: Final[dict[str, Any]] = {"loc": "lower center", "fontsize": LABEL_PT, "frameon": False}


def number_counts(measured: Measured, statistics: pa.Table, caption: Caption) -> Figure:
    """Draw the galaxies per magnitude and square degree in each band."""
    figure = new_figure(
        "Number counts",
        caption,
        "Galaxies per magnitude and square degree over the measured magnitude, a curve for each of the six bands.",
        size_inches=_WIDE_INCHES,
        color_bar=False,
    )
    axes = figure.add_subplot(yscale="log")
    columns = caption.release.columns
    dress(axes, magnitude_axis(columns, "r").label, "galaxies per mag and deg²")
    area_deg2 = _area_deg2(statistics, caption.release.skymap)
    drawn = False
    for band in BANDS:
        axis = magnitude_axis(columns, band)
        found = summed_counts(measured, "magnitude_counts", band)
        filled = found > 0
        if filled.any():
            drawn = True
            axes.plot(
                (axis.edges[:-1] + axis.width / 2)[filled],
                found[filled] / (axis.width * area_deg2),
                color=BAND_COLORS[band],
                marker=BAND_SYMBOLS[band],
                markersize=7,
                linewidth=1.5,
                label=band,
            )
    axes.set_xlim(MAGNITUDE_BINS.low, MAGNITUDE_BINS.high)
    if drawn:
        axes.legend(fontsize=TICK_PT, frameon=False, loc="upper left")
    else:
        say_empty(axes)
    return figure


def redshifts(measured: Measured, statistics: pa.Table, caption: Caption) -> Figure:
    """Draw n(z): the galaxies per unit of redshift and square degree."""
    axis = redshift_axis(caption.release.columns)
    figure = new_figure(
        "Redshift distribution n(z)",
        caption,
        f"Histogram of the galaxies per unit of {axis.label} and square degree.",
        size_inches=_WIDE_INCHES,
        color_bar=False,
    )
    axes = figure.add_subplot()
    dress(axes, axis.label, "galaxies per unit redshift and deg²")
    axes.set_xlim(axis.low, axis.high)
    axes.yaxis.set_major_formatter("{x:,g}")
    found = summed_counts(measured, "redshift_counts")
    if found.any():
        area_deg2 = _area_deg2(statistics, caption.release.skymap)
        axes.stairs(found / (axis.width * area_deg2), axis.edges, fill=True, color=BLUE)
    else:
        say_empty(axes)
    return figure


def density_map(_measured: Measured, statistics: pa.Table, caption: Caption) -> Figure:
    """Draw the galaxies per square degree of each tract on the sky."""
    return _value_map(statistics, caption, "Galaxy density", "density_per_deg2", "galaxies per deg²")


def depth_map(_measured: Measured, statistics: pa.Table, caption: Caption) -> Figure:
    """Draw the r magnitude that each tract reaches at five sigma on the sky."""
    return _value_map(statistics, caption, "Depth", "r_depth_5sigma_mag", "r at 5 sigma [AB mag]")


def _value_map(statistics: pa.Table, caption: Caption, heading: str, column: str, label: str) -> Figure:
    """Draw one statistic of the tracts on the sky; those without a value are grey."""
    figure = new_figure(
        heading,
        caption,
        f"Map of the survey's tracts, labelled, coloured by {label}; tracts without a value are grey.",
        size_inches=SKY_SIZE_INCHES,
    )
    sky = Sky.on(figure, caption.release)
    known = pc.is_valid(statistics.column(column))
    sky.fill(_tracts(statistics.filter(pc.invert(known))), MISSING)
    valued = statistics.filter(known)
    if valued.num_rows:
        filled = sky.fill(_tracts(valued))
        color_by(filled, valued.column(column).to_numpy())
        add_color_bar(figure, filled, sky.axes, label)
    sky.label(_tracts(statistics))
    return figure


def completeness(_measured: Measured, statistics: pa.Table, caption: Caption) -> Figure:
    """Draw which tracts are stored and which are missing."""
    figure = new_figure(
        "Completeness",
        caption,
        "Map of the survey's tracts, labelled: those that are held blue, missing ones grey.",
        size_inches=SKY_SIZE_INCHES,
    )
    sky = Sky.on(figure, caption.release)
    held, missing = _split(statistics)
    sky.fill(_tracts(held), _HELD)
    sky.fill(_tracts(missing), MISSING)
    sky.label(_tracts(statistics))
    sky.axes.legend(
        handles=[
            Patch(facecolor=_HELD, edgecolor="black", label=f"{held.num_rows} held"),
            Patch(facecolor=MISSING, edgecolor="black", label=f"{missing.num_rows} missing"),
        ],
        **_BELOW_THE_TRACTS,
        ncols=2,
    )
    return figure


def state_map(states: Mapping[int, str], caption: Caption) -> Figure:
    """Draw the state of each tract: fresh, stale, failed, missing or running, as ``states`` says by tract."""
    figure = new_figure(
        "State of the survey",
        caption,
        "Map of the survey's tracts, labelled, coloured by their state: fresh, stale, failed, missing or running.",
        size_inches=SKY_SIZE_INCHES,
    )
    sky = Sky.on(figure, caption.release)
    handles = []
    for state, color in STATE_COLORS.items():
        found = [tract for tract in states if states[tract] == state]
        sky.fill(found, color)
        if found:
            handles.append(Patch(facecolor=color, edgecolor="black", label=f"{len(found)} {state}"))
    sky.label(list(states))
    sky.axes.legend(handles=handles, ncols=len(handles), **_BELOW_THE_TRACTS)
    return figure


def offsets_map(_measured: Measured, statistics: pa.Table, caption: Caption) -> Figure:
    """Draw the median offset of each tract, from measured to reference positions, as an arrow on the sky."""
    reference = caption.release.columns.reference_words
    figure = new_figure(
        "Median coordinate offsets",
        caption,
        f"Map of the survey's tracts with an arrow in each for its median offset, {reference} minus measured "
        "position.",
        size_inches=SKY_SIZE_INCHES,
    )
    sky = Sky.on(figure, caption.release)
    sky.fill(_tracts(statistics))
    measured = statistics.filter(pc.field("num_galaxies") > 0)
    if not measured.num_rows:
        say_empty(sky.axes)
        return figure
    offsets_mas = [
        1000 * measured.column(name).to_numpy() for name in ("median_ra_offset_arcsec", "median_dec_offset_arcsec")
    ]
    longest_mas = max(float(np.hypot(*offsets_mas).max()), 0.1)
    # The longest arrow is as long as a tract is wide, a fifteenth of the window.
    arrows = sky.axes.quiver(
        *np.transpose([sky.centre(tract) for tract in _tracts(measured)]),
        *offsets_mas,
        scale=15 * longest_mas,
        scale_units="width",
        width=0.004,
        pivot="mid",
        color=BLUE,
    )
    sky.axes.quiverkey(
        arrows, 0.1, 0.05, longest_mas, f"{longest_mas:.2g} mas", labelpos="E", fontproperties={"size": LABEL_PT}
    )
    return figure


def _area_deg2(statistics: pa.Table, skymap: RingsSkyMap) -> float:
    """Return the area of the stored tracts in square degrees."""
    held, _ = _split(statistics)
    return sum(skymap.inner_box(tract).area_deg2 for tract in _tracts(held))


def _split(statistics: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the statistics of the stored and of the missing tracts."""
    held = statistics.column("held")
    return statistics.filter(held), statistics.filter(pc.invert(held))


def _tracts(statistics: pa.Table) -> list[int]:
    return [int(tract) for tract in statistics.column("tract").to_pylist()]


SURVEY_FIGURES: Final[Mapping[str, SurveyFigure]] = MappingProxyType(
    {draw.__name__: draw for draw in (number_counts, redshifts, density_map, depth_map, completeness, offsets_map)}
)
