"""Files of redshifts: which of their columns is what, and what stands in them."""

from dataclasses import dataclass
from typing import Final

# What a redshift is of.
REDSHIFT_TYPES: Final = {"s": "a spectrum", "g": "a grism or prism", "p": "photometry in many bands"}
# How likely a redshift is right, by its grade; stars have one of their own.
GRADES: Final = {4: "over 99 %", 3: "90 to 99 %", 2: "70 to 90 %", 1: "less", 0: "unknown"}
STAR_GRADE: Final = 6
# What the spectrum is of, where the file says so.
GALAXY, QSO, STAR = "GALAXY", "QSO", "STAR"
SPECTRAL_CLASSES: Final = (GALAXY, QSO, STAR)


@dataclass(frozen=True, kw_only=True)
class RedshiftColumns:
    """The names of a file's columns by what they hold.

    The defaults are those of the Photo-z Server's combined catalogues (linea-it/pzserver_pipelines), with DESI's
    name for what none of their columns tells: which redshifts are of QSOs.

    Attributes
    ----------
    row_id
        Unique in the file; rows are numbered where it is missing.
    ra, dec
        ICRS, in degrees.
    redshift, redshift_error
        Of the barycentre; errors may be missing.
    redshift_type, grade
        As ``REDSHIFT_TYPES`` and ``GRADES``.
    survey
        Who measured it; the file's name where it is missing.
    spectral_class
        As ``SPECTRAL_CLASSES``; may be missing.
    """

    row_id: str = "CRD_ID"
    ra: str = "ra"
    dec: str = "dec"
    redshift: str = "z"
    redshift_error: str = "z_err"
    redshift_type: str = "instrument_type_homogenized"
    grade: str = "z_flag_homogenized"
    survey: str = "survey"
    spectral_class: str = "spectype"


PHOTOZ_SERVER: Final = RedshiftColumns()
