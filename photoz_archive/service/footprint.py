"""Where the rows of the embedded sky lie: which of its tracts a region of the sky can touch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_archive.adql.tract_pruning import Tracts
from photoz_assets.survey.skymap import RingsSkyMap, SkyBox

# Primary rows lie in their tract's inner region, to the scatter of a measured position.
_PRIMARY_MARGIN_DEG: Final = 2 / 3600
# Other rows lie anywhere on their tract's square of patches, whose corners stand out this far at most.
_OUTER_MARGIN_DEG: Final = 0.2
_FULL_CIRCLE_DEG: Final = 360
_POLE_DEG: Final = 90
_NEARLY_POLE_DEG: Final = 89.9
# Half of a tract's height, less a good deal.
_LARGEST_REACH_DEG: Final = 0.6


FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SkyFootprint:
    """The tracts of a sky; angles in degrees, ICRS. ``primaries_only`` tells whether it has no other rows."""

    skymap: RingsSkyMap
    tracts: Tracts
    tract_of_object_id: Callable[[int], int]
    primaries_only: bool = False

    def of_object(self, object_id: int) -> Tracts:
        """Return the tract of an object id; empty where the sky has no such tract."""
        return self.tracts & {self.tract_of_object_id(object_id)}

    def in_circle(self, lon: float, lat: float, radius: float, *, primary: bool) -> Tracts:
        """Return the tracts that can have rows within ``radius`` of a position."""
        if not all(map(math.isfinite, (lon, lat, radius))):
            return frozenset()
        return self.tracts & set(
            self.skymap.tracts_touching_cone(lon, lat, radius + self._margin(primary=primary))
        )

    def near(self, lon: FloatArray, lat: FloatArray, radius: float, *, primary: bool) -> Tracts | None:
        """Return the tracts that can have rows within ``radius`` of any of many positions; None for all.

        Boxes around the positions are smaller than a tract, so that each tract which they touch has one of their
        corners.
        """
        reach = radius + self._margin(primary=primary)
        if reach > _LARGEST_REACH_DEG:
            return None
        known = np.isfinite(lon) & (np.abs(lat) <= _POLE_DEG)
        ra, dec = lon[known], lat[known]
        found: set[int] = set()
        for up in (-reach, reach):
            corner_dec = np.clip(dec + up, -_POLE_DEG, _POLE_DEG)
            # The farther from the equator the wider, up to where the widest tracts are.
            wide = reach / np.cos(np.radians(np.minimum(np.abs(dec) + reach, _NEARLY_POLE_DEG)))
            for east in (-wide, wide):
                found.update(np.unique(self.skymap.tract_of(ra + east, corner_dec)).tolist())
        return self.tracts & found

    def in_box(self, lon_min: float, lat_min: float, lon_max: float, lat_max: float, *, primary: bool) -> Tracts:
        """Return the tracts that can have rows in a box; ``lon_max`` may be the smaller, across RA 0."""
        margin = self._margin(primary=primary)
        width = lon_max - lon_min if lon_max - lon_min >= _FULL_CIRCLE_DEG else (lon_max - lon_min) % 360
        asked = SkyBox(lon_min, lon_min + width, lat_min, lat_max)
        return frozenset(tract for tract, box in self._inner_boxes.items() if _meets(box, asked, margin))

    def _margin(self, *, primary: bool) -> float:
        return _PRIMARY_MARGIN_DEG if primary or self.primaries_only else _OUTER_MARGIN_DEG

    @cached_property
    def _inner_boxes(self) -> dict[int, SkyBox]:
        return {tract: self.skymap.inner_box(tract) for tract in self.tracts}


def _meets(box: SkyBox, asked: SkyBox, margin: float) -> bool:
    """Return whether a tract's box, widened by ``margin``, meets the box that a query asks for."""
    if asked.dec_min > box.dec_max + margin or asked.dec_max < box.dec_min - margin:
        return False
    farthest = min(max(abs(box.dec_min), abs(box.dec_max)) + margin, _NEARLY_POLE_DEG)
    ra_margin = margin / math.cos(math.radians(farthest))
    west, east = box.ra_min - ra_margin, box.ra_max + ra_margin
    width = asked.ra_max - asked.ra_min
    starts_inside = (asked.ra_min - west) % 360 <= east - west
    reaches_inside = (west - asked.ra_min) % 360 <= width
    return width >= _FULL_CIRCLE_DEG or starts_inside or reaches_inside
