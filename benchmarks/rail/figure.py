"""The figure of ``docs/rail.md``: estimates against redshifts, an estimator a column, a sample a row."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.rail.judged import Judged

_EDGES = np.linspace(0, 3, 121)
_OUTLIER = 0.15


def draw(samples: Sequence[tuple[str, Mapping[str, Judged]]], path: Path) -> None:
    """Draw the samples, each a title and what was judged by the estimators' names, and store the figure."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    columns = len(samples[0][1])
    figure = Figure(figsize=(3 * columns, 3 * len(samples) + 0.4), layout="constrained")
    panels = figure.subplots(len(samples), columns, sharex=True, sharey=True, squeeze=False)
    line = _EDGES[[0, -1]]
    for row, (title, judged) in zip(panels, samples, strict=True):
        for axes, (name, found) in zip(row, judged.items(), strict=True):
            counted, _, _ = np.histogram2d(found.redshift, found.estimate, [_EDGES, _EDGES])
            axes.pcolormesh(_EDGES, _EDGES, counted.T, cmap="viridis", norm=LogNorm(1, 300), rasterized=True)
            for slope, style in ((0, "-"), (_OUTLIER, ":"), (-_OUTLIER, ":")):
                axes.plot(line, line + slope * (1 + line), style, color="#d55e00", linewidth=0.8)
            axes.set(xlim=line, ylim=line, aspect="equal")
            axes.set_title(f"{name}\nsMAD {found.by_median.smad.value:.4f}", fontsize=9)
        row[0].set_ylabel(f"{title}\nmedian of p(z)")
    for axes in panels[-1]:
        axes.set_xlabel("redshift")
    figure.savefig(path, dpi=80)
