"""The profiles: how a training set is written for one reader, names, marks and rows, as data.

The lake keeps NULL and a state a band; here each reader's own marks stand for them. A new reader is a new profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from photoz_assets.photoz.galaxies import MAG_PER_RELATIVE_FLUX
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.photometry_states import PhotometryState
from photoz_assets.survey.sampling import SPLITS

_TRAINING, _VALIDATION, _TEST = SPLITS
_MEASURED, _NOT_OBSERVED = (f"{state:d}" for state in (PhotometryState.MEASURED, PhotometryState.NOT_OBSERVED))
_NAN: Final = "'nan'::DOUBLE"
_INFINITE: Final = "'inf'::DOUBLE"

# What RAIL takes for a flux that was not detected.
RAIL_NOT_DETECTED_MAG: Final = 99.0
# The magnitude that TXPipe takes for a flux that was not detected, when it computes that magnitude's error.
TXPIPE_MOCK_MAG: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How one reader wants training sets.

    Attributes
    ----------
    name, reader
        How it is called, and who reads it.
    files
        The splits in each file, by its name.
    columns
        The SQL of each column over those of ``photoz_sample``, by the reader's name.
    kept
        What a row must satisfy to be in a file, in SQL, by the words for one that does not.
    clean
        What each row of a file must satisfy, in SQL over the reader's columns.
    group
        The HDF5 group of the columns; None for the top level. Parquet has none.
    """

    name: str
    reader: str
    files: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, str]
    clean: str
    kept: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None


# A reader that has no mark for a band without a flux can take no such galaxy.
_OBSERVED: Final = {
    "not observed in a band": " AND ".join(f"state_{band} <> {_NOT_OBSERVED}" for band in BANDS),
}


def _by_state(band: str, measured: str, not_detected: str, not_observed: str = _NAN) -> str:
    return (
        f"CASE state_{band} WHEN {_MEASURED} THEN {measured}::DOUBLE "
        f"WHEN {_NOT_OBSERVED} THEN {not_observed} ELSE {not_detected} END"
    )


def _everywhere(*conditions: str) -> str:
    """Return that conditions hold in each band, ``{band}`` in them, and that the redshift is a number."""
    held = [f"({condition.format(band=band)})" for band in BANDS for condition in conditions]
    return " AND ".join(held)


def _is_magnitude(name: str, otherwise: str) -> str:
    return f"{name} BETWEEN -10 AND 90 OR {otherwise}"


def _is_error(name: str) -> str:
    return f"isfinite({name}) AND {name} > 0"


def _is_error_where_measured(name: str, magnitude: str) -> str:
    return f"CASE WHEN isnan({magnitude}) THEN isnan({name}) ELSE {_is_error(name)} END"


def _rail() -> Profile:
    mag, error = "mag_{band}_lsst", "mag_err_{band}_lsst"
    columns = {"object_id": "object_id"}
    for band in BANDS:
        columns[mag.format(band=band)] = _by_state(band, f"mag_{band}", f"{RAIL_NOT_DETECTED_MAG}")
    for band in BANDS:
        columns[error.format(band=band)] = _by_state(band, f"mag_err_{band}", f"mag_1sigma_{band}::DOUBLE")
    return Profile(
        name="rail",
        reader="RAIL: every estimator, and tables_io",
        group="photometry",
        files={f"{split}.hdf5": (split,) for split in SPLITS},
        columns=columns | {"redshift": "redshift"},
        kept=_OBSERVED,
        clean=_everywhere(_is_magnitude(mag, f"{mag} = {RAIL_NOT_DETECTED_MAG}"), _is_error(error))
        + " AND isfinite(redshift)",
    )


def _pz_challenge() -> Profile:
    mag, error = "mag_{band}_lsst", "mag_{band}_lsst_err"
    columns = {"object_id": "object_id"}
    for band in BANDS:
        columns[mag.format(band=band)] = _by_state(band, f"mag_{band}", _NAN)
        columns[error.format(band=band)] = _by_state(band, f"mag_err_{band}", _NAN)
    return Profile(
        name="pz_challenge",
        reader="the LSST DESC photo-z data challenge",
        files={
            f"pz_challenge_taskset_1_photoz_assets_{split}_10yr.hdf5": (split,) for split in (_TRAINING, _TEST)
        },
        columns=columns | {"redshift": "redshift"},
        kept=_OBSERVED,
        clean=_everywhere(_is_magnitude(mag, f"isnan({mag})"), _is_error_where_measured(error, mag))
        + " AND isfinite(redshift)",
    )


def _txpipe() -> Profile:
    mag, error, ratio = "mag_{band}", "mag_err_{band}", "snr_{band}"
    columns = {
        "id": "object_id",
        "ra": "ra",
        "dec": "dec",
        "tract": "tract",
        "extendedness": "extendedness::DOUBLE",
    }
    for band in BANDS:
        # The error of a magnitude of 30 by a flux's error, of which the lake has the magnitude.
        mock = f"{MAG_PER_RELATIVE_FLUX!r} * pow(10, ({TXPIPE_MOCK_MAG} - mag_1sigma_{band}::DOUBLE) / 2.5)"
        columns[mag.format(band=band)] = _by_state(band, f"mag_{band}", _INFINITE)
        columns[error.format(band=band)] = _by_state(band, f"mag_err_{band}", mock)
        columns[ratio.format(band=band)] = _by_state(
            band, f"({MAG_PER_RELATIVE_FLUX!r} / mag_err_{band})", "0::DOUBLE"
        )
    return Profile(
        name="txpipe",
        reader="TXPipe: its photometry and spectroscopic catalogues",
        group="photometry",
        files={"photometry_catalog.hdf5": (_TEST,), "spectroscopic_catalog.hdf5": (_TRAINING,)},
        columns=columns | {"redshift_true": "redshift"},
        kept={"point-like": "extendedness = 1"},
        clean=_everywhere(
            _is_magnitude(mag, f"isnan({mag}) OR {mag} = {_INFINITE}"),
            _is_error_where_measured(error, mag),
            f"CASE WHEN isnan({mag}) THEN isnan({ratio}) WHEN isinf({mag}) THEN {ratio} = 0 "
            f"ELSE isfinite({ratio}) AND {ratio} > 0 END",
        )
        + " AND isfinite(redshift_true)",
    )


def _pz_server() -> Profile:
    mag, error = "mag_{band}_lsst", "mag_err_{band}_lsst"
    columns = {"object_id": "object_id", "ra": "ra", "dec": "dec"}
    for band in BANDS:
        columns[mag.format(band=band)] = _by_state(band, f"mag_{band}", _NAN)
    for band in BANDS:
        columns[error.format(band=band)] = _by_state(band, f"mag_err_{band}", _NAN)
    return Profile(
        name="pz_server",
        reader="the PZ Server: an upload of a training set",
        files={"training_set.parquet": SPLITS},
        columns=columns | {"redshift": "redshift", "split": "split", "is_training_set": f"split = '{_TRAINING}'"},
        clean=_everywhere(_is_magnitude(mag, f"isnan({mag})"), _is_error_where_measured(error, mag))
        + f" AND isfinite(redshift) AND is_training_set = (split = '{_TRAINING}')",
    )


PROFILES: Final = {profile.name: profile for profile in (_rail(), _pz_challenge(), _txpipe(), _pz_server())}
