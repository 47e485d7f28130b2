"""The real sample: galaxies of cosmoDC2 to i = 25.3 with the mock noise of ten years, and that noise itself."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from photoz_assets.survey.bands import BANDS

FloatArray = NDArray[np.float64]

LIMIT_MAG = 25.3
# The two files are every 62nd and every 31st galaxy of a healpixel of 3.357 square degrees.
PER_DEG2 = 188_830
_FILES = "rail/examples_data/testdata/test_dc2_{}_9816.hdf5"
_NOT_DETECTED_MAG = 90
# Of the noise: five-sigma depths in ugrizy, and gamma and the floor of Ivezic et al. 2019, eq. 5.
M5_MAG = np.array([25.179429, 26.882411, 26.973597, 26.569568, 25.946511, 25.039513])
GAMMA = np.array([0.0397267, 0.0398869, 0.0399254, 0.0399254, 0.0399200, 0.0399200])
FLOOR_MAG = 0.005


@dataclass(frozen=True)
class Sample:
    """Redshifts, shape (n,), and magnitudes in ugrizy, shape (n, 6); NaN where the flux is negative."""

    redshift: FloatArray
    magnitudes: FloatArray

    def __len__(self) -> int:
        return len(self.redshift)

    def take(self, rows: NDArray[np.int64] | slice) -> Self:
        """Give some of the galaxies."""
        return type(self)(self.redshift[rows], self.magnitudes[rows])

    def join(self, other: Self) -> Self:
        """Give the galaxies of both."""
        return type(self)(
            np.concatenate([self.redshift, other.redshift]), np.concatenate([self.magnitudes, other.magnitudes])
        )

    @property
    def colours(self) -> FloatArray:
        """The colours u-g, g-r, r-i, i-z, z-y, shape (n, 5)."""
        return self.magnitudes[:, :-1] - self.magnitudes[:, 1:]


@dataclass(frozen=True)
class Samples:
    """The sample as it is used: ``fitted`` saw the fit, ``training`` is a part of it, ``held_out`` is the rest."""

    training: Sample
    fitted: Sample
    held_out: Sample


def read_samples(wheel: Path) -> Samples:
    """Read the sample out of the wheel; half of the validation file is held out."""
    training, validation = (_read(wheel, name) for name in ("training", "validation"))
    # Rows are sorted by redshift; this is the order that the packaged fit was made with.
    order = np.random.default_rng(9).permutation(len(validation))
    half = len(order) // 2
    return Samples(training, training.join(validation.take(order[:half])), validation.take(order[half:]))


def _read(wheel: Path, name: str) -> Sample:
    import h5py

    with zipfile.ZipFile(wheel) as archive, h5py.File(io.BytesIO(archive.read(_FILES.format(name)))) as file:
        photometry = file["photometry"]
        magnitudes = np.stack([photometry[f"mag_{band}_lsst"][:].astype(float) for band in BANDS], axis=1)
        redshift = photometry["redshift"][:].astype(float)
    return Sample(redshift, np.where(magnitudes > _NOT_DETECTED_MAG, np.nan, magnitudes))


def flux_error(flux: FloatArray) -> FloatArray:
    """Give the noise of fluxes, both in units of the five-sigma flux of each band."""
    return np.asarray(np.log(10) / 2.5 * np.sqrt((0.04 - GAMMA) * np.maximum(flux, 0) + GAMMA))


def magnitude_error(magnitudes: FloatArray) -> FloatArray:
    """Give the noise of magnitudes."""
    x = 10 ** (0.4 * (magnitudes - M5_MAG))
    return np.asarray(np.sqrt(FLOOR_MAG**2 + (0.04 - GAMMA) * x + GAMMA * x**2))


def observe(true: Sample, rng: np.random.Generator) -> Sample:
    """Look at galaxies as the sample was looked at: with its noise, and to its limit."""
    flux = 10 ** (-0.4 * (true.magnitudes - M5_MAG))
    noisy = flux + flux_error(flux) * rng.standard_normal(flux.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = Sample(true.redshift, np.where(noisy > 0, M5_MAG - 2.5 * np.log10(noisy), np.nan))
    return seen.take(np.flatnonzero(seen.magnitudes[:, 3] < LIMIT_MAG))
