"""A field: a cone on the sky, the tracts that it needs, and its galaxies."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import duckdb

from photoz_assets.survey.skymap import DC2_RINGS

# A galaxy belongs to the field by its true position and to a tract by its measured one; matches lie closer.
MATCH_MARGIN_ARCSEC: Final = 2.0

# So that rounding takes nothing from the cone that the box is drawn around.
_BOX_MARGIN_DEG: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class Field:
    """A cone: its centre in ICRS and its radius, in degrees."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def tracts(self, survey: Iterable[int]) -> tuple[int, ...]:
        """Return the tracts of a survey whose inner box meets the cone widened by the margin, ascending."""
        radius_deg = self.radius_deg + MATCH_MARGIN_ARCSEC / 3600
        return tuple(
            tract
            for tract in sorted(survey)
            if DC2_RINGS.inner_box(tract).meets_cone(self.ra_deg, self.dec_deg, radius_deg)
        )

    def cut(self, galaxies: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        """Return the galaxies whose true position lies in the cone.

        The separation is that of the haversine formula (Sinnott 1984, Sky and Telescope 68, 158).
        """
        half_dec = f"radians(ts_dec - {self.dec_deg!r}) / 2"
        half_ra = f"radians(ts_ra - {self.ra_deg!r}) / 2"
        cosines = f"cos(radians(ts_dec)) * cos(radians({self.dec_deg!r}))"
        haversine = f"pow(sin({half_dec}), 2) + {cosines} * pow(sin({half_ra}), 2)"
        inside = f"{haversine} < pow(sin(radians({self.radius_deg!r}) / 2), 2)"
        return galaxies.filter(f"{self._box} AND {inside}")

    @property
    def _box(self) -> str:
        """SQL condition of a box around the cone, by which DuckDB skips the row groups that lie outside.

        Its half width in right ascension is asin(sin(radius) / cos(Dec)).
        """
        reach_deg = self.radius_deg + _BOX_MARGIN_DEG
        south, north = self.dec_deg - reach_deg, self.dec_deg + reach_deg
        box = f"ts_dec BETWEEN {south!r} AND {north!r}"
        if max(-south, north) >= 90:  # noqa: PLR2004 - a pole lies inside
            return box
        sine = math.sin(math.radians(reach_deg)) / math.cos(math.radians(self.dec_deg))
        half_ra_deg = math.degrees(math.asin(sine)) + _BOX_MARGIN_DEG
        west, east = self.ra_deg - half_ra_deg, self.ra_deg + half_ra_deg
        if west < 0 or east > 360:  # noqa: PLR2004 - it reaches over the zero of right ascension
            return box
        return f"{box} AND ts_ra BETWEEN {west!r} AND {east!r}"

    def __str__(self) -> str:
        return f"Field RA {self.ra_deg:g}, Dec {self.dec_deg:g}, radius {self.radius_deg:g} deg"
