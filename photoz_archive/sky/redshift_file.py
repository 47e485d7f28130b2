"""The file of the redshifts that mock surveys have of a simulated sky."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from photoz_archive.files import flush, make_folder, put_in_place
from photoz_archive.sky.redshifts import REDSHIFTS, redshifts_of
from photoz_archive.sky.store import SKY_VERSION, SkyStore
from photoz_assets.survey.releases.release import Release


def usual_redshifts(folder: Path, release: Release, density: float | None) -> Path:
    """Return the file of the redshifts of a release's first field, which is made on first use.

    Parameters
    ----------
    folder
        That of the embedded archive.
    release
        Whose simulated sky.
    density
        The share of the real source density; None for the release's.

    Raises
    ------
    ValueError
        The density makes no sense.
    OSError
        The file cannot be written.
    """
    store = SkyStore(folder / "sky", release=release, density=density)
    name = f"{release.name},seed={store.seed},density={store.density!r},version={SKY_VERSION}.parquet"
    path = folder / "redshifts" / name
    if not path.exists():
        write_redshifts(path, store, release.field.tracts(release.skymap, release.tracts))
    return path


def write_redshifts(path: Path, store: SkyStore, tracts: Iterable[int]) -> int:
    """Write the redshifts of some tracts, and return how many they are.

    Parameters
    ----------
    path
        A Parquet file, or one in CSV if its name ends so; it appears whole or not at all.

    Raises
    ------
    ValueError
        The sky lacks one of the tracts, or the name of the file ends otherwise.
    OSError
        The file cannot be written.
    """
    if path.suffix not in {".parquet", ".csv"}:
        raise ValueError(f"{path.name} must end in .parquet or .csv")
    label = (
        f"Embedded archive, simulated: redshifts of mock surveys of {store.release.title}'s simulated sky "
        f"(density {store.density:g}, seed {store.seed}); none was observed"
    )
    rows = redshifts_of(store, tracts).select(REDSHIFTS.names).replace_schema_metadata({"description": label})
    make_folder(path.parent)
    staged = path.with_name(f"{path.name}.part")
    try:
        _write(rows, staged, is_csv=path.suffix == ".csv")
        flush(staged)
        put_in_place(staged, path)
    finally:
        staged.unlink(missing_ok=True)
    return len(rows)


def _write(rows: pa.Table, path: Path, *, is_csv: bool) -> None:
    if is_csv:
        csv.write_csv(rows, path)
    else:
        pq.write_table(rows, path)
