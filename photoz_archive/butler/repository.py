"""Makes a Butler repository of some tracts of the simulated sky, laid out as DP0.2's.

SQLite and Parquet files, with the skymap's tracts and patches as dimension records. Of the tables by tract that
DP0.2 lists, the objects and their matches with the truth have rows; the others are listed and empty.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pandas as pd

from photoz_archive.butler.coadds import PatchImages, StoredAs, finish, put_coadds
from photoz_archive.files import flush_all, make_folder, put_in_place
from photoz_archive.images.pixels import Coadd, SkyImages
from photoz_archive.sky.store import SkyStore
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.releases import dp02
from photoz_assets.survey.skymap import DC2_RINGS

if TYPE_CHECKING:
    from lsst.daf.butler import Butler

COLLECTION: Final = "2.2i/runs/DP0.2"
RUN: Final = f"{COLLECTION}/simulated"
SKYMAP: Final = "DC2"
DESCRIPTION: Final = "Embedded archive, simulated: DC2-like rows made by photoz_assets, no data of DP0.2"

# What DP0.2's repository lists as `*_tract`, all by skymap and tract and read as a DataFrame.
TRACT_DATASET_TYPES: Final = (
    "diaObjectTable_tract",
    "diaSourceTable_tract",
    "diff_matched_truth_summary_objectTable_tract",
    "forcedSourceOnDiaObjectTable_tract",
    "forcedSourceTable_tract",
    "match_ref_truth_summary_objectTable_tract",
    "match_target_truth_summary_objectTable_tract",
    dp02.RELEASE.butler.matches,
    dp02.RELEASE.butler.objects,
)
_EARLIER_COLLECTION: Final = "2.2i/runs/DP0.1"
_INSTRUMENT: Final = "LSSTCam-imSim"


def make_repository(
    folder: Path,
    store: SkyStore,
    tracts: Iterable[int],
    *,
    images: PatchImages | None = None,
    images_as: StoredAs | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Make a repository in a folder that is not there yet; it appears whole or not at all.

    Parameters
    ----------
    store
        The simulated sky; tracts that it has not made are made.
    images
        The patch whose coadds it holds; by default none.
    images_as
        How it holds them; by default as ``lsst-images`` has them, where that is installed.
    say
        Is told what is done, a line each.

    Raises
    ------
    FileExistsError
        The folder is there.
    ImportError
        The Butler's client is not installed, or ``lsst-images`` is not and is needed.
    ValueError
        The sky lacks one of the tracts.
    """
    from lsst.daf.butler import Butler  # noqa: PLC0415 - optional, and slow to load

    if folder.exists():
        raise FileExistsError(f"{folder} is there already: name another folder, or remove it first")
    wanted = sorted(set(tracts))
    store.ensure(wanted, on_made=lambda tract: say(f"tract {tract}: simulated"))
    make_folder(folder.parent)
    with TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.unfinished-") as unfinished:
        root = Path(unfinished) / "repository"
        Butler.makeRepo(str(root))
        butler = Butler.from_config(str(root), run=RUN, writeable=True)
        try:
            _register(butler, sorted({*wanted, images.tract} if images else wanted))
            for tract in wanted:
                for name, frame in (
                    (dp02.RELEASE.butler.objects, _objects(store, tract)),
                    (dp02.RELEASE.butler.matches, _matches(store, tract)),
                ):
                    butler.put(frame, name, skymap=SKYMAP, tract=tract)
                    say(f"tract {tract}: {name}, {len(frame):,} rows")
            if images is not None:
                put_coadds(butler, SKYMAP, _coadds(store, images, say), images_as or StoredAs.usual())
        finally:
            butler.close()
        finish(root)
        flush_all(root)
        put_in_place(root, folder)


def _coadds(store: SkyStore, images: PatchImages, say: Callable[[str], None]) -> Iterator[tuple[str, Coadd]]:
    """Draw the coadds of a patch, band by band."""
    sky = SkyImages(density=store.density, seed=store.seed)
    for band in images.bands:
        yield band, sky.coadd(images.tract, images.patch, BANDS.index(band), DC2_RINGS.patch_box(images.patch))
        say(f"tract {images.tract}, patch {images.patch}: deepCoadd in {band}")


def _register(butler: "Butler", tracts: list[int]) -> None:
    """Register the collections, the dataset types, the bands and the geometry of some tracts."""
    from lsst.daf.butler import CollectionType, DatasetType  # noqa: PLC0415 - as above

    butler.collections.register(COLLECTION, CollectionType.CHAINED, doc=DESCRIPTION)
    butler.collections.redefine_chain(COLLECTION, [RUN])
    butler.collections.register(_EARLIER_COLLECTION, CollectionType.RUN, doc=f"{DESCRIPTION}; empty")
    butler.registry.setCollectionDocumentation(RUN, DESCRIPTION)
    for name in TRACT_DATASET_TYPES:
        butler.registry.registerDatasetType(
            DatasetType(name, ("skymap", "tract"), "DataFrame", universe=butler.dimensions)
        )
    insert = butler.registry.insertDimensionData
    # A band is known by the filters that are of it.
    insert(
        "instrument", {"instrument": _INSTRUMENT, "detector_max": 189, "class_name": "lsst.obs.lsst.LsstCamImSim"}
    )
    insert(
        "physical_filter",
        *({"instrument": _INSTRUMENT, "name": f"{band}_sim_1.4", "band": band} for band in BANDS),
    )
    side = DC2_RINGS.patches_per_side
    insert(
        "skymap",
        {
            "name": SKYMAP,
            # The stack's digest of its own object, which is not at hand.
            "hash": bytes(20),
            "tract_max": DC2_RINGS.num_tracts,
            "patch_nx_max": side,
            "patch_ny_max": side,
        },
    )
    insert("tract", *(_tract_record(tract) for tract in tracts))
    insert("patch", *(record for tract in tracts for record in _patch_records(tract)))


def _tract_record(tract: int) -> dict[str, Any]:
    """Return a tract as a dimension record, with the outline of all its patches as its region."""
    side = DC2_RINGS.patches_per_side
    corners = [0, side - 1, side**2 - 1, side * (side - 1)]
    outline = DC2_RINGS.patch_polygons(tract, corners, outer=True)[range(4), range(4)]
    return {"skymap": SKYMAP, "id": tract, "region": _region(outline)}


def _patch_records(tract: int) -> list[dict[str, Any]]:
    """Return a tract's patches as dimension records, with their outer regions."""
    side = DC2_RINGS.patches_per_side
    outlines = DC2_RINGS.patch_polygons(tract, np.arange(side**2), outer=True)
    return [
        {
            "skymap": SKYMAP,
            "tract": tract,
            "id": patch,
            "cell_x": patch % side,
            "cell_y": patch // side,
            "region": _region(outline),
        }
        for patch, outline in enumerate(outlines)
    ]


def _region(corners_deg: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Any:
    """Make a polygon of corners of shape (4, 2)."""
    from lsst.sphgeom import ConvexPolygon, LonLat, UnitVector3d  # noqa: PLC0415 - as above

    return ConvexPolygon([UnitVector3d(LonLat.fromDegrees(float(ra), float(dec))) for ra, dec in corners_deg])


def _objects(store: SkyStore, tract: int) -> pd.DataFrame:
    """Return a tract's objects, of which objectId is the index as in DP0.2's files."""
    [path] = store.files("Object", [tract])
    frame: pd.DataFrame = duckdb.read_parquet(str(path)).df()
    return frame.set_index("objectId")


def _matches(store: SkyStore, tract: int) -> pd.DataFrame:
    """Return a tract's objects that are matched with the truth, in the columns of the pipeline's comparison."""
    (objects,), (truths,), (matches,) = (
        store.files(table, [tract]) for table in ("Object", "TruthSummary", "MatchesTruth")
    )
    measured = [f"o.{band}_cModelFlux{suffix}" for band in BANDS for suffix in ("", "Err")]
    true = [f"t.flux_{band}" for band in BANDS]
    joined = duckdb.read_parquet(str(objects)).set_alias("o")
    joined = joined.join(duckdb.read_parquet(str(matches)).set_alias("m"), "o.objectId = m.match_objectId")
    joined = joined.join(duckdb.read_parquet(str(truths)).set_alias("t"), "m.id_truth_type = t.id_truth_type")
    columns = ["o.objectId", "o.patch", "o.coord_ra", "o.coord_dec", "t.ra", "t.dec", "m.match_candidate"]
    frame: pd.DataFrame = joined.project(", ".join([*columns, *measured, *true])).order("objectId").df()
    (x, y), (true_x, true_y) = (
        DC2_RINGS.sky_to_pixel(tract, frame[ra], frame[dec])
        for ra, dec in (("coord_ra", "coord_dec"), ("ra", "dec"))
    )
    frame["match_distance"] = np.hypot(x - true_x, y - true_y)
    return frame.set_index("objectId")
