"""Coadds for a repository: the dataset type ``deepCoadd`` of one patch, in one of two storage classes.

``ExposureF`` is what DP0.2 has, which only the LSST stack gets; everybody else asks for the file's place. As
``MaskedImageV2`` of ``lsst-images`` every client with that package gets it.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from photoz_archive.images.files import Detail, coadd_file
from photoz_archive.images.pixels import Coadd
from photoz_assets.survey.skymap import DC2_RINGS

if TYPE_CHECKING:
    from lsst.daf.butler import Butler

DATASET_TYPE: Final = "deepCoadd"
_DIMENSIONS: Final = ("skymap", "tract", "patch", "band")
# What reads a coadd of DP0.2, for who has the stack.
_FORMATTER_OF_THE_STACK: Final = "lsst.obs.base.formatters.fitsExposure.FitsExposureFormatter"


class StoredAs(StrEnum):
    """How a repository holds its coadds, by the names that the command gives the storage classes."""

    EXPOSURE = "exposure"
    MASKED = "masked"

    @classmethod
    def usual(cls) -> "StoredAs":
        """Return what this installation can write best."""
        return cls.MASKED if find_spec("lsst.images") is not None else cls.EXPOSURE


@dataclass(frozen=True)
class PatchImages:
    """The coadds of a patch in some bands."""

    tract: int
    patch: int
    bands: str


def put_coadds(butler: "Butler", skymap: str, coadds: Iterable[tuple[str, Coadd]], stored_as: StoredAs) -> None:
    """Put coadds, each with its band, into an open repository; ``finish`` has to follow once it is closed.

    Raises
    ------
    ModuleNotFoundError
        ``lsst-images`` is not installed, and is needed.
    """
    from lsst.daf.butler import DatasetType  # noqa: PLC0415 - optional, and slow to load

    storage_class = "ExposureF" if stored_as is StoredAs.EXPOSURE else "MaskedImageV2"
    kind = DatasetType(DATASET_TYPE, _DIMENSIONS, storage_class, universe=butler.dimensions)
    butler.registry.registerDatasetType(kind)
    put = _ingest if stored_as is StoredAs.EXPOSURE else _put_masked
    for band, coadd in coadds:
        with TemporaryDirectory() as folder:
            put(butler, skymap, band, coadd, Path(folder) / "coadd.fits")


def finish(root: Path) -> None:
    """Name the reader of the coadds of a closed repository: DP0.2's, which cannot be named where it is missing."""
    with sqlite3.connect(root / "gen3.sqlite3") as database:
        database.execute(
            "UPDATE file_datastore_records SET formatter = ? WHERE storage_class = 'ExposureF'",
            [_FORMATTER_OF_THE_STACK],
        )
    database.close()


def _ingest(butler: "Butler", skymap: str, band: str, coadd: Coadd, path: Path) -> None:
    from lsst.daf.butler import DatasetRef, FileDataset  # noqa: PLC0415 - as above

    from photoz_archive.butler.formatter import CoaddFormatter  # noqa: PLC0415 - as above

    path.write_bytes(coadd_file(coadd, Detail.EXPOSURE, compressed=True))
    place = butler.registry.expandDataId(skymap=skymap, tract=coadd.tract, patch=coadd.patch, band=band)
    ref = DatasetRef(butler.get_dataset_type(DATASET_TYPE), place, run=str(butler.run))
    butler.ingest(FileDataset(str(path), [ref], formatter=CoaddFormatter), transfer="move")


def _put_masked(butler: "Butler", skymap: str, band: str, coadd: Coadd, path: Path) -> None:
    from lsst.images import Box, MaskedImage, TractFrame  # noqa: PLC0415 - optional, and slow to load

    path.write_bytes(coadd_file(coadd, Detail.MASKED_IMAGE, in_njy=True))
    pixels = DC2_RINGS.patches_per_side * DC2_RINGS.patch_inner_pixels
    frame = TractFrame(skymap=skymap, tract=coadd.tract, bbox=Box.factory[0:pixels, 0:pixels])
    masked = MaskedImage.read_legacy(str(path), fits_wcs_frame=frame)
    butler.put(masked, DATASET_TYPE, skymap=skymap, tract=coadd.tract, patch=coadd.patch, band=band)
