"""How the simulated sky of each release is made: what its fields are like, and what its table of objects has.

The depths are those of the releases; where one is printed nowhere, the recipe says what stands for it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoz_archive.sky.columns import OBJECT, PRIMARY_OBJECT
from photoz_archive.sky.photometry import DEPTHS_MAG, POINT_AREA_ARCSEC2, TYPICAL_AREA_ARCSEC2
from photoz_archive.sky.population import FAINT_LIMIT_MAG
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.releases import dp02, dp1, dp2
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.skymap import angular_separation_deg

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# A band without images is one in which next to nothing is bright enough to be seen.
_UNSEEN_MAG: Final = 5.0
# What typical faint galaxies are brighter or fainter than in i, in griz.
_FAINT_COLOURS_MAG: Final = {"g": 0.6, "r": 0.3, "i": 0.0, "z": -0.2}
# Fainter than this below the depth, a source is not detected.
_BELOW_DEPTH_MAG: Final = 1.3


@dataclass(frozen=True, kw_only=True)
class FieldRecipe:
    """A field: what was seen of it, and how deep.

    Attributes
    ----------
    centre_deg
        Right ascension and declination of its centre.
    radius_deg
        How far from it images reach; None where they cover all of each tract.
    depths_mag
        Five-sigma depths of typical galaxies in ugrizy; None for a band that was not observed.
    reddening_mag
        The mean of E(B-V), and how far the dust's waves go from it.
    """

    centre_deg: tuple[float, float]
    radius_deg: float | None
    depths_mag: Sequence[float | None]
    reddening_mag: tuple[float, float]

    @property
    def is_observed(self) -> BoolArray:
        """Which bands were observed, shape (6,)."""
        return np.array([depth is not None for depth in self.depths_mag])

    @property
    def depths(self) -> FloatArray:
        """The depths of all bands, shape (6,), next to none where a band was not observed."""
        return np.array([_UNSEEN_MAG if depth is None else depth for depth in self.depths_mag])

    @property
    def faint_limit_mag(self) -> float:
        """The magnitude in i beyond which no galaxy is drawn, since none would be detected."""
        reached = [
            depth - colour
            for band, colour in _FAINT_COLOURS_MAG.items()
            if (depth := self.depths_mag[BANDS.index(band)]) is not None
        ]
        return min(max(reached) + _BELOW_DEPTH_MAG, FAINT_LIMIT_MAG)

    def covers(self, ra_deg: FloatArray, dec_deg: FloatArray) -> BoolArray:
        """Return which positions images cover."""
        if self.radius_deg is None:
            return np.ones(len(ra_deg), bool)
        ra, dec = map(math.radians, self.centre_deg)
        lat, delta = np.radians(dec_deg), np.radians(ra_deg) - ra
        along = np.sin(lat) * math.sin(dec) + np.cos(lat) * math.cos(dec) * np.cos(delta)
        return np.asarray(along > math.cos(math.radians(self.radius_deg)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """The sky of a release. Each is one object: two of them are never equal.

    Attributes
    ----------
    release
        Skymap, tracts, ids of objects and names.
    fields
        A tract is of the field whose centre is nearest.
    extinction
        A_b / E(B-V) in ugrizy.
    objects
        The columns of its table of objects.
    primaries_only
        Whether that table has primary objects alone, with GAaP fluxes; else all, with those of calibrations.
    serves_truth
        Whether the archive has tables of the truth, as of a simulation; of the others it is kept, and not served.
    float_digits
        The significant digits that numbers of single precision are served with; None for all.
    stream
        What makes its random numbers others than those of the same tract of another release.
    tract_rows, tract_bytes, tract_seconds
        Measured at full density: objects of a typical tract, what its files take, and what they cost in time.
    """

    release: Release
    fields: tuple[FieldRecipe, ...]
    extinction: Sequence[float]
    objects: pa.Schema
    primaries_only: bool
    serves_truth: bool
    float_digits: int | None
    stream: tuple[int, ...]
    tract_rows: int
    tract_bytes: int
    tract_seconds: float

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of the sky that the archive serves."""
        return ("Object", "TruthSummary", "MatchesTruth") if self.serves_truth else ("Object",)

    def field_of(self, tract: int) -> FieldRecipe:
        """Return the field of a tract, or of one next to the release's."""
        ra, dec = self.release.skymap.centre(tract)

        def distance_deg(each: FieldRecipe) -> float:
            field_ra, field_dec = each.centre_deg
            return float(angular_separation_deg(field_ra, field_dec, ra, dec))

        return min(self.fields, key=distance_deg)


@cache
def recipe_of(release: Release) -> Recipe:
    """Return the recipe of a release's sky.

    Raises
    ------
    LookupError
        There is none.
    """
    for recipe in RECIPES:
        if recipe.release is release:
            return recipe
    raise LookupError(f"the embedded archive has no recipe for the sky of {release.title}")


def _of_galaxies(depths_mag: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the depths of typical galaxies where those of points are given, which gather less noise."""
    return tuple(
        None if depth is None else depth - 1.25 * math.log10(TYPICAL_AREA_ARCSEC2 / POINT_AREA_ARCSEC2)
        for depth in depths_mag
    )


DP02: Final = Recipe(
    release=dp02.RELEASE,
    fields=(
        FieldRecipe(
            centre_deg=(62.0, -36.0), radius_deg=None, depths_mag=DEPTHS_MAG.tolist(), reddening_mag=(0.009, 0.005)
        ),
    ),
    # Rounded from those of the map of Schlegel, Finkbeiner and Davis that Rubin's releases take.
    extinction=(4.8, 3.6, 2.7, 2.1, 1.6, 1.3),
    objects=OBJECT,
    primaries_only=False,
    serves_truth=True,
    # Its rows are what they were before this was known of the archive.
    float_digits=None,
    stream=(),
    tract_rows=1_540_000,
    tract_bytes=235_000_000,
    tract_seconds=24.0,
)

# RTN-095, its table of coadded depths; the reddening is typical of the direction.
_DP1_FIELDS: Final = {
    "ECDFS": ((24.55, 26.18, 25.96, 25.71, 25.07, 23.10), 0.008),
    "EDFS_comcam": ((23.42, 25.77, 25.72, 25.17, 24.47, 23.14), 0.02),
    "Rubin_SV_095_-25": ((24.29, 25.46, 24.95, 24.86, 24.32, 22.68), 0.05),
    "Rubin_SV_38_7": ((None, 25.46, 25.15, 24.86, 23.52, None), 0.03),
    "Fornax_dSph": ((None, 24.53, 25.07, 24.64, None, None), 0.02),
    "47_Tuc": ((None, 24.03, 24.24, 23.90, None, 21.79), 0.03),
    "Seagull": ((23.51, 24.72, 24.19, None, 23.30, None), 0.5),
}
# How far images reach where that is farther than the field's own radius: into each tract that the release lists.
_DP1_REACH_DEG: Final = {"Rubin_SV_38_7": 1.15}
DP1: Final = Recipe(
    release=dp1.RELEASE,
    fields=tuple(
        FieldRecipe(
            centre_deg=(dp1.RELEASE.fields[name].ra_deg, dp1.RELEASE.fields[name].dec_deg),
            radius_deg=_DP1_REACH_DEG.get(name, dp1.RELEASE.fields[name].radius_deg),
            depths_mag=_of_galaxies(depths),
            reddening_mag=(mean, mean / 2),
        )
        for name, (depths, mean) in _DP1_FIELDS.items()
    ),
    extinction=[dp1.RELEASE.extinction[band] for band in BANDS],
    objects=PRIMARY_OBJECT,
    primaries_only=True,
    serves_truth=False,
    float_digits=dp1.RELEASE.digits,
    stream=(1,),
    tract_rows=100_000,
    tract_bytes=25_000_000,
    tract_seconds=3.0,
)

# RTN-124: those of two deep fields, and the median of all tracts in i; the other bands of it as in COSMOS.
_COSMOS: Final = (25.77, 26.73, 26.35, 25.94, 25.00, 23.69)
_ELAIS: Final = (25.18, 26.57, 25.88, 26.07, 25.07, 23.64)
_WIDE: Final = (24.10, 25.06, 24.68, 24.27, 23.33, 22.02)
_FOUR_BANDS: Final = (None, *_WIDE[1:5], None)
# Which fields have four bands is printed nowhere; a third of the tracts does.
_DP2_FOUR_BANDS: Final = frozenset(
    {"Prawn", "Trifid-Lagoon", "New Horizons", "Rubin SV 280 -48", "DESI SV3 R1", "M49"}
)
_DP2_DEPTHS: Final = {
    "DDF COSMOS": _COSMOS,
    **dict.fromkeys(("DDF ELAIS S1", "DDF XMM LSS", "DDF ECDFS", "DDF EDFS a", "DDF EDFS b"), _ELAIS),
    **dict.fromkeys(_DP2_FOUR_BANDS, _FOUR_BANDS),
}
DP2: Final = Recipe(
    release=dp2.RELEASE,
    fields=tuple(
        FieldRecipe(
            centre_deg=(field.ra_deg, field.dec_deg),
            # The wide survey goes on around it.
            radius_deg=None,
            depths_mag=_of_galaxies(_DP2_DEPTHS.get(name, _WIDE)),
            reddening_mag=(0.03, 0.015),
        )
        for name, field in dp2.RELEASE.fields.items()
    ),
    extinction=[dp2.RELEASE.extinction[band] for band in BANDS],
    objects=PRIMARY_OBJECT,
    primaries_only=True,
    serves_truth=False,
    float_digits=dp2.RELEASE.digits,
    stream=(2,),
    tract_rows=400_000,
    tract_bytes=110_000_000,
    tract_seconds=14.0,
)

RECIPES: Final = (DP02, DP1, DP2)
