"""Our forest on two files of the profile ``rail``, run as ``theirs`` are, and with no other galaxies.

A tenth of the training set is held back to choose the width of p(z).
``python -m benchmarks.rail.ours TRAINING TEST`` prints and leaves what ``theirs`` does.
"""

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photoz_assets.photoz.estimators.estimator import Features, KnownGalaxies
from photoz_assets.photoz.galaxies import MAG_PER_RELATIVE_FLUX
from photoz_assets.photoz.profiles import RAIL_NOT_DETECTED_MAG
from photoz_assets.survey.bands import BANDS

OUTPUT = "output_estimate.hdf5"
_HELD_BACK = 0.1


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


def main() -> None:
    import qp

    from photoz_assets.photoz.estimators.forest import Forest

    training, test = map(Path, sys.argv[1:])
    began = sum(os.times()[:4])
    features, redshift, _ = read(training)
    order = np.random.default_rng(1).permutation(len(redshift))
    known = KnownGalaxies(features[order], redshift[order])
    held_back = round(_HELD_BACK * len(known))
    model = Forest().fit(
        KnownGalaxies(known.features[held_back:], known.redshift[held_back:]),
        KnownGalaxies(known.features[:held_back], known.redshift[:held_back]),
    )
    fitted = sum(os.times()[:4])
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
    print(json.dumps({"training": fitted - began, "estimating": ended - fitted, "peak_mib": peak_mib}))


if __name__ == "__main__":
    main()
