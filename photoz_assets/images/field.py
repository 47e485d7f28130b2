"""A window on the sky in some bands, put together from the coadds of one tract."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.images.cutouts import CutoutSource, Window
from photoz_assets.images.stamp import Stamp, StampError
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import PixelBox

SingleArray = NDArray[np.float32]

# Coadds of a tract share its pixels; a WCS that says otherwise is not of this tract.
_OFF_GRID_PIXELS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class FieldWindow:
    """A window: its tract, its pixels in those of the tract, and its images in nJy by band.

    The images have the shape (rows, columns), the lowest row first, and NaN where there is no data.
    """

    tract: int
    box: PixelBox
    planes: Mapping[str, SingleArray]


def read_field(
    source: CutoutSource,
    ra: float,
    dec: float,
    *,
    width_arcmin: float,
    bands: Sequence[str],
    log: Callable[[str], None],
) -> FieldWindow:
    """Read a square window around a position in degrees, from all patches of its tract that it touches.

    Raises
    ------
    NoImageError, StampError, ArchiveError
        As ``CutoutSource.stamp``; a coadd does not lie on the tract's pixels.
    """
    release = source.release
    tract = int(release.skymap.tract_of(ra, dec))
    box = _window_box(release, tract, ra, dec, width_arcmin)
    planes = {band: np.full(box.shape, np.nan, np.float32) for band in bands}
    for patch, part in _parts(release, box):
        for band, plane in planes.items():
            window = Window(tract=tract, patch=patch, band=band, ra=ra, dec=dec, size_arcsec=60 * width_arcmin)
            name = f"field_{ra:.6f}_{dec:+.6f}_{tract}_{patch}"
            piece = source.stamp(window, name)
            place = _place(release, tract, piece, name)
            common = place & part
            if not common:
                raise StampError(f"{name} is of another place: it is {place} of the tract, asked was for {part}")
            plane[common.slices(box)] = piece.image[common.slices(place)]
            log(f"tract {tract}, patch {patch}, {band}: {piece.image.size:,} pixels")
    return FieldWindow(tract=tract, box=box, planes=planes)


def _window_box(release: Release, tract: int, ra: float, dec: float, width_arcmin: float) -> PixelBox:
    x, y = (round(float(pixel)) for pixel in release.skymap.sky_to_pixel(tract, ra, dec))
    half = round(30 * width_arcmin / release.skymap.pixel_scale_arcsec)
    return PixelBox(x - half, y - half, x + half + 1, y + half + 1)


def _parts(release: Release, box: PixelBox) -> Iterator[tuple[int, PixelBox]]:
    """Yield the patches whose inner regions a box touches, with their parts of it: together they are the box."""
    side, size = release.skymap.patches_per_side, release.skymap.patch_inner_pixels
    for patch in range(side**2):
        row, column = divmod(patch, side)
        if part := box & PixelBox(column * size, row * size, (column + 1) * size, (row + 1) * size):
            yield patch, part


def _place(release: Release, tract: int, piece: Stamp, name: str) -> PixelBox:
    """Return where a piece lies in the pixels of its tract, by its own WCS."""
    ra, dec = piece.wcs.all_pix2world(0, 0, 0)
    exact = np.array(release.skymap.sky_to_pixel(tract, float(ra), float(dec)))
    left, low = (round(float(pixel)) for pixel in exact)
    if np.abs(exact - (left, low)).max() > _OFF_GRID_PIXELS:
        raise StampError(f"{name} does not lie on the pixels of tract {tract}: its WCS is another's")
    height, width = piece.image.shape
    return PixelBox(left, low, left + width, low + height)
