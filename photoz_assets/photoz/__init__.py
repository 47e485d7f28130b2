"""Photo-z: training sets out of the galaxies of the lake, the files in which others take them, and redshifts."""
