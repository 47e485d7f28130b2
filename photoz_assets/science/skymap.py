"""The Rings skymap: which tract and patch a position belongs to, and where tracts and patches lie.

The sky is cut into rings of declination, each ring into tracts of equal width in right ascension; a tract is a
tangent plane of pixels, cut into square patches. Inner regions tile the sky without gap or overlap.

Source: ``ringsSkyMap.py``, ``tractInfo.py``, ``tractBuilder.py`` and ``detail/wcsFactory.py`` of lsst/skymap.
Angles are ICRS degrees.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_TURN_DEG: Final = 360.0
_POLE_DEG: Final = 90.0


def angular_separation_deg(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> FloatArray:
    """Give the angle between two positions in degrees, by Vincenty's formula, stable at any distance."""
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
        """Tell which positions lie inside, the lower edges included, and the north pole in its cap."""
        width = self.ra_max - self.ra_min
        latitude = np.asarray(dec, float)
        # The remainder of a tiny negative angle rounds to a whole turn, so that a full circle is not left to it.
        east = np.mod(np.asarray(ra, float) - self.ra_min, 360.0)
        within_ra = (east < width) | (width >= _TURN_DEG)
        return np.asarray(
            within_ra & (latitude >= self.dec_min) & ((latitude < self.dec_max) | (self.dec_max >= _POLE_DEG))
        )

    def meets_cone(self, ra: float, dec: float, radius_deg: float) -> bool:
        """Tell whether any point of the box lies within a radius of a position."""
        if bool(self.contains(ra, dec)):
            return True
        return self._distance_deg(ra, dec) <= radius_deg

    @property
    def area_deg2(self) -> float:
        """The area on the sky in square degrees."""
        heights = math.sin(math.radians(self.dec_max)) - math.sin(math.radians(self.dec_min))
        return float(math.degrees(heights * (self.ra_max - self.ra_min)))

    def _distance_deg(self, ra: float, dec: float) -> float:
        """Give the distance of an outside position from the box's edges.

        The nearest point lies on a parallel, where it is the one of the same or the nearest right ascension, or
        on a meridian, where it is the foot of the perpendicular great circle if that falls inside.
        """
        offset = (ra - self.ra_min) % 360.0
        width = self.ra_max - self.ra_min
        inside = offset < width
        nearest_ra = [ra] if inside else [self.ra_min, self.ra_max]
        points = [(lon, lat) for lon in nearest_ra for lat in (self.dec_min, self.dec_max)]
        for edge in (self.ra_min, self.ra_max):
            height = math.sin(math.radians(dec))
            along = math.cos(math.radians(dec)) * math.cos(math.radians(ra - edge))
            foot = math.degrees(math.atan2(height, along))
            points.append((edge, min(max(foot, self.dec_min), self.dec_max)))
        return min(float(angular_separation_deg(ra, dec, lon, lat)) for lon, lat in points)


@dataclass(frozen=True)
class RingsSkyMap:
    """A skymap of rings with square patches."""

    num_rings: int = 120
    pixel_scale_arcsec: float = 0.2
    tract_overlap_deg: float = 1 / 60
    patch_inner_pixels: int = 4000
    patch_border_pixels: int = 100

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
        """Give a tract's centre, where its plane touches the sky.

        Raises
        ------
        ValueError
            There is no such tract.
        """
        ring, number = self._ring_of(tract)
        if number is None:
            return 0.0, -90.0 if ring < 0 else 90.0
        width = 360.0 / int(self._ring_tracts[ring])
        return width * number, math.degrees(self.ring_height * (ring + 1)) - 90.0

    def inner_box(self, tract: int) -> SkyBox:
        """Give a tract's inner region; that of a cap goes around its pole.

        Raises
        ------
        ValueError
            There is no such tract.
        """
        ring, number = self._ring_of(tract)
        if number is None:
            edge = math.degrees(self._ring_edges[0])
            return SkyBox(0.0, 360.0, -90.0, edge) if ring < 0 else SkyBox(0.0, 360.0, -edge, 90.0)
        half = 180.0 / int(self._ring_tracts[ring])
        ra, _ = self.centre(tract)
        low, high = (math.degrees(angle) for angle in self._ring_edges[ring : ring + 2])
        return SkyBox(ra - half, ra + half, low, high)

    def _ring_of(self, tract: int) -> tuple[int, int | None]:
        """Give a tract's ring and its number in it; the caps have no number."""
        if not 0 <= tract < self.num_tracts:
            raise ValueError(f"there is no tract {tract}: the skymap has 0 to {self.num_tracts - 1}")
        ring = int(np.searchsorted(self._ring_starts, tract, side="right")) - 1
        if ring < 0 or ring == self.num_rings:
            return ring, None
        return ring, tract - int(self._ring_starts[ring])

    def tract_of(self, ra: ArrayLike, dec: ArrayLike) -> IntArray:
        """Give the tract in whose inner region each position lies, in the shape of the positions."""
        lon, lat = np.broadcast_arrays(np.mod(np.asarray(ra, float), 360.0), np.asarray(dec, float))
        ring = np.searchsorted(self._ring_edges, np.radians(lat), side="right") - 1
        inside = np.clip(ring, 0, self.num_rings - 1)
        tracts = self._ring_tracts[inside]
        number = np.floor(lon / (360.0 / tracts) + 0.5).astype(np.int64) % tracts
        tract = self._ring_starts[inside] + number
        tract = np.where(ring < 0, 0, tract)
        return np.asarray(np.where(ring >= self.num_rings, self.num_tracts - 1, tract))

    def patch_of(self, tract: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> IntArray:
        """Give the patch of a tract in whose inner region each position lies; -1 where it is off the tract."""
        x, y = self.sky_to_pixel(tract, ra, dec)
        column, row = (np.floor(pixel + 0.5) // self.patch_inner_pixels for pixel in (x, y))
        side = self.patches_per_side
        outside = ~((column >= 0) & (column < side) & (row >= 0) & (row < side))
        patch = np.where(outside, 0, row * side + column).astype(np.int64)
        return np.asarray(np.where(outside, -1, patch))

    def tract_and_patch(self, ra: ArrayLike, dec: ArrayLike) -> tuple[IntArray, IntArray]:
        """Give the tract and the patch in whose inner regions each position lies."""
        tract = self.tract_of(ra, dec)
        return tract, self.patch_of(tract, ra, dec)

    def sky_to_pixel(self, tract: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Project positions on a tract's plane (TAN), pixels x to the west and y to the north; NaN behind it."""
        ra0, dec0 = self._centres(tract)
        delta = np.radians(np.asarray(ra, float) - ra0)
        lat, lat0 = np.radians(np.asarray(dec, float)), np.radians(dec0)
        along = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(delta)
        along = np.where(along > 0, along, np.nan)
        xi = np.cos(lat) * np.sin(delta) / along
        eta = (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(delta)) / along
        return self._centre_pixel - xi / self._pixel_scale, self._centre_pixel + eta / self._pixel_scale

    def pixel_to_sky(self, tract: int, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Give the right ascension in [0, 360) and declination of pixels of a tract's plane (TAN)."""
        ra0, dec0 = self.centre(tract)
        xi = (self._centre_pixel - np.asarray(x, float)) * self._pixel_scale
        eta = (np.asarray(y, float) - self._centre_pixel) * self._pixel_scale
        lat0 = math.radians(dec0)
        depth = math.cos(lat0) - eta * math.sin(lat0)
        ra = np.mod(ra0 + np.degrees(np.arctan2(xi, depth)), 360.0)
        dec = np.degrees(np.arctan2(math.sin(lat0) + eta * math.cos(lat0), np.hypot(xi, depth)))
        return np.asarray(ra), np.asarray(dec)

    def patch_polygon(self, tract: int, patch: int, *, outer: bool = False) -> FloatArray:
        """Give the corners of a patch's inner (or outer) region, counter-clockwise in pixels from the lower left.

        Returns
        -------
        FloatArray
            Right ascension and declination, shape (4, 2).

        Raises
        ------
        ValueError
            There is no such tract or patch.
        """
        side = self.patches_per_side
        if not 0 <= patch < side**2:
            raise ValueError(f"there is no patch {patch}: a tract has 0 to {side**2 - 1}")
        row, column = divmod(patch, side)
        size, border = self.patch_inner_pixels, self.patch_border_pixels if outer else 0
        last = side * size - 1
        left, low = (max(index * size - border, 0) - 0.5 for index in (column, row))
        right, high = (min((index + 1) * size - 1 + border, last) + 0.5 for index in (column, row))
        ra, dec = self.pixel_to_sky(tract, [left, right, right, left], [low, low, high, high])
        return np.stack([ra, dec], axis=-1)

    def tracts_touching_cone(self, ra: float, dec: float, radius_deg: float) -> tuple[int, ...]:
        """List the tracts whose inner region meets a cone, ascending."""
        low, high = math.radians(dec - radius_deg), math.radians(dec + radius_deg)
        first, last = (int(np.searchsorted(self._ring_edges, edge, side="right")) - 1 for edge in (low, high))
        candidates: list[int] = [0] if first < 0 else []
        for ring in range(max(first, 0), min(last, self.num_rings - 1) + 1):
            candidates.extend(range(int(self._ring_starts[ring]), int(self._ring_starts[ring + 1])))
        if last >= self.num_rings:
            candidates.append(self.num_tracts - 1)
        return tuple(tract for tract in candidates if self.inner_box(tract).meets_cone(ra, dec, radius_deg))

    def _centres(self, tract: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Give the centres of tracts in the shape of their numbers."""
        numbers, inverse = np.unique(np.asarray(tract, np.int64), return_inverse=True)
        centres = np.array([self.centre(int(number)) for number in numbers]).reshape(-1, 2)
        shaped = centres[inverse.reshape(np.shape(tract))]
        return shaped[..., 0], shaped[..., 1]


DC2: Final = RingsSkyMap()
CELLS: Final = RingsSkyMap(patch_inner_pixels=3000, patch_border_pixels=200)
