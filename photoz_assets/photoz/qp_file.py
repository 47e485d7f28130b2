"""The p(z) of a test set as a file of qp, which RAIL and its neighbours read.

qp keeps an ensemble of quantiles in HDF5: ``meta`` says how it is to be read, ``data`` has the quantiles,
``ancil`` what else is known of each galaxy (qp-prob 1.1.4, ``Ensemble.write_to``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb
import numpy as np

from photoz_assets.photoz.estimators.estimator import FINE_QUANTILE_LEVELS

QP_PROFILE: Final = "qp"
QP_FILE: Final = "test_estimates.hdf5"
# By the names that RAIL's evaluators know.
_BESIDE: Final = {"object_id": "object_id", "redshift": "redshift", "zmode": "z_mode"}


def write_qp(path: Path, estimates: duckdb.DuckDBPyRelation, facts: Mapping[str, str]) -> int:
    """Write the galaxies that have an estimate, without time stamps, and return how many.

    Parameters
    ----------
    path
        Of the file.
    estimates
        Rows of ``photoz_estimates``.
    facts
        What the file says of itself.
    """
    import h5py  # noqa: PLC0415 - half a second, and only here

    beside = (f"{column} AS {name}" for name, column in _BESIDE.items())
    rows = estimates.filter("z_median IS NOT NULL").project(", ".join(("z_quantiles", *beside))).to_arrow_table()
    quantiles = rows.column("z_quantiles").combine_chunks().flatten().to_numpy().astype(np.float64)
    tables = {
        "ancil": {name: rows.column(name).to_numpy() for name in _BESIDE},
        "data": {"locs": quantiles.reshape(-1, len(FINE_QUANTILE_LEVELS))},
        "meta": {
            "pdf_name": np.array([b"quant"]),
            "pdf_version": np.array([0]),
            "pdf_constructor_name": np.array([b"piecewise_linear"]),
            # qp adds the ends of p(z), 0 and 1, as it reads.
            "ensure_extent": np.array([True]),
            "quants": np.array([FINE_QUANTILE_LEVELS]),
        },
    }
    with h5py.File(path, "w", locking=False) as written:
        written.attrs.update(facts)
        for table, columns in tables.items():
            group = written.create_group(table)
            for name, values in columns.items():
                group.create_dataset(name, data=values, track_times=False)
    return int(rows.num_rows)
