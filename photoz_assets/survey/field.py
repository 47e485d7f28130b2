"""A field: a cone on the sky, and the tracts of a survey that it needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from photoz_assets.survey.skymap import RingsSkyMap

# A galaxy belongs to a field by its reference position and to a tract by its measured one; matches lie closer.
MATCH_MARGIN_ARCSEC: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Field:
    """A cone: its centre in ICRS and its radius, in degrees."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def tracts(self, skymap: RingsSkyMap, survey: Iterable[int]) -> tuple[int, ...]:
        """Return the tracts of a survey whose inner box meets the cone widened by the margin, ascending."""
        radius_deg = self.radius_deg + MATCH_MARGIN_ARCSEC / 3600
        return tuple(
            tract
            for tract in sorted(survey)
            if skymap.inner_box(tract).meets_cone(self.ra_deg, self.dec_deg, radius_deg)
        )

    def __str__(self) -> str:
        return f"Field RA {self.ra_deg:g}, Dec {self.dec_deg:g}, radius {self.radius_deg:g} deg"
