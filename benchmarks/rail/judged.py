"""How good p(z) in a file of qp is, whoever wrote it: by our metrics, which a test holds against qp's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.photoz.estimators.estimator import Densities, RedshiftGrid
from photoz_assets.photoz.metrics import JudgedGalaxies, Quality, quality

# Fine enough for the narrowest p(z).
_FINE: Final = RedshiftGrid(step=0.0025)
_BATCH_ROWS: Final = 4_096
_CHECKED_BY_QP: Final = 2_000


@dataclass(frozen=True)
class Judged:
    """The quality of an estimator's redshifts.

    Attributes
    ----------
    redshift, estimate
        The known redshifts and the medians of p(z), shape (galaxies,).
    by_median, by_mode
        With the median of p(z) as the estimate, and with its mode.
    """

    redshift: NDArray[np.float64]
    estimate: NDArray[np.float64]
    by_median: Quality
    by_mode: Quality


def judge(path: Path, redshift: NDArray[np.float64]) -> Judged:
    """Judge the p(z) of a file by the known redshifts, shape (galaxies,), in the file's order."""
    import qp

    return _judged(qp.read(str(path)), redshift, _FINE)


def _judged(ensemble: Any, redshift: NDArray[np.float64], grid: RedshiftGrid) -> Judged:
    median, mode, pit, losses = (np.empty(len(redshift)) for _ in range(4))
    for start in range(0, len(redshift), _BATCH_ROWS):
        batch = slice(start, start + _BATCH_ROWS)
        values = np.nan_to_num(ensemble[batch].pdf(grid.redshifts)).astype(np.float32)
        values /= np.trapezoid(values, dx=grid.step, axis=1)[:, None]
        densities = Densities(grid, values)
        median[batch] = densities.quantiles((0.5,))[:, 0]
        mode[batch] = densities.modes()
        pit[batch] = densities.pit(redshift[batch])
        losses[batch] = densities.cde_losses(redshift[batch])
    by_median, by_mode = (
        quality(JudgedGalaxies(redshift=redshift, estimate=estimate, pit=pit, cde_losses=losses))
        for estimate in (median, mode)
    )
    return Judged(redshift, median, by_median, by_mode)


def unlike_qp(path: Path, redshift: NDArray[np.float64]) -> tuple[float, float]:
    """Return by how much the KS distance of the PIT and, relatively, the CDE loss differ from qp's.

    On the grid of our estimators' p(z), in whose steps qp interpolates as we do; of some thousand galaxies, since
    qp takes long.
    """
    import qp
    from qp.metrics.concrete_metric_classes import CDELossMetric
    from qp.metrics.pit import PIT

    grid = RedshiftGrid()
    # Files may be sorted by redshift.
    some = slice(None, None, max(1, len(redshift) // _CHECKED_BY_QP))
    ensemble, known = qp.read(str(path))[some], redshift[some]
    ours = _judged(ensemble, known, grid).by_median
    distance = float(np.squeeze(PIT(ensemble, known).evaluate_PIT_KS().statistic))
    loss = float(CDELossMetric(eval_grid=grid.redshifts).evaluate(ensemble, known))
    return abs(ours.pit_ks.value - distance), abs(ours.cde_loss.value / loss - 1)
