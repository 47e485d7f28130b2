"""What follows from a lake's tracts, made by another process: training sets, exports, model, estimates, catalogue."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import h5py
import numpy as np
import pyarrow.parquet as pq

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.photoz import fitting
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.fitting import separated
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.redshifts import REPRESENTATIVE
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.dp02 import MATCHED_GALAXIES
from photoz_assets_tests.photoz.mock_galaxies import mock_galaxies
from photoz_assets_tests.reliability.workers import Seconds, forking, seconds
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.samples import galaxies, store

ROWS: Final = 400
# Galaxies that every tract has too: the sample has each of them once.
_SHARED: Final = 5
_SAMPLING: Final = {"sampling": {"sizes": [300, 100, 150]}}
_ESTIMATOR: Final = {"estimator": {"settings": {"trees": 10}}}
_BY_TRACT: Final = ("photoz_galaxies", "photoz_catalog")
# What a process shares: when it began, and how many models it has fitted.
_BEGUN, _FITTED = range(2)


def put_tract(lake: Lake, tract: int, version: int) -> None:
    """Publish a version of a tract's galaxies, whose magnitudes tell of their redshifts."""
    known = mock_galaxies(ROWS, seed=1000 * tract + version)
    i, *colors = known.features.T.astype(float)
    bluer = {"u": colors[0] + colors[1] + colors[2], "g": colors[1] + colors[2], "r": colors[2]}
    redder = {"i": np.zeros(ROWS), "z": -colors[3], "y": -colors[3] - colors[4]}
    columns: dict[str, Any] = {
        "ts_redshift": known.redshift,
        "mt_id_truth_type": [f"{n if n < _SHARED else tract * ROWS + n}_1" for n in range(ROWS)],
    }
    for band in BANDS:
        magnitude = i + (bluer | redder)[band]
        flux = 10 ** ((31.4 - magnitude) / 2.5)
        columns |= {
            f"obj_{band}_cModelFlux": flux,
            f"obj_{band}_cModelMag": magnitude,
            f"obj_{band}_cModelFluxErr": flux * 0.01,
        }
    provenance = Provenance(
        table=MATCHED_GALAXIES.table,
        code_version=MATCHED_GALAXIES.code_version,
        archive=ArchiveIdentity.declared("dp02_dc2_catalogs", "Embedded archive, simulated", {}),
        selection=Selection(),
        tract=tract,
    )
    store(lake, galaxies(ROWS, tract=tract, seed=tract, **columns), provenance)


def remove_tract(lake: Lake, tract: int) -> None:
    """Remove all that a lake holds of a tract."""
    for asset in ("matched_galaxies", *_BY_TRACT):
        shutil.rmtree(lake.place(asset, tract).parent, ignore_errors=True)


class Following:
    """A process that makes all that follows from the tracts; ``changed`` are those whose features are made anew."""

    def __init__(self, root: Path, changed: Sequence[int]) -> None:
        self._shared = seconds(2)
        self.process: ForkServerProcess = forking().Process(target=_follow, args=(root, changed, self._shared))
        self.process.start()

    @property
    def has_begun(self) -> bool:
        """Whether it has done importing, and is at work."""
        return bool(self._shared[_BEGUN])

    @property
    def fitted(self) -> int:
        """How many models it has fitted, or begun to fit."""
        return round(self._shared[_FITTED])


def _follow(root: Path, changed: Sequence[int], shared: Seconds) -> None:
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
    fit = fitting._fitted

    def counted(*arguments: Any) -> Any:
        shared[_FITTED] += 1
        return fit(*arguments)

    patch.object(fitting, "_fitted", counted).start()
    runs, shared[_BEGUN] = Runs("http://127.0.0.1:1/tap", root), 1
    made = [runs("photoz_galaxies", tract=tract, resources=_SAMPLING) for tract in changed]
    made.append(runs("photoz_sample", resources=_SAMPLING))
    made.append(runs("photoz_exports", profile="rail", job="export_photoz"))
    made.append(runs("photoz_model", resources=_ESTIMATOR))
    made.append(runs("photoz_estimates"))
    made += [runs("photoz_catalog", tract=tract) for tract in runs.lake.tracts("matched_galaxies")]
    sys.exit(not all(run.success for run in made))


def model_digest(lake: Lake) -> str | None:
    """Return the digest of what a lake's model was fitted to; None if there is none."""
    path = lake.table("photoz_model")
    return separated(pq.read_table(path))[REPRESENTATIVE].facts.sample_digest if path.exists() else None


def digests(lake: Lake) -> Mapping[str, str]:
    """Return of all that follows the digests of rows, in their order; each table and each export is read whole."""
    found = {}
    for asset in ("photoz_sample", "photoz_model", "photoz_estimates"):
        if lake.table(asset).exists():
            found[asset] = _table_digest(lake, asset, None)
    for asset in _BY_TRACT:
        found |= {f"{asset} {tract}": _table_digest(lake, asset, tract) for tract in lake.tracts(asset)}
    for path in lake.exports().get("rail", []):
        with h5py.File(path) as file:
            rows = {name: column[()] for name, column in file["photometry"].items()}
            found[f"rail {path.name}"] = str({name: column.tobytes() for name, column in rows.items()})
    return found


def exported_samples(lake: Lake) -> set[str]:
    """Return the digests of the samples that the files of an export are of."""
    samples = set()
    for path in lake.exports().get("rail", []):
        with h5py.File(path) as file:
            samples.add(str(file.attrs["photoz_assets.sample"]))
    return samples


def _table_digest(lake: Lake, asset: str, tract: int | None) -> str:
    table = pq.ParquetFile(lake.table(asset, tract)).read()
    assert lake.provenance(asset, tract).rows_stored == table.num_rows
    return rows_digest(table)
