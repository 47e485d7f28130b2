"""Diagnostics of one sample of galaxies, a tract's or a field's: the measured beside the true."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import duckdb
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from photoz_assets.bands import BAND_COLORS, BANDS
from photoz_assets.contracts import flux_column, magnitude_column, true_flux_column
from photoz_assets.science.bins import Axis, Counts, counts
from photoz_assets.science.figures.style import (
    BLUE,
    COUNT_LABEL,
    LEFT_INCHES,
    VERMILION,
    Caption,
    add_color_bar,
    count_colors,
    draw_counts,
    dress,
    label_all,
    new_figure,
    note,
    say_empty,
    tints_of,
)
from photoz_assets.science.statistics import DEC_OFFSET_ARCSEC, RA_OFFSET_ARCSEC, REDSHIFT, SampleSummary

GalaxyFigure = Callable[[duckdb.DuckDBPyRelation, SampleSummary, Caption], Figure]
"""Of the galaxies, in the columns of the contract ``MATCHED_GALAXIES``, their summary and the caption."""

# All of one shape, so that a contact sheet has no holes.
_ONE_PANEL_INCHES: Final = (7.6, 5.7)
_TWO_PANELS_INCHES: Final = (8.8, 6.6)
_SIX_PANELS_INCHES: Final = (9.2, 6.9)


def coordinate_offsets(galaxies: duckdb.DuckDBPyRelation, summary: SampleSummary, caption: Caption) -> Figure:
    """Draw how far measured positions lie from true ones: true minus measured, in arcsec on the sky."""
    x = Axis(
        sql=RA_OFFSET_ARCSEC,
        label="ΔRA cos(Dec), true \N{MINUS SIGN} measured [arcsec]",
        low=-0.6,
        high=0.6,
        bins=120,
    )
    y = Axis(
        sql=DEC_OFFSET_ARCSEC, label="ΔDec, true \N{MINUS SIGN} measured [arcsec]", low=-0.6, high=0.6, bins=120
    )
    found = counts(galaxies, x, y)
    figure = new_figure(
        "Coordinate offsets",
        caption,
        "Map of the offsets between true and measured positions in right ascension and declination.",
        size_inches=_ONE_PANEL_INCHES,
    )
    axes = figure.add_subplot(aspect="equal")
    dress(axes, x.label, y.label)
    colors = count_colors(found)
    _draw_plane(axes, found, x, y, colors)
    add_color_bar(figure, colors, axes, COUNT_LABEL)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    if summary.median_ra_offset_arcsec is not None and summary.median_dec_offset_arcsec is not None:
        ra_mas, dec_mas = summary.median_ra_offset_arcsec * 1000, summary.median_dec_offset_arcsec * 1000
        note(axes, f"medians: RA {ra_mas:+z.1f} mas, Dec {dec_mas:+z.1f} mas", x=0.03, y=0.97)
    return figure


def r_magnitudes(galaxies: duckdb.DuckDBPyRelation, _summary: SampleSummary, caption: Caption) -> Figure:
    """Draw measured against true r magnitudes."""
    x = Axis(sql="ts_mag_r", label="true r [AB mag]", low=17.0, high=28.0, bins=110)
    y = Axis(sql=magnitude_column("r"), label="measured cModel r [AB mag]", low=17.0, high=28.0, bins=110)
    found = counts(galaxies, x, y)
    figure = new_figure(
        "True and measured r magnitudes",
        caption,
        "Map of measured cModel r magnitudes against true ones, with the line of equality.",
        size_inches=_ONE_PANEL_INCHES,
    )
    axes = figure.add_subplot(aspect="equal")
    dress(axes, x.label, y.label)
    colors = count_colors(found, colors=tints_of(BAND_COLORS["r"]))
    _draw_plane(axes, found, x, y, colors)
    add_color_bar(figure, colors, axes, COUNT_LABEL)
    axes.plot([x.low, x.high], [y.low, y.high], color="black", linewidth=0.9)
    return figure


def fluxes(galaxies: duckdb.DuckDBPyRelation, _summary: SampleSummary, caption: Caption) -> Figure:
    """Draw measured against true fluxes, a panel a band."""
    figure = new_figure(
        "True and measured fluxes",
        caption,
        "Six maps, one a band, of measured cModel fluxes against true ones, with the line of equality.",
        size_inches=_SIX_PANELS_INCHES,
        panels=3,
    )
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    planes = {band: (_flux(true_flux_column(band)), _flux(flux_column(band))) for band in BANDS}
    found = {band: counts(galaxies, x, y) for band, (x, y) in planes.items()}
    colors = {band: count_colors(*found.values(), colors=tints_of(BAND_COLORS[band])) for band in BANDS}
    for band, axes in zip(BANDS, panels.flat, strict=True):
        dress(axes)
        x, y = planes[band]
        draw_counts(axes, found[band], x, y, colors[band])
        axes.plot([x.low, x.high], [y.low, y.high], color="black", linewidth=0.9)
        axes.text(0.06, 0.94, band, transform=axes.transAxes, va="top", fontsize=26, color=BAND_COLORS[band])
        note(axes, f"{found[band].sum():,} shown")
    label_all(figure, "true flux [nJy]", "measured cModel flux [nJy]")
    # The bands share one scale; black, the colour of y, stands for all of them.
    add_color_bar(figure, colors["y"], list(panels.flat), COUNT_LABEL)
    return figure


def color_magnitude_gr(galaxies: duckdb.DuckDBPyRelation, _summary: SampleSummary, caption: Caption) -> Figure:
    """Draw the r magnitude over g-r: true beside measured."""
    return _color_magnitude(galaxies, caption, "g", "r")


def color_magnitude_iz(galaxies: duckdb.DuckDBPyRelation, _summary: SampleSummary, caption: Caption) -> Figure:
    """Draw the r magnitude over i-z: true beside measured."""
    return _color_magnitude(galaxies, caption, "i", "z")


def redshifts(galaxies: duckdb.DuckDBPyRelation, summary: SampleSummary, caption: Caption) -> Figure:
    """Draw the distribution of true redshifts."""
    found = counts(galaxies, REDSHIFT)
    figure = new_figure(
        "True redshift distribution",
        caption,
        "Histogram of the galaxies' true redshifts.",
        size_inches=_ONE_PANEL_INCHES,
        color_bar=False,
    )
    axes = figure.add_subplot()
    dress(axes, REDSHIFT.label, f"galaxies per {REDSHIFT.width:g} in redshift")
    axes.set_xlim(REDSHIFT.low, REDSHIFT.high)
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.stairs(found, REDSHIFT.edges, fill=True, color=BLUE)
    median = summary.median_redshift
    if not found.any():
        say_empty(axes)
        axes.set_ylim(0, 1)
    if median is not None:
        axes.axvline(median, color=VERMILION, linewidth=2)
        note(axes, f"median {median:.2f}", y=0.96, color=VERMILION)
    return figure


def _color_magnitude(galaxies: duckdb.DuckDBPyRelation, caption: Caption, blue: str, red: str) -> Figure:
    """Draw the r magnitude over the colour between two bands, true and measured on one scale."""
    columns = {
        "true": (_color(true_flux_column(blue), true_flux_column(red)), "ts_mag_r"),
        "measured": (_color(flux_column(blue), flux_column(red)), magnitude_column("r")),
    }
    figure = new_figure(
        f"Colour and magnitude, {blue}-{red}",
        caption,
        f"Two maps of the r magnitude over the colour {blue}-{red}: true on the left, measured on the right.",
        size_inches=_TWO_PANELS_INCHES,
        panels=2,
        gap_inches=LEFT_INCHES,
    )
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    planes = [
        (
            Axis(sql=color, label=f"{kind} {blue}-{red} [mag]", low=-2.0, high=4.0, bins=120),
            Axis(sql=magnitude, label=f"{kind} r [AB mag]", low=17.0, high=28.0, bins=110),
        )
        for kind, (color, magnitude) in columns.items()
    ]
    found = [counts(galaxies, x, y) for x, y in planes]
    colors = count_colors(*found)
    for axes, (x, y), plane in zip(panels, planes, found, strict=True):
        dress(axes, x.label, y.label)
        _draw_plane(axes, plane, x, y, colors)
        axes.tick_params(labelleft=True)
    panels[0].invert_yaxis()
    add_color_bar(figure, colors, list(panels), COUNT_LABEL)
    return figure


def _draw_plane(axes: Axes, found: Counts, x: Axis, y: Axis, colors: ScalarMappable) -> None:
    """Draw counts over linear axes and say how many galaxies lie inside."""
    note(axes, f"{found.sum():,} shown")
    draw_counts(axes, found, x, y, colors)


def _flux(column: str) -> Axis:
    return Axis(sql=column, label="", low=0.1, high=1e6, bins=100, logarithmic=True)


def _color(blue_flux: str, red_flux: str) -> str:
    """Give the colour in magnitudes of two fluxes in SQL; NULL unless both are positive."""
    positive = f"{blue_flux} > 0 AND {red_flux} > 0"
    return f"CASE WHEN {positive} THEN -2.5 * log10({blue_flux}::DOUBLE / {red_flux}::DOUBLE) END"


GALAXY_FIGURES: Final[Mapping[str, GalaxyFigure]] = MappingProxyType(
    {
        draw.__name__: draw
        for draw in (
            coordinate_offsets,
            r_magnitudes,
            fluxes,
            color_magnitude_gr,
            color_magnitude_iz,
            redshifts,
        )
    }
)
