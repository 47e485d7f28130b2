"""Galaxies of known redshift made up in a moment: five colours and a magnitude that tell of it, with noise."""

import numpy as np

from photoz_assets.photoz.estimators.estimator import KnownGalaxies


def mock_galaxies(number: int, *, seed: int, noise_mag: float = 0.05) -> KnownGalaxies:
    """Return galaxies with the features i, u-g, g-r, r-i, i-z, z-y."""
    rng = np.random.default_rng(seed)
    redshift = rng.gamma(3, 0.3, number).clip(0.01, 3)
    i = rng.normal(22.5, 1, number) + redshift
    colors = [np.sin(redshift * 2 + phase) + 0.4 * redshift for phase in np.linspace(0, 3, 5)]
    noise = rng.normal(0, noise_mag, (number, 5))
    return KnownGalaxies(np.column_stack([i, np.column_stack(colors) + noise]).astype(np.float32), redshift)
