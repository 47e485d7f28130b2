"""Names of columns that several tables share, by band."""


def magnitude_column(band: str) -> str:
    """Return the name of the measured AB magnitude of a band in ``matched_galaxies``."""
    return f"obj_{band}_cModelMag"


def flux_column(band: str) -> str:
    """Return the name of the measured cModel flux of a band in ``matched_galaxies``."""
    return f"obj_{band}_cModelFlux"


def flux_error_column(band: str) -> str:
    """Return the name of the error of the measured cModel flux of a band in ``matched_galaxies``."""
    return f"obj_{band}_cModelFluxErr"


def flag_column(band: str) -> str:
    """Return the name of the failure flag of a band's cModel fit in ``matched_galaxies``."""
    return f"obj_{band}_cModel_flag"


def true_flux_column(band: str) -> str:
    """Return the name of the true static flux of a band in ``matched_galaxies``."""
    return f"ts_flux_{band}"
