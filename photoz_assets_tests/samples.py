"""Small tables as the archive would answer them, for tests that need rows and no archive."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance
from photoz_assets.lake.staging import publish, stage
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.skymap import DC2_RINGS
from photoz_assets_tests.dp02 import MATCHED_GALAXIES


def galaxies(rows: int, *, tract: int = 3638, seed: int = 1, **columns: list[Any]) -> pa.Table:
    """Return a valid ``matched_galaxies`` table of one tract, around magnitude 23; ``columns`` replace some."""
    rng = np.random.default_rng(seed)
    box = DC2_RINGS.inner_box(tract)
    ra = rng.uniform(box.ra_min + 0.01, box.ra_max - 0.01, rows)
    dec = rng.uniform(box.dec_min + 0.01, box.dec_max - 0.01, rows)
    magnitudes = {band: rng.normal(23, 0.7, rows).clip(18, 25.5) for band in BANDS}
    values: dict[str, Any] = {
        "mt_id_truth_type": [f"{number}_1" for number in range(rows)],
        "mt_match_objectId": np.arange(rows) + tract * 2**48,
        "ts_ra": ra,
        "ts_dec": dec,
        "ts_truth_type": np.ones(rows, int),
        "ts_mag_r": magnitudes["r"],
        "ts_is_pointsource": np.zeros(rows, int),
        "ts_redshift": rng.uniform(0.05, 3, rows),
        "obj_coord_ra": ra + rng.normal(0, 0.02 / 3600, rows),
        "obj_coord_dec": dec + rng.normal(0, 0.02 / 3600, rows),
        "mt_match_candidate": np.ones(rows, bool),
        "mt_match_count": np.ones(rows, int),
        "mt_match_chisq": rng.chisquare(4, rows),
        "obj_tract": np.full(rows, tract),
        "obj_patch": rng.integers(0, 49, rows),
        "obj_detect_isPrimary": np.ones(rows, bool),
        "obj_refExtendedness": np.ones(rows),
    }
    for band, true_magnitude in magnitudes.items():
        true_flux = 10 ** ((31.4 - true_magnitude) / 2.5)
        flux = true_flux * rng.normal(1, 0.01, rows)
        values |= {
            f"ts_flux_{band}": true_flux,
            f"obj_{band}_cModelFlux": flux,
            f"obj_{band}_cModelMag": 31.4 - 2.5 * np.log10(flux),
            f"obj_{band}_cModelFluxErr": true_flux * 0.01,
            f"obj_{band}_cModel_flag": np.zeros(rows, bool),
        }
    values |= columns
    schema = MATCHED_GALAXIES.schema
    return pa.table(
        [pa.array(values[field.name], from_pandas=False).cast(field.type) for field in schema], schema=schema
    )


def store(lake: Lake, table: pa.Table, provenance: Provenance) -> None:
    """Publish a ``matched_galaxies`` table as what a provenance says of it."""
    publish(lake, stage(lake, MATCHED_GALAXIES, [table], partial(replace, provenance)))


def with_value(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    """Return the table with one value changed."""
    index = table.schema.get_field_index(column)
    values = table.column(column).to_pylist()
    values[row] = value
    return table.set_column(index, table.schema.field(column), pa.array(values, table.schema.field(column).type))
