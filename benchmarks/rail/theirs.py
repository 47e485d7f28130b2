"""One of RAIL's estimators, with no option set, on two files as we export them, by the Python of its environment.

``python theirs.py NAME TRAINING TEST`` leaves p(z) in qp's format in ``output_estimate.hdf5`` of the working
folder, and prints seconds of processor and the most memory of the process as JSON.
"""

import importlib
import json
import os
import resource
import sys

_MODULES = {"KNearNeigh": "k_nearneigh", "FlexZBoost": "flexzboost", "GPz": "gpz"}


def main() -> None:
    from rail.core.data import TableHandle

    name, training, test = sys.argv[1:]
    module = importlib.import_module(f"rail.estimation.algos.{_MODULES[name]}")
    began = sum(os.times()[:4])
    informer = getattr(module, f"{name}Informer").make_stage(name="inform")
    informer.inform(TableHandle("training", path=training))
    fitted = sum(os.times()[:4])
    estimator = getattr(module, f"{name}Estimator").make_stage(name="estimate", model=informer.get_handle("model"))
    estimator.estimate(TableHandle("test", path=test))
    ended = sum(os.times()[:4])
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"training": fitted - began, "estimating": ended - fitted, "peak_mib": peak_mib}))


if __name__ == "__main__":
    main()
