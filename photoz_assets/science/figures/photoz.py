"""Figures of how good photometric redshifts are, drawn from counts in bins and from the quality in bins.

e is (z_phot - z) / (1 + z), and an outlier has |e| > 0.15. How quality is measured is not here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import duckdb
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter
from numpy.typing import NDArray

from photoz_assets.science.bins import Axis, counts
from photoz_assets.science.figures.style import (
    COUNT_LABEL,
    DENSITY,
    LEFT_INCHES,
    NOTE_PT,
    Caption,
    add_color_bar,
    count_colors,
    draw_counts,
    dress,
    new_figure,
    note,
    say_empty,
)
from photoz_assets.science.palette import BLUE, GREY, VERMILION

OUTLIER: Final = 0.15

_ERROR: Final = "(estimate - redshift) / (1 + redshift)"
_REDSHIFT: Final = Axis(sql="redshift", label="redshift", low=0.0, high=3.0, bins=150)
_ESTIMATE: Final = Axis(sql="estimate", label="photometric redshift", low=0.0, high=3.0, bins=150)
_PIT: Final = Axis(sql="least(pit, 1 - 1e-9)", label="PIT", low=0.0, high=1.0, bins=50)
_FINE_PIT: Final = Axis(sql="least(pit, 1 - 1e-9)", label="PIT", low=0.0, high=1.0, bins=1000)
_COLORS: Final = (
    Axis(sql="color_gr", label="g\N{MINUS SIGN}r [mag]", low=-0.6, high=2.2, bins=56),
    Axis(sql="color_ri", label="r\N{MINUS SIGN}i [mag]", low=-0.5, high=1.7, bins=44),
)
# A share of fewer galaxies is chance.
_FEWEST_IN_A_CELL: Final = 10
_MOST_OUTLIERS: Final = 0.5

# What cosmology asks for: LSST Science Book (arXiv:0912.0201), section 3.8, and its goal for the scatter.
_BIAS_TARGET: Final = 0.003
_SCATTER_TARGETS: Final = (0.02, 0.05)
_OUTLIER_TARGET: Final = 0.1
_TARGETS: Final = "dotted: targets of the LSST Science Book, 3.8"

_ONE_PANEL_INCHES: Final = (7.6, 5.7)
_TWO_PANELS_INCHES: Final = (8.8, 6.6)


class Number(Protocol):
    """A number and the standard deviation that chance gives it."""

    @property
    def value(self) -> float:
        """The number."""
        ...

    @property
    def error(self) -> float:
        """Its standard deviation."""
        ...


class Quality(Protocol):
    """How good the redshifts of galaxies are; ``photoz.metrics`` says what each number is."""

    @property
    def bias(self) -> Number:
        """The median of e."""
        ...

    @property
    def smad(self) -> Number:
        """The scatter of e."""
        ...

    @property
    def outliers_fixed(self) -> Number:
        """The share of outliers."""
        ...

    @property
    def pit_ks(self) -> Number:
        """The distance of the PIT from a uniform distribution."""
        ...

    @property
    def cde_loss(self) -> Number:
        """The loss of p(z)."""
        ...


class QualityInBin(Protocol):
    """The quality of the galaxies in [low, high) of a quantity; None if there are too few to say."""

    @property
    def low(self) -> float:
        """The lower edge."""
        ...

    @property
    def high(self) -> float:
        """The upper edge."""
        ...

    @property
    def quality(self) -> Quality | None:
        """How good."""
        ...


@dataclass(frozen=True, kw_only=True)
class TomographicBin:
    """The galaxies with estimates in [low, high): ``stacked`` is the share of their p(z) in bins of redshift.

    ``redshift_edges`` are the bins' edges, ``stacked`` has the shape (bins,).
    """

    low: float
    high: float
    redshift_edges: NDArray[np.float64]
    stacked: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class JudgedSample:
    """What the figures are drawn from.

    Attributes
    ----------
    galaxies
        Those that were judged, with columns ``redshift``, ``estimate``, ``pit``, ``color_gr`` and ``color_ri``.
    redshift_words
        What their redshift is called, such as 'true redshift'.
    quality, by_estimate, by_magnitude
        Of all of them, in bins of the estimate and of the i magnitude.
    degraded_by_magnitude, degraded_words
        By a model of a smaller training set, in bins of the i magnitude, if there is one, and what that set is.
    tomography
        Bins of the estimate.
    """

    galaxies: duckdb.DuckDBPyRelation
    redshift_words: str
    quality: Quality
    by_estimate: Sequence[QualityInBin]
    by_magnitude: Sequence[QualityInBin]
    degraded_by_magnitude: Sequence[QualityInBin]
    degraded_words: str
    tomography: Sequence[TomographicBin]


def photoz_figures(sample: JudgedSample, caption: Caption) -> Iterator[tuple[str, Figure]]:
    """Yield the name and the figure of each figure of a judged sample, drawn one after the other.

    Parameters
    ----------
    sample
        What was judged.
    caption
        Which galaxies they are, of which release; its ``method`` says what estimated them, by which features, and
        what it learnt from.
    """
    yield "photoz_redshifts", _redshifts(sample, caption)
    yield "photoz_errors_by_estimate", _errors(sample.by_estimate, "photometric redshift", "", caption)
    by_magnitude = _errors(sample.by_magnitude, "measured i magnitude", " [AB mag]", caption)
    _add_degraded(by_magnitude, sample.degraded_by_magnitude, sample.degraded_words)
    yield "photoz_errors_by_magnitude", by_magnitude
    yield "photoz_pit", _pit(sample, caption)
    yield "photoz_tomography", _tomography(sample, caption)
    yield "photoz_outliers", _outliers(sample, caption)


def _redshifts(sample: JudgedSample, caption: Caption) -> Figure:
    """Draw estimates against known redshifts."""
    figure = new_figure(
        "Photometric and known redshifts",
        caption,
        f"Map of photometric redshifts against the {sample.redshift_words}, with the line of equality and those "
        "beyond which an estimate is an outlier.",
        size_inches=_ONE_PANEL_INCHES,
    )
    found = counts(sample.galaxies, _REDSHIFT, _ESTIMATE)
    colors = count_colors(found)
    axes = figure.add_subplot(aspect="equal")
    dress(axes, sample.redshift_words, _ESTIMATE.label)
    draw_counts(axes, found, _REDSHIFT, _ESTIMATE, colors)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.yaxis.set_major_locator(MultipleLocator(1))
    ends = np.array([_REDSHIFT.low, _REDSHIFT.high])
    for error, style in ((0.0, "-"), (OUTLIER, "--"), (-OUTLIER, "--")):
        axes.plot(ends, ends + error * (1 + ends), style, color="black", linewidth=0.9)
    quality = sample.quality
    lines = (
        f"bias {_signed(quality.bias, 4)}",
        f"scatter {_plain(quality.smad, 4)}",
        f"outliers {_percent(quality.outliers_fixed)}",
    )
    note(axes, "\n".join(lines), x=0.03, y=0.97)
    add_color_bar(figure, colors, axes, COUNT_LABEL)
    return figure


def _errors(bins: Sequence[QualityInBin], quantity: str, unit: str, caption: Caption) -> Figure:
    """Draw bias and scatter of the estimates over a quantity, and the share of outliers below."""
    figure = new_figure(
        f"Errors over {quantity}",
        caption,
        f"Bias and scatter of the photometric redshifts in bins of {quantity}, and below the share of outliers.",
        size_inches=_TWO_PANELS_INCHES,
        color_bar=False,
    )
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    dress(above, "", "e = Δz / (1 + z)")
    dress(below, quantity + unit, f"|e| > {OUTLIER:g}")
    figure.align_ylabels([above, below])
    above.axhline(0, color=GREY, linewidth=0.8)
    above.axhspan(-_BIAS_TARGET, _BIAS_TARGET, color=GREY, alpha=0.25, linewidth=0)
    for target in (*_SCATTER_TARGETS, *(-target for target in _SCATTER_TARGETS)):
        above.axhline(target, color=GREY, linewidth=1.2, linestyle=":")
    below.axhline(_OUTLIER_TARGET, color=GREY, linewidth=1.2, linestyle=":")
    above.set_ylim(-0.2, 0.2)
    below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if bins:
        above.set_xlim(bins[0].low, bins[-1].high)
    middles, bias, bias_error, scatter, outliers, outliers_error = _curves(bins)
    if not middles.size:
        say_empty(above)
        return figure
    above.fill_between(middles, bias - scatter, bias + scatter, color=BLUE, alpha=0.25, linewidth=0)
    _draw_points(above, middles, bias, bias_error, BLUE)
    _draw_points(below, middles, outliers, outliers_error, VERMILION)
    below.set_ylim(0, max(1.2 * _OUTLIER_TARGET, 1.15 * float((outliers + outliers_error).max())))
    note(above, "median and scatter (sMAD) of e", x=0.03, y=0.96, color=BLUE)
    note(above, f"grey: |bias| < {_BIAS_TARGET:g}\n{_TARGETS}", x=0.03, color=GREY)
    return figure


def _add_degraded(figure: Figure, bins: Sequence[QualityInBin], words: str) -> None:
    """Add the errors of a model of a smaller training set to a figure of errors, if there is one."""
    middles, bias, _, scatter, outliers, outliers_error = _curves(bins)
    if not middles.size:
        return
    above, below = figure.axes
    for edge in (bias - scatter, bias + scatter):
        above.plot(middles, edge, "--", color="black", linewidth=1.2)
    below.errorbar(middles, outliers, outliers_error, color="black", linewidth=1.2, linestyle="--", capsize=3)
    below.set_ylim(0, max(below.get_ylim()[1], 1.15 * float((outliers + outliers_error).max())))
    note(below, f"dashed: trained on galaxies\n{words}", x=0.03, y=0.94)


def _curves(bins: Sequence[QualityInBin]) -> NDArray[np.float64]:
    """Return middles, bias and its error, scatter, outliers and their error; shape (6, bins)."""
    known = [
        (
            (each.low + each.high) / 2,
            each.quality.bias.value,
            each.quality.bias.error,
            each.quality.smad.value,
            each.quality.outliers_fixed.value,
            each.quality.outliers_fixed.error,
        )
        for each in bins
        if each.quality is not None
    ]
    return np.array(known).reshape(-1, 6).T


def _pit(sample: JudgedSample, caption: Caption) -> Figure:
    """Draw the distribution of the PIT, and its quantiles against those of a uniform one."""
    figure = new_figure(
        "Calibration of p(z)",
        caption,
        "Histogram of the probability integral transform, which is flat for a calibrated p(z), and its quantiles "
        "against uniform ones, with the line of equality.",
        size_inches=_TWO_PANELS_INCHES,
        panels=2,
        gap_inches=LEFT_INCHES,
        color_bar=False,
    )
    left, right = figure.subplots(1, 2)
    dress(left, "PIT", "share of galaxies / uniform share")
    dress(right, "uniform quantile", "quantile of the PIT")
    left.set_xlim(0, 1)
    right.set(xlim=(0, 1), ylim=(0, 1))
    found, fine = (counts(sample.galaxies, axis) for axis in (_PIT, _FINE_PIT))
    number = int(found.sum())
    if not number:
        say_empty(left)
        say_empty(right)
        return figure
    left.stairs(found * _PIT.bins / number, _PIT.edges, fill=True, color=BLUE, alpha=0.6)
    chance = np.sqrt((_PIT.bins - 1) / number)
    left.axhspan(1 - chance, 1 + chance, color=VERMILION, alpha=0.25, linewidth=0)
    left.axhline(1, color=VERMILION, linewidth=1.2)
    left.set_ylim(0, max(1.6, 1.1 * found.max() * _PIT.bins / number))
    right.plot(np.append(0, fine.cumsum()) / number, _FINE_PIT.edges, color=BLUE, linewidth=2)
    right.plot([0, 1], [0, 1], color=VERMILION, linewidth=1.2)
    note(left, f"band: chance of {number:,} galaxies", x=0.03, y=0.96, color=VERMILION)
    quality = sample.quality
    note(right, f"KS distance {_plain(quality.pit_ks, 4)}\nCDE loss {_plain(quality.cde_loss, 3)}")
    return figure


def _tomography(sample: JudgedSample, caption: Caption) -> Figure:
    """Draw n(z) of the galaxies in bins of their estimates, and what their p(z) say of it."""
    figure = new_figure(
        "n(z) in tomographic bins",
        caption,
        f"Distribution of the {sample.redshift_words} of the galaxies in each bin of photometric redshift, solid, "
        "and their stacked p(z), dashed.",
        size_inches=_ONE_PANEL_INCHES,
        color_bar=False,
    )
    axes = figure.add_subplot()
    dress(axes, sample.redshift_words, "n(z), normalized")
    axes.set_xlim(_REDSHIFT.low, _REDSHIFT.high)
    handles = [
        Line2D([], [], color="black", linewidth=1.8, label=sample.redshift_words),
        Line2D([], [], color="black", linewidth=1.8, linestyle="--", label="stacked p(z)"),
    ]
    colors = mpl.colormaps["viridis"](np.linspace(0, 0.85, max(len(sample.tomography), 1)))
    drawn = False
    for each, color in zip(sample.tomography, colors, strict=False):
        edges = each.redshift_edges
        axis = Axis(sql="redshift", label="", low=float(edges[0]), high=float(edges[-1]), bins=len(edges) - 1)
        inside = sample.galaxies.filter(f"estimate >= {each.low!r} AND estimate < {each.high!r}")
        found = counts(inside, axis)
        if not found.any():
            continue
        drawn = True
        middles = edges[:-1] + axis.width / 2
        axes.stairs(found / (found.sum() * axis.width), edges, color=color, linewidth=1.8)
        axes.plot(middles, each.stacked / axis.width, "--", color=color, linewidth=1.8)
        difference = (each.stacked * middles).sum() / each.stacked.sum() - (found * middles).sum() / found.sum()
        label = f"{each.low:.2f}\N{EN DASH}{each.high:.2f}: Δ⟨z⟩ = {difference:+.4f}".replace(
            "-", "\N{MINUS SIGN}"
        )
        handles.append(Line2D([], [], color=color, linewidth=6, label=label))
    if not drawn:
        say_empty(axes)
    axes.set_ylim(bottom=0)
    axes.legend(handles=handles, fontsize=NOTE_PT, frameon=False, loc="upper right")
    return figure


def _outliers(sample: JudgedSample, caption: Caption) -> Figure:
    """Draw the share of outliers over two colours."""
    figure = new_figure(
        "Where the outliers are",
        caption,
        f"Map of the share of galaxies with |e| above {OUTLIER:g} over the colours g-r and r-i.",
        size_inches=_ONE_PANEL_INCHES,
    )
    x, y = _COLORS
    axes = figure.add_subplot()
    dress(axes, x.label, y.label)
    axes.set(xlim=(x.low, x.high), ylim=(y.low, y.high))
    found = counts(sample.galaxies, x, y)
    outlying = counts(sample.galaxies.filter(f"abs({_ERROR}) > {OUTLIER!r}"), x, y)
    enough = found >= _FEWEST_IN_A_CELL
    share = np.ma.masked_where(~enough, outlying / np.maximum(found, 1))
    colors = ScalarMappable(Normalize(0, _MOST_OUTLIERS), DENSITY)
    mesh = axes.pcolormesh(x.edges, y.edges, share.T, cmap=colors.cmap)
    mesh.set_norm(colors.norm)
    if not enough.any():
        say_empty(axes, f"no cell has {_FEWEST_IN_A_CELL} galaxies")
    note(axes, f"cells of {_FEWEST_IN_A_CELL} galaxies or more,\n{found[enough].sum():,} shown", x=0.03, y=0.97)
    add_color_bar(figure, colors, axes, f"share with |e| > {OUTLIER:g}")
    return figure


def _draw_points(axes: Axes, x: NDArray[Any], y: NDArray[Any], error: NDArray[Any], color: str) -> None:
    axes.errorbar(x, y, error, color=color, linewidth=1.8, marker="o", markersize=5, capsize=3)


def _plain(number: Number, digits: int) -> str:
    return f"{number.value:z.{digits}f} ± {number.error:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _signed(number: Number, digits: int) -> str:
    return f"{number.value:+z.{digits}f} ± {number.error:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _percent(number: Number) -> str:
    return f"{number.value:.2%} ± {number.error:.2%}"
