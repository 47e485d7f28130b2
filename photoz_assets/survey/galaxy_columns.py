"""Which columns of the galaxies play which role.

Releases differ in their columns. What looks at galaxies, here and outside, asks for a column by its role.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Photometry:
    """One kind of flux in nJy and the columns of the archive's Object table that hold it.

    ``flag_name`` is the flag of a failed measurement, its band left out.
    """

    kind: str
    flag_name: str

    def flux(self, band: str) -> str:
        """Return the flux's column of a band."""
        return f"{band}_{self.kind}Flux"

    def flux_error(self, band: str) -> str:
        """Return the column of the flux's error in a band."""
        return f"{band}_{self.kind}FluxErr"

    def flag(self, band: str) -> str:
        """Return the column of the flag that the measurement in a band failed."""
        return f"{band}_{self.flag_name}"

    def magnitude(self, band: str) -> str:
        """Return what the flux's AB magnitude in a band is called; the archive is not asked for it."""
        return f"{band}_{self.kind}Mag"

    def dereddened(self, band: str) -> str:
        """Return what that magnitude is called without the dust of the Milky Way."""
        return f"{self.magnitude(band)}_dered"


@dataclass(frozen=True, kw_only=True)
class GalaxyColumns:
    """The columns of a release's ``matched_galaxies`` by their roles.

    Attributes
    ----------
    keys
        What no two galaxies share; the object's id comes first.
    source_key
        The key of what the redshift is of: galaxies that share it, of two tracts say, are one.
    redshift, redshift_words
        The redshift, and what figures and descriptions call it.
    reference_words
        What they call the position that the redshift was known by: true, say.
    position, reference_position
        Right ascension and declination, ICRS: measured, and those that the redshift was known by.
    photometry
        The kind of the measured fluxes.
    patch, extendedness
        The patch within the tract; 1 for an extended object, 0 for a point-like one.
    true_fluxes, true_magnitudes
        By band; empty where nobody knows the truth.
    match_distance, survey
        How far the redshift's position lies from the object, in arcsec, and who measured it; None where redshifts
        are not matched here.
    """

    keys: tuple[str, ...]
    source_key: str
    redshift: str
    redshift_words: str
    reference_words: str
    position: tuple[str, str]
    reference_position: tuple[str, str]
    photometry: Photometry
    patch: str
    extendedness: str
    true_fluxes: Mapping[str, str]
    true_magnitudes: Mapping[str, str]
    match_distance: str | None = None
    survey: str | None = None

    @property
    def knows_truth(self) -> bool:
        """Whether the redshifts are the truth of a simulation; else they were measured, of some galaxies."""
        return bool(self.true_fluxes)

    @property
    def object_id(self) -> str:
        """The object's id, unique in the release."""
        return self.keys[0]

    def flux(self, band: str) -> str:
        """Return the column of a band's measured flux."""
        return f"obj_{self.photometry.flux(band)}"

    def flux_error(self, band: str) -> str:
        """Return the column of the error of a band's measured flux."""
        return f"obj_{self.photometry.flux_error(band)}"

    def flag(self, band: str) -> str:
        """Return the column of the flag that a band's measurement failed."""
        return f"obj_{self.photometry.flag(band)}"

    def magnitude(self, band: str) -> str:
        """Return the column of a band's measured AB magnitude."""
        return f"obj_{self.photometry.magnitude(band)}"

    def dereddened(self, band: str) -> str:
        """Return the column of that magnitude without the dust of the Milky Way."""
        return f"obj_{self.photometry.dereddened(band)}"
