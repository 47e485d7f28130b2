"""Which galaxies are wanted: one frozen object that gives both the query's cuts and the checks.

What is a galaxy at all is a fact of the release (``releases``). The area is no part of a selection either: it
belongs to the tract that is asked for (``queries``).
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Self

from photoz_assets.errors import PhotozError
from photoz_assets.survey.bands import BANDS, flux_of_magnitude
from photoz_assets.survey.galaxy_columns import Photometry
from photoz_assets.survey.rounding import rounded


class SelectionError(PhotozError):
    """The selection makes no sense; nothing was asked."""


@dataclass(frozen=True)
class Condition:
    """What a row must satisfy: an archive column as ``alias.column`` and the rest of an SQL comparison.

    ``is_flag`` tells that it is a flag that must be set: services differ in how that is written.
    """

    column: str
    comparison: str
    is_flag: bool = False

    @property
    def adql(self) -> str:
        """The condition over the archive's tables."""
        return f"{self.column} {self.comparison}"

    @property
    def stored_column(self) -> str:
        """The column of the stored table."""
        return self.column.replace(".", "_", 1)

    @property
    def sql(self) -> str:
        """The condition over the stored table's columns."""
        return f'"{self.stored_column}" {self.comparison}'


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Galaxies whose measured magnitudes lie strictly inside two limits.

    Raises
    ------
    SelectionError
        A limit is no number, the limits are not in order, a band is unknown or given twice, or none is given.
    """

    bright_limit_mag: float = 17.0
    faint_limit_mag: float = 26.0
    bands: tuple[str, ...] = ("g", "r", "i")

    def __post_init__(self) -> None:
        limits = f"{self.bright_limit_mag} < mag < {self.faint_limit_mag}"
        if not (math.isfinite(self.bright_limit_mag) and math.isfinite(self.faint_limit_mag)):
            raise SelectionError(f"magnitude limits must be finite numbers, got {limits}")
        if not self.bright_limit_mag < self.faint_limit_mag:
            raise SelectionError(f"no magnitude lies inside {limits}: the bright limit must be the smaller one")
        if unknown := [band for band in self.bands if band not in BANDS]:
            raise SelectionError(f"unknown band {', '.join(map(repr, unknown))}: the bands are {', '.join(BANDS)}")
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise SelectionError(f"name each band to cut on once, got {list(self.bands)}")

    @property
    def flux_bounds_njy(self) -> tuple[float, float]:
        """The limits as fluxes, faint one first: nJy, both excluded."""
        return flux_of_magnitude(self.faint_limit_mag), flux_of_magnitude(self.bright_limit_mag)

    def flux_cuts(self, photometry: Photometry) -> tuple[Condition, ...]:
        """Return the magnitude cuts as bounds on the fluxes, in nJy with all digits of the doubles."""
        faint, bright = self.flux_bounds_njy
        return tuple(
            Condition(f"obj.{photometry.flux(band)}", comparison)
            for band in self.bands
            for comparison in (f"> {faint!r}", f"< {bright!r}")
        )

    def stored_flux_cuts(self, photometry: Photometry, digits: int | None) -> tuple[Condition, ...]:
        """Return the cuts that stored fluxes of single precision satisfy, rounded by the archive or not.

        ``digits`` are those that it sends. A row that it has rightly selected may lie on a limit that is rounded
        as the row is, and no farther.
        """
        faint, bright = self.flux_bounds_njy
        if digits is not None:
            faint, bright = min(faint, rounded(faint, digits)), max(bright, rounded(bright, digits))
        return tuple(
            Condition(f"obj.{photometry.flux(band)}", comparison)
            for band in self.bands
            # Not as a decimal, which a column of single precision would be cast to.
            for comparison in (f">= {faint!r}::DOUBLE", f"<= {bright!r}::DOUBLE")
        )

    def magnitude_cuts(self, photometry: Photometry) -> tuple[Condition, ...]:
        """Return the magnitude cuts over the stored magnitudes."""
        limits = f"> {self.bright_limit_mag!r}", f"< {self.faint_limit_mag!r}"
        return tuple(
            Condition(f"obj.{photometry.magnitude(band)}", comparison)
            for band in self.bands
            for comparison in limits
        )

    def text(self, galaxies: str, photometry: Photometry) -> str:
        """Return the selection in words for people; ``galaxies`` says of which galaxies."""
        return (
            f"{galaxies}, {self.bright_limit_mag:g} < {', '.join(self.bands)} < "
            f"{self.faint_limit_mag:g} (AB, {photometry.kind})"
        )

    def to_json(self) -> str:
        """Write the selection as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "bands": tuple(fields["bands"])})

    @property
    def fingerprint(self) -> str:
        """A short digest that two selections share only if they are equal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
