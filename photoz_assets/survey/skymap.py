"""The Rings skymap: which tract and patch a position belongs to, and where tracts and patches lie.

The sky is cut into rings of declination, each ring into tracts of equal width in right ascension; a tract is a
tangent plane of pixels, cut into square patches. Inner regions tile the sky without gap or overlap.

Source: ``ringsSkyMap.py``, ``tractInfo.py``, ``tractBuilder.py`` and ``detail/wcsFactory.py`` of lsst/skymap.
Angles are ICRS degrees.
"""

import math
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_TURN_DEG: Final = 360.0
_POLE_DEG: Final = 90.0


def angular_separation_deg(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> FloatArray:
    """Return the angle between two positions in degrees, by Vincenty's formula, stable at any distance."""
    lon1, lat1, lon2, lat2 = (np.radians(np.asarray(angle, float)) for angle in (ra1, dec1, ra2, dec2))
    delta = lon2 - lon1
    east = np.cos(lat2) * np.sin(delta)
    north = np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(delta)
    along = np.sin(lat1) * np.sin(lat2) + np.cos(lat1) * np.cos(lat2) * np.cos(delta)
    return np.asarray(np.degrees(np.arctan2(np.hypot(east, north), along)))


@dataclass(frozen=True)
class SkyBox:
    """A box of right ascension and declination; ``ra_max`` may exceed 360 and ``ra_min`` fall below 0."""

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        """Return which positions lie inside, the lower edges included, and the north pole in its cap."""
        width = self.ra_max - self.ra_min
        latitude = np.asarray(dec, float)
        # The remainder of a tiny negative angle rounds to a whole turn, so that a full circle is not left to it.
        east = np.mod(np.asarray(ra, float) - self.ra_min, _TURN_DEG)
        within_ra = (east < width) | (width >= _TURN_DEG)
        return np.asarray(
            within_ra & (latitude >= self.dec_min) & ((latitude < self.dec_max) | (self.dec_max >= _POLE_DEG))
        )

    def meets_cone(self, ra: float, dec: float, radius_deg: float) -> bool:
        """Return whether any point of the box lies within a radius of a position."""
        return bool(self.contains(ra, dec)) or bool(_edge_distance_deg(astuple(self), ra, dec) <= radius_deg)

    @property
    def area_deg2(self) -> float:
        """The area on the sky in square degrees."""
        heights = math.sin(math.radians(self.dec_max)) - math.sin(math.radians(self.dec_min))
        return float(math.degrees(heights * (self.ra_max - self.ra_min)))


def _edge_distance_deg(boxes: ArrayLike, ra: float, dec: float) -> FloatArray:
    """Return the distance of a position from the nearest edge of each box.

    ``boxes`` are edges in the order of ``SkyBox``, shape (4, ...). The nearest point lies on a parallel, where
    it is the one of the same or the nearest right ascension, or on a meridian, where it is the foot of the
    perpendicular great circle if that falls inside.
    """
    west, east, south, north = np.asarray(boxes, float)
    within_ra = np.mod(ra - west, _TURN_DEG) < east - west
    height = math.sin(math.radians(dec))
    nearest = []
    for edge in (west, east):
        along = math.cos(math.radians(dec)) * np.cos(np.radians(ra - edge))
        foot = np.degrees(np.arctan2(height, along))
        nearest.append(angular_separation_deg(ra, dec, edge, np.clip(foot, south, north)))
        on_parallel = np.where(within_ra, ra, edge)
        nearest += [angular_separation_deg(ra, dec, on_parallel, parallel) for parallel in (south, north)]
    return np.asarray(np.min(nearest, axis=0))


@dataclass(frozen=True)
class PixelBox:
    """A box of a tract's pixels: columns ``left`` to ``right``, rows ``low`` to ``high``, without the last."""

    left: int
    low: int
    right: int
    high: int

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns; of a box that is empty none."""
        return max(self.high - self.low, 0), max(self.right - self.left, 0)

    def slices(self, whole: "PixelBox") -> tuple[slice, slice]:
        """Return where the rows and columns of the box lie in an array of the pixels of another around it."""
        return (
            slice(self.low - whole.low, self.high - whole.low),
            slice(self.left - whole.left, self.right - whole.left),
        )

    def __and__(self, other: "PixelBox") -> "PixelBox":
        """Return the part that lies in another box too; empty where they do not meet."""
        return PixelBox(
            max(self.left, other.left),
            max(self.low, other.low),
            min(self.right, other.right),
            min(self.high, other.high),
        )

    def __bool__(self) -> bool:
        """Whether the box holds any pixel."""
        return 0 not in self.shape


@dataclass(frozen=True)
class RingsSkyMap:
    """A skymap of rings with square patches.

    ``clipped`` tells whether outer regions of patches end with their tract; those that are made of cells reach
    beyond it by the border, as any other.
    """

    num_rings: int = 120
    pixel_scale_arcsec: float = 0.2
    tract_overlap_deg: float = 1 / 60
    patch_inner_pixels: int = 4000
    patch_border_pixels: int = 100
    clipped: bool = True

    @property
    def ring_height(self) -> float:
        """The height of a ring in radians."""
        return math.pi / (self.num_rings + 1)

    @cached_property
    def _ring_edges(self) -> FloatArray:
        """The declinations between which the rings lie, in radians, shape (num_rings + 1,)."""
        return self.ring_height * (np.arange(self.num_rings + 1, dtype=np.float64) + 0.5) - math.pi / 2

    @cached_property
    def _ring_tracts(self) -> IntArray:
        """The number of tracts in each ring, shape (num_rings,)."""
        edges = np.abs(self._ring_edges)
        widest = np.minimum(edges[:-1], edges[1:])
        return (2 * math.pi * np.cos(widest) / self.ring_height).astype(np.int64) + 1

    @cached_property
    def _ring_starts(self) -> IntArray:
        """The first tract of each ring and the northern cap's, shape (num_rings + 1,); tract 0 is the southern."""
        return 1 + np.concatenate([[0], np.cumsum(self._ring_tracts)])

    @property
    def num_tracts(self) -> int:
        """The number of tracts on the sky, caps included."""
        return int(self._ring_starts[-1]) + 1

    @cached_property
    def _half_box_pixels(self) -> float:
        """Half the side of a tract in pixels, before it is enlarged to whole patches."""
        half = self.ring_height / 2 + math.radians(self.tract_overlap_deg)
        return math.tan(half) / self._pixel_scale

    @property
    def _pixel_scale(self) -> float:
        return math.radians(self.pixel_scale_arcsec / 3600)

    @cached_property
    def _box_pixels(self) -> int:
        """The side of a tract in whole pixels, before it is enlarged to whole patches."""
        half = self._half_box_pixels
        return math.ceil(half - 0.5) - math.floor(0.5 - half) + 1

    @property
    def patches_per_side(self) -> int:
        """The number of patches along a side of a tract."""
        return math.ceil(self._box_pixels / self.patch_inner_pixels)

    @property
    def _centre_pixel(self) -> int:
        extra = self.patches_per_side * self.patch_inner_pixels - self._box_pixels
        return extra // 2 - math.floor(0.5 - self._half_box_pixels)

    def centre(self, tract: int) -> tuple[float, float]:
        """Return a tract's centre, where its plane touches the sky.

        Raises
        ------
        ValueError
            There is no such tract.
        """
        ra, dec = self._centres(tract)
        return float(ra), float(dec)

    def inner_box(self, tract: int) -> SkyBox:
        """Return a tract's inner region; that of a cap goes around its pole.

        Raises
        ------
        ValueError
            There is no such tract.
        """
        return SkyBox(*(float(edge) for edge in self._inner_boxes(tract)))

    def _ring_of(self, tract: ArrayLike) -> tuple[IntArray, IntArray]:
        """Return tracts' rings and their numbers in them; the caps are the rings -1 and num_rings."""
        tracts = np.asarray(tract, np.int64)
        if (unknown := tracts[(tracts < 0) | (tracts >= self.num_tracts)]).size:
            raise ValueError(f"there is no tract {unknown[0]}: the skymap has 0 to {self.num_tracts - 1}")
        ring = np.searchsorted(self._ring_starts, tracts, side="right") - 1
        return ring, np.where(ring < 0, 0, tracts - self._ring_starts[ring])

    def _widths(self, ring: IntArray) -> FloatArray:
        """Return the width of the tracts of rings in degrees of right ascension; a cap goes all around."""
        is_cap = (ring < 0) | (ring >= self.num_rings)
        return np.asarray(_TURN_DEG / np.where(is_cap, 1, self._ring_tracts[np.clip(ring, 0, self.num_rings - 1)]))

    def _centres(self, tract: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the centres of tracts in the shape of their numbers."""
        ring, number = self._ring_of(tract)
        dec = np.degrees(self.ring_height * (ring + 1)) - _POLE_DEG
        dec = np.where(ring < 0, -_POLE_DEG, np.where(ring >= self.num_rings, _POLE_DEG, dec))
        return self._widths(ring) * number, dec

    def _touching_points(self, tract: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the centres of tracts, each with the right ascension along which its y grows to the pole.

        At the north pole, where every direction is south, y grows along the meridian 0: there FITS turns the plane
        by half a turn (the default of LONPOLE; Calabretta & Greisen 2002, A&A 395, 1077, sec. 2.2).
        """
        ra, dec = self._centres(tract)
        return np.where(dec >= _POLE_DEG, _TURN_DEG / 2, ra), dec

    def _inner_boxes(self, tract: ArrayLike) -> FloatArray:
        """Return the edges of tracts' inner regions in the order of ``SkyBox``, the tracts' shape last."""
        ring, number = self._ring_of(tract)
        width = self._widths(ring)
        # Halves are exact, so that neighbours share their edge to the last digit.
        west, east = (np.where(width < _TURN_DEG, width * (number + half), 0.0) for half in (-0.5, 0.5))
        edges = np.concatenate([[-_POLE_DEG], np.degrees(self._ring_edges), [_POLE_DEG]])
        return np.stack([west, np.where(width < _TURN_DEG, east, _TURN_DEG), edges[ring + 1], edges[ring + 2]])

    def tract_of(self, ra: ArrayLike, dec: ArrayLike) -> IntArray:
        """Return the tract in whose inner region each position lies, in the shape of the positions."""
        lon, lat = np.broadcast_arrays(np.mod(np.asarray(ra, float), _TURN_DEG), np.asarray(dec, float))
        ring = np.searchsorted(self._ring_edges, np.radians(lat), side="right") - 1
        inside = np.clip(ring, 0, self.num_rings - 1)
        tracts = self._ring_tracts[inside]
        number = np.floor(lon / (_TURN_DEG / tracts) + 0.5).astype(np.int64) % tracts
        tract = self._ring_starts[inside] + number
        tract = np.where(ring < 0, 0, tract)
        return np.asarray(np.where(ring >= self.num_rings, self.num_tracts - 1, tract))

    def patch_of(self, tract: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> IntArray:
        """Return the patch of a tract in whose inner region each position lies; -1 where it is off the tract."""
        x, y = self.sky_to_pixel(tract, ra, dec)
        column, row = (np.floor(pixel + 0.5) // self.patch_inner_pixels for pixel in (x, y))
        side = self.patches_per_side
        outside = ~((column >= 0) & (column < side) & (row >= 0) & (row < side))
        patch = np.where(outside, 0, row * side + column).astype(np.int64)
        return np.asarray(np.where(outside, -1, patch))

    def tract_and_patch(self, ra: ArrayLike, dec: ArrayLike) -> tuple[IntArray, IntArray]:
        """Return the tract and the patch in whose inner regions each position lies."""
        tract = self.tract_of(ra, dec)
        return tract, self.patch_of(tract, ra, dec)

    def sky_to_pixel(self, tract: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Project positions on a tract's plane (TAN), pixels x to the west and y to the north; NaN behind it."""
        ra0, dec0 = self._touching_points(tract)
        delta = np.radians(np.asarray(ra, float) - ra0)
        lat, lat0 = np.radians(np.asarray(dec, float)), np.radians(dec0)
        along = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(delta)
        along = np.where(along > 0, along, np.nan)
        xi = np.cos(lat) * np.sin(delta) / along
        eta = (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(delta)) / along
        return self._centre_pixel - xi / self._pixel_scale, self._centre_pixel + eta / self._pixel_scale

    def pixel_to_sky(self, tract: ArrayLike, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the right ascension in [0, 360) and declination of pixels of tracts' planes (TAN)."""
        ra0, dec0 = self._touching_points(tract)
        xi = (self._centre_pixel - np.asarray(x, float)) * self._pixel_scale
        eta = (np.asarray(y, float) - self._centre_pixel) * self._pixel_scale
        sin0, cos0 = np.sin(np.radians(dec0)), np.cos(np.radians(dec0))
        depth = cos0 - eta * sin0
        ra = np.mod(ra0 + np.degrees(np.arctan2(xi, depth)), _TURN_DEG)
        dec = np.degrees(np.arctan2(sin0 + eta * cos0, np.hypot(xi, depth)))
        # The remainder of a tiny negative angle rounds to a whole turn.
        return np.asarray(np.where(ra < _TURN_DEG, ra, 0.0)), np.asarray(dec)

    def patch_polygons(self, tract: ArrayLike, patch: ArrayLike, *, outer: bool = False) -> FloatArray:
        """Return the corners of patches' inner (or outer) regions, counter-clockwise from the lower left.

        The edges between them are great circles. Neighbouring inner regions share their corners; outer ones are
        wider by the border, but end with the tract where the skymap is clipped.

        Returns
        -------
        FloatArray
            Right ascension and declination, shape (..., 4, 2), the patches' shape first.

        Raises
        ------
        ValueError
            There is no such tract or patch.
        """
        side = self.patches_per_side
        tracts, patches = np.broadcast_arrays(np.asarray(tract, np.int64), np.asarray(patch, np.int64))
        if (unknown := patches[(patches < 0) | (patches >= side**2)]).size:
            raise ValueError(f"there is no patch {unknown[0]}: a tract has 0 to {side**2 - 1}")
        size, border = self.patch_inner_pixels, self.patch_border_pixels if outer else 0
        row, column = np.divmod(patches, side)
        first, last = (0, side * size) if self.clipped else (-border, side * size + border)
        left, low = (np.maximum(index * size - border, first) - 0.5 for index in (column, row))
        right, high = (np.minimum((index + 1) * size + border, last) - 0.5 for index in (column, row))
        x, y = np.stack([left, right, right, left], axis=-1), np.stack([low, low, high, high], axis=-1)
        return np.stack(self.pixel_to_sky(np.expand_dims(tracts, -1), x, y), axis=-1)

    def patch_box(self, patch: int) -> PixelBox:
        """Return the pixels of a patch's outer region: its coadd.

        Raises
        ------
        ValueError
            There is no such patch.
        """
        side, size, border = self.patches_per_side, self.patch_inner_pixels, self.patch_border_pixels
        if not 0 <= patch < side**2:
            raise ValueError(f"there is no patch {patch}: a tract has 0 to {side**2 - 1}")
        row, column = divmod(patch, side)
        left, low = (max(index * size - border, 0) for index in (column, row))
        right, high = (min((index + 1) * size + border, side * size) for index in (column, row))
        return PixelBox(left, low, right, high)

    def tracts_touching_cone(self, ra: float, dec: float, radius_deg: float) -> tuple[int, ...]:
        """List the tracts whose inner region meets a cone, ascending."""
        reached = np.radians(np.array([dec - radius_deg, dec + radius_deg]))
        first, last = np.searchsorted(self._ring_edges, reached, side="right") - 1
        start = 0 if first < 0 else int(self._ring_starts[first])
        stop = self.num_tracts if last >= self.num_rings else int(self._ring_starts[last + 1])
        # The position's own tract has a distance of its edges too, but need not be near them.
        met = {int(self.tract_of(ra, dec))}
        candidates = np.arange(start, stop)
        near = _edge_distance_deg(self._inner_boxes(candidates), ra, dec) <= radius_deg
        return tuple(sorted(met.union(candidates[near].tolist())))


# config/skymaps/DC2.py of Rubin's gen3_shared_repo_admin, and the defaults of lsst/skymap.
DC2_RINGS: Final = RingsSkyMap()
# Of cells of 150 pixels, 20 a side of an inner region; the first map's cells had borders of 50 pixels besides.
# Sources: RTN-095, and for the second what dp2.lsst.io prints of coadds.
LSST_CELLS_V1: Final = RingsSkyMap(patch_inner_pixels=3000, patch_border_pixels=200, clipped=False)
LSST_CELLS_V2: Final = RingsSkyMap(patch_inner_pixels=3000, patch_border_pixels=150, clipped=False)
