"""Small tracts of releases without truth: objects as the archive would answer them, and redshifts of these."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance, run_versions
from photoz_assets.lake.staging import publish, stage
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection

TRACT: Final = 5063
ARCHIVE: Final = ArchiveIdentity(release="dp1", description="made up for a test", fingerprint="0" * 12)


def objects(rows: int, release: Release = DP1, tract: int = TRACT, *, seed: int = 1, **columns: Any) -> pa.Table:
    """Return a valid ``objects`` table of one tract, around magnitude 23; ``columns`` replace some."""
    rng, skymap = np.random.default_rng(seed), release.skymap
    box = skymap.inner_box(tract)
    ra = rng.uniform(box.ra_min + 0.1, box.ra_max - 0.1, rows)
    dec = rng.uniform(box.dec_min + 0.1, box.dec_max - 0.1, rows)
    patch = skymap.patch_of(tract, ra, dec)
    ids = release.object_ids
    assert ids is not None
    values: dict[str, Any] = {
        "obj_objectId": [ids.first(tract, int(each)) + number for number, each in enumerate(patch)],
        "obj_coord_ra": ra,
        "obj_coord_dec": dec,
        "obj_tract": np.full(rows, tract),
        "obj_patch": patch,
        "obj_refExtendedness": np.ones(rows),
        "obj_ebv": rng.uniform(0.01, 0.05, rows),
    }
    spec = objects_spec(release)
    for photometry in release.objects.kinds:
        for band in BANDS:
            flux = 10 ** ((31.4 - rng.normal(23, 0.7, rows).clip(18, 25.5)) / 2.5)
            values |= {
                f"obj_{photometry.flux(band)}": flux,
                f"obj_{photometry.flux_error(band)}": flux * 0.01,
                f"obj_{photometry.flag(band)}": np.zeros(rows, bool),
            }
    values |= {name: np.zeros(rows, bool) for name in spec.names if name not in values} | columns
    return pa.table([pa.array(values[field.name]).cast(field.type) for field in spec.schema], schema=spec.schema)


def store_objects(lake: Lake, table: pa.Table, release: Release = DP1, tract: int = TRACT) -> None:
    """Publish an ``objects`` table."""
    spec = objects_spec(release)
    provenance = Provenance(
        table=spec.table,
        code_version=spec.code_version,
        archive=ARCHIVE,
        selection=Selection(),
        tract=tract,
        run_id="made up",
        **run_versions(),
    )
    publish(lake, stage(lake, spec, [table], partial(replace, provenance)))


def redshifts_of(
    objects_of: pa.Table, rows: int, *, seed: int = 2, scatter_arcsec: float = 0.1, **columns: Any
) -> pa.Table:
    """Return redshifts of the first objects in the columns of the Photo-z Server; ``columns`` replace some."""
    rng = np.random.default_rng(seed)
    ra, dec = (objects_of.column(name).to_numpy()[:rows] for name in ("obj_coord_ra", "obj_coord_dec"))
    east, north = rng.normal(0, scatter_arcsec / 3600, (2, rows))
    values: dict[str, Any] = {
        "CRD_ID": [f"CRD{number:06d}" for number in range(rows)],
        "ra": ra + east / np.cos(np.radians(dec)),
        "dec": dec + north,
        "z": rng.uniform(0.05, 2, rows),
        "z_err": np.full(rows, 1e-4),
        "z_flag_homogenized": np.full(rows, 4.0),
        "instrument_type_homogenized": ["s"] * rows,
        "survey": ["MADEUP"] * rows,
    } | columns
    return pa.table(values)


def write_csv(table: pa.Table, path: Path) -> Path:
    """Write redshifts as CSV."""
    pyarrow.csv.write_csv(table, path)
    return path
