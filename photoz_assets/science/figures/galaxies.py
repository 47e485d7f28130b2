"""Figures of one sample of galaxies, a tract's or a field's: measured against true values, where these are known.

Where nobody knows the truth, they show how good measurements are by themselves, and how redshifts were matched.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import duckdb
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from photoz_assets.science.bins import Axis, Counts, Scale, counts
from photoz_assets.science.figures.style import (
    COUNT_LABEL,
    LEFT_INCHES,
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
from photoz_assets.science.palette import BLUE, VERMILION
from photoz_assets.science.statistics import SampleSummary, redshift_axis
from photoz_assets.survey.bands import BAND_COLORS, BANDS
from photoz_assets.survey.expressions import position_offsets_arcsec
from photoz_assets.survey.galaxy_columns import GalaxyColumns

Plane = tuple[Axis, ...]
"""What is counted together: one axis for a histogram, x and y for a map."""

Draw = Callable[[Sequence[Plane], Sequence[Counts], SampleSummary, Caption], Figure]
"""Of the figure's planes, the counts in each, the summary of the same galaxies and the caption."""


@dataclass(frozen=True, kw_only=True)
class GalaxyFigure:
    """A figure of galaxies: the planes that they are counted in, and the function that draws the counts."""

    planes: Sequence[Plane]
    draw: Draw

    def count(self, galaxies: duckdb.DuckDBPyRelation) -> list[Counts]:
        """Count galaxies, in the columns of the asset ``matched_galaxies``, in each plane."""
        return [counts(galaxies, *plane) for plane in self.planes]

    def drawn(self, found: Sequence[Counts], summary: SampleSummary, caption: Caption) -> Figure:
        """Draw what was counted in each plane."""
        return self.draw(self.planes, found, summary, caption)


def galaxy_figures(
    galaxies: duckdb.DuckDBPyRelation, summary: SampleSummary, caption: Caption
) -> Iterator[tuple[str, Figure]]:
    """Yield the name and the figure of each figure of galaxies, drawn one after the other.

    Parameters
    ----------
    galaxies
        In the columns of the asset ``matched_galaxies``.
    summary
        Theirs.
    caption
        Which galaxies they are, of which release.
    """
    for name, figure in figures_of(caption.release.columns).items():
        yield name, figure.drawn(figure.count(galaxies), summary, caption)


# All of one shape, so that a contact sheet has no holes.
_ONE_PANEL_INCHES: Final = (7.6, 5.7)
_TWO_PANELS_INCHES: Final = (8.8, 6.6)
_SIX_PANELS_INCHES: Final = (9.2, 6.9)


def _offset(sql: str, label: str, reference: str) -> Axis:
    label += f", {reference} \N{MINUS SIGN} measured [arcsec]"
    return Axis(sql=sql, label=label, low=-0.6, high=0.6, bins=120)


def _magnitude(column: str, label: str) -> Axis:
    return Axis(sql=column, label=f"{label} [AB mag]", low=17.0, high=28.0, bins=110)


def _flux(column: str) -> Axis:
    return Axis(sql=column, label="", low=0.1, high=1e6, bins=100, scale=Scale.LOGARITHMIC)


def _color(blue_flux: str, red_flux: str, label: str) -> Axis:
    """Return the axis of the colour of two fluxes, both positive."""
    ratio = f"CASE WHEN {blue_flux} > 0 AND {red_flux} > 0 THEN {blue_flux}::DOUBLE / {red_flux}::DOUBLE END"
    return Axis(sql=ratio, label=f"{label} [mag]", low=-2.0, high=4.0, bins=120, scale=Scale.MAGNITUDE)


def _coordinate_offsets(
    planes: Sequence[Plane], found: Sequence[Counts], summary: SampleSummary, caption: Caption
) -> Figure:
    """Draw how far measured positions lie from those of the redshifts, in arcsec on the sky."""
    reference = caption.release.columns.reference_words
    figure = new_figure(
        "Coordinate offsets",
        caption,
        f"Map of the offsets between {reference} and measured positions in right ascension and declination.",
        size_inches=_ONE_PANEL_INCHES,
    )
    axes = _square_map(figure, found[0], planes[0], count_colors(*found))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    if summary.median_ra_offset_arcsec is not None and summary.median_dec_offset_arcsec is not None:
        ra_mas, dec_mas = summary.median_ra_offset_arcsec * 1000, summary.median_dec_offset_arcsec * 1000
        note(axes, f"medians: RA {ra_mas:+z.1f} mas, Dec {dec_mas:+z.1f} mas", x=0.03, y=0.97)
    return figure


def _r_magnitudes(
    planes: Sequence[Plane], found: Sequence[Counts], _summary: SampleSummary, caption: Caption
) -> Figure:
    """Draw measured against true r magnitudes."""
    figure = new_figure(
        "True and measured r magnitudes",
        caption,
        f"Map of measured {_kind(caption)} r magnitudes against true ones, with the line of equality.",
        size_inches=_ONE_PANEL_INCHES,
    )
    x, y = planes[0]
    axes = _square_map(figure, found[0], planes[0], count_colors(*found, colors=tints_of(BAND_COLORS["r"])))
    axes.plot([x.low, x.high], [y.low, y.high], color="black", linewidth=0.9)
    return figure


def _fluxes(planes: Sequence[Plane], found: Sequence[Counts], _summary: SampleSummary, caption: Caption) -> Figure:
    """Draw measured against true fluxes, one panel for each band."""
    figure = new_figure(
        "True and measured fluxes",
        caption,
        f"Six maps, one a band, of measured {_kind(caption)} fluxes against true ones, with the line of equality.",
        size_inches=_SIX_PANELS_INCHES,
        panels=3,
    )
    for axes, (x, y) in zip(_draw_bands(figure, planes, found), planes, strict=True):
        axes.plot([x.low, x.high], [y.low, y.high], color="black", linewidth=0.9)
    label_all(figure, "true flux [nJy]", f"measured {_kind(caption)} flux [nJy]")
    return figure


def _redshifts(
    planes: Sequence[Plane], found: Sequence[Counts], summary: SampleSummary, caption: Caption
) -> Figure:
    """Draw the distribution of the redshifts."""
    [[axis]] = planes
    figure = new_figure(
        f"{axis.label.capitalize()} distribution",
        caption,
        f"Histogram of the galaxies' {axis.label}s.",
        size_inches=_ONE_PANEL_INCHES,
        color_bar=False,
    )
    axes = figure.add_subplot()
    dress(axes, axis.label, f"galaxies per {axis.width:g} in redshift")
    axes.set_xlim(axis.low, axis.high)
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.stairs(found[0], axis.edges, fill=True, color=BLUE)
    median = summary.median_redshift
    if not found[0].any():
        say_empty(axes)
        axes.set_ylim(0, 1)
    if median is not None:
        axes.axvline(median, color=VERMILION, linewidth=2)
        note(axes, f"median {median:.2f}", y=0.96, color=VERMILION)
    return figure


def _color_magnitude(columns: GalaxyColumns, blue: str, red: str) -> GalaxyFigure:
    """Return the figure of the r magnitude over the colour of two bands: true beside measured, on one scale."""
    planes = [
        (
            _color(columns.true_fluxes[blue], columns.true_fluxes[red], f"true {blue}-{red}"),
            _magnitude(columns.true_magnitudes["r"], "true r"),
        ),
        (
            _color(columns.flux(blue), columns.flux(red), f"measured {blue}-{red}"),
            _magnitude(columns.magnitude("r"), "measured r"),
        ),
    ]

    def draw(
        planes: Sequence[Plane], found: Sequence[Counts], _summary: SampleSummary, caption: Caption
    ) -> Figure:
        figure = new_figure(
            f"Colour and magnitude, {blue}-{red}",
            caption,
            f"Two maps of the r magnitude over the colour {blue}-{red}: true on the left, measured on the right.",
            size_inches=_TWO_PANELS_INCHES,
            panels=2,
            gap_inches=LEFT_INCHES,
        )
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        colors = count_colors(*found)
        for axes, (x, y), plane in zip(panels, planes, found, strict=True):
            _draw_plane(axes, plane, x, y, colors)
            axes.tick_params(labelleft=True)
        panels[0].invert_yaxis()
        add_color_bar(figure, colors, list(panels), COUNT_LABEL)
        return figure

    return GalaxyFigure(planes=planes, draw=draw)


def _match_distances(columns: GalaxyColumns) -> GalaxyFigure:
    """Return the figure of the distances of matched redshifts from their objects."""
    axis = Axis(
        sql=str(columns.match_distance),
        label="distance of redshift and object [arcsec]",
        low=0.0,
        high=1.5,
        bins=60,
    )

    def draw(
        planes: Sequence[Plane], found: Sequence[Counts], _summary: SampleSummary, caption: Caption
    ) -> Figure:
        [[axis]] = planes
        figure = new_figure(
            "Match distance",
            caption,
            "Histogram of the distances between redshifts and the objects that they were matched with.",
            size_inches=_ONE_PANEL_INCHES,
            color_bar=False,
        )
        axes = figure.add_subplot()
        dress(axes, axis.label, f"galaxies per {axis.width:g} arcsec")
        axes.set_xlim(axis.low, axis.high)
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.stairs(found[0], axis.edges, fill=True, color=BLUE)
        if not found[0].any():
            say_empty(axes)
            axes.set_ylim(0, 1)
        if (matching := caption.release.matching) is not None:
            axes.axvline(matching.radius_arcsec, color=VERMILION, linewidth=2)
            note(axes, f"radius {matching.radius_arcsec:g} arcsec", y=0.96, color=VERMILION)
        return figure

    return GalaxyFigure(planes=[(axis,)], draw=draw)


def _signal_to_noise(columns: GalaxyColumns) -> GalaxyFigure:
    """Return the figure of the signal-to-noise ratio over the magnitude, one panel for each band."""
    planes = [
        (
            _magnitude(columns.magnitude(band), band),
            Axis(
                sql=f"CASE WHEN {columns.flux(band)} > 0 AND {columns.flux_error(band)} > 0 "
                f"THEN {columns.flux(band)}::DOUBLE / {columns.flux_error(band)}::DOUBLE END",
                label="",
                low=1.0,
                high=1e4,
                bins=80,
                scale=Scale.LOGARITHMIC,
            ),
        )
        for band in BANDS
    ]

    def draw(
        planes: Sequence[Plane], found: Sequence[Counts], _summary: SampleSummary, caption: Caption
    ) -> Figure:
        figure = new_figure(
            "Signal-to-noise ratio",
            caption,
            f"Six maps, one a band, of the signal-to-noise ratio of {_kind(caption)} fluxes over the magnitude.",
            size_inches=_SIX_PANELS_INCHES,
            panels=3,
        )
        _draw_bands(figure, planes, found)
        label_all(figure, f"measured {_kind(caption)} magnitude [AB mag]", "signal-to-noise ratio")
        return figure

    return GalaxyFigure(planes=planes, draw=draw)


def _redshift_color(columns: GalaxyColumns, blue: str, red: str) -> GalaxyFigure:
    """Return the figure of the redshift over the colour of two bands."""
    plane = (_color(columns.flux(blue), columns.flux(red), f"measured {blue}-{red}"), redshift_axis(columns))

    def draw(
        planes: Sequence[Plane], found: Sequence[Counts], _summary: SampleSummary, caption: Caption
    ) -> Figure:
        [(x, y)] = planes
        figure = new_figure(
            f"Redshift and colour, {blue}-{red}",
            caption,
            f"Map of the {y.label} over the measured colour {blue}-{red}.",
            size_inches=_ONE_PANEL_INCHES,
        )
        axes, colors = figure.add_subplot(), count_colors(*found)
        _draw_plane(axes, found[0], x, y, colors)
        add_color_bar(figure, colors, axes, COUNT_LABEL)
        return figure

    return GalaxyFigure(planes=[plane], draw=draw)


def _draw_bands(figure: Figure, planes: Sequence[Plane], found: Sequence[Counts]) -> Sequence[Axes]:
    """Draw one panel for each band, on one scale of counts."""
    panels = list(figure.subplots(2, 3, sharex=True, sharey=True).flat)
    colors = {band: count_colors(*found, colors=tints_of(BAND_COLORS[band])) for band in BANDS}
    for band, (x, y), plane, axes in zip(BANDS, planes, found, panels, strict=True):
        dress(axes)
        draw_counts(axes, plane, x, y, colors[band])
        axes.text(0.06, 0.94, band, transform=axes.transAxes, va="top", fontsize=26, color=BAND_COLORS[band])
        note(axes, f"{plane.sum():,} shown")
    # The bands share one scale; black, the colour of y, stands for all of them.
    add_color_bar(figure, colors["y"], panels, COUNT_LABEL)
    return panels


def _square_map(figure: Figure, found: Counts, plane: Plane, colors: ScalarMappable) -> Axes:
    """Draw one map whose axes have equal scales, with its colour scale."""
    axes = figure.add_subplot(aspect="equal")
    x, y = plane
    _draw_plane(axes, found, x, y, colors)
    add_color_bar(figure, colors, axes, COUNT_LABEL)
    return axes


def _draw_plane(axes: Axes, found: Counts, x: Axis, y: Axis, colors: ScalarMappable) -> None:
    """Draw counts over linear axes and say how many galaxies lie inside."""
    dress(axes, x.label, y.label)
    note(axes, f"{found.sum():,} shown")
    draw_counts(axes, found, x, y, colors)


def _kind(caption: Caption) -> str:
    return caption.release.objects.photometry.kind


def figures_of(columns: GalaxyColumns) -> Mapping[str, GalaxyFigure]:
    """Return the figures of galaxies in such columns, by name."""
    east, north = position_offsets_arcsec(columns)
    reference = columns.reference_words
    offsets = (_offset(east, "ΔRA cos(Dec)", reference), _offset(north, "ΔDec", reference))
    common = {
        "coordinate_offsets": GalaxyFigure(planes=[offsets], draw=_coordinate_offsets),
        "redshifts": GalaxyFigure(planes=[(redshift_axis(columns),)], draw=_redshifts),
    }
    if not columns.true_fluxes:
        return MappingProxyType(
            {
                "coordinate_offsets": common["coordinate_offsets"],
                "match_distance": _match_distances(columns),
                "signal_to_noise": _signal_to_noise(columns),
                "redshift_color_gr": _redshift_color(columns, "g", "r"),
                "redshift_color_iz": _redshift_color(columns, "i", "z"),
                "redshifts": common["redshifts"],
            }
        )
    fluxes = [(_flux(columns.true_fluxes[band]), _flux(columns.flux(band))) for band in BANDS]
    r_magnitudes = (
        _magnitude(columns.true_magnitudes["r"], "true r"),
        _magnitude(columns.magnitude("r"), f"measured {columns.photometry.kind} r"),
    )
    return MappingProxyType(
        {
            "coordinate_offsets": common["coordinate_offsets"],
            "r_magnitudes": GalaxyFigure(planes=[r_magnitudes], draw=_r_magnitudes),
            "fluxes": GalaxyFigure(planes=fluxes, draw=_fluxes),
            "color_magnitude_gr": _color_magnitude(columns, "g", "r"),
            "color_magnitude_iz": _color_magnitude(columns, "i", "z"),
            "redshifts": common["redshifts"],
        }
    )
