"""The simulated sky as a Butler repository: the same galaxies as over TAP."""
