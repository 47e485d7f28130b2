"""Tracts as shapes on a flat map: equal areas stay equal, whatever part of the sky a release covers.

Right ascension grows to the right, as on the figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import SkyBox

FloatArray = NDArray[np.float64]

WIDTH: Final = 1000.0
_MARGIN: Final = 98.0
# Wider than this, the azimuthal projection stretches shapes at the rim too much.
_WIDEST_AZIMUTHAL_DEG: Final = 100.0
# An edge along a parallel is bent: a point at least each so many degrees.
_STEP_DEG: Final = 1.5
_GRATICULE_STEP_DEG: Final = 2.0
# Between lines of the graticule, the first of which there are few enough.
_LINES_DEG: Final = (1, 2, 5, 10, 15, 30)
_MOST_LINES: Final = 8
_TURN_DEG: Final = 360.0


@dataclass(frozen=True)
class Shape:
    """A region on the map: its outline as the points of an SVG polygon, and its middle."""

    points: str
    x: float
    y: float


@dataclass(frozen=True)
class Line:
    """A line of the graticule with its label: the points of an SVG polyline, and where the label stands."""

    points: str
    label: str
    x: float
    y: float
    is_meridian: bool


@dataclass(frozen=True, kw_only=True)
class Projection:
    """An equal-area projection around a centre, in degrees.

    Lambert's azimuthal one (Snyder 1987, USGS Professional Paper 1395, eq. 24-2 to 24-4), or for wide pieces of
    sky Hammer's (Calabretta & Greisen 2002, A&A 395, 1077, sec. 5.3.4), whose centre lies on the equator.
    """

    ra_deg: float
    dec_deg: float
    wide: bool

    @classmethod
    def of(cls, window: SkyBox) -> "Projection":
        """Return the projection that suits a piece of the sky."""
        ra = (window.ra_min + window.ra_max) / 2
        if window.ra_max - window.ra_min > _WIDEST_AZIMUTHAL_DEG:
            return cls(ra_deg=ra, dec_deg=0.0, wide=True)
        return cls(ra_deg=ra, dec_deg=(window.dec_min + window.dec_max) / 2, wide=False)

    def project(self, ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return x, to larger right ascension, and y, to the north, in radians at the centre; in their shape."""
        longitude, latitude = np.radians(ra_deg - self.ra_deg), np.radians(dec_deg)
        if self.wide:
            scale = np.sqrt(2 / (1 + np.cos(latitude) * np.cos(longitude / 2)))
            return 2 * scale * np.cos(latitude) * np.sin(longitude / 2), scale * np.sin(latitude)
        centre = math.radians(self.dec_deg)
        along = np.sin(latitude) * math.sin(centre) + np.cos(latitude) * math.cos(centre) * np.cos(longitude)
        scale = np.sqrt(2 / (1 + along))
        x = scale * np.cos(latitude) * np.sin(longitude)
        y = scale * (math.cos(centre) * np.sin(latitude) - math.sin(centre) * np.cos(latitude) * np.cos(longitude))
        return x, y


@dataclass(frozen=True)
class SkyMap:
    """A flat map of some tracts of a release, ``WIDTH`` wide, whose y grows downwards as in SVG."""

    release: Release
    tracts: Sequence[int]
    projection: Projection

    @classmethod
    def of_release(cls, release: Release) -> "SkyMap":
        """Return the map of all of a release's tracts."""
        return cls(release, release.tracts, Projection.of(release.window))

    @classmethod
    def around(cls, release: Release, tract: int, radius_deg: float) -> "SkyMap":
        """Return the map of a tract and of those of the release that lie around it."""
        ra, dec = release.skymap.centre(tract)
        own = set(release.tracts)
        near = [each for each in release.skymap.tracts_touching_cone(ra, dec, radius_deg) if each in own]
        return cls(release, near, Projection(ra_deg=ra, dec_deg=dec, wide=False))

    @property
    def height(self) -> float:
        """The height of the map."""
        _, _, south, north = self._bounds
        return round((north - south) * self._scale + 2 * _MARGIN, 1)

    def shapes(self) -> dict[int, Shape]:
        """Return the inner region of each tract."""
        shapes = {}
        for tract, (x, y) in self._outlines.items():
            across, down = self._place(x, y)
            shapes[tract] = Shape(_points(across, down), _middle(across), _middle(down))
        return shapes

    def graticule(self) -> list[Line]:
        """Return meridians and parallels that frame the tracts, with their labels below and to the left."""
        west, east, south, north = self._extent_deg
        step = next((step for step in _LINES_DEG if (north - south) / step <= _MOST_LINES), _LINES_DEG[-1])
        wide = next((step for step in _LINES_DEG if (east - west) / step <= _MOST_LINES), _LINES_DEG[-1])
        lines = []
        for meridian in np.arange(math.floor(west / wide), math.ceil(east / wide) + 1) * wide:
            dec = np.arange(max(south, -90.0), min(north, 90.0) + 0.5, _GRATICULE_STEP_DEG)
            label = f"{meridian % _TURN_DEG:g}\N{DEGREE SIGN}"
            lines.append(self._line(np.full_like(dec, meridian), dec, label, is_meridian=True))
        for parallel in np.arange(math.ceil(south / step), math.floor(north / step) + 1) * step:
            ra = np.arange(west, east + 0.5, _GRATICULE_STEP_DEG)
            label = f"{parallel:g}\N{DEGREE SIGN}".replace("-", "\N{MINUS SIGN}")
            lines.append(self._line(ra, np.full_like(ra, parallel), label, is_meridian=False))
        return lines

    def places(self) -> list[tuple[str, float, float]]:
        """Return the names of the release's fields, each above its own place on the map."""
        named = []
        for name, field in self.release.fields.items():
            x, y = self.projection.project(
                np.array([self._shown_ra(field.ra_deg)]), np.array([field.dec_deg + field.radius_deg])
            )
            across, down = self._place(x, y)
            named.append((name, float(across[0]), float(down[0])))
        return named

    def _shown_ra(self, ra_deg: float) -> float:
        """Return a right ascension within half a turn of the centre."""
        return ra_deg - _TURN_DEG * round((ra_deg - self.projection.ra_deg) / _TURN_DEG)

    def _outline_deg(self, tract: int) -> tuple[FloatArray, FloatArray]:
        """Return the corners of a tract's inner region and points on its parallels, counter-clockwise."""
        box = self.release.skymap.inner_box(tract)
        points = max(3, 1 + math.ceil((box.ra_max - box.ra_min) / _STEP_DEG))
        # A region is not torn where it lies across the zero of right ascension.
        shift = self._shown_ra((box.ra_min + box.ra_max) / 2) - (box.ra_min + box.ra_max) / 2
        eastwards = np.linspace(box.ra_min, box.ra_max, points) + shift
        dec = np.repeat([box.dec_min, box.dec_max], points)
        return np.concatenate([eastwards, eastwards[::-1]]), dec

    @cached_property
    def _outlines(self) -> dict[int, tuple[FloatArray, FloatArray]]:
        return {tract: self.projection.project(*self._outline_deg(tract)) for tract in self.tracts}

    @cached_property
    def _extent_deg(self) -> tuple[float, float, float, float]:
        outlines = [self._outline_deg(tract) for tract in self.tracts]
        ra, dec = (np.concatenate(each) for each in zip(*outlines, strict=True))
        return float(ra.min()), float(ra.max()), float(dec.min()), float(dec.max())

    @cached_property
    def _bounds(self) -> tuple[float, float, float, float]:
        x, y = (np.concatenate(each) for each in zip(*self._outlines.values(), strict=True))
        return float(x.min()), float(x.max()), float(y.min()), float(y.max())

    @property
    def _scale(self) -> float:
        west, east, _, _ = self._bounds
        return (WIDTH - 2 * _MARGIN) / (east - west)

    def _place(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        west, _, _, north = self._bounds
        return (x - west) * self._scale + _MARGIN, (north - y) * self._scale + _MARGIN

    def _line(self, ra: FloatArray, dec: FloatArray, label: str, *, is_meridian: bool) -> Line:
        across, down = self._place(*self.projection.project(ra, dec))
        # The first point is the southernmost of a meridian, and the westernmost of a parallel.
        x, y = float(across[0]), float(down[0])
        place = (x, y + 26) if is_meridian else (x - 8, y + 5)
        return Line(_points(across, down), label, round(place[0], 1), round(place[1], 1), is_meridian)


def _points(across: FloatArray, down: FloatArray) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))


def _middle(values: FloatArray) -> float:
    return round((float(values.min()) + float(values.max())) / 2, 1)
