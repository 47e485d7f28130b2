"""The figure of ``docs/fidelity.md``: distributions of the archive's galaxies over those of the real ones."""

from pathlib import Path

import numpy as np

from benchmarks.fidelity.measures import quantities
from benchmarks.fidelity.sample import Sample

_RANGES = {
    "redshift": (0, 3),
    "r": (20, 27),
    "i": (20, 25.4),
    "u-g": (-1.5, 4),
    "g-r": (-0.5, 2.2),
    "r-i": (-0.4, 1.6),
    "i-z": (-0.4, 1.2),
    "z-y": (-0.6, 1.2),
}


def draw(ours: Sample, real: Sample, path: Path) -> None:
    """Draw the histograms of both, each normalised, and store the figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    mine, theirs = quantities(ours), quantities(real)
    for axes, (name, limits) in zip(figure.subplots(2, 4).flat, _RANGES.items(), strict=True):
        bins = np.linspace(*limits, 61)
        axes.hist(theirs[name], bins, density=True, color="#b0b0b0", label="cosmoDC2, 10-year noise")
        axes.hist(mine[name], bins, density=True, histtype="step", color="#d55e00", label="simulated, same noise")
        axes.set_xlabel(name if name == "redshift" else f"{name} (mag)")
        axes.set_yticks([])
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("Galaxies of the embedded archive (simulated) and of DC2's truth, i < 25.3")
    figure.savefig(path, dpi=80)
