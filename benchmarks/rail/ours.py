"""Our forest on two files of the profile ``rail``, run as ``theirs`` are, and with no other galaxies.

A tenth of the training set chooses the size of leaves and the width of p(z); then the forest grows by all of it,
as FlexZBoost does.
``python -m benchmarks.rail.ours TRAINING TEST`` prints and leaves what ``theirs`` does.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoz_assets.photoz.estimators.estimator import Features, KnownGalaxies
from photoz_assets.photoz.galaxies import MAG_PER_RELATIVE_FLUX
from photoz_assets.photoz.profiles import RAIL_NOT_DETECTED_MAG
from photoz_assets.survey.bands import BANDS

if TYPE_CHECKING:
    from photoz_assets.photoz.estimators.forest import ForestModel

OUTPUT = "output_estimate.hdf5"
_HELD_BACK = 0.1
_LEAVES = (2, 3, 5)


def read(path: Path) -> tuple[Features, NDArray[np.float64], NDArray[np.int64]]:
    """Read features, redshifts and ids, in the file's order.

    A flux below its error counts as one that is as large: the magnitude of the error.
    """
    import h5py

    with h5py.File(path) as file:
        columns = file["photometry"]
        magnitude, error = (
            np.stack([columns[name.format(band)][:] for band in BANDS], axis=1).astype(np.float64)
            for name in ("mag_{}_lsst", "mag_err_{}_lsst")
        )
        redshift = columns["redshift"][:].astype(np.float64)
        ids = columns["object_id" if "object_id" in columns else "id"][:].astype(np.int64)
    detected = magnitude < RAIL_NOT_DETECTED_MAG
    limit = np.where(detected, magnitude + 2.5 * np.log10(MAG_PER_RELATIVE_FLUX / error), error)
    seen = np.minimum(magnitude, limit)
    features = np.column_stack([seen, seen[:, :-1] - seen[:, 1:]]).astype(np.float32)
    return features, redshift, ids


def fitted(known: KnownGalaxies) -> "ForestModel":
    """Fit a forest to galaxies in random order."""
    from photoz_assets.photoz.estimators.forest import Forest, ForestModel

    number = round(_HELD_BACK * len(known))
    held_back, training = (
        KnownGalaxies(known.features[rows], known.redshift[rows]) for rows in (slice(number), slice(number, None))
    )
    tried = [(leaf, Forest(min_samples_leaf=leaf).fit(training, held_back)) for leaf in _LEAVES]

    def loss(model: ForestModel) -> float:
        return float(model.densities(held_back.features).cde_losses(held_back.redshift).mean(dtype=np.float64))

    leaf, best = min(tried, key=lambda each: loss(each[1]))
    full = Forest(min_samples_leaf=leaf).fit(known, held_back)
    width = {name: best.parameters[name] for name in ("smoothing", "exponent")}
    return ForestModel.restored(full.grid, {**full.parameters, **width}, full.arrays)


def main() -> None:
    import qp

    training, test = map(Path, sys.argv[1:])
    began = sum(os.times()[:4])
    features, redshift, _ = read(training)
    order = np.random.default_rng(1).permutation(len(redshift))
    model = fitted(KnownGalaxies(features[order], redshift[order]))
    learnt = sum(os.times()[:4])
    features, _, ids = read(test)
    densities = model.densities(features)
    ensemble = qp.Ensemble(
        qp.interp,
        data={"xvals": model.grid.redshifts, "yvals": densities.values.astype(np.float64)},
        ancil={"object_id": ids, "zmode": densities.modes()},
    )
    ensemble.write_to(OUTPUT)
    ended = sum(os.times()[:4])
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"training": learnt - began, "estimating": ended - learnt, "peak_mib": peak_mib}))


if __name__ == "__main__":
    main()
